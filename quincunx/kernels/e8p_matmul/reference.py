"""Products with points of E8P, plainly: codes from bytes, points of codes, one product."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._types import Array
from quincunx.kernels.e8.reference import points, short_points
from quincunx.kernels.packing import unpack_rows

WIDTHS = {2: (16,), 3: (16, 8), 4: (16, 16)}  # bits of the codes of eight weights


def e8p_matmul(
    x: Array, packed: Array, shape: tuple[int, int], *, bits: int, ratio: float = 1.0
) -> Array:
    """Return ``x W'``; see :func:`quincunx.kernels.e8p_matmul.e8p_matmul`."""
    xp: Any = array_namespace(x)
    m, n = shape
    codes = unpack_rows(packed, -(-n // 8), WIDTHS[bits])
    weights = _taken(points(), codes[:, :, 0])
    if bits > 2:
        second = points() if bits == 4 else short_points()
        weights = weights + _taken(second, codes[:, :, 1]) / ratio
    weights = xp.astype(xp.reshape(weights, (m, -1))[:, :n], xp.float32)
    return xp.astype(x, xp.float32, copy=False) @ weights.T


def _taken(table: Any, codes: Array) -> Array:
    """Rows of a table, [m, tiles, 8]."""
    xp: Any = array_namespace(codes)
    whole = xp.astype(xp.reshape(codes, (-1,)), xp.int64)
    rows = xp.take(xp.asarray(np.array(table), device=codes.device), whole, axis=0)
    return xp.reshape(rows, (*codes.shape, 8))
