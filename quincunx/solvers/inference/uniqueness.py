"""Whether beliefs at gamma = 0 are the only optimum, or one of many."""

import numpy as np
import scipy.sparse as sp

from quincunx.solvers.inference.arrays import Floats, Sparse
from quincunx.solvers.inference.certificate import conditional_logs
from quincunx.solvers.inference.problem import Problem

SUPPORT = 1e-6  # cells below this share of a uniform cell count as empty
FLAT = 1e-5  # a relative change of beliefs by 1 that changes the equations by less is free


def is_unique(problem: Problem, mu: Floats) -> bool:
    """Say whether other cluster marginals are as good as ``mu`` at gamma = 0.

    All minimisers of Inc have the same conditionals on arcs with beta > 0, and interior-point
    solvers return one with the largest support. So ``mu`` is unique when no change of its positive
    cells keeps calibration and those conditionals: when the matrix of these equations, its columns
    scaled by ``mu``, has no null vector. A numerical answer, not a proof.

    Arguments:
        problem: the compiled problem.
        mu: float64 [N], calibrated optimal cells.
    """
    if problem.size == 0:
        return True
    frozen = (problem.beta > 0) & (problem.width > 1)
    table = np.exp(conditional_logs(problem, mu))
    equations = sp.vstack([problem.calibration, problem.freeze(frozen, table)]).tocsc()
    used = np.nonzero(mu > SUPPORT / problem.size)[0]
    scale = sp.dia_array((mu[used][None, :], [0]), shape=(len(used), len(used)))
    return not has_null_vector(equations[:, used] @ scale)


def has_null_vector(matrix: Sparse) -> bool:
    """Say whether some vector x of length 1 has ``matrix @ x`` near zero.

    The smallest singular value is found by inverse iteration with one sparse factorisation.

    Arguments:
        matrix: sparse [m, n]. Each row is measured against its own largest entry.
    """
    from scipy.sparse.linalg import splu

    n = matrix.shape[1]
    if n > matrix.shape[0]:
        return True
    # Small cells must count too.
    largest = np.maximum(np.abs(matrix).max(axis=1).toarray().ravel(), np.finfo(float).tiny)
    matrix = sp.dia_array((1 / largest[None, :], [0]), (len(largest),) * 2) @ matrix
    gram = (matrix.T @ matrix).tocsc()
    shift = (0.1 * FLAT) ** 2
    factor = splu(gram + shift * sp.eye_array(n, format="csc"))
    vector = np.random.default_rng(0).standard_normal(n)
    for _ in range(8):
        vector = factor.solve(vector / np.linalg.norm(vector))
    smallest = 1 / np.linalg.norm(vector) - shift
    return bool(smallest <= FLAT**2)
