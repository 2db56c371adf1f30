"""Solvers wired into language models: weights in fewer bits."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quincunx.compression.job import Progress
    from quincunx.compression.quantize import quantize_model
    from quincunx.compression.recipe import QTIP, QUIP, QUIP_SHARP, QuantizeRecipe
    from quincunx.compression.report import LayerReport, Report

_HOME = {
    "Progress": "job",
    "quantize_model": "quantize",
    "QTIP": "recipe",
    "QUIP": "recipe",
    "QUIP_SHARP": "recipe",
    "QuantizeRecipe": "recipe",
    "LayerReport": "report",
    "Report": "report",
}

__all__ = [
    "QTIP",
    "QUIP",
    "QUIP_SHARP",
    "LayerReport",
    "Progress",
    "QuantizeRecipe",
    "Report",
    "quantize_model",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use: recipes come without torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'quincunx.compression' has no attribute {name!r}")
    return getattr(import_module(f"quincunx.compression.{_HOME[name]}"), name)
