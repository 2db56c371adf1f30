"""The score of a PDG as a convex function of cluster cells, or the reason why it is not one."""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from quincunx._errors import ModelError, NotConvexError
from quincunx.solvers.inference.arrays import Bools, Floats, safe_log, sum_by
from quincunx.solvers.inference.problem import Problem

ROUNDING = 1e-14  # relative; gamma = beta/alpha as a user computes it is off by less


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The score at one gamma: ``linear @ mu - sum_r slope_r H_mu(T|s_r) - gamma H(mu)``.

    Attributes:
        gamma: the trade-off, >= 0.
        linear: float64 [N], nats per unit of mass of each cell.
        slope: float64 [R], ``beta - gamma alpha`` of each row, >= 0; 0 for rows that are hard or
            have one possible target.
    """

    gamma: float
    linear: Floats
    slope: Floats


def objective(problem: Problem, gamma: float) -> Objective:
    """Write the score at ``gamma`` as a convex function.

    ``[[M]]_gamma(mu) = -gamma H(mu) - sum_a beta_a E_mu[log p_a] - sum_a (beta_a - gamma alpha_a)
    H_mu(T_a|S_a)``, row by row: a row that says nothing has beta 0; a hard row has no such term
    but keeps ``gamma alpha mu(s) H(p(.|s))``, which is linear, as is ``gamma`` times the problem's
    potential.

    Raises:
        ModelError: gamma is not a number in [0, inf).
        NotConvexError: ``beta < gamma alpha`` on a row with several possible targets; the message
            names such rows and the largest gamma allowed.

    Reference:
        Richardson, Halpern, De Sa (UAI 2023), Section 3: the score as a sum of convex terms.
    """
    if not (isinstance(gamma, Real) and 0 <= gamma < math.inf):
        raise ModelError(f"gamma must be a number in [0, inf), not {gamma!r}")
    gamma = float(gamma)
    require_convex(problem, gamma, problem.beta < gamma * problem.alpha * (1 - ROUNDING))
    soft = np.isfinite(problem.beta)
    beta = np.where(soft, problem.beta, 0.0)
    slope = np.where(soft & (problem.width > 1), beta - gamma * problem.alpha, 0.0)
    slope[slope <= ROUNDING * beta] = 0.0
    linear = problem.joint.T @ (-beta[problem.row] * safe_log(problem.table))
    linear = linear + gamma * problem.potential
    if gamma > 0 and problem.hard.any():
        rows = np.where(problem.hard, gamma * problem.alpha * row_entropy(problem), 0.0)
        linear = linear + problem.rows.T @ rows
    return Objective(gamma, linear, slope)


def gamma_slopes(problem: Problem) -> tuple[Floats, Floats]:
    """Return how an objective changes with gamma: float64 [N] of linear, float64 [R] of slope."""
    slope = np.where(np.isfinite(problem.beta) & (problem.width > 1), -problem.alpha, 0.0)
    rows = np.where(problem.hard, problem.alpha * row_entropy(problem), 0.0)
    return problem.potential + problem.rows.T @ rows, slope


def row_entropy(problem: Problem) -> Floats:
    """Return float64 [R]: the entropy of each row's table, in nats; 0 where it says nothing."""
    p = np.nan_to_num(problem.table, nan=0.0)
    return sum_by(problem.row, -p * safe_log(p), len(problem.alpha))


def largest_gamma(problem: Problem) -> float:
    """Return the end of the convex regime: the least ``beta/alpha`` over rows with alpha > 0."""
    counts = (problem.alpha > 0) & (problem.width > 1)
    if not counts.any():
        return math.inf
    return float((problem.beta[counts] / problem.alpha[counts]).min())


def require_proper(problem: Problem) -> None:
    """Raise unless the 0+ limit is convex: alpha > 0 only where beta > 0, row by row.

    Raises:
        NotConvexError: some row has alpha > 0 and beta = 0, or says nothing.
    """
    require_convex(problem, None, (problem.alpha > 0) & (problem.beta == 0))


def require_convex(problem: Problem, gamma: float | None, concave: Bools) -> None:
    """Raise, naming rows, if any row with several possible targets is concave."""
    rows = np.nonzero(concave & (problem.width > 1))[0]
    if not len(rows):
        return
    shown = ", ".join(problem.row_name(int(r)) for r in rows[:5])
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    bound = largest_gamma(problem)
    asked = "the limit gamma -> 0+" if gamma is None else f"gamma = {gamma:g}"
    silent = bool((problem.beta[rows] == 0).any())
    why = " (a missing table or row counts as beta = 0)" if silent else ""
    use = "use that" if gamma is None else "use that or less"
    raise NotConvexError(
        f"{asked} is outside the convex regime: beta < gamma * alpha on {len(rows)} row(s): "
        f"{shown}{more}{why}. The largest gamma allowed is {bound:.12g}; {use}, raise beta, or "
        f"lower alpha on these rows{' (alpha = 0 always works)' if silent else ''}. "
        "ConvexConcave() finds local optima at every gamma > 0"
    )
