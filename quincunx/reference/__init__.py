"""The language model that ships with the package, and texts that are on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quincunx._errors import FileFormatError, need_extra
from quincunx.reference.documentation import docstrings, folder_of, standard_library, topics

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

__all__ = ["docstrings", "folder_of", "language_model", "path", "standard_library", "topics"]


def path() -> Path:
    """Return the folder of the shipped model: config, weights, tokenizer and card.

    Raises:
        FileFormatError: the package was installed without it.
    """
    folder = Path(__file__).with_name("model")
    if not (folder / "model.safetensors").is_file():
        raise FileFormatError(
            f"{folder} has no model.safetensors: the package is not complete; install it again"
        )
    return folder


def language_model(**options: Any) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """Load the reference language model and its tokenizer.

    A Llama with 5.8 million parameters that writes in the manner of Python's documentation, on
    which it was trained (``training.json`` beside it says how). It is there to try compression on
    and to test it, not to be talked to.

    Arguments:
        options: for ``from_pretrained``; by default ``dtype`` is float32.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    need_extra("transformers", "compression", "The reference language model")
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(path(), **{"dtype": "float32", **options})
    return model.eval(), AutoTokenizer.from_pretrained(path())
