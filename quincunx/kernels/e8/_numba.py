"""The nearest point of E8P in a few hundred operations, compiled.

Before its move by 1/4 a point is a row of 1/2, 3/2 and 5/2 with signs. Let u = abs(y) be what the
move leaves of a vector. The first 227 rows are seven whole classes under permutation, so within a
class the largest entries of u take the largest of the row. A class also fixes how many signs are
minus up to a multiple of two. Where the signs of y do not fit, one is turned over, or three, ...;
turning over coordinate i adds ``4 r_i u_i`` to the squared distance, so one, and as each class has
a 1/2, which the least of u takes, that one is best: for any i turned over, the row that is best for
u with ``-u_i`` in place of ``u_i`` puts a 1/2 there and sorts the rest, which is the better the
less u_i. The other 29 rows are tried one by one, but only where a bound, the best of all 56
permutations, is better than what was found.

Of equals the first counts: a move up before a move down, then the classes in the order of
:data:`CLASSES`, then the 29 rows in their order. Within a class equal u's take the larger entries
in the order of their coordinates, and of coordinates equally good to turn over the last is.
"""

from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled
from quincunx.kernels.e8.reference import CLASSES, SIGN_BIT, THREE_HALVES, row_of_levels

LEVELS = np.array(CLASSES)
HALVES = np.array(THREE_HALVES)
BITS = np.array(SIGN_BIT)
ROWS = row_of_levels()


@compiled
def order(a: Any, b: Any) -> Any:
    """Return the larger and the smaller number."""
    return (a, b) if a > b else (b, a)


