"""One cone program solved, repaired and bounded: the step that every regime is made of."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from quincunx._errors import ModelError
from quincunx.graphs.beliefs import Beliefs
from quincunx.solvers.inference import clarabel, cvxpy, mosek
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import (
    conditional_logs,
    dual_logs,
    lower_bound,
    normalize_rows,
    rounding,
)
from quincunx.solvers.inference.cone_program import ConePoint, ConeProgram, cone_program
from quincunx.solvers.inference.objective import Objective
from quincunx.solvers.inference.problem import Problem

Engine: TypeAlias = Literal["clarabel", "cvxpy", "mosek"]
Progress: TypeAlias = Callable[[str], None]


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


@dataclass(frozen=True, slots=True)
class Run:
    """How programs are solved in one call of infer.

    Attributes:
        solver: the engine.
        tolerance: the certified gap asked for.
        deadline: on the clock of ``time.perf_counter``, in seconds; inf: none.
        progress: called with a line about the work, or None.
    """

    solver: Conic
    tolerance: float
    deadline: float
    progress: Progress | None

    def solve(self, program: ConeProgram, share: float, careful: bool = False) -> ConePoint:
        """Hand one cone program to the engine, with this share of the tolerance."""
        accuracy = self.tolerance * share
        limit = None if math.isinf(self.deadline) else self.deadline - time.perf_counter()
        if self.solver.engine == "clarabel":
            return clarabel.solve(program, accuracy, limit, self.progress, careful)
        if self.solver.engine == "cvxpy":
            return cvxpy.solve(program, accuracy, limit, self.solver.cvxpy_solver)
        return mosek.solve(program, accuracy, limit)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A solved program: the point, its repair, and what they prove.

    Attributes:
        point: what the engine returned.
        beliefs: the point made exactly calibrated.
        mu: float64 [N], the beliefs' cells.
        inc: Inc of the beliefs, nats.
        idef: IDef of the beliefs, nats.
        slack: what to add to the beliefs' score, for rounding and for hard arcs that they miss, to
            make it an upper bound; nats.
        lower: certified lower bound on the program's score, nats.
        log_q: float64 [M], the dual tables that gave it.
        multipliers: float64 [E], the dual values of the program's further equations.
    """

    point: ConePoint
    beliefs: Beliefs
    mu: Floats
    inc: float
    idef: float
    slack: float
    lower: float
    log_q: Floats
    multipliers: Floats

    def upper(self, gamma: float) -> float:
        """Return the upper bound on the least score at ``gamma``, nats."""
        return self.inc + gamma * self.idef + self.slack


def solve_at(problem: Problem, target: Objective, run: Run) -> Stage:
    """Minimise the score at one gamma, 0 included, with bounds from above and below.

    Where the certified gap misses the tolerance, Clarabel is asked once more with slower settings,
    and the answer with the smaller gap is returned.
    """
    program = cone_program(
        problem, target.linear, target.slope, target.gamma, problem.hard_equations()
    )
    point = run.solve(program, ENGINE_SHARE[target.gamma > 0])
    quick = _certify(problem, target, program, point)
    value = quick.upper(target.gamma)
    enough = value - quick.lower <= run.tolerance * (1 + abs(value))
    if enough or quick.point.timed_out or run.solver.engine != "clarabel":
        return quick
    point = run.solve(program, CAREFUL_SHARE[target.gamma > 0], careful=True)
    stages = (quick, _certify(problem, target, program, point))
    best = min(stages, key=lambda s: s.upper(target.gamma) - s.lower)
    total = replace(
        best.point,
        iterations=quick.point.iterations + point.iterations,
        seconds=quick.point.seconds + point.seconds,
        timed_out=point.timed_out,
    )
    return replace(best, point=total, lower=max(s.lower for s in stages))


def _certify(problem: Problem, target: Objective, program: ConeProgram, point: ConePoint) -> Stage:
    """Repair a point and bound the score from below.

    The lower bound takes the better of two sets of dual tables: those that the engine's dual point
    encodes, and the conditionals of the repaired point, which are optimal where both agree.
    """
    beliefs, mu = repair(problem, point)
    inc, idef = problem.measure(mu)
    multipliers = np.nan_to_num(point.equality_dual[len(problem.mass) :])
    candidates = [
        normalize_rows(problem, np.nan_to_num(q))
        for q in (dual_logs(program, point, problem, target.slope), conditional_logs(problem, mu))
    ]
    bounds = [lower_bound(problem, target, q, multipliers) for q in candidates]
    best = int(np.argmax(bounds))
    error = rounding(problem, target, mu)
    lower = bounds[best] - error
    if target.gamma == 0:  # the score is Inc, a sum of divergences, which needs no dual point
        lower = max(lower, 0.0)
    # By convexity, missing equations by r gains at most the multipliers times r.
    missed = float(np.abs(multipliers) @ np.abs(problem.hard_equations() @ mu))
    return Stage(
        point, beliefs, mu, inc, idef, error + missed, lower, candidates[best], multipliers
    )


def repair(problem: Problem, point: ConePoint) -> tuple[Beliefs, Floats]:
    """Make an engine's point an exactly calibrated distribution; return it and its cells."""
    beliefs = problem.calibrate(np.nan_to_num(point.x[: problem.size]))
    return beliefs, problem.gather(beliefs.clusters)
