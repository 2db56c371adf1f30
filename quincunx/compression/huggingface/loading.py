"""Models and tokenizers from a folder, quantized or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

import quincunx.compression.huggingface  # noqa: F401 - teaches transformers
from quincunx._errors import FileFormatError
from quincunx.compression.huggingface.checkpoint import local

__all__ = ["load", "quiet"]


def load(folder: str | Path, **options: Any) -> tuple[Any, Any]:
    """Do what :func:`quincunx.load` says."""
    path = local(folder)
    if not (path / "config.json").is_file():
        raise FileFormatError(f"{path} is no model folder: it has no config.json")
    model = AutoModelForCausalLM.from_pretrained(path, **options).eval()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError):
        tokenizer = None
    return model, tokenizer


def quiet() -> None:
    """Keep transformers' bars and advice out of what users of commands read."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
