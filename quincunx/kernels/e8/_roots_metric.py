"""The nearest of E81B's 256 points in any metric, compiled: all are compared, many vectors at once.

With y = M x, the point p gains ``2 p . y - p M p`` over the origin. The scalar product with a root
is a sum of two numbers: of two entries of y for ``±e_i ± e_j``, and for a root of halves of one of
16 signed sums of the first four entries and one of 16 of the last four. So a point costs an
addition, a subtraction and a comparison, for a register of vectors at a time.

Of points that gain the same the first counts, and a vector with an entry that is infinite or not a
number gets the origin, both as in a scan.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quincunx.kernels.compiled import compiled
from quincunx.kernels.e8.reference import short_points
from quincunx.kernels.of_content import by_content

POINTS = short_points()
LANES = 64  # vectors at once: their numbers and sums, 22 kB, stay in the first cache


@by_content
def half_norms(metric: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``p M p / 2`` of all points, [256], for a metric M [8, 8]."""
    norms: NDArray[np.float64] = ((POINTS @ metric) * POINTS).sum(axis=1) / 2
    return norms


@compiled
def take(gain: float, code: float, best: float, found: float) -> Any:
    """Return the larger gain and whose it is, that found before if they are equal."""
    return (gain, code) if gain > best else (best, found)


@compiled
def sums(y: Any, out: Any) -> None:
    """Write half of ``±a ± b ± c ± d``: bit i of a sum's number says minus for row i of y.

    Arguments:
        y: [4, LANES].
        out: [16, LANES], written.
    """
    for minus in range(16):
        a, b = 0.5 - (minus & 1), 0.5 - (minus >> 1 & 1)
        c, d = 0.5 - (minus >> 2 & 1), 0.5 - (minus >> 3)
        for k in range(LANES):
            out[minus, k] = a * y[0, k] + b * y[1, k] + (c * y[2, k] + d * y[3, k])


@compiled
def compare_pairs(y: Any, norms: Any, best: Any, found: Any) -> None:
    """Compare with ``±e_i ± e_j``; the arguments are those of :func:`best_of_all`."""
    code = 1.0
    for i in range(8):
        for j in range(i + 1, 8):
            a, b, at = y[i], y[j], int(code)
            n, o, p, q = norms[at], norms[at + 1], norms[at + 2], norms[at + 3]
            for k in range(LANES):
                plus, minus = a[k] + b[k], a[k] - b[k]
                top, it = take(plus - n, code, best[k], found[k])
                top, it = take(minus - o, code + 1.0, top, it)
                top, it = take(-minus - p, code + 2.0, top, it)
                best[k], found[k] = take(-plus - q, code + 3.0, top, it)
            code += 4.0


@compiled
def compare_halves(low: Any, high: Any, norms: Any, best: Any, found: Any) -> None:
    """Compare with the roots of halves, four at once, whose signs 0 and 1 are ++, -+, +- and --.

    Arguments:
        low: [16, LANES], :func:`sums` of the first four rows of y.
        high: [16, LANES], of the last four.
        norms: as in :func:`best_of_all`.
        best: likewise.
        found: likewise.
    """
    for signs in range(0, 128, 4):
        odd = (signs >> 2 ^ signs >> 3 ^ signs >> 4 ^ signs >> 5 ^ signs >> 6) & 1
        a, b, c, d = low[signs & 15], low[signs + 1 & 15], low[signs + 2 & 15], low[signs + 3 & 15]
        same, other = high[signs >> 4 | odd << 3], high[signs >> 4 | (1 - odd) << 3]
        at = 113 + signs
        n, o, p, q, code = norms[at], norms[at + 1], norms[at + 2], norms[at + 3], float(at)
        for k in range(LANES):
            top, it = take(a[k] + same[k] - n, code, best[k], found[k])
            top, it = take(b[k] + other[k] - o, code + 1.0, top, it)
            top, it = take(c[k] + other[k] - p, code + 2.0, top, it)
            best[k], found[k] = take(d[k] + same[k] - q, code + 3.0, top, it)


@compiled
def best_of_all(y: Any, norms: Any, low: Any, high: Any, best: Any, found: Any) -> None:
    """Find which points gain most, the first of equals.

    Arguments:
        y: float64 [8, LANES], vectors times the metric.
        norms: [256], of :func:`half_norms`.
        low: [16, LANES], space.
        high: [16, LANES], space.
        best: [LANES], half the gain, written.
        found: [LANES], the codes, written; in the type of ``best``, as a register wants it.
    """
    best[:] = 0.0
    found[:] = 0.0
    compare_pairs(y, norms, best, found)
    sums(y[:4], low)
    sums(y[4:], high)
    compare_halves(low, high, norms, best, found)
    for code in range(241, 256):
        row, norm, it = y[code - 241 >> 1], norms[code], float(code)
        times = 2.0 - 4.0 * (code - 241 & 1)
        for k in range(LANES):
            best[k], found[k] = take(times * row[k] - norm, it, best[k], found[k])


@compiled
def nearest_short_in_metric(
    x: Any, metric: Any, norms: Any, values: Any, codes: Any, first: int, last: int
) -> None:
    """Find the nearest of :func:`quincunx.kernels.e8.reference.short_points` in a metric.

    Arguments:
        x: floating [N, 8].
        metric: float64 [8, 8], symmetric.
        norms: float64 [256], of :func:`half_norms`.
        values: floating [N, 8]; the rows are written.
        codes: uint8 [N, 1]; the rows are written.
        first: first row.
        last: end of the rows.
    """
    y, low, high = np.zeros((8, LANES)), np.empty((16, LANES)), np.empty((16, LANES))
    best, found = np.empty(LANES), np.empty(LANES)
    for start in range(first, last, LANES):
        stop = min(start + LANES, last)
        for n in range(start, stop):
            for i in range(8):
                total = 0.0
                for j in range(8):
                    total += metric[i, j] * np.float64(x[n, j])
                y[i, n - start] = total if abs(total) < np.inf else np.nan
        best_of_all(y, norms, low, high, best, found)
        for n in range(start, stop):
            code = int(found[n - start])
            codes[n, 0] = code
            values[n, :] = POINTS[code]
