"""When products with codes are made without the weights: a few vectors, in a processor's memory."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.kernels.select import shared

MOST_ROWS = 8  # above, decoding once and a product of matrices is faster

Operands = tuple[NDArray[np.float32], NDArray[np.uint8]]


def checked(x: Array, packed: Array, columns: int, rows: int, size: int) -> None:
    """Refuse inputs and codes that do not belong together.

    Arguments:
        x: wanted floating, [b, columns].
        packed: wanted uint8, [rows, size].
        columns: n.
        rows: of tiles.
        size: bytes a row of tiles.

    Raises:
        ModelError: says what was given and what is wanted.
    """
    xp: Any = array_namespace(x)
    if x.ndim != 2 or x.shape[1] != columns or not xp.isdtype(x.dtype, "real floating"):
        raise ModelError(
            f"x has shape {tuple(x.shape)} and type {x.dtype}; give floating-point numbers "
            f"[b, {columns}]"
        )
    if tuple(packed.shape) != (rows, size) or "uint8" not in str(packed.dtype):
        raise ModelError(
            f"packed codes have shape {tuple(packed.shape)} and type {packed.dtype}; weights of "
            f"this size and form have uint8 {(rows, size)}"
        )


def operands(x: Array, packed: Array, columns: int) -> Operands | None:
    """Return what compiled loops work on, or None where they do not serve.

    Arguments:
        x: [b, n], floating.
        packed: uint8 codes.
        columns: n with padding.

    Returns:
        float32 [1, 2, 4 or 8, columns], with zeros around x, and the codes in one piece.
    """
    if not 1 <= x.shape[0] <= MOST_ROWS:
        return None
    xp: Any = array_namespace(x)
    view, codes = shared(xp.astype(x, xp.float32, copy=False)), shared(packed)
    if view is None or codes is None:
        return None
    count = 1 << (len(view) - 1).bit_length()
    padded = np.zeros((count, columns), dtype=np.float32)
    padded[: view.shape[0], : view.shape[1]] = view
    return padded, np.ascontiguousarray(codes)


def returned(y: NDArray[np.float32], x: Array) -> Array:
    """Return the results for the rows of x, in its library."""
    xp: Any = array_namespace(x)
    return xp.asarray(y[: x.shape[0]])


def least_rows(weights: int) -> int:
    """How many rows a thread should have at least, if each has so many weights."""
    return max(1, (1 << 18) // max(weights, 1))
