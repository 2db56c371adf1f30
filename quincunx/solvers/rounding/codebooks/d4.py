"""D4: four weights to one of 256 points of the lattice D4, moved by 1/2."""

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from quincunx._types import Array
from quincunx.solvers.rounding.codebooks.grid import check_scale, describe_scale, needed_scale
from quincunx.solvers.rounding.codebooks.scan import checked_metric, nearest_listed
from quincunx.solvers.rounding.codebooks.units import (
    as_codes,
    checked_codes,
    constant,
    in_units,
    scaled,
)


@cache
def d4_points() -> NDArray[np.float64]:
    """Return the vectors of four half-integers with even sum and squared norm up to 9, [256, 4].

    In lexicographic order, which is ours.
    """
    halves = np.array(list(product(np.arange(-2.5, 3.0), repeat=4)))
    inside = (halves.sum(axis=1) % 2 == 0) & ((halves**2).sum(axis=1) <= 9)
    points: NDArray[np.float64] = halves[inside]
    points.setflags(write=False)
    return points


@dataclass(frozen=True, slots=True, eq=False)
class D4:
    """The first lattice codebook of QuIP#, 2 bits: simpler than E8P, and 14 % more squared error.

    Attributes:
        scale: > 0; a number, or one a row of the weights [m, 1]. None: chosen by the rounding.
    """

    scale: Any = None

    def __post_init__(self) -> None:
        """Check the scale.

        Raises:
            ModelError: it is not positive and finite.
        """
        check_scale(self.scale)

    def __repr__(self) -> str:
        """Show no arrays."""
        return f"D4({describe_scale(self.scale).removeprefix(', ')})"

    @property
    def tile(self) -> tuple[int, int]:
        """One row, four columns."""
        return (1, 4)

    @property
    def bits(self) -> float:
        """Bits a weight."""
        return 2

    @property
    def unit_scale(self) -> float:
        """The scale of least mean squared error for a standard normal distribution."""
        return 0.825

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace vectors by the nearest points, exactly, the first of equals.

        Arguments:
            x: [N, 4], floating.
            metric: [4, 4], symmetric and positive semidefinite: the distance is measured in it.

        Returns:
            The points [N, 4] in the type of ``x``, and codes, uint8 [N, 1].

        Raises:
            ModelError: the scale is None, or an argument is malformed.
        """
        xp: Any = array_namespace(x)
        units, scale = in_units(self, x)
        table = constant(d4_points(), x)
        found = nearest_listed(units, table, None if metric is None else checked_metric(metric, 4))
        return scaled(xp.take(table, found, axis=0), scale, x.dtype), as_codes(found[:, None], 8)

    def decode(self, codes: Array, /) -> Array:
        """Return the points [N, 4] of codes [N, 1], in float32 or the type of an array of scales.

        Raises:
            ModelError: the scale is None, or the codes are not whole numbers [N, 1].
        """
        xp: Any = array_namespace(codes)
        numbers = checked_codes(self, codes, 1)
        table = constant(d4_points(), codes)
        return scaled(xp.take(table, numbers[:, 0], axis=0), needed_scale(self))
