"""Importing this module teaches transformers, and peft, to load and train our models."""

from importlib.util import find_spec

from quincunx._errors import need_extra

need_extra("transformers", "compression", "Loading quantized models")

from quincunx.compression.huggingface.plugin import (  # noqa: E402
    QuincunxConfig,
    QuincunxQuantizer,
)

if find_spec("peft") is not None:
    from quincunx.compression.huggingface.adapters import teach_peft

    teach_peft()

__all__ = ["QuincunxConfig", "QuincunxQuantizer"]
