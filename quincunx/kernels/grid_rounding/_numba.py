"""Adaptive rounding within one block of columns, compiled: rows are independent, columns are not.

Columns are rounded from the last to the first. A row's part of the block, a few cache lines, is
kept in a buffer whose length is a multiple of :data:`LANES`; rows of the factor are padded with
zeros to that length, so that the update of what is left has no remainder loop.
"""

from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled, compiled_fast

LANES = 16  # numbers a step of the inner loop; a whole number of SIMD registers of either type


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
    place = min(max(np.rint(x / scale + zero), zero - zero), top)
    return int(place), (place - zero) * scale


@compiled_fast
def feedback(
    target: Any,
    weights: Any,
    values: Any,
    codes: Any,
    factor: Any,
    curvature: Any,
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
        scale: [m].
        zero: [m].
        top: the largest code, in the type of the weights.
        points: [2^b] or [0]; see :func:`nearest`.
        edges: [2^b - 1] or [0].
        loss: float64 [m]; each row's sum of ``D_j eta_j^2`` is added, eta the rounding errors.
        start: the block's first column.
        first: first row.
        last: end of the rows.
    """
    width, padded = factor.shape
    row = np.zeros(padded, dtype=target.dtype)
    for i in range(first, last):
        for j in range(width):
            row[j] = target[i, start + j]
        total = 0.0
        for j in range(width - 1, -1, -1):
            code, value = nearest(row[j], scale[i], zero[i], top, points, edges)
            eta = np.float64(row[j] - value)
            total += eta * eta * curvature[j]
            error = value - weights[i, start + j]
            for k in range((j + LANES - 1) // LANES * LANES):
                row[k] -= error * factor[j, k]
            codes[i, start + j] = code
            values[i, start + j] = value
            target[i, start + j] = error
        loss[i] += total


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
        gradient: [m, B], errors times hessian at the block's columns (half the gradient), B as in
            ``hessian``; spoilt.
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
            code, value = nearest(
                old - slope / hessian[j, j], scale[i], zero[i], top, points, edges
            )
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
