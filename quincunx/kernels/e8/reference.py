"""E8P: what its codes mean, and the nearest point by looking at all of them.

A code has 16 bits. The upper 8 name a row of :func:`absolute_rows`; the lower 8 are signs. Row r
and signs s with ``sum_i s_i r_i`` even, moved by 1/4 up or down, give the point ``s r ± 1/4``; all
65,536 points are different and lie in E8 + 1/4. Since the sum's parity tells the sign of one
coordinate, the lower bits have room for the direction of the move:

- bit :data:`SIGN_BIT` [i] is the sign of coordinate i, 1 for minus; for coordinate 7 of a row with
  an odd sum, 1 for plus, so that the number of ones is even;
- bit 0 is turned over for a move down, so that an odd number of ones says: down.

Reference:
    Tseng et al., "QuIP#: Even Better LLM Quantization with Hadamard Incoherence and Lattice
    Codebooks", 2024, arXiv:2402.04396, section 4.2.
"""

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

SIGN_BIT = (0, 4, 1, 5, 2, 6, 3, 7)
"""Bit of the code that holds each coordinate's sign."""

# Where the last 29 rows, of five 3/2 and three 1/2, have their 1/2's: a choice of 29 out of 56.
THREE_HALVES = tuple(
    tuple(map(int, positions))
    for positions in (
        "123 023 013 012 367 357 347 356 346 345 267 257 247 256 246 245 167 157 147 156 146 045 "
        "067 057 047 056 046 014 237"
    ).split()
)


CLASSES = tuple(
    (2,) * fives + (1,) * threes + (0,) * (8 - fives - threes)
    for fives, threes in ((0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1))
)
"""Rows with squared norm up to 10 but for order, as levels: 0 for 1/2, 1 for 3/2, 2 for 5/2."""


@cache
def absolute_rows() -> NDArray[np.float64]:
    """Return the 256 rows of absolute values before the move, [256, 8].

    First all 227 vectors of 1/2, 3/2 and 5/2 with squared norm up to 10, in lexicographic order;
    then 29 of the 56 with squared norm 12 that have no 5/2.
    """
    # Twice the squared norm less 4 is 4 for each 3/2 and 12 for each 5/2.
    few = [row for row in product((0, 1, 2), repeat=8) if row.count(1) + 3 * row.count(2) <= 4]
    more = [[0 if i in halves else 1 for i in range(8)] for halves in THREE_HALVES]
    rows = np.array([*few, *more], dtype=np.float64) + 0.5
    rows.setflags(write=False)
    return rows


@cache
def row_of_levels() -> NDArray[np.uint8]:
    """Return the number of each row by its levels read as digits of base 3, [6561]; others 0."""
    levels = (absolute_rows() - 0.5).astype(np.int64)
    numbers = np.zeros(3**8, dtype=np.uint8)
    numbers[levels @ 3 ** np.arange(7, -1, -1)] = np.arange(256)
    return numbers


@cache
def points() -> NDArray[np.float64]:
    """Return the points of all codes in their order, [65536, 8]."""
    code = np.arange(1 << 16)
    rows = absolute_rows()[code >> 8]
    ones = (code[:, None] >> np.arange(8)) & 1
    down = ones.sum(axis=1) % 2
    ones[:, 0] ^= down
    minus = ones[:, SIGN_BIT]
    minus[:, 7] ^= rows.sum(axis=1).astype(int) % 2
    table: NDArray[np.float64] = rows * (1 - 2 * minus) + (0.25 - 0.5 * down)[:, None]
    table.setflags(write=False)
    return table


def nearest(
    x: NDArray[np.float64], metric: NDArray[np.float64] | None = None, chunk: int = 32
) -> NDArray[np.int64]:
    """Return codes [N] of points q that minimise ``(x - q) M (x - q)'``, by scanning all of them.

    Arguments:
        x: [N, 8].
        metric: M [8, 8], symmetric; None: the identity.
        chunk: how many vectors are compared with all points at once.
    """
    weighed = points() if metric is None else points() @ metric
    offset = (weighed * points()).sum(axis=1)
    parts = [x[first : first + chunk] for first in range(0, len(x), chunk)]
    codes = [np.argmin(offset - 2.0 * part @ weighed.T, axis=1) for part in parts]
    return np.concatenate(codes) if codes else np.empty(0, dtype=np.int64)


@cache
def short_points() -> NDArray[np.float64]:
    """Return the points of E81B in the order of their codes, [256, 8].

    The origin; 112 roots ``±e_i ± e_j``, i < j in lexicographic order, with the signs ++, +-, -+,
    --; 128 roots of ±1/2 with an even number of minus signs, bits 0 to 6 of the number being the
    signs of coordinates 0 to 6; ``2 e_0, -2 e_0, 2 e_1, ...`` without ``-2 e_7``, so that there
    are 256. Which points these are is published; their order is ours.
    """
    table = np.zeros((256, 8))
    pairs = [(i, j) for i in range(8) for j in range(i + 1, 8)]
    for k, (i, j) in enumerate(pairs):
        table[1 + 4 * k : 5 + 4 * k, i] = (1, 1, -1, -1)
        table[1 + 4 * k : 5 + 4 * k, j] = (1, -1, 1, -1)
    minus = (np.arange(128)[:, None] >> np.arange(7)) & 1
    table[113:241, :7] = 0.5 - minus
    table[113:241, 7] = 0.5 - minus.sum(axis=1) % 2
    for k in range(15):
        table[241 + k, k // 2] = 2 - 4 * (k % 2)
    table.setflags(write=False)
    return table
