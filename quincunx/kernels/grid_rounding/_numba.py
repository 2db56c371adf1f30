"""Adaptive rounding within one block of columns, compiled: rows are independent, columns are not.

Columns are rounded from the last to the first. A row's part of the block, a few cache lines, is
kept in a buffer whose length is a multiple of :data:`LANES`; rows of the factor are padded with
zeros to that length, so that the update of what is left has no remainder loop. :data:`ROWS` rows go
together, so that the processor divides and rounds for many at once and never waits for one.
"""

from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled, compiled_fast

LANES = 16  # numbers a step of the inner loop; a whole number of SIMD registers of either type
ROWS = 16


@compiled
def level(position: Any, edges: Any) -> int:
    """Return how many of ``edges`` [2^b - 1], ascending, lie below ``position``."""
    low, step = 0, (edges.shape[0] + 1) // 2
    while step:
        if edges[low + step - 1] < position:
            low += step
        step //= 2
    return low


@compiled
def clamped(place: Any, top: Any) -> Any:
    """Round to the nearest whole number from 0 to ``top``, halves to even."""
    place = np.rint(place)
    place = place if place > top - top else top - top
    return place if place < top else top


@compiled
def nearest(x: Any, scale: Any, zero: Any, top: Any, points: Any, edges: Any) -> Any:
    """Return the code and the value of the grid's point nearest to ``x``.

    Arguments:
        x: the number to round.
        scale: > 0.
        zero: the code, whole or not, that stands for 0; unused where there are points.
        top: the largest code.
        points: [2^b] of the unit grid, ascending; empty for the uniform grid of all codes.
        edges: [2^b - 1], their midpoints.
    """
    if points.shape[0]:
        code = level(x / scale, edges)
        return code, points[code] * scale
    place = clamped(x / scale + zero, top)
    return int(place), (place - zero) * scale


@compiled_fast
def feedback(
    target: Any,
    weights: Any,
    values: Any,
    codes: Any,
    factor: Any,
    curvature: Any,
    added: Any,
    scale: Any,
    zero: Any,
    top: Any,
    points: Any,
    edges: Any,
    loss: Any,
    start: int,
    first: int,
    last: int,
) -> None:
    """Round some rows of a block with feedback of their errors: LDLQ's inner loop.

    Arguments:
        target: [m, n], contiguous: weights less the feedback from columns behind the block. The
            block is overwritten with the errors, values less weights.
        weights: [m, n], contiguous.
        values: [m, n], contiguous; the block is written.
        codes: uint8 [m, n], contiguous; the block is written.
        factor: [b, B], the block's strictly lower part of L, B a multiple of LANES, padded with
            zeros.
        curvature: [b], the block's part of D.
        added: [b], what regularisation added to H's diagonal.
        scale: [m].
        zero: [m].
        top: the largest code, in the type of the weights.
        points: [2^b] or [0]; see :func:`nearest`.
        edges: [2^b - 1] or [0].
        loss: float64 [m]; each row's sum of ``D_j eta_j^2 - added_j e_j^2`` is added, eta the
            plain rounding errors and e the errors.
        start: the block's first column.
        first: first row.
        last: end of the rows.
    """
    width, padded = factor.shape
    kind, half = target.dtype, (edges.shape[0] + 1) // 2
    # Rows of the arrays may lie a power of two apart, and would evict each other from the cache if
    # they were read a column at a time.
    left, original = np.zeros((ROWS, padded), kind), np.zeros((ROWS, padded), kind)
    chosen, places = np.zeros((ROWS, padded), kind), np.zeros((ROWS, padded), np.uint8)
    goal, place, point = np.zeros(ROWS, kind), np.zeros(ROWS, kind), np.zeros(ROWS, kind)
    steps, zeros, error = np.ones(ROWS, kind), np.zeros(ROWS, kind), np.zeros(ROWS, kind)
    total = np.zeros(ROWS)
    for base in range(first, last, ROWS):
        rows = min(ROWS, last - base)
        for r in range(rows):
            total[r], steps[r], zeros[r] = 0.0, scale[base + r], zero[base + r]
            for j in range(width):
                left[r, j] = target[base + r, start + j]
            for j in range(width):
                original[r, j] = weights[base + r, start + j]
        for j in range(width - 1, -1, -1):
            for r in range(ROWS):
                goal[r] = left[r, j]
            # Written out, as a call with arrays costs more than what it would do; all ROWS are
            # computed, so that their number is known when this is compiled.
            if half:
                for r in range(rows):
                    low, step = 0, half
                    while step:
                        if edges[low + step - 1] < goal[r] / steps[r]:
                            low += step
                        step //= 2
                    places[r, j], point[r] = low, points[low] * steps[r]
            else:
                for r in range(ROWS):
                    place[r] = clamped(goal[r] / steps[r] + zeros[r], top)
                    point[r] = (place[r] - zeros[r]) * steps[r]
                for r in range(ROWS):
                    places[r, j] = np.int32(place[r])
            for r in range(ROWS):
                chosen[r, j] = point[r]
                error[r] = point[r] - original[r, j]
            for r in range(ROWS):
                eta, e = np.float64(goal[r] - point[r]), np.float64(error[r])
                total[r] += eta * eta * curvature[j] - e * e * added[j]
            for r in range(rows):
                push = error[r]
                for k in range((j + LANES - 1) // LANES * LANES):
                    left[r, k] -= push * factor[j, k]
                left[r, j] = push
        for r in range(rows):
            loss[base + r] += total[r]
            for j in range(width):
                target[base + r, start + j] = left[r, j]
            for j in range(width):
                values[base + r, start + j] = chosen[r, j]
            for j in range(width):
                codes[base + r, start + j] = places[r, j]


@compiled_fast
def descend(
    gradient: Any,
    values: Any,
    codes: Any,
    errors: Any,
    hessian: Any,
    scale: Any,
    zero: Any,
    top: Any,
    points: Any,
    edges: Any,
    start: int,
    first: int,
    last: int,
) -> None:
    """Move single weights of a block to the point that lowers the loss most, where one does.

    Arguments:
        gradient: [m, B or more], errors times hessian at the block's columns (half the gradient),
            B as in ``hessian``; spoilt.
        values: [m, n], contiguous, updated.
        codes: uint8 [m, n], contiguous, updated.
        errors: [m, n], contiguous: values less weights, updated.
        hessian: [b, B], the block's own part, padded with zeros to a multiple of LANES.
        scale: [m].
        zero: [m].
        top: the largest code, in the type of the weights.
        points: [2^b] or [0]; see :func:`nearest`.
        edges: [2^b - 1] or [0].
        start: the block's first column.
        first: first row.
        last: end of the rows.
    """
    width, padded = hessian.shape
    for i in range(first, last):
        for j in range(width - 1, -1, -1):
            if not hessian[j, j] > 0.0:
                continue
            old = values[i, start + j]
            slope = gradient[i, j]
            x = old - slope / hessian[j, j]
            if points.shape[0]:  # nearest(), written out as above
                code = level(x / scale[i], edges)
                value = points[code] * scale[i]
            else:
                place = clamped(x / scale[i] + zero[i], top)
                code, value = int(place), (place - zero[i]) * scale[i]
            step = value - old
            fall = -(slope + slope + step * hessian[j, j]) * step
            # A gain within rounding of the gradient may be a loss.
            if not fall > 1e-6 * abs(slope * step):
                continue
            codes[i, start + j] = code
            values[i, start + j] = value
            errors[i, start + j] += step
            for k in range(padded):
                gradient[i, k] += step * hessian[j, k]
