"""A rounding problem, checked and padded to whole tiles."""

from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace, is_torch_array

from quincunx._errors import ModelError
from quincunx._types import Array, Codebook, Status
from quincunx.kernels.select import shared
from quincunx.solvers.linalg.ldl import check_hessian
from quincunx.solvers.rounding.answer import Rounding

SCALE_ROWS = 64  # rows on which scales are tried; losses of rows are independent


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Weights, Hessian and codebook that fit together.

    Attributes:
        xp: the arrays' library.
        weights: [m, n], float32 or float64, m and n multiples of the tile's sides, rows that
            follow each other in memory.
        hessian: [n, n]; padded columns are zero, as if they never had an input.
        codebook: its scale may be None.
        shape: (m, n) before padding.
    """

    xp: Any
    weights: Array
    hessian: Array
    codebook: Codebook
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """What a rounding found, still padded.

    Attributes:
        values: [m, n].
        codes: [m / r, n / c, k].
        loss: ``tr(E H E')``.
    """

    values: Array
    codes: Array
    loss: float


def prepare(weights: Array, hessian: Array, codebook: Codebook) -> Problem:
    """Check the arguments of a rounding and pad them to whole tiles.

    Weights in half precision are worked on in float32.

    Raises:
        ModelError: says which argument does not fit, and how.
    """
    weights, hessian = _detached(weights), _detached(hessian)
    try:
        xp = array_namespace(weights, hessian)
    except TypeError:
        kinds = " and ".join(sorted({type(array).__name__ for array in (weights, hessian)}))
        raise ModelError(
            f"weights and the Hessian are of type {kinds}; give two arrays of one library, such as "
            f"NumPy or torch"
        ) from None
    if weights.ndim != 2 or not weights.shape[0] or not weights.shape[1]:
        raise ModelError(f"weights are a matrix [m, n]; these have shape {tuple(weights.shape)}")
    m, n = weights.shape
    if tuple(hessian.shape) != (n, n):
        raise ModelError(
            f"the Hessian of {m} x {n} weights has one row and column an input, shape {(n, n)}; "
            f"this one has shape {tuple(hessian.shape)}"
        )
    for name, array in (("weights", weights), ("the Hessian", hessian)):
        if not xp.isdtype(array.dtype, "real floating"):
            raise ModelError(f"{name} have type {array.dtype}; convert to float32 or float64")
    if not bool(xp.isfinite(xp.sum(weights))) and not bool(xp.all(xp.isfinite(weights))):
        raise ModelError("the weights have NaN or infinite entries; replace them first")
    check_hessian(hessian)
    scale = codebook.scale
    if getattr(scale, "ndim", 0) == 2 and scale.shape[0] not in (1, m):
        raise ModelError(f"the codebook has {scale.shape[0]} scales, and the weights {m} rows")
    r, c = codebook.tile
    if r > 1 and getattr(scale, "ndim", 0) == 2 and scale.shape[0] > 1:
        raise ModelError(f"{codebook} has a scale a row, and tiles of {r} rows; give one scale")
    return Problem(
        xp,
        _padded(xp, _full(xp, weights), -m % r, -n % c),
        _padded(xp, _full(xp, hessian), -n % c, -n % c),
        codebook,
        (m, n),
    )


def _detached(array: Array) -> Array:
    """Return a tensor without its history, such as a layer's parameter has."""
    return array.detach() if is_torch_array(array) else array


def _full(xp: Any, array: Array) -> Array:
    """Convert half precision to single."""
    return array if array.dtype in (xp.float32, xp.float64) else xp.astype(array, xp.float32)


def _padded(xp: Any, array: Array, rows: int, columns: int) -> Array:
    """Return an array with zeros below and to the right; itself where there are none to add."""
    view = shared(array)
    if not (rows or columns) and (view is None or view.flags.c_contiguous):
        return array
    m, n = array.shape
    out = xp.zeros((m + rows, n + columns), dtype=array.dtype, device=array.device)
    out[:m, :n] = array
    return out


def real_rows(problem: Problem, array: Array) -> Array:
    """Return the rows that are no padding, whose errors count in no loss; columns' never do."""
    return array[: problem.shape[0], :]


def some_rows(problem: Problem) -> Array:
    """Return up to :data:`SCALE_ROWS` rows of the weights, evenly spaced, in whole tiles."""
    r = problem.codebook.tile[0]
    tiles = problem.weights.shape[0] // r
    wanted = min(tiles, max(SCALE_ROWS // r, 1))
    chosen = [tiles * k // wanted * r for k in range(wanted)]
    return problem.xp.concat([problem.weights[k : k + r, :] for k in chosen])


def finish(
    problem: Problem, found: Points, *, damping: float = 0.0, jitter: float = 0.0, **stats: Any
) -> Rounding:
    """Cut the padding off and say what happened."""
    m, n = problem.shape
    padded = tuple(problem.weights.shape) != (m, n)
    words = []
    if padded:
        r, c = problem.codebook.tile
        words.append(
            f"The weights, {m} x {n}, were padded with zeros to "
            f"{' x '.join(map(str, problem.weights.shape))} for tiles of {r} x {c}."
        )
    if jitter:
        words.append(
            f"The Hessian is singular to rounding: {jitter:.1e} of each diagonal entry was added."
        )
    codes = found.codes[:, :, 0] if found.codes.shape[2] == 1 else found.codes
    return Rounding(
        status=Status.ROUNDED,
        message=" ".join(words),
        stats=stats,
        values=found.values[:m, :n],
        codes=codes,
        proxy_loss=max(found.loss, 0.0),
        codebook=problem.codebook,
        damping=damping,
        jitter=jitter,
    )


def with_scale(problem: Problem, scale: float | Array) -> Problem:
    """Return the problem with a scale for its codebook, or one a tile, [m / r, 1]."""
    return replace(problem, codebook=replace(problem.codebook, scale=scale))  # type: ignore[type-var]


def proxy_loss(errors: Array, hessian: Array) -> float:
    """Return ``tr(E H E')``: what rounding errors E cost (QuIP, equation 1).

    Products are taken in the wider of the two types, and added up in float64.

    Arguments:
        errors: E [m, n], rounded less original weights.
        hessian: H [n, n].
    """
    xp = array_namespace(errors, hessian)
    wide = xp.result_type(errors, hessian)
    errors = xp.astype(errors, wide, copy=False)
    product = (errors @ xp.astype(hessian, wide, copy=False)) * errors
    return float(xp.sum(product, dtype=xp.float64))
