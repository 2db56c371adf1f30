"""A compressed folder trained end to end against its original: another folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quincunx._atomic import atomic_write
from quincunx._errors import ModelError
from quincunx.compression.devices import device_of
from quincunx.compression.huggingface.checkpoint import TRAVEL
from quincunx.compression.huggingface.loading import load
from quincunx.compression.huggingface.plugin import NEEDS, quantized_layers
from quincunx.compression.huggingface.sources import calibrated
from quincunx.compression.journal import check_output
from quincunx.compression.report import FILE
from quincunx.compression.tuning.distill import distill

__all__ = ["Distilled", "distill_folder"]

SAMPLES = 512


@dataclass(frozen=True, slots=True)
class Distilled:
    """What training end to end gained.

    Attributes:
        before: held-out KL divergence from the original in nats a token.
        after: the same, after the training; of the best state that was seen.
    """

    before: float
    after: float


def distill_folder(
    folder: str | Path,
    original: str | Path,
    output: str | Path,
    texts: str | Path | None = None,
    *,
    samples: int | None = None,
    context: int | None = None,
    epochs: int = 2,
    rate: float = 1.0,
    seed: int = 0,
    device: str | None = None,
    report: Callable[[str], None] | None = None,
) -> Distilled:
    """Train a compressed model to predict as its original does, and write it to another folder.

    Both models are in memory, in float32, for that long. Codes stay as they are; signs, scales,
    norms and the head are trained (:func:`quincunx.compression.tuning.distill.distill`).

    Arguments:
        folder: that ``quincunx quantize`` wrote.
        original: the model's folder before compression.
        output: the folder to write.
        texts: a file or a folder; None: documentation of Python's standard library.
        samples: of text; by default 512, or what there is.
        context: tokens of a sample; by default what the model takes, at most 2,048.
        epochs: passes over the text.
        rate: multiplies learning rates.
        seed: of the places of samples, and of their order.
        device: where; by default a GPU if there is one.
        report: called with what is being done.

    Raises:
        ModelError: an argument does not fit, or the model has no layers of codes.
        FileFormatError: a folder is no model's, or damaged.
    """
    say = report or (lambda _: None)
    out, source = Path(output), Path(folder)
    check_output(out)
    if epochs < 1 or not 0 < rate < 1e3:
        raise ModelError(f"epochs {epochs} at rate {rate}; use at least 1, and a rate such as 1.0")
    place = device_of(device)
    say("loading")
    model, tokenizer = load(source, dtype=torch.float32)
    if not quantized_layers(model):
        raise ModelError(f"{source} is not compressed; there is nothing to train")
    teacher, _ = load(original, dtype=torch.float32)
    if teacher.config.vocab_size != model.config.vocab_size:
        raise ModelError(
            f"{original} has {teacher.config.vocab_size} tokens in its vocabulary, and {source} "
            f"{model.config.vocab_size}; give the model that it was made of"
        )
    words = calibrated(texts, tokenizer, model.config, samples or SAMPLES, context, seed)
    losses: list[float] = []

    def note(done: int, whole: int, loss: float) -> None:
        losses.append(loss)
        say(f"{done} of {whole} batches, held-out KL {loss:.4f}")

    after = distill(
        model.to(place),
        teacher.to(place),
        words.ids,
        epochs=epochs,
        rate=rate,
        seed=seed,
        report=note,
    )
    say("writing")
    _write(model.cpu(), source, out, {"epochs": epochs, "rate": rate, **words.describe()})
    return Distilled(losses[0], after)


def _write(model: Any, source: Path, out: Path, what: dict[str, Any]) -> None:
    """Save beside the output, and rename."""
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    kind = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        model.to(getattr(torch, kind)).save_pretrained(aside)
        for name in (*TRAVEL, "README.md"):
            if (source / name).is_file():
                shutil.copyfile(source / name, aside / name)
        made = json.loads((aside / "config.json").read_text(encoding="utf-8"))
        made["transformers_weights"] = NEEDS
        files = {"config.json": made}
        notes = source / FILE
        if notes.is_file():
            told = json.loads(notes.read_text(encoding="utf-8"))
            files[notes.name] = {**told, "distilled": what}
        for name, content in files.items():
            with atomic_write(aside / name) as file:
                json.dump(content, file, indent=1)
        aside.chmod(0o755)
        if out.is_dir():
            out.rmdir()
        os.replace(aside, out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
