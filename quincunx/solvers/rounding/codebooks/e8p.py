"""E8P: eight weights to one of 65,536 points of the lattice E8, moved by 1/4."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.e8.reference import SIGN_BIT, absolute_rows
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows
from quincunx.solvers.rounding.codebooks.e8p_nearest import nearest_in_array
from quincunx.solvers.rounding.codebooks.e81b import E81B
from quincunx.solvers.rounding.codebooks.grid import check_scale, describe_scale, needed_scale
from quincunx.solvers.rounding.codebooks.residual import Residual
from quincunx.solvers.rounding.codebooks.scan import checked_metric, nearest_listed
from quincunx.solvers.rounding.codebooks.units import (
    as_codes,
    checked_codes,
    constant,
    in_units,
    scaled,
)

# Scales and ratios of least mean squared error on N(0, 1), by best_scales over 2^18 vectors and
# more. The errors are 0.0913, 0.0284 and 0.0077 at 2, 3 and 4 bits.
UNIT_SCALE = {2: 0.964, 3: 0.996, 4: 1.117}
RATIO = {3: 1.754, 4: 3.684}


@dataclass(frozen=True, slots=True, eq=False)
class E8P:
    """QuIP#'s codebook: points of E8 + 1/4, alone or followed by a second stage.

    At 2 bits ("E8P12") eight weights have one code of 16 bits, which means what it means in
    published checkpoints; :mod:`quincunx.kernels.e8.reference` says what. 3 and 4 bits are
    :class:`Residual` with :class:`E81B` and with E8P again, at the ratio that is best, jointly with
    the scale, for normally distributed weights; published checkpoints have the ratios 2.04 and
    3.45 instead.

    Attributes:
        bits: 2, 3 or 4.
        scale: > 0; a number, or one a row of the weights [m, 1]. None: chosen by the rounding.

    >>> import numpy as np
    >>> values, codes = E8P(scale=1.0).quantize(np.array([[2, -2, 0.3, 0, 0, 0, 0.8, 1]]))
    >>> values.tolist(), codes.tolist()
    ([[1.75, -2.25, -0.25, -0.25, -0.25, -0.25, 0.75, 0.75]], [[56054]])

    Reference:
        Tseng et al., "QuIP#: Even Better LLM Quantization with Hadamard Incoherence and Lattice
        Codebooks", 2024, arXiv:2402.04396, section 4.
    """

    bits: int = 2
    scale: Any = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ModelError: a field is out of range.
        """
        if self.bits not in UNIT_SCALE:
            raise ModelError(f"bits is {self.bits!r}; E8P has 2, 3 or 4")
        check_scale(self.scale)

    def __repr__(self) -> str:
        """Show no arrays."""
        return f"E8P({self.bits}{describe_scale(self.scale)})"

    @property
    def tile(self) -> tuple[int, int]:
        """One row, eight columns."""
        return (1, 8)

    @property
    def unit_scale(self) -> float:
        """The scale of least mean squared error for a standard normal distribution."""
        return UNIT_SCALE[self.bits]

    def quantize(self, x: Array, /, *, metric: Array | None = None) -> tuple[Array, Array]:
        """Replace vectors by the nearest points: exactly at 2 bits, stage by stage at 3 and 4.

        Of points equally near, the rules in :mod:`quincunx.kernels.e8` choose; in a metric, the
        nearest in the usual one if it is among them.

        Arguments:
            x: [N, 8], floating.
            metric: [8, 8], symmetric and positive semidefinite: the distance is measured in it.

        Returns:
            The points [N, 8] in the type of ``x``, and codes [N, 1], or [N, 2] at 3 and 4 bits:
            uint16, or int32 for torch.

        Raises:
            ModelError: the scale is None, or an argument is malformed.
        """
        needed_scale(self)
        if self.bits > 2:
            return self.stages.quantize(x, metric=metric)
        xp: Any = array_namespace(x)
        units, scale = in_units(self, x)
        metric = None if metric is None else checked_metric(metric, 8)
        view = shared(units)
        if view is not None:
            seen = None if metric is None else shared(metric)
            points, codes = (xp.asarray(array) for array in _compiled(view, seen))
        elif metric is None:
            points, codes = nearest_in_array(units)
        else:
            table = _points(xp.arange(1 << 16, device=x.device))
            codes = nearest_listed(units, table, metric)
            points = xp.take(table, codes, axis=0)
        return scaled(points, scale, x.dtype), as_codes(xp.reshape(codes, (-1, 1)), 16)

    def decode(self, codes: Array, /) -> Array:
        """Return the points of codes, in float32 or the type of an array of scales.

        Arguments:
            codes: whole numbers, [N, 1] at 2 bits, [N, 2] at 3 and 4.

        Returns:
            [N, 8].

        Raises:
            ModelError: the scale is None, or the codes have another shape or type.
        """
        scale = needed_scale(self)
        if self.bits > 2:
            return self.stages.decode(checked_codes(self, codes, 2))
        return scaled(_points(checked_codes(self, codes, 1)[:, 0]), scale)

    @property
    def stages(self) -> Residual:
        """The residual that E8P is at 3 and 4 bits.

        Raises:
            ModelError: it has 2 bits, and one stage.
        """
        if self.bits == 2:
            raise ModelError("E8P(2) has one stage; E8P(3) and E8P(4) have two")
        second = E81B() if self.bits == 3 else E8P(2)
        return Residual(E8P(2), second, scale=self.scale, ratio=RATIO[self.bits])


def _points(codes: Array) -> Array:
    """Return the points [N, 8], float64, of codes [N], whole numbers."""
    xp: Any = array_namespace(codes)
    rows = np.array(absolute_rows())
    rows[:, 7] *= 1 - 2 * (rows.sum(axis=1) % 2)  # so that an even number of signs is turned over
    sign = constant(np.array(SIGN_BIT, dtype=np.int64), codes)
    codes = xp.astype(codes, xp.int64)
    down = codes & 1
    for bit in range(1, 8):
        down = down ^ (codes >> bit) & 1
    minus = ((codes ^ down)[:, None] >> sign) & 1
    taken = xp.take(constant(rows, codes), codes >> 8, axis=0)
    move = xp.astype(1 - 2 * down, xp.float64) / 4
    return taken * xp.astype(1 - 2 * minus, xp.float64) + move[:, None]


def _compiled(x: Any, metric: Any) -> tuple[Any, Any]:
    """Return points and codes by the compiled loops."""
    from quincunx.kernels.e8._metric import nearest_in_metric, triangle
    from quincunx.kernels.e8._numba import nearest

    x = np.ascontiguousarray(x)
    points, codes = np.empty_like(x), np.empty((len(x), 1), dtype=np.uint16)
    in_rows(lambda first, last: nearest(x, points, codes, first, last), len(x))
    if metric is not None:
        tree = triangle(metric)
        in_rows(lambda first, last: nearest_in_metric(x, points, codes, tree, first, last), len(x))
    return points, codes
