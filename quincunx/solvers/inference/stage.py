"""One convex program over the cluster tree: solved, repaired, bounded from above and below."""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from quincunx.graphs.beliefs import Beliefs
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import (
    conditional_logs,
    lower_bound,
    normalize_rows,
    rounding,
)
from quincunx.solvers.inference.conic import Conic, solve_cones
from quincunx.solvers.inference.interior_point import SHARES, InteriorPoint, solve_tree
from quincunx.solvers.inference.objective import Objective
from quincunx.solvers.inference.point import Budget, Effort, Point
from quincunx.solvers.inference.problem import Problem

ConvexMethod: TypeAlias = Conic | InteriorPoint


@dataclass(frozen=True, slots=True)
class Run:
    """How programs are solved in one call of infer.

    Attributes:
        solver: the method.
        budget: tolerance, deadline, progress.
    """

    solver: ConvexMethod
    budget: Budget


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A solved program: the point, made exact, and what it proves.

    Attributes:
        effort: what the method did.
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

    effort: Effort
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

    def gap(self, gamma: float) -> float:
        """Return the certified gap at ``gamma``, nats."""
        return self.upper(gamma) - self.lower


def solve_at(problem: Problem, target: Objective, run: Run, start: Floats | None = None) -> Stage:
    """Minimise a convex score at one gamma, 0 included, with bounds from above and below.

    Where the certified gap misses the tolerance, the method is asked again: ours for points less
    near to the boundary, Clarabel with slower settings. The answer with the smaller gap is
    returned.

    Arguments:
        problem: the compiled problem.
        target: the score.
        run: method and budget.
        start: float64 [N], positive cells near the optimum to start from, where the method can.
    """
    best: Stage | None = None
    ours = isinstance(run.solver, InteriorPoint)
    for attempt in range(len(SHARES) if ours else 2):
        if isinstance(run.solver, InteriorPoint):
            begin = None if attempt else start
            point = solve_tree(problem, target, run.budget, begin, attempt)
        else:
            point = solve_cones(problem, target, run.solver, run.budget, careful=attempt > 0)
        stage = certify(problem, target, point, run.budget)
        best = stage if best is None else _better(best, stage, target.gamma)
        wanted = run.budget.wanted(best.upper(target.gamma))
        if best.gap(target.gamma) <= wanted or stage.effort.stopped:
            break
        if run.budget.spent:  # another attempt would have been made
            return replace(best, effort=replace(best.effort, timed_out=True))
        if isinstance(run.solver, Conic) and run.solver.engine != "clarabel":
            break
    assert best is not None
    return best


def _better(one: Stage, other: Stage, gamma: float) -> Stage:
    best = min((one, other), key=lambda s: s.gap(gamma))
    effort = replace(
        other.effort,
        iterations=one.effort.iterations + other.effort.iterations,
        seconds=one.effort.seconds + other.effort.seconds,
    )
    return replace(best, effort=effort, lower=max(one.lower, other.lower))


def certify(problem: Problem, target: Objective, point: Point, budget: Budget) -> Stage:
    """Repair a point and bound the score from below.

    The lower bound takes the best of the point's dual tables and, where these leave a gap, of the
    conditionals of the repaired point, which are optimal where both agree.
    """
    mu = problem.calibrated(np.nan_to_num(point.cells))
    inc, idef = problem.measure(mu)
    multipliers = np.nan_to_num(point.multipliers)
    error = rounding(problem, target, mu)
    value = inc + target.gamma * idef + error
    lower, tables = -np.inf, np.zeros(len(problem.row))
    for candidate in (*point.tables, None):
        if candidate is None and value - lower + error <= budget.wanted(value):
            break
        log_q = conditional_logs(problem, mu) if candidate is None else np.nan_to_num(candidate)
        log_q = normalize_rows(problem, log_q)
        bound = lower_bound(problem, target, log_q, multipliers)
        if bound > lower:
            lower, tables = bound, log_q
    lower -= error
    if target.gamma == 0:  # the score is Inc, a sum of divergences, which needs no dual point
        lower = max(lower, 0.0)
    # By convexity, missing equations by r gains at most the multipliers times r.
    missed = float(np.abs(multipliers) @ np.abs(problem.hard_equations() @ mu))
    beliefs = problem.beliefs(mu)
    return Stage(point.effort, beliefs, mu, inc, idef, error + missed, lower, tables, multipliers)
