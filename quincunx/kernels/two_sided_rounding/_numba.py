"""Grids rounded with feedback on both sides, compiled: blocks are independent, weights are not."""

from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled_fast
from quincunx.kernels.grid_rounding._numba import LANES, nearest


@compiled_fast
def feedback(
    target: Any,
    weights: Any,
    values: Any,
    codes: Any,
    left: Any,
    right: Any,
    scale: Any,
    zero: Any,
    top: Any,
    points: Any,
    edges: Any,
    first: int,
    last: int,
) -> None:
    """Round some blocks, each column by column from the last, each column from its last row up.

    Sides of blocks are multiples of LANES, so that updates have no remainder loop.

    Arguments:
        target: [K, h, w]: weights less the feedback from outside the block; spoilt.
        weights: [K, h, w].
        values: [K, h, w], written.
        codes: uint8 [K, h, w], written.
        left: [K, h, h], strictly lower: the output side's factor.
        right: [K, w, w], strictly lower: the input side's.
        scale: [K, h].
        zero: [K, h].
        top: the largest code, in the type of the weights.
        points: [2^b] or [0]; see :func:`quincunx.kernels.grid_rounding._numba.nearest`.
        edges: [2^b - 1] or [0].
        first: first block.
        last: end of the blocks.
    """
    _, height, width = target.shape
    below = np.empty(height, dtype=target.dtype)  # N_O' E, of the rows that are done
    moved = np.empty(height, dtype=target.dtype)  # L_O' E
    for b in range(first, last):
        for j in range(width - 1, -1, -1):
            below[:] = 0
            for i in range(height - 1, -1, -1):
                x = target[b, i, j] - below[i]
                code, value = nearest(x, scale[b, i], zero[b, i], top, points, edges)
                error = value - weights[b, i, j]
                codes[b, i, j] = code
                values[b, i, j] = value
                moved[i] = error + below[i]
                for k in range((i + LANES - 1) // LANES * LANES):
                    below[k] += error * left[b, i, k]
            for i in range(height):
                for k in range((j + LANES - 1) // LANES * LANES):
                    target[b, i, k] -= moved[i] * right[b, j, k]
