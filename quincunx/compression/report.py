"""What was done to a model, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from quincunx._types import Solution, Status

__all__ = ["FILE", "LayerReport", "Report"]

FILE = "quincunx-report.json"
"""What a report is called in a model's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One layer.

    Attributes:
        name: in the model.
        shape: of its weights, (out, in).
        bits: a weight, without signs, scales and the like.
        stored_bits: all that is stored for the layer but its bias, in bits.
        proxy_loss: ``tr(E H E')``, H the mean second moments of the layer's inputs.
        relative_loss: that over ``tr(W H W')``: the error of its outputs as a fraction of them.
        damping: added to the Hessian's diagonal, as a fraction of its mean.
        jitter: added besides, because the Hessian is singular.
        tokens: that the layer saw; 0: no input, rounded as if inputs were white.
    """

    name: str
    shape: tuple[int, int]
    bits: float
    stored_bits: int
    proxy_loss: float
    relative_loss: float
    damping: float = 0.0
    jitter: float = 0.0
    tokens: int = 0

    @property
    def weights(self) -> int:
        """How many."""
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Solution):
    """What :func:`quincunx.compression.quantize_model` did.

    Attributes:
        layers: in the order of the model.
        kept: weights that were left as they are, by the name of their tensor.
        recipe: fields of the recipe.
        calibration: the text, its fingerprint and how much of it was read.
        output: the folder written, or "".
    """

    status: Status = Status.ROUNDED
    layers: tuple[LayerReport, ...]
    kept: Mapping[str, int]
    recipe: Mapping[str, Any]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""

    @property
    def weights(self) -> int:
        """How many were rounded."""
        return sum(layer.weights for layer in self.layers)

    @property
    def bits_per_weight(self) -> float:
        """Of the rounded weights, with all that is stored for them."""
        return sum(layer.stored_bits for layer in self.layers) / max(self.weights, 1)

    @property
    def relative_loss(self) -> float:
        """The mean of the layers' relative losses."""
        return sum(layer.relative_loss for layer in self.layers) / max(len(self.layers), 1)

    def to_json(self) -> dict[str, Any]:
        """Return what a file holds: all but times, so that equal jobs write equal files."""
        return {
            "recipe": dict(self.recipe),
            "calibration": dict(self.calibration),
            "bits per weight": self.bits_per_weight,
            "weights": self.weights,
            "kept": dict(self.kept),
            "layers": [asdict(layer) for layer in self.layers],
        }

    def __repr__(self) -> str:
        """Show the sum of it."""
        return (
            f"Report({len(self.layers)} layers, {self.weights:,} weights at "
            f"{self.bits_per_weight:.3f} bits, mean relative loss {self.relative_loss:.4f})"
        )