@compiled
def sort(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Sort eight numbers, the largest first, by a network of 19 comparisons."""
    a, c = order(a, c)
    b, d = order(b, d)
    e, g = order(e, g)
    f, h = order(f, h)
    a, e = order(a, e)
    b, f = order(b, f)
    c, g = order(c, g)
    d, h = order(d, h)
    a, b = order(a, b)
    c, d = order(c, d)
    e, f = order(e, f)
    g, h = order(g, h)
    c, e = order(c, e)
    d, f = order(d, f)
    b, e = order(b, e)
    d, g = order(d, g)
    b, c = order(b, c)
    d, e = order(d, e)
    f, g = order(f, g)
    return a, b, c, d, e, f, g, h


@compiled
def best_class(y: Any) -> Any:
    """Return the best class of rows for y, its gain, and a bound on the gain of the 29 rows.

    The gain of a signed row is ``2 y . row - row . row``: what it takes off the squared distance.
    """
    a, b, c, d, e, f, g, h = sort(
        abs(y[0]), abs(y[1]), abs(y[2]), abs(y[3]), abs(y[4]), abs(y[5]), abs(y[6]), abs(y[7])
    )
    odd = False
    for i in range(8):
        odd ^= y[i] < 0.0
    repair = 2.0 * h
    even_cost, odd_cost = (repair, 0.0) if odd else (0.0, repair)
    ab = a + b
    abc = ab + c
    abcd = abc + d
    five = abcd + e
    total = five + f + g + h - 2.0
    best, gain = 0, total - even_cost
    new = total + (2.0 * a - 2.0) - odd_cost
    best, gain = (1, new) if new > gain else (best, gain)
    new = total + (2.0 * ab - 4.0) - even_cost
    best, gain = (2, new) if new > gain else (best, gain)
    new = total + (2.0 * abc - 6.0) - odd_cost
    best, gain = (3, new) if new > gain else (best, gain)
    new = total + (2.0 * abcd - 8.0) - even_cost
    best, gain = (4, new) if new > gain else (best, gain)
    new = total + (4.0 * a - 6.0) - even_cost
    best, gain = (5, new) if new > gain else (best, gain)
    new = total + (4.0 * a + 2.0 * b - 8.0) - odd_cost
    best, gain = (6, new) if new > gain else (best, gain)
    return best, gain, total + (2.0 * five - 10.0) - odd_cost


@compiled
def best_extra(y: Any, gain: Any) -> Any:
    """Return which of the 29 rows gains more than ``gain`` and most, or -1, and what it gains.

    With all entries 3/2 but three, the gain is three times the sum of u less twice the u's at the
    three. Of these the least is turned over if one must be: with 1/2 in place of a 3/2 that is
    turned over, four 3/2's are left, no sign need be turned, and the gain is 2 + 4 u more.
    """
    total, odd = 0.0, True
    for i in range(8):
        total += abs(y[i])
        odd ^= y[i] < 0.0
    best = -1
    for k in range(HALVES.shape[0]):
        a, b, c = abs(y[HALVES[k, 0]]), abs(y[HALVES[k, 1]]), abs(y[HALVES[k, 2]])
        new = 3.0 * total - 2.0 * (a + b + c) - 12.0
        if odd:
            new -= 2.0 * min(a, b, c)
        if new > gain:
            best, gain = k, new
    return best, gain


@compiled
def fill(y: Any, best: int, levels: Any) -> None:
    """Write the row's levels, 0 for 1/2, 1 for 3/2 and 2 for 5/2, that class ``best`` gives y.

    Arguments:
        y: [8].
        best: a class, or 7 and more: one of the 29 rows.
        levels: int64 [8], written.
    """
    if best >= LEVELS.shape[0]:
        levels[:] = 1
        for k in range(3):
            levels[HALVES[best - LEVELS.shape[0], k]] = 0
        return
    levels[:] = 0  # ranks at first: how many are larger, or equal and before
    for i in range(8):
        for j in range(i):
            later = abs(y[j]) >= abs(y[i])
            levels[i] += later
            levels[j] += not later
    for i in range(8):
        levels[i] = LEVELS[best, levels[i]]


@compiled
def fit_signs(y: Any, levels: Any) -> int:
    """Return signs for a row, bit i for coordinate i, that are those of y but for a repair."""
    signs, odd, turned, least = 0, 0, 0, np.inf
    for i in range(8):
        minus = y[i] < 0.0
        signs |= minus << i
        odd ^= minus ^ (levels[i] & 1)
        cost = (levels[i] + 0.5) * abs(y[i])
        if cost <= least:
            turned, least = i, cost
    return signs ^ (odd << turned)


@compiled
def write(levels: Any, signs: int, down: int, value: Any) -> Any:
    """Write the point of a row [8], signs and a move, and return its code."""
    key, odd, code = 0, 0, 0
    move = 0.25 - 0.5 * down
    for i in range(8):
        size = levels[i] + 0.5
        minus = (signs >> i) & 1
        value[i] = (-size if minus else size) + move
        key = 3 * key + levels[i]
        odd ^= levels[i] & 1
        code |= minus << BITS[i]
    return np.int64(ROWS[key]) * 256 + (code ^ (odd << BITS[7]) ^ down)


@compiled
def nearest(x: Any, values: Any, codes: Any, first: int, last: int) -> None:
    """Find the nearest points of some vectors.

    Arguments:
        x: floating [N, 8].
        values: floating [N, 8]; the rows are written.
        codes: whole numbers [N, 1]; the rows are written.
        first: first row.
        last: end of the rows.
    """
    up, down, levels = np.empty(8), np.empty(8), np.empty(8, dtype=np.int64)
    for n in range(first, last):
        slant = 0.0
        for i in range(8):
            number = np.float64(x[n, i])
            slant += 0.5 * number
            up[i], down[i] = number - 0.25, number + 0.25
        best, gain, bound = best_class(up)
        if bound > gain:
            extra, new = best_extra(up, gain)
            best, gain = (LEVELS.shape[0] + extra, new) if extra >= 0 else (best, gain)
        # Against x itself a move by t adds 2 t times the sum of x to the gain, and a constant.
        gain += slant
        other, rival, bound = best_class(down)
        rival, bound = rival - slant, bound - slant
        if bound > max(rival, gain):
            extra, new = best_extra(down, max(rival, gain) + slant)
            other, rival = (LEVELS.shape[0] + extra, new - slant) if extra >= 0 else (other, rival)
        y = down if rival > gain else up
        fill(y, other if rival > gain else best, levels)
        codes[n, 0] = write(levels, fit_signs(y, levels), int(rival > gain), values[n])
