"""The limit gamma -> 0+: among the distributions that fit the tables best, the least IDef."""

import math
from dataclasses import dataclass, replace

import numpy as np

from quincunx.solvers.inference.arrays import safe_log
from quincunx.solvers.inference.certificate import conditional_logs, lower_bound, rounding, tilt
from quincunx.solvers.inference.cone_program import ConePoint, cone_program
from quincunx.solvers.inference.objective import largest_gamma, objective, row_entropy
from quincunx.solvers.inference.problem import Problem
from quincunx.solvers.inference.stage import Run, Stage, repair, solve_at

SMALL_GAMMAS = (1e-3, 1e-4, 1e-5)  # tried for the bound on IDef, as shares of the convex regime
FREEZE_SHARE = 0.1  # of the tolerance: frozen equations are off by more than a tighter one asks
LOOSE = 1e-3  # relative distance of that bound from IDef above which one more gamma is solved
LAST_GAMMA = 1e-6  # that gamma, likewise a share: its optimum is off by about as much


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """The limit's answer: the chosen stage, all engine points, bounds, and which way it came.

    Attributes:
        stage: the beliefs; ``stage.lower`` bounds Inc from below.
        points: what the engine returned, program by program.
        idef_lower: certified lower bound on the limit's IDef, nats.
        way: "frozen conditionals", or "gamma = ..." for the optimum at a small gamma.
    """

    stage: Stage
    points: list[ConePoint]
    idef_lower: float
    way: str

    @property
    def loose(self) -> bool:
        """Whether IDef is not known to be near the least, so that the beliefs may be off."""
        return abs(self.stage.idef - self.idef_lower) > LOOSE * (1 + abs(self.stage.idef))


def solve_limit(problem: Problem, run: Run) -> Limit:
    """Find the limit in two stages, with a third where the second is not trusted.

    First Inc is minimised. All its minimisers share the conditionals of arcs with beta > 0, so
    the second stage minimises IDef with these frozen. Where conditionals over-determine the
    distribution, frozen digits that are off by the solver's rounding can pin down what the exact
    ones leave free; a raised Inc or a loose bound on IDef shows it, and then the optimum at a small
    gamma, which has no such trap, is found too. The better of the two by ``Inc + gamma IDef`` is
    returned, and the answer's stats say which it was.

    Reference:
        Richardson, Halpern, De Sa (UAI 2023), Section 4, the program for the 0+ limit.
    """
    first = solve_at(problem, objective(problem, 0.0), run)
    if first.point.timed_out:
        return Limit(first, [first.point], -math.inf, "the first stage only")
    second = _freeze_and_solve(problem, first, run)
    points = [first.point, second.point]
    bound = _idef_bound(problem, first, second)
    best, way = second, "frozen conditionals"
    worse = second.inc - first.inc > run.tolerance * (1 + abs(first.inc))
    if worse or second.idef - bound > LOOSE * (1 + abs(second.idef)):
        gamma = LAST_GAMMA * min(1.0, largest_gamma(problem))
        third = solve_at(problem, objective(problem, gamma), run)
        points.append(third.point)
        least = min(first.upper(0.0), third.upper(0.0))
        bound = max(bound, (third.lower - least) / gamma)
        if third.inc + 10 * gamma * third.idef < second.inc + 10 * gamma * second.idef:
            best, way = third, f"gamma = {gamma:.3g}"
    best = replace(best, lower=first.lower, multipliers=first.multipliers)
    return Limit(best, points, bound, way)


def _freeze_and_solve(problem: Problem, first: Stage, run: Run) -> Stage:
    """Minimise IDef over the distributions that share the first stage's conditionals.

    They are frozen as ``mu(s,t) = nu(t|s) mu(s)``, with nu the repaired point's own, so that nu
    stays feasible; cross-multiplied equations would vanish where ``nu(s)`` does.
    """
    frozen = (problem.beta > 0) & (problem.width > 1)
    table = np.exp(conditional_logs(problem, first.mu))
    table = np.where(problem.hard[problem.row], problem.table, table)
    mass = (problem.rows @ first.mu)[problem.row]
    table = np.where(mass > 0, table, np.exp(first.log_q))
    alpha = np.where(frozen, problem.alpha, 0.0)
    soft = np.where(problem.hard, 0.0, alpha)
    linear = problem.joint.T @ (-soft[problem.row] * safe_log(table))
    # Hard rows in the form that the objective at gamma > 0 has, so that multipliers carry over.
    linear += problem.rows.T @ np.where(problem.hard, alpha * row_entropy(problem), 0.0)
    slope = np.where(~frozen & (problem.width > 1), np.maximum(-problem.alpha, 0.0), 0.0)
    program = cone_program(problem, linear, slope, 1.0, problem.freeze(frozen, table))
    point = run.solve(program, FREEZE_SHARE)
    beliefs, mu = repair(problem, point)
    inc, idef = problem.measure(mu)
    multipliers = np.zeros(len(problem.row))
    multipliers[problem.free_entries(frozen)] = point.equality_dual[len(problem.mass) :]
    error = rounding(problem, objective(problem, 0.0), mu)
    error += float(np.abs(first.multipliers) @ np.abs(problem.hard_equations() @ mu))
    return Stage(point, beliefs, mu, inc, idef, error, -math.inf, safe_log(table), multipliers)


def _idef_bound(problem: Problem, first: Stage, second: Stage) -> float:
    """Bound the limit's IDef from below: ``(LB(gamma) - Inc) / gamma``, best of some gammas.

    ``<<M>>_gamma <= Inc* + gamma IDef*`` for every gamma, so any lower bound on the left gives one
    on IDef*.
    """
    best = -math.inf
    inc = first.upper(0.0)
    hard = problem.free_entries(problem.hard)
    for share in SMALL_GAMMAS:
        gamma = share * min(1.0, largest_gamma(problem))
        tilted = tilt(problem, first.log_q, second.multipliers, gamma)
        held = first.multipliers + gamma * second.multipliers[hard]
        target = objective(problem, gamma)
        bound = lower_bound(problem, target, tilted, held) - rounding(problem, target, first.mu)
        best = max(best, (bound - inc) / gamma)
    return best
