"""Residual coding: one codebook for the weights, a second, finer one for what it leaves."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array, Codebook
from quincunx.kernels.select import shared
from quincunx.solvers.rounding.codebooks.gaussian import best_scales
from quincunx.solvers.rounding.codebooks.grid import check_scale, describe_scale, needed_scale
from quincunx.solvers.rounding.codebooks.units import as_codes, in_working_type

# Squared errors of E8P on normal numbers, each at its best scales, relative to those of one try:
# 0.95, 0.93, 0.92 and 0.91 at 4 bits with 1, 2, 3 and 5 further tries; 0.98, 0.96, 0.96 and 0.96
# at 3 bits. Pushes of 0.3 to 0.5 are alike.
FURTHER_TRIES = 2
PUSH = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """The sums ``scale * (p + q / ratio)`` of a point p of one codebook and q of another.

    The first codebook takes the nearest point, the second that nearest to the difference. This is
    tried again for vectors pushed away from the points of the first codebook that were tried, and
    the best sum counts: not the best of all, but on normal numbers the squared error of E8P's
    forms is 4 % (3 bits) and 7 % (4 bits) less than that of one try at its own best scales.

    Attributes:
        first: a codebook; its own scale is of no account.
        second: another of the same tile; likewise.
        scale: > 0; a number, or one a row of the weights [m, 1]. None: chosen by the rounding.
        ratio: how much finer the second is, > 0. None: the ratio of least mean squared error for a
            standard normal distribution, jointly with the scale, which is searched for when it is
            first needed (about a second).

    >>> import numpy as np
    >>> from quincunx.solvers.rounding.codebooks import Grid
    >>> fine = Residual(Grid(1), Grid(1), scale=1.0, ratio=2.0)
    >>> values, codes = fine.quantize(np.array([[0.8], [-0.1]]))
    >>> values.ravel().tolist(), codes.tolist()
    ([0.75, -0.25], [[1, 1], [0, 1]])
    """

    first: Codebook
    second: Codebook
    scale: Any = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ModelError: the tiles differ, or a scale or the ratio is not positive and finite.
        """
        if self.first.tile != self.second.tile:
            raise ModelError(
                f"{self.first} codes tiles {self.first.tile} and {self.second} tiles "
                f"{self.second.tile}; a residual needs two codebooks of the same tile"
            )
        if self.ratio is not None and not 0 < self.ratio < float("inf"):
            raise ModelError(f"ratio is {self.ratio}; it is positive and finite, or None")
        check_scale(self.scale)

    def __repr__(self) -> str:
        """Show no arrays."""
        ratio = "" if self.ratio is None else f", ratio={self.ratio:.6g}"
        return f"Residual({self.first}, {self.second}{describe_scale(self.scale)}{ratio})"

    @property
    def tile(self) -> tuple[int, int]:
        """That of both codebooks."""
        return self.first.tile

    @property
    def bits(self) -> float:
        """The sum of both."""
        return self.first.bits + self.second.bits

    @property
    def unit_scale(self) -> float:
        """The scale of least mean squared error for a standard normal distribution."""
        return best_scales(self).scale

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace vectors by sums of two points, both nearest in the metric.

        Arguments:
            x: [N, r * c], floating.
            metric: as in :class:`Codebook`.

        Returns:
            The sums [N, r * c] in the type of ``x``, and the codes of both, side by side.

        Raises:
            ModelError: the scale is None, or a codebook refuses an argument.
        """
        xp: Any = array_namespace(x)
        given, x = x.dtype, in_working_type(x)
        view, seen, scale = shared(x), None, self.scale
        if metric is not None:
            seen = shared(xp.astype(metric, xp.float64))
        if getattr(scale, "ndim", 0):
            scale = shared(scale)
        together = scale is not None and (seen is None) == (metric is None)
        if view is not None and view is not x and together:
            # Dozens of small steps: NumPy takes a fraction of torch's time for each.
            values, codes = replace(self, scale=scale).quantize(view, metric=seen)
            values, codes = xp.asarray(values), as_codes(xp.asarray(codes), 8 * codes.itemsize)
            return xp.astype(values, given, copy=False), codes
        stages = self.stages()
        coarse, values, codes = _sum(*stages, x, x, metric)
        loss, pushed = _loss(x - values, metric), x
        for _ in range(FURTHER_TRIES):
            pushed = pushed + PUSH * (x - coarse)
            coarse, other, other_codes = _sum(*stages, x, pushed, metric)
            other_loss = _loss(x - other, metric)
            better = (other_loss < loss)[:, None]
            values, codes = xp.where(better, other, values), xp.where(better, other_codes, codes)
            loss = xp.minimum(loss, other_loss)
        return xp.astype(values, given), codes

    def decode(self, codes: Array, /) -> Array:
        """Return the sums of codes, as :meth:`quantize` returned them.

        Raises:
            ModelError: the scale is None, or a codebook refuses its codes.
        """
        first, second = self.stages()
        split = _columns(first)
        return first.decode(codes[:, :split]) + second.decode(codes[:, split:])

    def stages(self) -> tuple[Any, Any]:
        """Return both codebooks, each with its scale.

        Raises:
            ModelError: the scale is None.
        """
        scale = needed_scale(self)
        ratio = self.ratio if self.ratio is not None else best_scales(self).ratio
        first, second = self.first, self.second
        return replace(first, scale=scale), replace(second, scale=scale / ratio)  # type: ignore[type-var]


def _sum(
    first: Any, second: Any, x: Array, pushed: Array, metric: Array | None
) -> tuple[Array, Array, Array]:
    """Return the point of the first codebook nearest to ``pushed``, and a sum with it, coded."""
    xp: Any = array_namespace(x)
    coarse, upper = first.quantize(pushed, metric=metric)
    fine, lower = second.quantize(x - coarse, metric=metric)
    kind = xp.result_type(upper, lower)
    codes = xp.concat([xp.astype(upper, kind), xp.astype(lower, kind)], axis=1)
    return coarse, coarse + fine, codes


def _loss(error: Array, metric: Array | None) -> Array:
    """Return ``sum e M e'`` over the rows e of each tile, [N]."""
    xp: Any = array_namespace(error)
    if metric is None:
        return xp.sum(error * error, axis=1)
    tiles, width = error.shape[0], metric.shape[0]
    rows = xp.reshape(error, (tiles, error.shape[1] // width, width))
    return xp.sum((rows @ xp.astype(metric, error.dtype)) * rows, axis=(1, 2))


def _columns(codebook: Codebook) -> int:
    """Return how many codes a tile has: those of a tile of zeros."""
    plain: Any = replace(codebook, scale=1.0)  # type: ignore[type-var]
    codes = plain.quantize(np.zeros((1, codebook.tile[0] * codebook.tile[1])))[1]
    return int(codes.shape[1])
