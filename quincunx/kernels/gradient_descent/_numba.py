"""Many orbits of gradient descent on a logistic loss, and how they stretch what is near them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from quincunx.kernels.compiled import compiled
from quincunx.kernels.gradient_descent._simd import HALVINGS, LANES, advance, sigmoids

__all__ = ["LANES", "MOST_DIMENSIONS", "descent", "sigmoid_rows", "stretching"]

MOST_DIMENSIONS = 16  # sums of one orbit are kept in registers and their neighbourhood
LOGARITHM = 8  # steps whose stretchings are multiplied before their logarithm is taken


@cache
def descent(dimension: int) -> Callable[..., None]:
    """Return the loop for points of d numbers; see :func:`.reference.descend`.

    Blocks of ``LANES`` orbits go through all steps before the next block. An orbit's bits depend on
    neither its place nor its neighbours.

    Its arguments are, all float64 and contiguous:
        w: [N, d], where orbits start.
        steps: [N].
        directions, weighted: [k, d], the latter with weights multiplied in.
        pull: [d].
        l2: the L2 term.
        iterations: how many steps to take.
        out: [keep, N, d], written: the last points, of which the start is the first.
        first, last: blocks to work on, of ceil(N / LANES).

    Arguments:
        dimension: d, up to ``MOST_DIMENSIONS``.
    """
    # The cache on disk knows a function by the numbers around it: no other function may be there.
    d = dimension

    @compiled
    def run(
        w: Any, steps: Any, directions: Any, weighted: Any, pull: Any, l2: float,
        iterations: int, out: Any, first: int, last: int,
    ) -> None:  # fmt: skip
        total, begin = len(w), iterations + 1 - len(out)
        here, sizes = np.zeros((d, LANES)), np.zeros(LANES)
        at, step = np.uintp(here.ctypes.data), np.uintp(sizes.ctypes.data)
        scaled = directions * HALVINGS
        z, c = np.uintp(scaled.ctypes.data), np.uintp(weighted.ctypes.data)
        p = np.uintp(pull.ctypes.data)
        for block in range(first, last):
            base = block * LANES
            count = min(LANES, total - base)
            here[:] = 0.0
            sizes[:] = 0.0
            for lane in range(count):
                sizes[lane] = steps[base + lane]
                for j in range(d):
                    here[j, lane] = w[base + lane, j]
            for i in range(iterations + 1):
                if i > 0:
                    advance(  # type: ignore[call-arg]
                        at, step, z, c, p, at, l2, len(scaled), (d, 0)
                    )
                if i >= begin:
                    points = out[i - begin]
                    for lane in range(count):
                        for j in range(d):
                            points[base + lane, j] = here[j, lane]

    return run


@cache
def stretching(dimension: int, count: int) -> Callable[..., None]:
    """Return the loop that follows m tangent vectors too; see :func:`.reference.stretch`.

    Its arguments are those of :func:`descent` but for ``out``, in whose place are:
        tangents: [N, m, d], orthonormal rows; overwritten.
        logs: [N, m], added to: logarithms of the stretchings.
    The points ``w`` are overwritten.

    Arguments:
        dimension: d, up to ``MOST_DIMENSIONS``.
        count: m, 1 to d.
    """
    d, m = dimension, count
    bends = d * (d + 1) // 2

    @compiled
    def run(
        w: Any, steps: Any, directions: Any, weighted: Any, pull: Any, l2: float,
        iterations: int, tangents: Any, logs: Any, first: int, last: int,
    ) -> None:  # fmt: skip
        total = len(w)
        here, sizes, hessian = np.zeros((d, LANES)), np.zeros(LANES), np.zeros((bends, LANES))
        vectors, moved = np.zeros((m, d, LANES)), np.zeros((d, LANES))
        stretch, inner = np.ones((m, LANES)), np.zeros(LANES)
        at, step = np.uintp(here.ctypes.data), np.uintp(sizes.ctypes.data)
        second = np.uintp(hessian.ctypes.data)
        scaled = directions * HALVINGS
        z, c = np.uintp(scaled.ctypes.data), np.uintp(weighted.ctypes.data)
        p = np.uintp(pull.ctypes.data)
        for block in range(first, last):
            base = block * LANES
            used = min(LANES, total - base)
            here[:] = 0.0
            sizes[:] = 0.0
            stretch[:] = 1.0
            vectors[:] = 0.0
            for a in range(m):
                vectors[a, a, :] = 1.0
            for lane in range(used):
                sizes[lane] = steps[base + lane]
                for j in range(d):
                    here[j, lane] = w[base + lane, j]
                    for a in range(m):
                        vectors[a, j, lane] = tangents[base + lane, a, j]
            for i in range(1, iterations + 1):
                advance(  # type: ignore[call-arg]
                    at, step, z, c, p, second, l2, len(scaled), (d, 1)
                )
                for a in range(m):
                    v = vectors[a]
                    for j in range(d):
                        inner[:] = 0.0
                        for k in range(d):
                            row, column = max(j, k), min(j, k)
                            bend = hessian[row * (row + 1) // 2 + column]
                            for lane in range(LANES):
                                inner[lane] += bend[lane] * v[k, lane]
                        for lane in range(LANES):
                            moved[j, lane] = v[j, lane] - sizes[lane] * inner[lane]
                    for b in range(a):
                        u = vectors[b]
                        inner[:] = 0.0
                        for j in range(d):
                            for lane in range(LANES):
                                inner[lane] += u[j, lane] * moved[j, lane]
                        for j in range(d):
                            for lane in range(LANES):
                                moved[j, lane] -= inner[lane] * u[j, lane]
                    inner[:] = 0.0
                    for j in range(d):
                        for lane in range(LANES):
                            inner[lane] += moved[j, lane] * moved[j, lane]
                    for lane in range(LANES):
                        size = np.sqrt(inner[lane])
                        stretch[a, lane] *= size
                        # A vector that is mapped to 0 stays as it was: any direction is as good.
                        inner[lane] = 1.0 / size if size > 0.0 else 0.0
                    for j in range(d):
                        for lane in range(LANES):
                            if inner[lane] > 0.0:
                                v[j, lane] = moved[j, lane] * inner[lane]
                if i % LOGARITHM == 0 or i == iterations:
                    for a in range(m):
                        for lane in range(used):
                            logs[base + lane, a] += np.log(stretch[a, lane])
                            stretch[a, lane] = 1.0
            for lane in range(used):
                for j in range(d):
                    w[base + lane, j] = here[j, lane]
                    for a in range(m):
                        tangents[base + lane, a, j] = vectors[a, j, lane]

    return run


@compiled
def sigmoid_rows(values: Any, first: int, last: int) -> None:
    """Replace rows ``first`` to ``last`` of float64 [rows, LANES] by their sigmoids.

    The error is at most 3 units in the last place from -707 on; smaller arguments are taken for
    about that, whose sigmoid is below 1e-307.
    """
    for i in range(first, last):
        sigmoids(np.uintp(values[i].ctypes.data), 1)  # type: ignore[call-arg]
