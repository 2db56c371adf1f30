"""The same cone programs through cvxpy, for any solver that it knows."""

import time
import warnings
from typing import Any

import numpy as np

from quincunx._errors import EngineError, need_extra
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.cone_program import ConePoint, ConeProgram


def solve(
    program: ConeProgram, tolerance: float, time_limit: float | None, solver: str
) -> ConePoint:
    """Solve a cone program with a solver of cvxpy's.

    Arguments:
        program: the program.
        tolerance: passed on where the solver is Clarabel, ECOS or SCS; others use their own.
        time_limit: seconds, passed on where the solver takes one; None: no limit.
        solver: cvxpy's name for the solver, which must know the exponential cone.

    Raises:
        MissingExtraError: cvxpy is not installed.
        EngineError: the solver failed, is not installed, or does not know the exponential cone.

    Reference:
        S. Diamond, S. Boyd, "CVXPY: a Python-embedded modeling language for convex optimization",
        JMLR 17, 2016.
    """
    need_extra("cvxpy", "cvxpy", "Conic(engine='cvxpy')")
    import cvxpy as cp

    start = time.perf_counter()
    x = cp.Variable(len(program.cost))
    rows = program.cones @ x + program.offset
    equal = program.equalities @ x == program.right
    constraints = [equal]
    if program.nonnegative:
        constraints.append(x[: program.nonnegative] >= 0)
    cone = None
    if len(program.offset):
        cone = cp.constraints.ExpCone(rows[0::3], rows[1::3], rows[2::3])
        constraints.append(cone)
    task = cp.Problem(cp.Minimize(program.cost @ x), constraints)
    with warnings.catch_warnings():
        # cvxpy warns of inaccurate solutions; here the certificate says how inaccurate.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        try:
            task.solve(solver=solver, **_options(solver, tolerance, time_limit))
        except cp.error.SolverError as error:
            raise EngineError(
                f"cvxpy's solver {solver!r} did not solve the program: {error}. It must be "
                "installed and know the exponential cone; Conic(engine='clarabel') needs neither"
            ) from error
    stats = task.solver_stats
    n_cones = len(program.offset) // 3
    return ConePoint(
        x=np.zeros(len(program.cost)) if x.value is None else np.asarray(x.value),
        equality_dual=_vector(equal.dual_value, len(program.right)),
        cone_dual=_cone_dual(cone, n_cones),
        timed_out=task.status == "user_limit",
        word=str(task.status),
        iterations=int(stats.num_iters or 0) if stats is not None else 0,
        seconds=time.perf_counter() - start,
    )


def _options(solver: str, tolerance: float, time_limit: float | None) -> dict[str, object]:
    """Translate tolerance and time limit into the solver's own words."""
    words: dict[str, tuple[tuple[str, ...], str]] = {
        "CLARABEL": (("tol_gap_abs", "tol_gap_rel", "tol_feas"), "time_limit"),
        "ECOS": (("abstol", "reltol", "feastol"), ""),
        "SCS": (("eps_abs", "eps_rel"), "time_limit_secs"),
    }
    keys, limit = words.get(solver.upper(), ((), ""))
    options: dict[str, object] = dict.fromkeys(keys, tolerance)
    if limit and time_limit is not None:
        options[limit] = max(time_limit, 1e-3)
    return options


def _vector(value: object, length: int) -> Floats:
    return np.zeros(length) if value is None else np.asarray(value, dtype=np.float64)


def _cone_dual(cone: Any, n_cones: int) -> Floats:
    if cone is None or cone.dual_value is None or any(d is None for d in cone.dual_value):
        return np.zeros((n_cones, 3))
    return np.stack([np.asarray(d, dtype=np.float64) for d in cone.dual_value], axis=1)
