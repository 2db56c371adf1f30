"""Importing this module teaches transformers, and peft, to load and train our models."""

from quincunx.compression.huggingface.plugin import QuincunxConfig, QuincunxQuantizer

__all__ = ["QuincunxConfig", "QuincunxQuantizer"]
