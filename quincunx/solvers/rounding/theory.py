"""What theory says about a rounding's proxy loss: incoherence, the trace of D, and the bounds.

Losses are ``tr(E H E')`` on an unbounded grid of whole numbers; for a grid of step s multiply by
``s^2``. Sources: QuIP (Chee, Cai, Kuleshov, De Sa, 2023, arXiv 2307.13304) and QuIP# (Tseng, Chee,
Sun, Kuleshov, De Sa, 2024, arXiv 2402.04396).
"""

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx._types import Array
from quincunx.solvers.linalg.ldl import block_ldl, check_hessian


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Proxy losses that theory expects of m rows rounded to whole numbers.

    Means are over weights spread evenly between grid points, which is what random weights of
    many steps' size amount to.

    Attributes:
        mu: the Hessian's incoherence, from 1 to sqrt(n).
        trace: tr H.
        trace_d: tr D of ``H = L D L'`` with L unit lower triangular, at most tr H.
        ldlq_mean: ``m/12 tr D``, the mean loss of LDLQ that rounds to the nearest, and the least
            of all roundings with linear feedback (QuIP, theorem 1).
        ldlq_worst: ``m/4 tr D``, its largest loss.
        stochastic_mean: ``m/6 tr D``, the mean loss of LDLQ that rounds up or down by chance.
        nearest_mean: ``m/12 tr H``, the mean loss of the nearest grid point, without feedback.
        spectral: ``mu^2/n tr(H^(1/2))^2``, at least tr D (QuIP, lemma 2).
    """

    mu: float
    trace: float
    trace_d: float
    ldlq_mean: float
    ldlq_worst: float
    stochastic_mean: float
    nearest_mean: float
    spectral: float


def bounds(hessian: Array, /, rows: int) -> Bounds:
    """Compute what theory says of rounding ``rows`` rows under a Hessian.

    Arguments:
        hessian: H [n, n], floating, symmetric positive semidefinite.
        rows: m >= 1.

    Raises:
        ModelError: H is not such a matrix, or m is not positive.

    Example:
        >>> import numpy as np
        >>> from quincunx.solvers.rounding.theory import bounds
        >>> H = np.array([[1.0, 0.8], [0.8, 1.0]])
        >>> b = bounds(H, rows=12)
        >>> round(b.mu, 6), round(b.trace_d, 6), round(b.ldlq_mean, 6), round(b.nearest_mean, 6)
        (1.0, 1.36, 1.36, 2.0)
    """
    if rows < 1:
        raise ModelError(f"there are {rows} rows; use at least 1")
    n = hessian.shape[0]
    mu, root = _spectrum(hessian)
    trace = float(array_namespace(hessian).linalg.trace(hessian))
    trace_d = trace_of_d(hessian)
    return Bounds(
        mu=mu,
        trace=trace,
        trace_d=trace_d,
        ldlq_mean=rows / 12 * trace_d,
        ldlq_worst=rows / 4 * trace_d,
        stochastic_mean=rows / 6 * trace_d,
        nearest_mean=rows / 12 * trace,
        spectral=mu**2 / n * root**2,
    )


def hessian_incoherence(hessian: Array, /) -> float:
    """Incoherence of a Hessian: ``mu = max |Q_ij| sqrt(n)`` over its unit eigenvectors Q.

    From 1, where all entries are equal in size, to sqrt(n), where an eigenvector is an axis.
    Eigenvalues that repeat leave a choice of eigenvectors, and mu depends on it.

    Arguments:
        hessian: H [n, n], floating, symmetric.

    Raises:
        ModelError: H is no finite symmetric matrix.

    Reference:
        QuIP, definition 1.
    """
    return _spectrum(hessian)[0]


def weight_incoherence(weights: Array, /) -> float:
    """Incoherence of weights: ``mu = max |W_ij| sqrt(m n) / |W|_F``; 1 for all zeros.

    From 1, where all are equal in size, to sqrt(m n), where a single one is not zero.

    Arguments:
        weights: W [m, n], floating, finite.

    Reference:
        QuIP, definition 1.
    """
    xp: Any = array_namespace(weights)
    largest = float(xp.max(xp.abs(weights)))
    if largest == 0:
        return 1.0
    mean_square = float(xp.mean((weights / largest) ** 2))
    return 1 / math.sqrt(mean_square)


def trace_of_d(hessian: Array, /, block: int = 1) -> float:
    """The trace of D in the block LDL decomposition ``H = L D L'``.

    Arguments:
        hessian: H [n, n], floating, symmetric positive semidefinite.
        block: columns that are rounded together, a divisor of n.

    Raises:
        ModelError: H is not such a matrix, or the block does not divide n.
    """
    xp: Any = array_namespace(hessian)
    return float(xp.sum(xp.linalg.diagonal(block_ldl(hessian, block).blocks)))


def block_ldlq_bound(hessian: Array, /, rows: int, block: int, error: float) -> float:
    """Bound on LDLQ's expected loss in blocks of g columns: ``g m mu^2 error/n tr(H^(1/2))^2``.

    Arguments:
        hessian: H [n, n], floating, symmetric positive semidefinite.
        rows: m.
        block: g.
        error: the codebook's sigma^2: the largest eigenvalue of the mean of ``e' e`` over its
            rounding errors e [1, g], at least its mean squared error per weight.

    Raises:
        ModelError: H is no finite symmetric matrix.

    Reference:
        QuIP#, theorem 4.1.
    """
    mu, root = _spectrum(hessian)
    return float(block * rows * mu**2 * error / hessian.shape[0] * root**2)


def expected_hessian_incoherence(n: int, /, *, flatness: float = 1.0, risk: float = 0.01) -> float:
    """The mu that ``V H V'`` stays below, whatever H is, but for a probability of ``risk``.

    ``mu = flatness sqrt(2 log(2 n^2 / risk))`` for V of random signs and a fixed orthogonal matrix
    Q: an entry of V q is a sum of independent ``s_j Q_ij q_j``, at most t but for a probability of
    ``2 exp(-n t^2 / (2 flatness^2))`` by Hoeffding's inequality, and there are n^2 of them.

    Arguments:
        n: the size.
        flatness: ``max |Q_ij| sqrt(n)``; 1 for Hadamard matrices,
            ``quincunx.solvers.linalg.flat.factors(n).flatness`` in general.
        risk: 0 < risk < 1.

    Reference:
        QuIP#, lemma 3.1, where the flatness is 1.
    """
    return flatness * math.sqrt(2 * math.log(2 * n**2 / risk))


def expected_weight_incoherence(
    m: int, n: int, /, *, flatness: float = 1.0, risk: float = 0.01
) -> float:
    """The mu that ``U W V'`` stays below, whatever W is, but for a probability of ``risk``.

    ``mu = flatness 2 log(4 m n / risk)``, as for :func:`expected_hessian_incoherence` once a side.

    Arguments:
        m: the size of U.
        n: the size of V.
        flatness: the product of both.
        risk: 0 < risk < 1.

    Reference:
        QuIP#, lemma 3.1, where the flatness is 1.
    """
    return flatness * 2 * math.log(4 * m * n / risk)


def _spectrum(hessian: Array) -> tuple[float, float]:
    """Return mu and ``tr(H^(1/2))``; eigenvalues below zero, by rounding, count as zero."""
    check_hessian(hessian)
    xp: Any = array_namespace(hessian)
    values, vectors = xp.linalg.eigh(hessian)
    mu = float(xp.max(xp.abs(vectors))) * math.sqrt(hessian.shape[0])
    return mu, float(xp.sum(xp.sqrt(xp.where(values > 0, values, 0))))
