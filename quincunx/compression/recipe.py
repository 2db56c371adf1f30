"""Recipes: how weights become codes, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from quincunx._errors import ModelError

__all__ = ["QTIP", "QUIP", "QUIP_SHARP", "RECIPES", "QuantizeRecipe", "recipe_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeRecipe:
    """A transform, a codebook and a rounding.

    Attributes:
        name: what reports call it.
        codebook: "grid" (1 to 8 bits, half-integers), "e8p" (2, 3 and 4) or "trellis" (1 to 8).
        transform: what makes weights incoherent: "none", "kronecker" (dense factors, QuIP) or
            "hadamard" (random signs, QuIP#).
        rounding: "nearest", "ldlq", or "two-sided" (feedback of errors along outputs too, by
            Hessians of the whole model's loss).
        channel_scale: whether input channels are scaled first, as in QuIP.
        greedy_passes: of coordinate descent after the rounding; none makes the loss larger.
        damping: added to the diagonals of Hessians, as a fraction of their mean, >= 0.
        code: what the trellis's states stand for.
        tile: rows and columns that a path of the trellis codes.
        tune: epochs of training of what is not yet codes, block by block; 0: none.
    """

    name: str
    codebook: Literal["grid", "e8p", "trellis"]
    transform: Literal["none", "kronecker", "hadamard"] = "hadamard"
    rounding: Literal["nearest", "ldlq", "two-sided"] = "ldlq"
    channel_scale: bool = False
    greedy_passes: int = 0
    damping: float = 0.01
    code: str = "mul1"
    tile: tuple[int, int] = (32, 8)
    tune: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile", tuple(self.tile))
        for field, choices in (
            ("codebook", ("grid", "e8p", "trellis")),
            ("transform", ("none", "kronecker", "hadamard")),
            ("rounding", ("nearest", "ldlq", "two-sided")),
        ):
            if getattr(self, field) not in choices:
                raise ModelError(
                    f"{field} is {getattr(self, field)!r}; use one of {', '.join(choices)}"
                )
        if not 0 <= self.damping < float("inf"):
            raise ModelError(f"damping is {self.damping}; use a number from 0 on, such as 0.01")
        if self.greedy_passes < 0 or self.tune < 0:
            raise ModelError("greedy_passes and tune count passes; use whole numbers from 0 on")

    def with_tuning(self, epochs: int = 4) -> QuantizeRecipe:
        """Return the recipe with training of what is not yet codes."""
        return replace(self, tune=epochs)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> QuantizeRecipe:
        """Return the recipe that :meth:`to_json` wrote.

        Raises:
            ModelError: a field is unknown, missing or out of range.
        """
        known = {field.name for field in fields(cls)}
        if not set(entries) <= known:
            unknown = ", ".join(sorted(set(entries) - known))
            raise ModelError(f"recipes have no field {unknown}; known are {', '.join(known)}")
        if not {"name", "codebook"} <= set(entries):
            raise ModelError(f"a recipe has a name and a codebook; found {', '.join(entries)}")
        return cls(**entries)


QUIP = QuantizeRecipe(
    name="quip", codebook="grid", transform="kronecker", channel_scale=True, greedy_passes=5
)
"""QuIP (Chee and others, 2023): a grid in a random orthogonal basis."""

QUIP_SHARP = QuantizeRecipe(name="quip-sharp", codebook="e8p", greedy_passes=2)
"""QuIP# (Tseng and others, 2024): points of the lattice E8 in a random Hadamard basis."""

QTIP = QuantizeRecipe(name="qtip", codebook="trellis")
"""QTIP (Tseng and others, 2024): paths through a trellis in a random Hadamard basis."""

RECIPES = {recipe.name: recipe for recipe in (QUIP, QUIP_SHARP, QTIP)}


def recipe_of(name: str) -> QuantizeRecipe:
    """Return a recipe by its name.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in RECIPES:
        raise ModelError(f"there is no recipe {name!r}; use one of {', '.join(RECIPES)}")
    return RECIPES[name]
