"""Hard arcs as linear equations: which cells can have mass under them, by one linear program."""

import numpy as np
import scipy.sparse as sp

from quincunx._errors import EngineError
from quincunx.solvers.inference.arrays import Bools, Floats, Sparse

METHODS = ("highs", "highs-ipm", "highs-ds")


def maximal_support(
    calibration: Sparse, mass: Floats, equations: Sparse, scale: Floats
) -> Bools | None:
    """Find the cells that some distribution satisfying all equations gives mass.

    Maximises ``sum(t)`` over ``0 <= t <= 1`` and ``r >= 0`` with ``mu = scale (r + t)`` meeting
    the equations up to a free total mass: since feasible masses can be added and scaled, the
    optimum has ``t = 1`` exactly on the cells that can be positive.

    Arguments:
        calibration: sparse [K, N], with ``calibration @ mu = mass``.
        mass: float64 [K].
        equations: sparse [E, N], with ``equations @ mu = 0``.
        scale: float64 [N], > 0: about what mass each cell has, so that small probabilities are not
            taken for zeros.

    Returns:
        bool [N], or None where no distribution satisfies the equations. Equations that are off by
        less than about 1e-7 pass for satisfied.

    Raises:
        EngineError: the linear program solver failed.
    """
    from scipy.optimize import linprog

    n = calibration.shape[1]
    column = np.concatenate([-mass, np.zeros(equations.shape[0])]).reshape(-1, 1)
    columns = sp.dia_array((scale[None, :], [0]), shape=(n, n))
    matrix = sp.hstack([sp.vstack([calibration, equations]) @ columns, sp.csr_array(column)])
    largest = np.abs(matrix).max(axis=1).toarray().ravel()
    rows = sp.dia_array((1 / np.maximum(largest, 1e-300)[None, :], [0]), (len(largest),) * 2)
    matrix = (rows @ matrix).tocsc()
    for method in METHODS:
        result = linprog(
            np.concatenate([np.zeros(n), -np.ones(n), [0.0]]),
            A_eq=sp.hstack([matrix[:, :n], matrix]).tocsc(),
            b_eq=np.zeros(matrix.shape[0]),
            bounds=[(0, None)] * n + [(0, 1)] * n + [(0, None)],
            method=method,
        )
        if result.status == 0:
            support: Bools = result.x[n : 2 * n] > 0.5
            return support if support.any() else None
    raise EngineError(
        f"the linear program that looks for states which the hard arcs allow failed: "
        f"{result.message}. Likely causes: hard arcs that agree up to rounding only, or entries "
        "many orders of magnitude apart; give one of them a finite beta"
    )
