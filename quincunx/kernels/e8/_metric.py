"""The point of E8P nearest in any metric, by enumeration of what is near enough, compiled.

Fincke and Pohst's search in the order of Schnorr and Euchner: the metric's triangular factor makes
the squared distance a sum over coordinates in which each term depends on those chosen before only.
Values of a coordinate are tried outwards from the best, and given up once the sum reaches that of
the best point so far. That all values are ±1/2, ±3/2 or ±5/2 before the move, that their squares
add up to 12 at most, and that their sum is even, prunes further: a few dozen nodes a vector.

Reference:
    Agrell, Eriksson, Vardy and Zeger, "Closest Point Search in Lattices", IEEE Transactions on
    Information Theory 48(8), 2002, section III.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quincunx.kernels.compiled import compiled
from quincunx.kernels.e8._numba import write
from quincunx.kernels.e8.reference import row_of_levels
from quincunx.kernels.of_content import by_content

ROWS = row_of_levels()

# Five 3/2's may be a row; with a 5/2 no more than one 3/2 is: loads 6 and 19 say so by one limit.
LOAD = np.array((19, 6, 0, 0, 6, 19))
LIMIT = 30


class Triangle(NamedTuple):
    """A metric, ``sum_k weight_k (e_k + sum_(j > k) factor_kj e_j)^2`` for e in a new order.

    Attributes:
        order: int64 [8], which coordinate is the k-th; the last is chosen first.
        factor: float64 [8, 8], unit upper triangular.
        weight: float64 [8], > 0.
    """

    order: NDArray[np.int64]
    factor: NDArray[np.float64]
    weight: NDArray[np.float64]


class Path(NamedTuple):
    """Where an enumeration is, [9] each: entry k is about the k-th coordinate; 8 is the start.

    Attributes:
        step: int64, the value chosen: 0 to 5 for -5/2 to 5/2.
        lower: int64, the next one to try below.
        upper: int64, the next one to try above.
        load: int64, :data:`LOAD` of the steps so far.
        odd: int64, the parity of their sum.
        error: float64, vector less point.
        center: float64, the step, not whole, that would cost nothing.
        spent: float64, the squared distance so far.
    """

    step: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    load: NDArray[np.int64]
    odd: NDArray[np.int64]
    error: NDArray[np.float64]
    center: NDArray[np.float64]
    spent: NDArray[np.float64]


@by_content
def triangle(metric: NDArray[np.float64]) -> Triangle:
    """Factor a metric [8, 8], with the coordinate first that is known best when it is chosen.

    The order is that of Foschini et al. 1999 ("V-BLAST"): always the largest weight next.

    Raises:
        LinAlgError: the metric is not positive definite.
    """
    tree = Triangle(np.empty(8, dtype=np.int64), np.zeros((8, 8)), np.empty(8))
    if not factored(np.linalg.inv(metric), np.array(metric), *tree):
        raise np.linalg.LinAlgError("the metric is not positive definite")
    return tree


@compiled
def factored(inverse: Any, metric: Any, order: Any, factor: Any, weight: Any) -> bool:
    """Factor a metric; tell whether it is positive definite.

    Arguments:
        inverse: float64 [8, 8], of the metric; spoilt.
        metric: float64 [8, 8]; spoilt.
        order: int64 [8], written.
        factor: float64 [8, 8], zeros; the upper triangle is written.
        weight: float64 [8], written.
    """
    left = np.ones(8, dtype=np.bool_)
    for k in range(7, -1, -1):
        best = -1
        for i in range(8):
            if left[i] and (best < 0 or inverse[i, i] < inverse[best, best]):
                best = i
        order[k], left[best] = best, False
        for i in range(8):  # the inverse of the metric without that coordinate
            share = inverse[i, best] / inverse[best, best]
            if left[i]:
                for j in range(8):
                    inverse[i, j] -= share * inverse[best, j]
    for k in range(8):
        row = order[k]
        weight[k] = pivot = metric[row, row]
        if not pivot > 0.0:
            return False
        for j in range(k, 8):
            factor[k, j] = metric[row, order[j]] / pivot
        for i in range(k + 1, 8):
            for j in range(k + 1, 8):
                metric[order[i], order[j]] -= factor[k, i] * pivot * factor[k, j]
    return True


@compiled
def is_row(steps: Any, order: Any) -> bool:
    """Tell whether steps with five 3/2's are a row."""
    key = 0
    for k in range(8):
        power = 1
        for _ in range(7 - order[k]):
            power *= 3
        key += power * (1 if steps[k] == 1 or steps[k] == 4 else 0)
    return bool(ROWS[key] >= 227)


