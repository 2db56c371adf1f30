"""Lattices without bound: what codebooks would be if bits cost nothing, for theory.

Their codes are coordinates and not indices, and the errors are bounded whatever the weights are.
"""

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from quincunx._types import Array
from quincunx.kernels.e8.reference import short_points
from quincunx.solvers.rounding.codebooks.grid import check_scale, describe_scale, needed_scale
from quincunx.solvers.rounding.codebooks.scan import checked_metric
from quincunx.solvers.rounding.codebooks.units import checked_codes, constant, in_units, scaled


@dataclass(frozen=True, slots=True, eq=False)
class Integer:
    """All whole multiples of the scale; halves go to the even one.

    Attributes:
        scale: > 0; a number, or one a row of the weights [m, 1].
    """

    scale: Any = 1.0

    def __post_init__(self) -> None:
        """Check the scale.

        Raises:
            ModelError: it is not positive and finite.
        """
        check_scale(self.scale)

    def __repr__(self) -> str:
        """Show no arrays."""
        return f"Integer({describe_scale(self.scale).removeprefix(', ')})"

    @property
    def tile(self) -> tuple[int, int]:
        """One weight."""
        return (1, 1)

    @property
    def bits(self) -> float:
        """Infinite."""
        return math.inf

    @property
    def unit_scale(self) -> float:
        """A scale to begin with: none is best, as less is always better."""
        return 1.0

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace weights [N, 1] by the nearest points; codes are int64 [N, 1].

        The metric of a single weight is of no account.

        Raises:
            ModelError: x is malformed.
        """
        xp: Any = array_namespace(x)
        units, scale = in_units(self, x)
        points = xp.round(units)
        return scaled(points, scale, x.dtype), xp.astype(points, xp.int64)

    def decode(self, codes: Array, /) -> Array:
        """Return the points [N, 1] of codes, in float32 or the type of an array of scales.

        Raises:
            ModelError: the codes are not whole numbers [N, 1].
        """
        xp: Any = array_namespace(codes)
        return scaled(xp.astype(checked_codes(self, codes, 1), xp.float64), needed_scale(self))


@dataclass(frozen=True, slots=True, eq=False)
class E8Lattice:
    """The densest packing in eight dimensions: all whole or all half-integer, with even sum.

    The mean squared error a weight is 0.07168 times the squared scale, where a grid of the same
    density has 1/12 (Conway and Sloane, "Sphere Packings, Lattices and Groups", table 2.3).

    Attributes:
        scale: > 0; a number, or one a row of the weights [m, 1].
    """

    scale: Any = 1.0

    def __post_init__(self) -> None:
        """Check the scale.

        Raises:
            ModelError: it is not positive and finite.
        """
        check_scale(self.scale)

    def __repr__(self) -> str:
        """Show no arrays."""
        return f"E8Lattice({describe_scale(self.scale).removeprefix(', ')})"

    @property
    def tile(self) -> tuple[int, int]:
        """One row, eight columns."""
        return (1, 8)

    @property
    def bits(self) -> float:
        """Infinite."""
        return math.inf

    @property
    def unit_scale(self) -> float:
        """A scale to begin with: none is best, as less is always better."""
        return 1.0

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace vectors by the nearest points.

        In a metric, the point is one to which no shortest vector can be added to come nearer,
        found by descent from the nearest in the usual sense.

        Arguments:
            x: [N, 8], floating.
            metric: [8, 8], symmetric and positive semidefinite.

        Returns:
            The points [N, 8] in the type of ``x``, and twice their coordinates before scaling,
            int64 [N, 8].

        Raises:
            ModelError: an argument is malformed.
        """
        xp: Any = array_namespace(x)
        units, scale = in_units(self, x)
        units = xp.astype(units, xp.float64)
        points = nearest_e8(units)
        if metric is not None:
            points = _descend(units, points, checked_metric(metric, 8))
        return scaled(points, scale, x.dtype), xp.astype(2 * points, xp.int64)

    def decode(self, codes: Array, /) -> Array:
        """Return the points [N, 8] of codes, in float32 or the type of an array of scales.

        Raises:
            ModelError: the codes are not whole numbers [N, 8].
        """
        xp: Any = array_namespace(codes)
        return scaled(xp.astype(checked_codes(self, codes, 8), xp.float64) / 2, needed_scale(self))


def nearest_e8(x: Array) -> Array:
    """Return the points of E8 nearest to x [N, 8], whole ones where there are equals.

    Reference:
        Conway and Sloane, "Fast Quantizing and Decoding Algorithms for Lattice Quantizers and
        Codes", IEEE Transactions on Information Theory 28(2), 1982, section VI.
    """
    xp: Any = array_namespace(x)
    whole, half = _nearest_d8(x), _nearest_d8(x - 0.5) + 0.5
    nearer = xp.sum((x - half) ** 2, axis=1) < xp.sum((x - whole) ** 2, axis=1)
    return xp.where(nearer[:, None], half, whole)


def _nearest_d8(x: Array) -> Array:
    """Return the nearest whole vectors of even sum: rounded, the worst the other way if odd."""
    xp: Any = array_namespace(x)
    rounded = xp.round(x)
    error = x - rounded
    odd = xp.remainder(xp.sum(rounded, axis=1), 2.0) == 1.0
    worst = xp.argmax(xp.abs(error), axis=1)[:, None] == xp.arange(8, device=x.device)
    step = 1.0 - 2.0 * xp.astype(error < 0, x.dtype)
    return xp.where(odd[:, None] & worst, rounded + step, rounded)


def _descend(x: Array, points: Array, metric: Array) -> Array:
    """Add shortest vectors of E8, each time the best of 240, while the distance falls."""
    xp: Any = array_namespace(x)
    roots = constant(short_points()[1:241], x)
    weighed = roots @ metric
    lengths = xp.sum(weighed * roots, axis=1)
    while True:
        change = 2.0 * ((points - x) @ weighed.T) + lengths
        best = xp.argmin(change, axis=1)
        falls = xp.min(change, axis=1) < -1e-12 * xp.max(lengths)  # more than rounding
        if not bool(xp.any(falls)):
            return points
        points = xp.where(falls[:, None], points + xp.take(roots, best, axis=0), points)
