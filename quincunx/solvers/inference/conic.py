"""Exponential-cone programs over the cluster tree, handed to a general interior-point engine."""

import math
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

from quincunx._errors import ModelError
from quincunx.solvers.inference import clarabel, cvxpy, mosek
from quincunx.solvers.inference.arrays import Floats, Sparse
from quincunx.solvers.inference.certificate import dual_logs
from quincunx.solvers.inference.cone_program import ConePoint, ConeProgram, cone_program
from quincunx.solvers.inference.objective import Objective
from quincunx.solvers.inference.point import Budget, Effort, Point
from quincunx.solvers.inference.problem import Problem

Engine: TypeAlias = Literal["clarabel", "cvxpy", "mosek"]

# An engine's tolerance is a share of the gap asked for, so that certified gaps meet it: at gamma =
# 0 they come out about ten times the engine's tolerance. Beliefs are off by the square root of the
# gap, and a further digit costs one or two iterations, so there is one to spare.
ENGINE_SHARE = {True: 0.01, False: 0.001}  # by whether gamma > 0
CAREFUL_SHARE = {True: 0.1, False: 0.001}  # in a second attempt


@dataclass(frozen=True, slots=True)
class Conic:
    """Exponential-cone programs over the cluster tree, by a general interior-point engine.

    Arguments:
        engine: "clarabel" (a dependency), "cvxpy" or "mosek" (extras of these names).
        cvxpy_solver: with engine "cvxpy", the solver that cvxpy calls, by cvxpy's name for it.

    Reference:
        Richardson, Halpern, De Sa (UAI 2023), Section 4.
    """

    engine: Engine = "clarabel"
    cvxpy_solver: str = "CLARABEL"

    def __post_init__(self) -> None:
        """Check the engine's name."""
        if self.engine not in ("clarabel", "cvxpy", "mosek"):
            raise ModelError(f"engine must be 'clarabel', 'cvxpy' or 'mosek', not {self.engine!r}")


def solve_cones(
    problem: Problem, target: Objective, solver: Conic, budget: Budget, careful: bool = False
) -> Point:
    """Minimise the score at one gamma by one call of the engine.

    Arguments:
        problem: the compiled problem.
        target: the score.
        solver: the engine.
        budget: tolerance and deadline.
        careful: with Clarabel, slower settings that get further where the usual ones stall.
    """
    program = cone_program(
        problem, target.linear, target.slope, target.gamma, problem.hard_equations()
    )
    share = (CAREFUL_SHARE if careful else ENGINE_SHARE)[target.gamma > 0]
    found = run_engine(program, solver, budget, share, careful)
    return Point(
        cells=found.x[: problem.size],
        tables=(dual_logs(program, found, problem, target.slope),),
        multipliers=found.equality_dual[len(problem.mass) :],
        effort=effort_of(found),
    )


def solve_frozen(
    problem: Problem,
    linear: Floats,
    slope: Floats,
    equations: Sparse,
    solver: Conic,
    budget: Budget,
    share: float,
) -> Point:
    """Minimise ``linear @ mu - sum slope H(T|s) - H(mu)`` under further equations.

    Arguments:
        problem: the compiled problem.
        linear: float64 [N].
        slope: float64 [R], >= 0.
        equations: sparse [., N].
        solver: the engine.
        budget: tolerance and deadline.
        share: the engine's tolerance as a share of the budget's.
    """
    program = cone_program(problem, linear, slope, 1.0, equations)
    found = run_engine(program, solver, budget, share)
    return Point(
        cells=found.x[: problem.size],
        tables=(),
        multipliers=found.equality_dual[len(problem.mass) :],
        effort=effort_of(found),
    )


def run_engine(
    program: ConeProgram, solver: Conic, budget: Budget, share: float, careful: bool = False
) -> ConePoint:
    """Hand one cone program to the engine, with this share of the tolerance."""
    accuracy = budget.tolerance * share
    limit = None if math.isinf(budget.deadline) else budget.deadline - time.perf_counter()
    if solver.engine == "clarabel":
        return clarabel.solve(program, accuracy, limit, budget.progress, careful)
    if solver.engine == "cvxpy":
        return cvxpy.solve(program, accuracy, limit, solver.cvxpy_solver)
    return mosek.solve(program, accuracy, limit)


def effort_of(found: ConePoint) -> Effort:
    """Say what an engine did."""
    return Effort(found.iterations, found.seconds, found.word, found.timed_out, found.interrupted)
