"""Products with weights on a grid, plainly: codes from bytes, less their middle, one product."""

from typing import Any

from array_api_compat import array_namespace

from quincunx._types import Array
from quincunx.kernels.packing import unpack_rows


def grid_matmul(x: Array, packed: Array, shape: tuple[int, int], *, bits: int) -> Array:
    """Return ``x W'``; see :func:`quincunx.kernels.grid_matmul.grid_matmul`."""
    xp: Any = array_namespace(x)
    codes = unpack_rows(packed, shape[1], (bits,))[:, :, 0]
    weights = xp.astype(codes, xp.float32) - ((1 << bits) - 1) / 2
    return xp.astype(x, xp.float32, copy=False) @ weights.T
