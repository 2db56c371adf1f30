"""Hard arcs as linear equations: which cells can have mass under them, by one linear program."""

import numpy as np
import scipy.sparse as sp

from quincunx.solvers.inference.arrays import Bools, Floats, Sparse


def maximal_support(calibration: Sparse, mass: Floats, equations: Sparse) -> Bools | None:
    """Find the cells that some distribution satisfying all equations gives mass.

    Maximises ``sum(t)`` over ``0 <= t <= 1`` and ``r >= 0`` with ``mu = r + t`` meeting the
    equations up to a free total mass: since feasible masses can be added and scaled, the optimum
    has ``t = 1`` exactly on the cells that can be positive.

    Arguments:
        calibration: sparse [K, N], with ``calibration @ mu = mass``.
        mass: float64 [K].
        equations: sparse [E, N], with ``equations @ mu = 0``.

    Returns:
        bool [N], or None where no distribution satisfies the equations.

    Raises:
        RuntimeError: the linear program solver failed.
    """
    from scipy.optimize import linprog

    n = calibration.shape[1]
    matrix = sp.vstack([calibration, equations])
    column = np.concatenate([-mass, np.zeros(equations.shape[0])]).reshape(-1, 1)
    result = linprog(
        np.concatenate([np.zeros(n), -np.ones(n), [0.0]]),
        A_eq=sp.hstack([matrix, matrix, sp.csr_array(column)]).tocsc(),
        b_eq=np.zeros(matrix.shape[0]),
        bounds=[(0, None)] * n + [(0, 1)] * n + [(0, None)],
        method="highs",
    )
    if result.status != 0:
        raise RuntimeError(f"the linear program for the hard arcs failed: {result.message}")
    support: Bools = result.x[n : 2 * n] > 0.5
    return support if support.any() else None
