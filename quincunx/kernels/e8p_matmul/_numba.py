"""Products with points of E8P, a point at a time and straight from its bytes.

A point is a row of absolute values times signs, moved by 1/4: two tables [256, 8] for the two bytes
of the code, and one [256] for the move, which together stay in the fastest cache.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from quincunx.kernels.code_rows import multiplied
from quincunx.kernels.code_vectors import E8P
from quincunx.kernels.e8.reference import SIGN_BIT, absolute_rows, short_points
from quincunx.kernels.few_rows import Operands

__all__ = ["product"]


def product(given: Operands, *, bits: int, ratio: float, sums: bool = False) -> NDArray[np.float32]:
    """Return [vectors, m]; or sums of weights, [1, m], to see what decoding alone costs."""
    return multiplied(given, E8P, bits, tables(bits, ratio), sums=sums)


@cache
def tables(bits: int, ratio: float) -> NDArray[np.float32]:
    """Rows, signs, moves, and the second stage's points or rows and moves, one after the other."""
    rows, low = np.array(absolute_rows()), np.arange(256)
    rows[:, 7] *= 1 - 2 * (rows.sum(axis=1) % 2)  # so that an even number of signs is turned over
    down = ((low[:, None] >> np.arange(8)) & 1).sum(axis=1) % 2
    signs = 1.0 - 2.0 * (((low ^ down)[:, None] >> np.array(SIGN_BIT)) & 1)
    moves = 0.25 - 0.5 * down
    parts = [rows, signs, moves]
    if bits == 3:
        parts.append(short_points() / ratio)
    if bits == 4:
        parts += [rows / ratio, moves / ratio]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)
