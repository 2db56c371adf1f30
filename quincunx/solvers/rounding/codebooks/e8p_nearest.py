"""The nearest point of E8P by arithmetic on whole arrays, for any library and device.

The algorithm, with its reasons, and the rules for ties are those of the compiled loop in
:mod:`quincunx.kernels.e8`: within a class of rows the largest entries take the largest of the row,
and where the number of minus signs does not fit, the sign that costs least is turned over.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from quincunx._types import Array
from quincunx.kernels.e8.reference import CLASSES, SIGN_BIT, THREE_HALVES, row_of_levels
from quincunx.solvers.rounding.codebooks.scan import in_chunks
from quincunx.solvers.rounding.codebooks.units import constant

ROWS_AT_ONCE = 1 << 16


def nearest_in_array(x: Array) -> tuple[Array, Array]:
    """Return the points [N, 8], float64, nearest to x [N, 8], and their codes [N], int64."""
    xp: Any = array_namespace(x)
    x = xp.astype(x, xp.float64)
    parts = [_nearest(part) for part in in_chunks(x, ROWS_AT_ONCE)]
    return xp.concat([points for points, _ in parts]), xp.concat([codes for _, codes in parts])


def _nearest(x: Array) -> tuple[Array, Array]:
    xp: Any = array_namespace(x)
    slant = xp.sum(x, axis=1) / 2
    up, gain_up = _best_rows(x - 0.25)
    down, gain_down = _best_rows(x + 0.25)
    # Against x itself a move by t adds 2 t times the sum of x to the gain, and a constant.
    moved_down = gain_down - slant > gain_up + slant
    move = 0.25 - 0.5 * xp.astype(moved_down, x.dtype)
    y = x - move[:, None]
    levels = _levels(y, xp.where(moved_down, down, up))
    minus = _signs(y, levels)
    points = (xp.astype(levels, x.dtype) + 0.5) * xp.astype(1 - 2 * minus, x.dtype) + move[:, None]
    return points, _code(levels, minus, xp.astype(moved_down, xp.int64))


def _constant(values: Any, like: Array) -> Array:
    return constant(np.asarray(values, dtype=np.int64), like)


def _best_rows(y: Array) -> tuple[Array, Array]:
    """Return the class, or 7 and more for the other 29 rows, that gains most, and its gain."""
    xp: Any = array_namespace(y)
    u = xp.abs(y)
    ranked = xp.sort(u, axis=1, descending=True)
    a, b, c, d, e, f, g, h = (ranked[:, i] for i in range(8))
    odd = xp.sum(xp.astype(y < 0, xp.int64), axis=1) % 2 == 1
    even_cost = xp.where(odd, 2.0 * h, 0.0)  # of classes whose number of minus signs is even
    odd_cost = xp.where(odd, 0.0, 2.0 * h)
    ab = a + b
    abc = ab + c
    abcd = abc + d
    total = abcd + e + f + g + h - 2.0
    classes = xp.stack(
        [
            total - even_cost,
            total + (2.0 * a - 2.0) - odd_cost,
            total + (2.0 * ab - 4.0) - even_cost,
            total + (2.0 * abc - 6.0) - odd_cost,
            total + (2.0 * abcd - 8.0) - even_cost,
            total + (4.0 * a - 6.0) - even_cost,
            total + (4.0 * a + 2.0 * b - 8.0) - odd_cost,
        ],
        axis=1,
    )
    at = _constant(THREE_HALVES, y)
    three = [xp.take(u, at[:, k], axis=1) for k in range(3)]
    least = xp.minimum(xp.minimum(three[0], three[1]), three[2])
    turned = xp.where(odd[:, None], 0.0, 2.0 * least)
    whole = 3.0 * xp.sum(u, axis=1)[:, None]
    others = whole - 2.0 * (three[0] + three[1] + three[2]) - 12.0 - turned
    gains = xp.concat([classes, others], axis=1)
    return xp.argmax(gains, axis=1), xp.max(gains, axis=1)


def _levels(y: Array, best: Array) -> Array:
    """Return rows as levels, int64 [N, 8]: 0 for 1/2, 1 for 3/2 and 2 for 5/2."""
    xp: Any = array_namespace(y)
    order = xp.argsort(-xp.abs(y), axis=1, stable=True)
    rank = xp.argsort(order, axis=1)
    by_rank = xp.reshape(_constant(CLASSES, y), (-1,))
    halves = [[0 if i in three else 1 for i in range(8)] for three in THREE_HALVES]
    kinds = len(CLASSES)
    place = xp.clip(best, 0, kinds - 1)[:, None] * 8 + rank
    in_class = xp.reshape(xp.take(by_rank, xp.reshape(place, (-1,))), y.shape)
    other = xp.take(_constant(halves, y), xp.clip(best - kinds, 0, len(halves) - 1), axis=0)
    return xp.where((best < kinds)[:, None], in_class, other)


def _signs(y: Array, levels: Array) -> Array:
    """Return signs, 1 for minus, int64 [N, 8], which are those of y but for a repair."""
    xp: Any = array_namespace(y)
    minus = xp.astype(y < 0, xp.int64)
    odd = (xp.sum(minus, axis=1) + xp.sum(levels, axis=1)) % 2
    cost = (xp.astype(levels, y.dtype) + 0.5) * xp.abs(y)
    turned = 7 - xp.argmin(xp.flip(cost, axis=1), axis=1)
    places = _constant(range(8), y)
    return minus ^ (odd[:, None] * xp.astype(turned[:, None] == places, xp.int64))


def _code(levels: Array, minus: Array, down: Array) -> Array:
    """Return the codes [N] of rows, signs and moves."""
    xp: Any = array_namespace(levels)
    powers = _constant([3 ** (7 - i) for i in range(8)], levels)
    rows = xp.take(_constant(row_of_levels(), levels), xp.sum(levels * powers, axis=1))
    signs = xp.sum(minus * _constant([1 << bit for bit in SIGN_BIT], levels), axis=1)
    odd = xp.sum(levels, axis=1) % 2
    return rows * 256 + (signs ^ (odd * 128) ^ down)
