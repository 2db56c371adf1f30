"""LDLQ: adaptive rounding with the optimal linear feedback of rounding errors."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from quincunx._types import Array, Codebook
from quincunx.kernels.grid_rounding._numba import LANES, feedback
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows
from quincunx.solvers.linalg.ldl import LDL, decomposed
from quincunx.solvers.rounding.answer import Rounding
from quincunx.solvers.rounding.blocks import WIDTH, GridBlocks, grid_blocks, padded
from quincunx.solvers.rounding.problem import Points, Problem, finish, prepare, real_rows
from quincunx.solvers.rounding.scale import rounded_at_scale
from quincunx.solvers.rounding.tiles import definite, from_tiles, to_tiles

Round = Callable[[Array, Array], tuple[Array, Array]]
"""Vectors [N, r * c] and the tile's metric [c, c], to points and codes."""


def ldlq(W: Array, H: Array, codebook: Codebook, *, damping: float = 0.01) -> Rounding:
    """Round weights, each column of tiles with feedback of the errors of those behind it.

    With ``H = L D L'`` columns are rounded from the last to the first, column k to the point
    nearest to ``W_k - E_{>k} L_{>k,k}``, in the metric ``D_k`` of its block. The loss is then
    ``tr(eta D eta')``, eta the plain rounding errors, and no other linear feedback has a lower
    worst or average loss on an unbounded grid. Targets are not clipped to the codebook, so that
    its range too is an error that is fed back. All but a fraction ``128 / n`` of the work is
    matrix products, ``n^2 m`` operations in all.

    Arguments:
        W: weights [m, n], floating; NumPy, torch or another library of the array API, on any
            device.
        H: second moments of the layer's inputs, ``E[x x']`` [n, n], or any symmetric positive
            semidefinite matrix; its scale is of no account.
        codebook: where its scale is None, one is chosen: the one of least loss on 64 rows, or a
            larger one if all rows together lose more than these and less by it.
        damping: added to the diagonal of H for the feedback, as a fraction of its mean.

    Raises:
        ModelError: an argument does not fit.

    Reference:
        Chee, Cai, Kuleshov, De Sa (NeurIPS 2023), Algorithm 1 and Theorem 1; Tseng and others
        (ICML 2024), Algorithm 2 for blocks. In the reversed order of columns it is GPTQ (Frantar
        and others, ICLR 2023).

    >>> import numpy as np
    >>> from quincunx.solvers.rounding import Grid, ldlq, nearest
    >>> rng = np.random.default_rng(0)
    >>> X, W = rng.normal(size=(64, 16)) @ rng.normal(size=(16, 16)), rng.normal(size=(8, 16))
    >>> H = X.T @ X / 64
    >>> ldlq(W, H, Grid(2)).proxy_loss < nearest(W, H, Grid(2)).proxy_loss
    True
    """
    began = perf_counter()
    problem = prepare(W, H, codebook)
    ldl = decomposed(problem.hessian, codebook.tile[1], damping)
    problem, found = rounded_at_scale(problem, partial(rounded, ldl=ldl))
    return finish(
        problem, found, damping=ldl.damping, jitter=ldl.jitter, seconds=perf_counter() - began
    )


def rounded(problem: Problem, *, ldl: LDL, choose: Round | None = None) -> Points:
    """Round with feedback, with a decomposition that is at hand.

    Arguments:
        problem: with a scale.
        ldl: of the Hessian, in blocks of the tile's width.
        choose: takes the place of the codebook's ``quantize``.
    """
    xp, tile = problem.xp, problem.codebook.tile
    m, n = problem.weights.shape
    weights = problem.weights
    lower = xp.astype(ldl.lower, weights.dtype, copy=False)
    blocks = xp.astype(ldl.blocks, weights.dtype, copy=False)
    errors = xp.asarray(weights, copy=True)  # targets first; errors where columns are done
    values = xp.empty_like(weights)
    grid_codes = xp.empty((m, n), dtype=xp.uint8, device=weights.device)
    compiled = None if choose else grid_blocks(problem, errors, weights, values, grid_codes)
    codes: dict[int, Array] = {}
    losses: list[Any] = []

    def by_codebook(start: int, stop: int) -> None:
        metric = blocks[start // tile[1], :, :]
        target = xp.asarray(errors[:, start:stop], copy=True)
        x = to_tiles(target, tile)
        points, code = choose(x, metric) if choose else quantize(x, metric)
        values[:, start:stop] = from_tiles(points, tile)
        eta = real_rows(problem, target - values[:, start:stop])
        losses.append(xp.sum((eta @ metric) * eta, dtype=xp.float64))
        errors[:, start:stop] = values[:, start:stop] - weights[:, start:stop]
        codes[start] = code

    def quantize(x: Array, metric: Array) -> tuple[Array, Array]:
        return problem.codebook.quantize(x, metric=definite(metric)[0])

    extra = xp.linalg.diagonal(problem.hessian) * ldl.jitter + ldl.damping
    if compiled:
        loss = _by_loop(compiled, lower, blocks[:, 0, 0], extra)
        return Points(values, grid_codes[:, :, None], loss)
    _backwards(errors, lower, by_codebook, tile[1], 0, n)
    found = xp.stack([codes[k] for k in sorted(codes)], axis=1)
    # The loss on H itself: that on the damped H, less the damping's part, and jitter's.
    squares = xp.sum(real_rows(problem, errors) ** 2, axis=0, dtype=xp.float64)
    less = float(xp.sum(squares * xp.astype(extra, xp.float64)))
    return Points(values, found, float(sum(map(float, losses))) - less)


def _by_loop(compiled: GridBlocks, factor: Array, diagonal: Array, extra: Array) -> float:
    """Round on a grid, on threads that have some rows each; return the loss."""
    errors, *others = compiled.arrays
    m, n = errors.shape
    lower, curvature, added = shared(factor), np.array(shared(diagonal)), np.array(shared(extra))
    assert lower is not None
    cuts = {k: lower[k : k + WIDTH, k : k + WIDTH] for k in range(0, n, WIDTH)}
    corners = {k: padded(np.tril(cut, -1), LANES) for k, cut in cuts.items()}
    losses = np.zeros(m)

    def rows(first: int, last: int) -> None:
        def leaf(start: int, stop: int) -> None:
            given = (errors, *others, corners[start], curvature[start:stop], added[start:stop])
            compiled.call(feedback, given, (losses, start, first, last))

        _backwards(errors[first:last, :], lower, leaf, WIDTH, 0, n)

    in_rows(rows, m, products=True)
    return float(losses.sum())


def _backwards(
    errors: Array, lower: Array, leaf: Callable[[int, int], None], width: int, start: int, stop: int
) -> None:
    """Round columns ``start`` to ``stop``: the right half, its feedback to the left half, that.

    Each product's inner dimension is as large as the recursion allows, and none is computed that
    the triangle does not hold.
    """
    parts = -(-(stop - start) // width)
    if parts <= 1:
        leaf(start, stop)
        return
    middle = start + parts // 2 * width
    _backwards(errors, lower, leaf, width, middle, stop)
    errors[:, start:middle] -= errors[:, middle:stop] @ lower[middle:stop, start:middle]
    _backwards(errors, lower, leaf, width, start, middle)
