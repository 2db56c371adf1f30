"""Whether beliefs at gamma = 0 are the only optimum, or one of many."""

import numpy as np
import scipy.sparse as sp

from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import conditional_logs
from quincunx.solvers.inference.problem import Problem

SUPPORT = 1e-6  # cells below this share of a uniform cell count as empty
FLAT = 1e-5  # relative length of a direction that changes nothing


def is_unique(problem: Problem, mu: Floats) -> bool:
    """Say whether other distributions are as good as ``mu`` at gamma = 0.

    All minimisers of Inc have the same conditionals on arcs with beta > 0, and interior-point
    solvers return one with the largest support. So ``mu`` is unique when no change of its positive
    cells keeps calibration and those conditionals: a random change is projected onto the null
    space of these equations, and what is left is measured. A numerical answer, not a proof.

    Arguments:
        problem: the compiled problem.
        mu: float64 [N], calibrated optimal cells.
    """
    from scipy.sparse.linalg import lsmr

    frozen = (problem.beta > 0) & (problem.width > 1)
    table = np.exp(conditional_logs(problem, mu))
    equations = sp.vstack([problem.calibration, problem.freeze(frozen, table)]).tocsc()
    used = np.nonzero(mu > SUPPORT / problem.size)[0]
    matrix = equations[:, used] @ sp.dia_array((mu[used][None, :], [0]), (len(used), len(used)))
    change = np.random.default_rng(0).standard_normal(len(used))
    explained = lsmr(matrix.T, change, atol=1e-13, btol=1e-13, maxiter=20 * len(used) + 100)[0]
    left = change - matrix.T @ explained
    return bool(np.linalg.norm(left) <= FLAT * np.linalg.norm(change))
