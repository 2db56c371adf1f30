"""A compressed model from its folder, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quincunx._errors import need_extra

__all__ = ["load"]


def load(folder: str | Path, **options: Any) -> tuple[Any, Any]:
    """Load a language model and its tokenizer.

    Arguments:
        folder: as ``quincunx quantize`` wrote it, or any model folder.
        options: for ``from_pretrained`` of transformers: dtype, device_map, ...

    Returns:
        The model, in evaluation mode, and the tokenizer, None where the folder has none.

    Raises:
        FileNotFoundError: there is no such folder.
        FileFormatError: it is no model folder, or its tensors are missing or damaged.
        MissingExtraError: transformers is not installed.
    """
    need_extra("transformers", "compression", "Loading a language model")
    from quincunx.compression.huggingface.loading import load as loaded

    return loaded(folder, **options)
