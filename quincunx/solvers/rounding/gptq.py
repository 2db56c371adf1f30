"""GPTQ: the same feedback from the other side, by the inverse of the Hessian."""

from time import perf_counter

from quincunx._errors import ModelError
from quincunx._types import Array, Codebook
from quincunx.solvers.linalg.ldl import block_ldl
from quincunx.solvers.rounding.answer import Rounding
from quincunx.solvers.rounding.problem import Points, Problem, finish, prepare, proxy_loss
from quincunx.solvers.rounding.scale import scaled

BLOCK = 128


def gptq(W: Array, H: Array, codebook: Codebook, *, damping: float = 0.01) -> Rounding:
    """Round columns from the first to the last as GPTQ does: a peer to compare with.

    The rows of the upper Cholesky factor of the inverse Hessian say how the columns that are left
    make up for an error. The answer is that of :func:`ldlq` for the columns in reversed order,
    where no target lies on the border between two points. Use :func:`ldlq`: it needs no inverse,
    and half the operations.

    Arguments:
        W: weights [m, n], floating.
        H: second moments [n, n].
        codebook: of single weights, tile (1, 1); where its scale is None, one is chosen.
        damping: added to the diagonal of H, as a fraction of its mean.

    Raises:
        ModelError: an argument does not fit.

    Reference:
        Frantar, Ashkboos, Hoefler, Alistarh (ICLR 2023), Algorithm 1.
    """
    began = perf_counter()
    if codebook.tile != (1, 1):
        raise ModelError(f"{codebook} codes {codebook.tile} weights together; gptq codes one")
    problem = prepare(W, H, codebook)
    xp, n = problem.xp, problem.weights.shape[1]
    # Only to find how much damping the inverse needs; rows without any input stay alone.
    ldl = block_ldl(problem.hessian, damping=damping)
    eye = xp.eye(n, dtype=problem.hessian.dtype, device=problem.hessian.device)
    diagonal = xp.linalg.diagonal(problem.hessian)
    added = ldl.damping + ldl.jitter * diagonal
    added = xp.where(diagonal + added > 0, added, 1)
    inverse = xp.linalg.inv(problem.hessian + added * eye)
    upper = xp.astype(xp.linalg.cholesky(inverse).mT, problem.weights.dtype, copy=False)
    problem = scaled(problem, lambda part: _forwards(part, upper))
    found = _forwards(problem, upper)
    return finish(
        problem, found, damping=ldl.damping, jitter=ldl.jitter, seconds=perf_counter() - began
    )


def _forwards(problem: Problem, upper: Array) -> Points:
    """Round with the errors of each column spread over those behind it."""
    xp, n = problem.xp, problem.weights.shape[1]
    left = xp.asarray(problem.weights, copy=True)
    values, codes = xp.empty_like(left), []
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        spread = xp.empty_like(left[:, start:stop])
        for j in range(start, stop):
            values[:, j : j + 1], code = problem.codebook.quantize(left[:, j : j + 1])
            codes.append(code)
            error = (left[:, j] - values[:, j]) / upper[j, j]
            left[:, j:stop] -= error[:, None] * upper[j, j:stop]
            spread[:, j - start] = error
        left[:, stop:] -= spread @ upper[start:stop, stop:]
    loss = proxy_loss(values - problem.weights, problem.hessian)
    return Points(values, xp.stack(codes, axis=1), loss)
