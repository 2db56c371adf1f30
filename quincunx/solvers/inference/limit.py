"""The limit gamma -> 0+: among the distributions that fit the tables best, the least IDef."""

import math
from dataclasses import dataclass, replace

import numpy as np

from quincunx.solvers.inference.arrays import safe_log
from quincunx.solvers.inference.certificate import conditional_logs, lower_bound, rounding, tilt
from quincunx.solvers.inference.conic import Conic, solve_frozen
from quincunx.solvers.inference.interior_point import SHARES, InteriorPoint, solve_tree
from quincunx.solvers.inference.objective import largest_gamma, objective, row_entropy
from quincunx.solvers.inference.point import Effort
from quincunx.solvers.inference.problem import Problem
from quincunx.solvers.inference.stage import Run, Stage, certify, solve_at

SMALL_GAMMAS = (1e-3, 1e-4, 1e-5)  # tried for the bound on IDef, as shares of the convex regime
FREEZE_SHARE = 0.1  # of the tolerance: frozen equations are off by more than a tighter one asks
LOOSE = 1e-3  # relative distance of that bound from IDef above which one more gamma is solved
LAST_GAMMA = 1e-6  # that gamma, as a share of the regime and the least beta; off by about as much
LEAST_GAMMA = 1e-10  # below, rounding is all there is
SMALL = 1e-3  # a larger share is not small


@dataclass(frozen=True, slots=True, eq=False)
class Limit:
    """The limit's answer: the chosen stage, all programs' efforts, bounds, and which way it came.

    Attributes:
        stage: the beliefs; ``stage.lower`` bounds Inc from below.
        efforts: what each program took.
        idef_lower: certified lower bound on the limit's IDef, nats.
        way: how the beliefs were found.
        gamma_is_small: whether the small gamma used, if any, is small beside every beta.
    """

    stage: Stage
    efforts: list[Effort]
    idef_lower: float
    way: str
    gamma_is_small: bool = True

    @property
    def loose(self) -> bool:
        """Whether IDef is not known to be near the least, so that the beliefs may be off."""
        far = abs(self.stage.idef - self.idef_lower) > LOOSE * (1 + abs(self.stage.idef))
        return far or not self.gamma_is_small


def solve_limit(problem: Problem, run: Run) -> Limit:
    """Find the limit by the method of the run."""
    if isinstance(run.solver, InteriorPoint):
        return _follow(problem, run)
    return _two_stages(problem, run, run.solver)


def _follow(problem: Problem, run: Run) -> Limit:
    """Follow the optimum to gamma = 0 along its tangent at a small gamma.

    The optimum is a smooth function of gamma near 0, so the tangent misses the limit by the order
    of gamma squared. It comes with dual tables that bound Inc; where they leave a gap, Inc is
    minimised too.
    """
    gamma, small = _small_gamma(problem)
    target, no_gamma = objective(problem, gamma), objective(problem, 0.0)
    efforts: list[Effort] = []
    for attempt in range(len(SHARES)):
        point = solve_tree(problem, target, run.budget, attempt=attempt, to_limit=True)
        near = certify(problem, target, point, run.budget)
        efforts.append(near.effort)
        known = near.gap(gamma) <= LOOSE * gamma * (1 + abs(near.idef))
        if known or near.effort.stopped:
            break
    if near.effort.stopped:
        first = certify(problem, no_gamma, point, run.budget)
        return Limit(first, efforts, -math.inf, "stopped on the way")
    if point.limit is None:
        first = solve_at(problem, no_gamma, run)
        efforts.append(first.effort)
    else:
        first = certify(problem, no_gamma, point.limit, run.budget)
        if first.gap(0.0) > run.budget.wanted(first.inc):
            lower = solve_at(problem, no_gamma, run)
            efforts.append(lower.effort)
            first = replace(first, lower=max(first.lower, lower.lower))
            if lower.gap(0.0) < first.gap(0.0) and lower.upper(0.0) < first.upper(0.0):
                first = replace(first, multipliers=lower.multipliers)
    least = min(first.upper(0.0), near.upper(0.0))
    bound = (near.lower - least) / gamma
    best, way = first, f"the tangent at gamma = {gamma:.3g}"
    # On the tangent Inc is lower than where it starts; otherwise it has left the optimum's curve.
    worse = first.inc - near.inc > run.budget.wanted(near.inc)
    if point.limit is None or worse or first.idef - near.idef > LOOSE * (1 + abs(near.idef)):
        best, way = near, f"gamma = {gamma:.3g}"
    best = replace(best, lower=first.lower, multipliers=first.multipliers)
    return Limit(best, efforts, bound, way, small)