@compiled
def enumerate_moved(z: Any, move: Any, tree: Any, path: Any, bound: Any, chosen: Any) -> Any:
    """Find the best point with one move whose squared distance is less than ``bound``.

    Arguments:
        z: float64 [8], the vector in the order of the triangle.
        move: 1/4 or -1/4.
        tree: the metric as a :class:`Triangle`.
        path: space for the way.
        bound: a squared distance.
        chosen: int64 [8], written if there is one: steps 0 to 5 for -5/2 to 5/2.

    Returns:
        Its squared distance, or the bound.
    """
    lower, upper, center, error = path.lower, path.upper, path.center, path.error
    load, odd, spent = path.load, path.odd, path.spent
    load[8], odd[8], spent[8] = 0, 0, 0.0
    offset = 2.5 - move
    k, enter = 7, True
    while k < 8:
        if enter:
            place = z[k] + offset
            for j in range(k + 1, 8):
                place += tree.factor[k, j] * error[j]
            center[k] = place
            above = int(np.ceil(min(max(place, 0.0), 6.0)))
            below = above - 1
            if k == 0:  # only every other step makes the sum even
                above += (above ^ odd[1]) & 1
                below -= (below ^ odd[1]) & 1
            upper[k], lower[k], enter = above, below, False
        stride = 2 if k == 0 else 1
        if lower[k] >= 0 and (upper[k] > 5 or center[k] - lower[k] <= upper[k] - center[k]):
            step = lower[k]
            lower[k] -= stride
        elif upper[k] <= 5:
            step = upper[k]
            upper[k] += stride
        else:
            k += 1
            continue
        gap = center[k] - step
        cost = spent[k + 1] + tree.weight[k] * gap * gap
        if not cost < bound:
            k += 1
            continue
        load[k] = load[k + 1] + LOAD[step]
        if load[k] > LIMIT:
            continue
        path.step[k] = step
        if k == 0:
            if load[0] < LIMIT or is_row(path.step, tree.order):
                bound = cost
                chosen[:] = path.step
            continue
        spent[k], odd[k], error[k] = cost, (odd[k + 1] ^ step) & 1, z[k] + offset - step
        k, enter = k - 1, True
    return bound


@compiled
def nearest_in_metric(x: Any, values: Any, codes: Any, tree: Any, first: int, last: int) -> None:
    """Replace points by the nearest in a metric, where they are not.

    Arguments:
        x: floating [N, 8].
        values: floating [N, 8], points to begin with, such as the nearest in the usual metric.
        codes: whole numbers [N, 1], their codes.
        tree: the metric as a :class:`Triangle`.
        first: first row.
        last: end of the rows.
    """
    z, miss = np.empty(8), np.empty(8)
    chosen, levels = np.empty(9, dtype=np.int64), np.empty(8, dtype=np.int64)
    whole, real = np.empty((5, 9), dtype=np.int64), np.empty((3, 9))
    path = Path(whole[0], whole[1], whole[2], whole[3], whole[4], real[0], real[1], real[2])
    for n in range(first, last):
        bound = 0.0
        for k in range(7, -1, -1):
            z[k] = np.float64(x[n, tree.order[k]])
            miss[k] = z[k] - np.float64(values[n, tree.order[k]])
            term = miss[k]
            for j in range(k + 1, 8):
                term += tree.factor[k, j] * miss[j]
            bound += tree.weight[k] * term * term
        found = enumerate_moved(z, 0.25, tree, path, bound, chosen)
        best = enumerate_moved(z, -0.25, tree, path, found, chosen)
        if best < bound:
            signs = 0
            for k in range(8):
                levels[tree.order[k]] = max(2 - chosen[k], chosen[k] - 3)
                signs |= (chosen[k] < 3) << tree.order[k]
            codes[n, 0] = write(levels, signs, int(best < found), values[n])
