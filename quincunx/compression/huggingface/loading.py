"""Models and tokenizers from a folder, quantized or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import quincunx.compression.huggingface  # noqa: F401 - teaches transformers
from quincunx._errors import FileFormatError

__all__ = ["device_of", "load", "quiet"]


def device_of(asked: str | None) -> torch.device:
    """Return the device asked for, or a GPU if there is one."""
    return torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))


def load(folder: str | Path, **options: Any) -> tuple[Any, Any]:
    """Do what :func:`quincunx.load` says."""
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}; give that of a model")
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