def _small_gamma(problem: Problem) -> tuple[float, bool]:
    """Return a gamma near 0, and whether it is small beside every beta and the convex regime."""
    counts = (problem.beta > 0) & (problem.width > 1)
    regime = largest_gamma(problem)
    scale = min(1.0, regime, float(problem.beta[counts].min(initial=1.0)))
    gamma = max(LAST_GAMMA * scale, min(LEAST_GAMMA, 0.5 * regime))
    return gamma, gamma <= SMALL * scale


def _two_stages(problem: Problem, run: Run, solver: Conic) -> Limit:
    """Minimise Inc, then IDef; with a third program where the second is not trusted.

    All minimisers of Inc share the conditionals of arcs with beta > 0, so the second stage
    minimises IDef with these frozen. Where conditionals over-determine the distribution, frozen
    digits that are off by the solver's rounding can pin down what the exact ones leave free; a
    raised Inc or a loose bound on IDef shows it, and then the optimum at a small gamma, which has
    no such trap, is found too. The better of the two by ``Inc + gamma IDef`` is returned, and the
    answer's stats say which it was.

    Reference:
        Richardson, Halpern, De Sa (UAI 2023), Section 4, the program for the 0+ limit.
    """
    first = solve_at(problem, objective(problem, 0.0), run)
    if first.effort.stopped:
        return Limit(first, [first.effort], -math.inf, "the first stage only")
    second = _freeze_and_solve(problem, first, run, solver)
    efforts = [first.effort, second.effort]
    bound = _idef_bound(problem, first, second)
    best, way, small = second, "frozen conditionals", True
    worse = second.inc - first.inc > run.budget.wanted(first.inc)
    loose = worse or second.idef - bound > LOOSE * (1 + abs(second.idef))
    if loose and not second.effort.stopped:
        gamma, small = _small_gamma(problem)
        third = solve_at(problem, objective(problem, gamma), run)
        efforts.append(third.effort)
        least = min(first.upper(0.0), third.upper(0.0))
        bound = max(bound, (third.lower - least) / gamma)
        if third.inc + 10 * gamma * third.idef < second.inc + 10 * gamma * second.idef:
            best, way = third, f"gamma = {gamma:.3g}"
    best = replace(best, lower=first.lower, multipliers=first.multipliers)
    return Limit(best, efforts, bound, way, small)


def _freeze_and_solve(problem: Problem, first: Stage, run: Run, solver: Conic) -> Stage:
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
    linear += problem.potential
    # Hard rows in the form that the objective at gamma > 0 has, so that multipliers carry over.
    linear += problem.rows.T @ np.where(problem.hard, alpha * row_entropy(problem), 0.0)
    slope = np.where(~frozen & (problem.width > 1), np.maximum(-problem.alpha, 0.0), 0.0)
    equations = problem.freeze(frozen, table)
    point = solve_frozen(problem, linear, slope, equations, solver, run.budget, FREEZE_SHARE)
    mu = problem.calibrated(np.nan_to_num(point.cells))
    beliefs = problem.beliefs(mu)
    inc, idef = problem.measure(mu)
    prices = np.zeros(len(problem.row))
    prices[problem.free_entries(frozen)] = point.multipliers
    error = rounding(problem, objective(problem, 0.0), mu)
    error += float(np.abs(first.multipliers) @ np.abs(problem.hard_equations() @ mu))
    log_q = safe_log(table)
    return Stage(point.effort, beliefs, mu, inc, idef, error, -math.inf, log_q, prices)


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
