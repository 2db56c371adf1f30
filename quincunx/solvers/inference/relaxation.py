"""A certified global lower bound on scores that are not convex."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from quincunx.graphs.arc import Arc
from quincunx.graphs.pdg import PDG
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import lower_bound, rounding
from quincunx.solvers.inference.difference import Difference
from quincunx.solvers.inference.objective import Objective, row_entropy
from quincunx.solvers.inference.problem import Problem, compile_problem
from quincunx.solvers.inference.stage import Run, solve_at

NEGLIGIBLE = 1e-12  # a weight that is rounding, as a share of gamma


def global_lower_bound(problem: Problem, score: Difference, run: Run) -> float:
    """Bound the least score from below, over all distributions, beyond the convex regime.

    The concave terms ``weight H(T|S) >= 0`` can be dropped, which leaves a convex score. Before
    that, some are set against the entropy: for arcs in an order in which the sources of each are
    targets of earlier ones, and whose targets are all variables together,

    ``H(X) <= sum_a H(T_a|S_a)``, so ``-gamma H + sum_a w_a H(T_a|S_a) >= -(gamma - m) H
    - sum_a max(m - w_a, 0) H(T_a|S_a)``

    for any m up to gamma, and the right-hand side is convex. With m the least positive weight among
    the arcs nothing is lost on those, and arcs of weight 0, or single variables, fill the gaps.
    This is repeated with the weights that are left, as long as the bound rises.

    Arguments:
        problem: the compiled problem.
        score: its score at one gamma.
        run: method and budget of the convex programs.

    Returns:
        The bound in nats, certified as every lower bound is: by dual tables.

    Reference:
        Our own. The inequality is the chain rule of entropy, with conditions left out.
    """
    wide = _with_single_variables(problem)
    best = -math.inf
    for target in _relaxations(wide, score):
        stage = solve_at(wide, target, run)
        if stage.effort.interrupted:
            raise KeyboardInterrupt
        bound = lower_bound(wide, target, stage.log_q, stage.multipliers)
        bound -= rounding(wide, target, stage.mu)
        if not bound > best:
            break
        best = bound
        if run.budget.spent:
            break
    return best


def _with_single_variables(problem: Problem) -> Problem:
    """Append to the rows one of each variable's own, without confidences."""
    singles = tuple(Arc((), v, None, 1.0, 0.0) for v in problem.tree.variables)
    arcs = problem.arcs + singles
    wide = compile_problem(PDG(arcs, problem.tree.variables), problem.tree)
    more = np.zeros(len(wide.alpha) - len(problem.alpha))
    return replace(
        wide,
        alpha=np.concatenate([problem.alpha, more]),
        beta=np.concatenate([problem.beta, more]),
        potential=problem.potential,
    )


def _relaxations(wide: Problem, score: Difference) -> Iterator[Objective]:
    """Yield convex scores below the score, each with one more cover set against the entropy."""
    more = np.zeros(len(wide.alpha) - len(score.weight))
    weight = np.concatenate([score.weight, more])
    slope = np.concatenate([score.convex.slope, more])
    gamma = score.convex.gamma
    least = NEGLIGIBLE * gamma
    left, spent = _arc_weights(wide, weight), np.zeros(len(wide.arcs))
    while True:
        yield _relaxed(wide, score.convex, gamma, slope - weight, spent[wide.arc])
        cover = _cover(wide, left)
        used = [left[a] for a in cover if left[a] > 0]
        if not used or gamma == 0:
            return
        share = min(gamma, *used)
        spent[cover] += share
        left[cover] = np.maximum(left[cover] - share, 0.0)
        left[left <= least] = 0.0
        gamma = gamma - share if gamma - share > least else 0.0


def _relaxed(
    wide: Problem, convex: Objective, gamma: float, signed: Floats, spent: Floats
) -> Objective:
    """Return the convex score with these shares ``spent`` [R] of the rows' entropies taken out.

    On hard rows these are linear, as their entropies are those of their tables.
    """
    soft = np.isfinite(wide.beta) & (wide.width > 1)
    fixed = wide.rows.T @ np.where(wide.hard, spent * row_entropy(wide), 0.0)
    slope = np.where(soft, np.maximum(signed + spent, 0.0), 0.0)
    return Objective(gamma, convex.linear - fixed, slope)


def _arc_weights(wide: Problem, weight: Floats) -> Floats:
    """Return float64 [arcs]: how much of ``H(T|S)`` an arc's concave rows all have."""
    least = np.full(len(wide.arcs), np.inf)
    counts = wide.width > 1
    np.minimum.at(least, wide.arc[counts], weight[counts])
    return np.where(np.isfinite(least), least, 0.0)


def _cover(wide: Problem, weight: Floats) -> list[int]:
    """Choose arcs that reach every variable, each arc's sources before its targets.

    The heaviest arcs come first, if need be after single variables for their sources. Arcs without
    weight, and then single variables, reach what is left.
    """
    sources = [set(arc.source_names) for arc in wide.arcs]
    targets = [set(arc.target_names) for arc in wide.arcs]
    names = [v.name for v in wide.tree.variables]
    single = dict(zip(names, range(len(wide.arcs) - len(names), len(wide.arcs)), strict=True))
    reached: set[str] = set()
    chosen: list[int] = []
    new = list(range(len(wide.arcs)))
    while new:
        waits = {a: bool(sources[a] - reached) for a in new}
        best = min(new, key=lambda a: (weight[a] == 0, waits[a], -weight[a]))
        chosen += [single[name] for name in sorted(sources[best] - reached)]
        chosen.append(best)
        reached |= sources[best] | targets[best]
        new = [a for a in new if not targets[a] <= reached]
    return chosen
