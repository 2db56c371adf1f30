"""Calibration text: where it comes from, and its tokens."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quincunx._errors import ModelError
from quincunx.reference import documentation

__all__ = ["Calibration", "built_in", "calibration", "given_ids", "longest_of", "read_texts"]

SAMPLES = 128
LONGEST = 2048  # tokens of a sample, unless asked for
ENOUGH = 400_000_000  # characters read at most
LETTERS = 12  # of text for each token wanted: more would never be seen


@dataclass(frozen=True, slots=True)
class Calibration:
    """Token ids, and where they came from.

    Attributes:
        ids: int64 [samples, context].
        source: for people.
        sha256: of the token ids: the fingerprint.
    """

    ids: torch.Tensor
    source: str
    sha256: str

    def describe(self) -> dict[str, Any]:
        """Return what reports say of it."""
        samples, context = self.ids.shape
        return {
            "source": self.source,
            "samples": samples,
            "context": context,
            "sha256": self.sha256,
        }


def built_in() -> Iterable[str]:
    """The documentation inside Python's standard library."""
    return documentation.docstrings([documentation.standard_library()])


def read_texts(source: str | Path) -> list[str]:
    """Read a text file, or all ``.txt`` and ``.md`` files of a folder, in the order of names.

    Raises:
        ModelError: there is no text.
        FileNotFoundError: there is no such file.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}; give text to calibrate on")
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix in (".txt", ".md") and f.is_file())
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    if not any(text.strip() for text in texts):
        raise ModelError(f"{path} holds no text; give a file with prose, or a folder of .txt files")
    return texts


def calibration(
    texts: Iterable[str] | None,
    tokenizer: Any,
    *,
    samples: int | None = None,
    context: int = LONGEST,
    seed: int = 0,
    source: str = "texts given",
) -> Calibration:
    """Cut windows of tokens out of texts.

    Arguments:
        texts: any number; None: the documentation of the standard library.
        tokenizer: of transformers.
        samples: windows; None: 128, or what the text yields if that is at least 8.
        context: tokens of a window.
        seed: of their places.
        source: for people.

    Raises:
        ModelError: the text is too short, or an argument is out of range.
    """
    if context < 8 or (samples is not None and samples < 1):
        raise ModelError(f"samples {samples} of {context} tokens; use at least 1 of at least 8")
    if texts is None:
        texts, source = built_in(), "documentation of Python's standard library"
    end = tokenizer.eos_token_id
    some: list[int] = []
    limit = min(ENOUGH, LETTERS * (samples or SAMPLES) * context * 8)
    read = 0
    for text in texts:
        if not isinstance(text, str):
            raise ModelError(f"texts hold a {type(text).__name__}; give strings")
        if text.strip():
            some += tokenizer(text[:limit], add_special_tokens=False, verbose=False)["input_ids"]
            some += [end] if end is not None else []
            read += len(text)
        if read > limit:
            break
    whole = len(some) // context
    wanted = samples or min(SAMPLES, whole)
    if whole < wanted or (samples is None and whole < 8):
        raise ModelError(
            f"the calibration text has {len(some):,} tokens, {whole} windows of {context}; give "
            f"more text, or ask for fewer or shorter samples (--samples, --context)"
        )
    chosen = sorted(random.Random(seed).sample(range(whole), wanted))
    ids = torch.tensor(some[: whole * context]).reshape(whole, context)[chosen]
    digest = hashlib.sha256(ids.numpy().astype("<i8").tobytes()).hexdigest()
    return Calibration(ids, source, digest)


def longest_of(config: Any, context: int | None) -> int:
    """Return the tokens of a sample: what is asked for, or what a model takes, at most 2,048.

    Raises:
        ModelError: the model does not take so many.
    """
    most = getattr(config, "max_position_embeddings", None) or LONGEST
    if context is not None and context > most:
        raise ModelError(f"context is {context}; the model takes {most} tokens")
    return context or min(most, LONGEST)


def given_ids(ids: torch.Tensor | Sequence[Sequence[int]]) -> Calibration:
    """Take token ids [samples, context] as they are.

    Raises:
        ModelError: they are not a table of whole numbers.
    """
    ids = torch.as_tensor(ids)
    if ids.ndim != 2 or ids.dtype not in (torch.int64, torch.int32) or not ids.numel():
        raise ModelError(f"token ids have shape {tuple(ids.shape)} and type {ids.dtype}")
    ids = ids.to(torch.int64)
    digest = hashlib.sha256(ids.numpy().astype("<i8").tobytes()).hexdigest()
    return Calibration(ids, "token ids given", digest)
