"""Rounding with feedback on both sides, for a loss that couples a layer's outputs, too."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array, Codebook
from quincunx.kernels.grid_rounding._numba import LANES
from quincunx.kernels.select import shared
from quincunx.kernels.threads import in_rows
from quincunx.kernels.two_sided_rounding._numba import feedback
from quincunx.solvers.linalg.ldl import LDL, block_ldl, check_hessian
from quincunx.solvers.rounding.answer import Rounding
from quincunx.solvers.rounding.blocks import WIDTH, GridBlocks, grid_blocks
from quincunx.solvers.rounding.problem import (
    SCALE_ROWS,
    Points,
    Problem,
    finish,
    prepare,
    real_rows,
    with_scale,
)
from quincunx.solvers.rounding.scale import climbed, scaled
from quincunx.solvers.rounding.wavefront import of_rows, wavefront


def two_sided(
    W: Array, H: Array, codebook: Codebook, *, output_hessian: Array, damping: float = 0.01
) -> Rounding:
    """Round weights so that ``tr(H_O E H E')`` is small: with feedback from below and the right.

    With ``H_O = L_O D_O L_O'`` and ``H = L D L'`` each weight, or tile, is rounded to the point
    nearest to what makes up for the errors of those below it and to its right, from the last row
    and column to the first. Then ``L_O' E L`` is eta, the plain rounding errors, and the loss is
    ``tr(D_O eta D eta')``. With ``H_O = I`` it is :func:`ldlq`. All but a fraction of about 128
    over the sides of W is matrix products, ``m n (m + n)`` operations, and twice as many for the
    loss.

    A codebook of several rows takes the metric of its columns in every row.

    Arguments:
        W: weights [m, n], floating.
        H: second moments of the layer's inputs [n, n].
        codebook: where its scale is None, one is chosen: the one of least loss on 64 rows, then
            larger ones while the whole loss falls.
        output_hessian: H_O [m, m], symmetric positive semidefinite: how errors of the outputs
            count together, such as the second moments of the gradients there.
        damping: added to either diagonal for the feedback, as a fraction of its mean.

    Returns:
        The rounding. Its proxy loss is ``tr(H_O E H E')``; ``damping`` and ``jitter`` are those of
        H, and those of H_O are ``stats["output_damping"]`` and ``stats["output_jitter"]``.

    Raises:
        ModelError: an argument does not fit.

    Reference:
        Tseng, Sun, De Sa, "Model-Preserving Adaptive Rounding", 2025, arXiv:2505.22988, for the
        loss and the feedback on both sides.

    >>> import numpy as np
    >>> from quincunx.solvers.rounding import Grid, ldlq, two_sided, two_sided_loss
    >>> rng = np.random.default_rng(0)
    >>> X, G, W = rng.normal(size=(40, 16)), rng.normal(size=(10, 8)), rng.normal(size=(8, 16))
    >>> H, H_O, grid = X.T @ X, G.T @ G, Grid(2, scale=1.0)
    >>> one = two_sided_loss(ldlq(W, H, grid).values - W, H, H_O)
    >>> two_sided(W, H, grid, output_hessian=H_O).proxy_loss < one
    True
    """
    began = perf_counter()
    problem = prepare(W, H, codebook)
    output = _checked_output(problem, output_hessian)
    right = block_ldl(problem.hessian, codebook.tile[1], damping=damping)
    left = _of_outputs(block_ldl, output, codebook.tile[0], damping=damping)
    problem, found = _at_scale(problem, output, left, right, damping)
    return finish(
        problem,
        found,
        damping=right.damping,
        jitter=right.jitter,
        output_damping=left.damping,
        output_jitter=left.jitter,
        seconds=perf_counter() - began,
    )


def two_sided_loss(errors: Array, hessian: Array, output_hessian: Array) -> float:
    """Return ``tr(H_O E H E')``, added up in float64.

    Arguments:
        errors: E [m, n], rounded less original weights.
        hessian: H [n, n].
        output_hessian: H_O [m, m].
    """
    xp: Any = array_namespace(errors, hessian, output_hessian)
    wide = xp.result_type(errors, hessian, output_hessian)
    errors, hessian, output_hessian = (
        xp.astype(array, wide, copy=False) for array in (errors, hessian, output_hessian)
    )
    return float(xp.sum((output_hessian @ errors) * (errors @ hessian), dtype=xp.float64))


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """A problem cut into blocks of h x w weights, with zeros below and to the right.

    Attributes:
        xp: the arrays' library.
        codebook: with its scale.
        grid: what compiled loops take, or None.
        weights: [I h, J w].
        left: L_O [I h, I h].
        right: L [J w, J w].
        metrics: [J, w / c, c, c], the blocks of D.
        rows: int64 [I, h], rows of the weights; those of the zeros are the last.
    """

    xp: Any
    codebook: Codebook
    grid: GridBlocks | None
    weights: Array
    left: Array
    right: Array
    metrics: Array
    rows: Array

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of a block."""
        return self.rows.shape[1], self.weights.shape[1] // self.metrics.shape[0]


def rounded(problem: Problem, left: LDL, right: LDL) -> tuple[Array, Array]:
    """Round with feedback on both sides, by anti-diagonals of blocks.

    With P = L_O' E, block (I, J) takes ``P[I, >J] L[>J, J]`` from the right and, with C for
    ``L_O[>I, I]' E[>I, J]``, ``C L[J, J]`` from below; both are products of whole matrices.

    Arguments:
        problem: with a scale.
        left: of the output Hessian, in blocks of the tile's height.
        right: of the Hessian, in blocks of its width.

    Returns:
        The points [m, n] and the codes [m / r, n / c, k], as padded as the problem.
    """
    blocks = _cut(problem, left, right)
    xp, weights = blocks.xp, blocks.weights
    (h, w), (r, c) = blocks.sides, problem.codebook.tile
    tall, wide = weights.shape[0] // h, weights.shape[1] // w
    errors, moved, values = (xp.zeros_like(weights) for _ in range(3))
    codes: dict[tuple[int, int], Array] = {}
    for d in range(tall + wide - 2, -1, -1):
        places = [(i, d - i) for i in range(max(0, d - wide + 1), min(tall, d + 1))]
        targets = []
        for i, j in places:
            rows, columns = slice(i * h, i * h + h), slice(j * w, j * w + w)
            below = blocks.left[i * h + h :, rows].mT @ errors[i * h + h :, columns]
            beside = moved[rows, j * w + w :] @ blocks.right[j * w + w :, columns]
            targets.append(weights[rows, columns] - beside - below @ blocks.right[columns, columns])
            moved[rows, columns] = below
        points, found = _inner(blocks, places, xp.stack(targets))
        for k, (i, j) in enumerate(places):
            rows, columns = slice(i * h, i * h + h), slice(j * w, j * w + w)
            values[rows, columns] = points[k, :, :]
            errors[rows, columns] = points[k, :, :] - weights[rows, columns]
            moved[rows, columns] += blocks.left[rows, rows].mT @ errors[rows, columns]
            codes[i, j] = found[k, :, :, :]
    m, n = problem.weights.shape
    lines = [xp.concat([codes[i, j] for j in range(wide)], axis=1) for i in range(tall)]
    return values[:m, :n], xp.concat(lines)[: m // r, : n // c, :]


def _inner(blocks: _Blocks, places: list[tuple[int, int]], target: Array) -> tuple[Array, Array]:
    """Round blocks of one anti-diagonal: points [K, h, w] and codes [K, h / r, w / c, k]."""
    xp, (h, w) = blocks.xp, blocks.sides
    at = [(slice(i * h, i * h + h), slice(j * w, j * w + w)) for i, j in places]
    weights = xp.stack([blocks.weights[rows, columns] for rows, columns in at])
    left = xp.stack([blocks.left[rows, rows] for rows, _ in at])
    right = xp.stack([blocks.right[columns, columns] for _, columns in at])
    if blocks.grid is None:
        metrics = xp.stack([blocks.metrics[j, :, :, :] for _, j in places])
        rows = xp.stack([blocks.rows[i, :] for i, _ in places])
        return wavefront(target, weights, left, right, metrics, blocks.codebook, rows)
    grid, values = blocks.grid, xp.empty_like(target)
    codes = xp.empty(target.shape, dtype=xp.uint8)
    arrays = [shared(array) for array in (target, weights, values, codes, left, right)]
    rows = shared(blocks.rows)[[i for i, _ in places]]  # type: ignore[index]
    numbers = (grid.scale[rows], grid.zero[rows], grid.top, grid.points, grid.edges)
    loop: Callable[..., None] = feedback
    in_rows(partial(loop, *arrays, *numbers), len(places), least=1)
    return values, codes[:, :, :, None]


def _cut(problem: Problem, left: LDL, right: LDL) -> _Blocks:
    """Lay a problem out in blocks."""
    xp, weights, (r, c) = problem.xp, problem.weights, problem.codebook.tile
    grid = grid_blocks(problem, weights)
    (m, n), unit = weights.shape, LANES if grid else 1
    h, w = _side(m, max(r, unit)), _side(n, max(c, unit))
    tall, wide = -(-m // h) * h, -(-n // w) * w
    kind, place = weights.dtype, weights.device
    metrics = xp.zeros((wide // c, c, c), dtype=kind, device=place)
    metrics[:, :, :] = xp.eye(c, dtype=kind, device=place)
    metrics[: n // c, :, :] = xp.astype(right.blocks, kind)
    rows = xp.minimum(xp.arange(tall, device=place), xp.asarray(problem.shape[0] - 1, device=place))
    return _Blocks(
        xp,
        problem.codebook,
        grid,
        _grown(xp, weights, tall, wide),
        _grown(xp, xp.astype(left.lower, kind), tall, tall, 1.0),
        _grown(xp, xp.astype(right.lower, kind), wide, wide, 1.0),
        xp.reshape(metrics, (wide // w, w // c, c, c)),
        xp.reshape(rows, (tall // h, h)),
    )


def _side(size: int, unit: int) -> int:
    """Return the side of blocks that cut ``size``: some units, up to WIDTH unless one is more."""
    units = -(-size // unit)
    most = max(WIDTH // unit, 1)
    return -(-units // -(-units // most)) * unit


def _grown(xp: Any, array: Array, rows: int, columns: int, diagonal: float = 0.0) -> Array:
    """Return a copy with zeros below and to the right, and ``diagonal`` in the new corner."""
    m, n = array.shape
    out = xp.zeros((rows, columns), dtype=array.dtype, device=array.device)
    out[:m, :n] = array
    for k in range(min(rows - m, columns - n) if diagonal else 0):
        out[m + k, n + k] = diagonal
    return out


def _checked_output(problem: Problem, output: Array) -> Array:
    """Return the output Hessian, padded as the rows of the weights are, in at least float32."""
    xp, (m, _) = problem.xp, problem.shape
    if tuple(output.shape) != (m, m):
        raise ModelError(
            f"the output Hessian of {m} rows of weights has shape {(m, m)}; this one has shape "
            f"{tuple(output.shape)}"
        )
    if not xp.isdtype(output.dtype, "real floating"):
        raise ModelError(f"the output Hessian has type {output.dtype}; convert to float32")
    _of_outputs(check_hessian, output)
    kind = output.dtype if output.dtype in (xp.float32, xp.float64) else xp.float32
    padded = problem.weights.shape[0]
    return _grown(xp, xp.astype(output, kind), padded, padded, 1.0)


def _of_outputs(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function of the output Hessian; its errors name that."""
    try:
        return function(*arguments, **options)
    except ModelError as error:
        raise ModelError(f"of the outputs: {error}") from error


def _at_scale(
    problem: Problem, output: Array, left: LDL, right: LDL, damping: float
) -> tuple[Problem, Points]:
    """Return the problem with a scale, its own or a good one, and what it is rounded to.

    Rows are not independent here. The search is on some rows, with all others held at their
    weights, which is exact for the loss of those rows alone. As more rows have more feedback, and
    so targets further out, the scale then climbs on the whole problem while the loss falls.
    """

    def rounding(part: Problem) -> Points:
        return _points(part, output, left, right)

    if problem.codebook.scale is not None:
        return problem, rounding(problem)
    problem = with_scale(problem, _scale_of_some_rows(problem, output, right, damping))
    return climbed(problem, rounding(problem), rounding)


def _points(problem: Problem, output: Array, left: LDL, right: LDL) -> Points:
    """Round, and count the loss."""
    values, codes = rounded(problem, left, right)
    errors = real_rows(problem, values - problem.weights)
    m = errors.shape[0]
    loss = two_sided_loss(errors, problem.hessian, output[:m, :m])
    return Points(values, codes, loss)


def _scale_of_some_rows(problem: Problem, output: Array, right: LDL, damping: float) -> float:
    """Search the scale on up to 64 rows, evenly spaced, in whole tiles."""
    xp, r = problem.xp, problem.codebook.tile[0]
    tiles = problem.weights.shape[0] // r
    wanted = min(tiles, max(SCALE_ROWS // r, 1))
    chosen = [tiles * k // wanted * r + row for k in range(wanted) for row in range(r)]
    rows = xp.asarray(chosen, device=problem.weights.device)
    part = xp.take(xp.take(output, rows, axis=0), rows, axis=1)
    left = _of_outputs(block_ldl, part, r, damping=damping)
    few = replace(
        problem,
        weights=xp.take(problem.weights, rows, axis=0),
        codebook=of_rows(problem.codebook, rows, r),
    )

    return float(scaled(few, lambda few: _points(few, part, left, right)).codebook.scale)
