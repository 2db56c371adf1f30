"""A score beyond the convex regime, as a convex function and concave entropies to be linearised."""

import math
from dataclasses import dataclass, replace

import numpy as np

from quincunx.graphs.arc import Arc
from quincunx.graphs.pdg import PDG
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.certificate import normalize_rows
from quincunx.solvers.inference.objective import ROUNDING, Objective, objective
from quincunx.solvers.inference.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """The score at one gamma: ``convex(mu) + sum_r weight_r H_mu(T|s_r)``.

    Attributes:
        convex: the convex terms.
        weight: float64 [R], ``gamma alpha - beta`` of each concave row, else 0.
    """

    convex: Objective
    weight: Floats


def difference(problem: Problem, gamma: float) -> Difference:
    """Split the score at ``gamma > 0`` into convex and concave terms, row by row.

    Lowered to ``beta / gamma``, the structural confidence of a concave row takes its entropy out of
    the score; what is left is convex.

    Raises:
        ModelError: gamma is not a number in [0, inf).
    """
    lowered = np.minimum(problem.alpha, problem.beta / gamma)
    soft = np.isfinite(problem.beta) & (problem.width > 1)
    excess = gamma * problem.alpha - np.where(soft, problem.beta, 0.0)
    concave = soft & (excess > ROUNDING * gamma * np.abs(problem.alpha))
    convex = objective(replace(problem, alpha=lowered), gamma)
    return Difference(convex, np.where(concave, excess, 0.0))


def majorizer(problem: Problem, score: Difference, log_q: Floats) -> Objective:
    """Replace each concave entropy by its cross-entropy with a table q, which is linear.

    By Gibbs' inequality the result is nowhere below the score, whatever q is, and it touches the
    score at distributions whose conditionals are q.

    Arguments:
        problem: the compiled problem.
        score: the score.
        log_q: float64 [M], logarithms of positive conditional tables.
    """
    slope = problem.joint.T @ (-score.weight[problem.row] * log_q)
    return replace(score.convex, linear=score.convex.linear + slope)


def floored_logs(problem: Problem, mu: Floats) -> Floats:
    """Return float64 [M]: ``log mu(t|s)``, floored at 1e-13; even in rows without mass.

    The floor keeps the majorizer finite, and touching within 1e-13 of the weights; an entry that
    were left out instead would cost nothing to bring back, and the score could rise.
    """
    return normalize_rows(problem, np.log(np.maximum(problem.joint @ mu, np.finfo(float).tiny)))


def concave_arcs(pdg: PDG, gamma: float) -> tuple[Arc, ...]:
    """Return the arcs on whose rows ``beta < gamma alpha``, as far as their own tables tell.

    Zeros of other arcs can leave such a row with one possible target, or with no mass at all.
    """
    return tuple(arc for arc in pdg.arcs if _is_concave(arc, gamma))


def _is_concave(arc: Arc, gamma: float) -> bool:
    if math.isinf(arc.beta) or arc.alpha <= 0:
        return False
    rows = arc.rows
    silent = np.isnan(rows[:, 0])
    beta = np.where(silent, 0.0, arc.beta)
    excluded = (rows == 0) & (beta > 0)[:, None]
    several = rows.shape[1] - excluded.sum(axis=1) > 1
    return bool((several & (beta < gamma * arc.alpha * (1 - ROUNDING))).any())
