"""Greedy passes: one tile after another moved to where the loss is least."""

from time import perf_counter

import numpy as np

from quincunx._errors import ModelError
from quincunx._types import Array, Codebook
from quincunx.kernels.grid_rounding._numba import LANES, descend
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows
from quincunx.solvers.rounding.answer import Rounding
from quincunx.solvers.rounding.blocks import WIDTH, GridBlocks, grid_blocks, padded
from quincunx.solvers.rounding.nearest import apart
from quincunx.solvers.rounding.problem import Points, Problem, finish, prepare
from quincunx.solvers.rounding.scale import scaled
from quincunx.solvers.rounding.tiles import decode, definite, from_tiles, to_tiles

MARGIN = 1e-6  # of a gain's parts: less may be rounding of the gradient


def greedy(
    W: Array, H: Array, codebook: Codebook, *, start: Rounding | None = None, passes: int = 10
) -> Rounding:
    """Lower the loss by coordinate descent over tiles, from nearest rounding or another.

    Tile by tile from the last column to the first, the point nearest in the metric ``H_kk`` to
    where the loss is least with all other tiles held replaces the tile, where that lowers the
    loss. Passes end early where nothing moves. No row ends with a higher loss than it had.

    Arguments:
        W: weights [m, n], floating.
        H: second moments [n, n].
        codebook: where its scale is None, that of ``start`` is taken, or one is chosen.
        start: a rounding of the same weights with the same codebook, as from :func:`ldlq`; by
            default that of :func:`nearest`.
        passes: at most, >= 0.

    Returns:
        The rounding; ``stats["passes"]`` counts the passes made, ``stats["moved"]`` the tiles that
        were moved.

    Raises:
        ModelError: an argument does not fit.

    Reference:
        Chee, Cai, Kuleshov, De Sa (NeurIPS 2023), Supplement B: "greedy updates"; there the loss
        may rise, as weights are clamped after a pass, and tiles are rounded in Euclidean distance
        (Tseng and others, ICML 2024, ``quip_tune_iters``).
    """
    began = perf_counter()
    if passes < 0:
        raise ModelError(f"passes is {passes}; use a number >= 0")
    if start is not None and codebook.scale is None:
        codebook = start.codebook
    problem = prepare(W, H, codebook)
    if start is None:
        problem = scaled(problem, apart)
        found = apart(problem)
    else:
        found = _padded_start(problem, start)
    found, made, moved = descended(problem, found, passes)
    seconds = perf_counter() - began
    return finish(problem, found, seconds=seconds, passes=made, moved=moved)


def descended(problem: Problem, found: Points, passes: int) -> tuple[Points, int, int]:
    """Make greedy passes; returns the points, and how many passes and moves there were."""
    xp = problem.xp
    values = xp.asarray(found.values, copy=True)
    codes = xp.asarray(found.codes, copy=True)
    errors = values - problem.weights
    flat = xp.reshape(codes, values.shape) if problem.codebook.tile == (1, 1) else codes
    compiled = grid_blocks(problem, values, flat, errors)
    made = moved = 0
    while made < passes:
        made, before = made + 1, xp.asarray(codes, copy=True)
        if compiled:
            _compiled_pass(problem, compiled)
        else:
            _plain_pass(problem, values, codes, errors)
        changed = int(xp.count_nonzero(xp.any(codes != before, axis=2)))
        moved += changed
        if not changed:
            break
    return _no_worse(problem, found, Points(values, codes, 0.0)), made, moved


def _compiled_pass(problem: Problem, compiled: GridBlocks) -> None:
    """Go once over all columns of a grid's weights, a block at a time, on threads by rows."""
    errors = compiled.arrays[2]
    hessian = shared(problem.xp.astype(problem.hessian, problem.weights.dtype, copy=False))
    assert hessian is not None
    m, n = errors.shape
    gradient = np.zeros((m, WIDTH), errors.dtype)

    def rows(first: int, last: int) -> None:
        for start in reversed(range(0, n, WIDTH)):
            stop = min(start + WIDTH, n)
            corner = padded(hessian[start:stop, start:stop], LANES)
            gradient[first:last, : stop - start] = errors[first:last, :] @ hessian[:, start:stop]
            compiled.call(descend, (gradient, *compiled.arrays, corner), (start, first, last))

    in_rows(rows, m, products=True)


