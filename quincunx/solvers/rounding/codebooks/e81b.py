"""E81B: eight weights to one of 256 short vectors of the lattice E8, one bit a weight."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._types import Array
from quincunx.kernels.e8.reference import short_points
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows
from quincunx.solvers.rounding.codebooks.grid import check_scale, describe_scale, needed_scale
from quincunx.solvers.rounding.codebooks.scan import checked_metric, nearest_listed
from quincunx.solvers.rounding.codebooks.units import (
    as_codes,
    checked_codes,
    constant,
    in_units,
    scaled,
)


@dataclass(frozen=True, slots=True, eq=False)
class E81B:
    """The origin, the 240 shortest vectors of E8, and 15 of the next: the 3-bit E8P's second stage.

    Attributes:
        scale: > 0; a number, or one a row of the weights [m, 1]. None: chosen by the rounding.

    Which points belong to it is published (QuIP#, RVQ3B); the order of the codes is ours.
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
        return f"E81B({describe_scale(self.scale).removeprefix(', ')})"

    @property
    def tile(self) -> tuple[int, int]:
        """One row, eight columns."""
        return (1, 8)

    @property
    def bits(self) -> float:
        """Bits a weight."""
        return 1

    @property
    def unit_scale(self) -> float:
        """The scale of least mean squared error for a standard normal distribution."""
        return 1.650  # best_scales over 2^19 vectors; the error is 0.3183

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace vectors by the nearest points, exactly.

        Of points equally near in a metric the one with the lowest code counts, but for rounding.

        Arguments:
            x: [N, 8], floating.
            metric: [8, 8], symmetric and positive semidefinite: the distance is measured in it.

        Returns:
            The points [N, 8] in the type of ``x``, and codes, uint8 [N, 1].

        Raises:
            ModelError: the scale is None, or an argument is malformed.
        """
        xp: Any = array_namespace(x)
        units, scale = in_units(self, x)
        metric = None if metric is None else checked_metric(metric, 8)
        view = shared(units)
        if view is None:
            table = constant(short_points(), x)
            found = nearest_listed(units, table, metric)
            points, codes = xp.take(table, found, axis=0), as_codes(found[:, None], 8)
        else:
            seen = None if metric is None else shared(metric)
            points, codes = (xp.asarray(array) for array in _compiled(view, seen))
        return scaled(points, scale, x.dtype), codes

    def decode(self, codes: Array, /) -> Array:
        """Return the points [N, 8] of codes [N, 1], in float32 or the type of an array of scales.

        Raises:
            ModelError: the scale is None, or the codes are not whole numbers [N, 1].
        """
        xp: Any = array_namespace(codes)
        numbers = checked_codes(self, codes, 1)
        table = constant(short_points(), codes)
        return scaled(xp.take(table, numbers[:, 0], axis=0), needed_scale(self))


def _compiled(x: Any, metric: Any) -> tuple[Any, Any]:
    """Return points and codes by the compiled loops."""
    from quincunx.kernels.e8._roots import nearest_short
    from quincunx.kernels.e8._roots_metric import LANES, half_norms, nearest_short_in_metric

    x = np.ascontiguousarray(x)
    points, codes = np.empty_like(x), np.empty((len(x), 1), dtype=np.uint8)
    if metric is None:
        in_rows(lambda first, last: nearest_short(x, points, codes, first, last), len(x))
    else:
        given = (x, np.ascontiguousarray(metric), half_norms(metric), points, codes)
        in_rows(lambda a, b: nearest_short_in_metric(*given, a, b), len(x), least=LANES)
    return points, codes
