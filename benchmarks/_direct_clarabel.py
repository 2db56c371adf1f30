"""Our programs handed to Clarabel as a user would: default settings, tolerances of 1e-8."""

from dataclasses import dataclass, replace
from typing import Any

import clarabel
import numpy as np
import scipy.sparse as sp

from quincunx.solvers.inference.arrays import safe_log
from quincunx.solvers.inference.certificate import conditional_logs
from quincunx.solvers.inference.cone_program import ConeProgram, cone_program
from quincunx.solvers.inference.objective import objective
from quincunx.solvers.inference.problem import Problem

TOLERANCE = 1e-8


@dataclass(frozen=True)
class Direct:
    """What Clarabel found: the cells, its own objective (nats), its word, its iterations."""

    cells: np.ndarray[Any, Any]
    value: float
    status: str
    iterations: int


def solve_directly(problem: Problem, gamma: float | None) -> Direct:
    """Minimise the score at ``gamma``; None: Inc, then IDef with conditionals frozen.

    For alpha = beta = 1 and tables without zeros, as the graphs here have them.
    """
    if gamma is not None:
        target = objective(problem, gamma)
        program = cone_program(
            problem, target.linear, target.slope, target.gamma, problem.hard_equations()
        )
        return _call(program, problem.size)
    first = solve_directly(problem, 0.0)
    mu = problem.calibrated(first.cells)
    table = np.exp(conditional_logs(problem, mu))
    frozen = (problem.beta > 0) & (problem.width > 1)
    alpha = np.where(frozen, problem.alpha, 0.0)
    linear = problem.joint.T @ (-alpha[problem.row] * safe_log(table))
    equations = problem.freeze(frozen, table)
    program = cone_program(problem, linear, np.zeros(len(problem.alpha)), 1.0, equations)
    second = _call(program, problem.size)
    return replace(
        second,
        value=first.value,
        status=f"{first.status}, {second.status}",
        iterations=first.iterations + second.iterations,
    )


def _call(program: ConeProgram, size: int) -> Direct:
    n = len(program.cost)
    blocks, right = [program.equalities], [program.right]
    cones = [clarabel.ZeroConeT(len(program.right))]
    if program.nonnegative:
        blocks.append(-sp.eye_array(program.nonnegative, n, format="csr"))
        right.append(np.zeros(program.nonnegative))
        cones.append(clarabel.NonnegativeConeT(program.nonnegative))
    blocks.append(-program.cones)
    right.append(program.offset)
    cones += [clarabel.ExponentialConeT()] * (len(program.offset) // 3)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = TOLERANCE
    matrix = sp.csc_matrix(sp.vstack(blocks).tocsc())
    solver = clarabel.DefaultSolver(
        sp.csc_matrix((n, n)), program.cost, matrix, np.concatenate(right), cones, settings
    )
    found = solver.solve()
    return Direct(
        np.array(found.x[:size]), float(found.obj_val), str(found.status), int(found.iterations)
    )