def _plain_pass(problem: Problem, values: Array, codes: Array, errors: Array) -> None:
    """Go once over all columns of tiles, by the codebook's own search in the metric of a tile."""
    xp, (r, c) = problem.xp, problem.codebook.tile
    m, n = values.shape
    hessian = xp.astype(problem.hessian, errors.dtype, copy=False)
    width = max(WIDTH // c, 1) * c
    for start in reversed(range(0, n, width)):
        stop = min(start + width, n)
        gradient = errors @ hessian[:, start:stop]
        for first in reversed(range(start, stop, c)):
            here, place = slice(first, first + c), slice(first - start, first - start + c)
            metric, mean = definite(hessian[here, here])
            if metric is None:
                continue
            slope, old = gradient[:, place] / mean, values[:, here]
            target = old - xp.linalg.solve(metric, slope.T).T
            points, code = problem.codebook.quantize(to_tiles(target, (r, c)), metric=metric)
            step = from_tiles(points, (r, c)) - old
            linear = xp.sum(to_tiles(slope * step, (r, c)), axis=1)
            square = xp.sum(to_tiles((step @ metric) * step, (r, c)), axis=1)
            better = -2 * linear - square > MARGIN * xp.abs(linear)
            rows = xp.reshape(xp.broadcast_to(better[:, None], (m // r, r)), (m, 1))
            step = xp.where(rows, step, 0)
            # The point itself, and not the old value plus a step, which rounding spoils.
            values[:, here] = xp.where(rows, from_tiles(points, (r, c)), old)
            codes[:, first // c, :] = xp.where(better[:, None], code, codes[:, first // c, :])
            errors[:, here] += step
            gradient += step @ hessian[here, start:stop]


def _no_worse(problem: Problem, old: Points, new: Points) -> Points:
    """Take back what moved in rows of tiles whose loss, added up again, did not fall."""
    xp, r = problem.xp, problem.codebook.tile[0]
    before, after = (_losses(problem, points.values) for points in (old, new))
    better = after < before
    rows = xp.reshape(xp.broadcast_to(better[:, None], (better.shape[0], r)), (-1, 1))
    values = xp.where(rows, new.values, old.values)
    codes = xp.where(better[:, None, None], new.codes, old.codes)
    return Points(values, codes, float(xp.sum(xp.where(better, after, before))))


def _losses(problem: Problem, values: Array) -> Array:
    """Return the loss of each row of tiles, float64 [m / r]."""
    xp, r = problem.xp, problem.codebook.tile[0]
    errors = xp.astype(values - problem.weights, xp.float64)
    errors[problem.shape[0] :, :] = 0  # padding
    products = (errors @ xp.astype(problem.hessian, xp.float64)) * errors
    return xp.sum(xp.reshape(products, (values.shape[0] // r, -1)), axis=1)


def _padded_start(problem: Problem, start: Rounding) -> Points:
    """Lay a rounding out for the padded problem."""
    (m, n), (r, c) = problem.shape, problem.codebook.tile
    codes = start.codes if start.codes.ndim == 3 else start.codes[:, :, None]
    if tuple(start.values.shape) != (m, n) or codes.shape[:2] != (-(-m // r), -(-n // c)):
        raise ModelError(
            f"start has values of shape {tuple(start.values.shape)} and codes of shape "
            f"{tuple(start.codes.shape)}; the weights are {m} x {n} in tiles of {r} x {c}"
        )
    values = decode(problem.codebook, codes, tuple(problem.weights.shape))
    values = problem.xp.astype(values, problem.weights.dtype)
    values[:m, :n] = start.values  # not rounded to the type that codes are decoded to
    return Points(values, codes, 0.0)
