"""Rounding without feedback: each tile to its nearest point, or to a random neighbour."""

from time import perf_counter
from typing import Any

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array, Codebook
from quincunx.solvers.linalg.ldl import block_ldl
from quincunx.solvers.rounding.answer import Rounding
from quincunx.solvers.rounding.codebooks.grid import Grid
from quincunx.solvers.rounding.ldlq import Round, rounded
from quincunx.solvers.rounding.problem import (
    Points,
    Problem,
    finish,
    prepare,
    proxy_loss,
    real_rows,
)
from quincunx.solvers.rounding.scale import scaled
from quincunx.solvers.rounding.tiles import from_tiles, to_tiles


def nearest(W: Array, H: Array, codebook: Codebook) -> Rounding:
    """Round each tile to the nearest point of the codebook.

    Arguments:
        W: weights [m, n], floating.
        H: second moments [n, n]; they count in the loss, and in the choice of a scale.
        codebook: where its scale is None, one is chosen: the one of least loss on 64 rows.

    Raises:
        ModelError: an argument does not fit.
    """
    began = perf_counter()
    problem = scaled(prepare(W, H, codebook), apart)
    return finish(problem, apart(problem), seconds=perf_counter() - began)


def apart(problem: Problem, choose: Round | None = None) -> Points:
    """Round each column of tiles by itself.

    Arguments:
        problem: with a scale.
        choose: takes the place of the codebook's ``quantize``.
    """
    xp, tile = problem.xp, problem.codebook.tile
    values, codes = xp.empty_like(problem.weights), []
    for start in range(0, problem.weights.shape[1], tile[1]):
        x = to_tiles(problem.weights[:, start : start + tile[1]], tile)
        points, code = choose(x, None) if choose else problem.codebook.quantize(x)
        values[:, start : start + tile[1]] = from_tiles(points, tile)
        codes.append(code)
    loss = proxy_loss(real_rows(problem, values - problem.weights), problem.hessian)
    return Points(values, xp.stack(codes, axis=1), loss)


def stochastic(
    W: Array, H: Array, codebook: Grid, *, seed: int, damping: float | None = None
) -> Rounding:
    """Round each weight up or down at random, so that its expectation is the weight.

    Arguments:
        W: weights [m, n], floating.
        H: second moments [n, n].
        codebook: a uniform or half-integer grid. Weights beyond its ends go to the ends.
        seed: of the random bits.
        damping: with a number, LDLQ's feedback is used, and this is its damping; None: no feedback.

    Raises:
        ModelError: an argument does not fit.

    Reference:
        Chee, Cai, Kuleshov, De Sa (NeurIPS 2023), Section 3: the choice "Stoch" for Q.
    """
    began = perf_counter()
    if not isinstance(codebook, Grid) or codebook.levels == "lloyd-max":
        raise ModelError(f"{codebook} has no equal steps to round up or down; use Grid(bits)")
    problem = prepare(W, H, codebook)
    ldl = None if damping is None else block_ldl(problem.hessian, damping=damping)

    def work(problem: Problem) -> Points:
        choose = up_or_down(problem, seed)
        return apart(problem, choose) if ldl is None else rounded(problem, ldl=ldl, choose=choose)

    problem = scaled(problem, work)
    added = {} if ldl is None else {"damping": ldl.damping, "jitter": ldl.jitter}
    return finish(problem, work(problem), seconds=perf_counter() - began, **added)


def up_or_down(problem: Problem, seed: int) -> Round:
    """Return a rounding of one column at a time that draws from a new stream of random numbers."""
    xp, grid = problem.xp, problem.codebook
    assert isinstance(grid, Grid)
    rng = np.random.Generator(np.random.Philox(seed))

    def choose(x: Array, metric: Any) -> tuple[Array, Array]:
        draw = xp.asarray(rng.random(x.shape), dtype=x.dtype, device=x.device)
        codes = xp.clip(xp.floor(x / grid.scale + grid.center + draw), 0, grid.top)
        return (codes - grid.center) * grid.scale, xp.astype(codes, xp.uint8)

    return choose
