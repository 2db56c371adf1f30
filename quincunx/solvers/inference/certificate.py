"""Bounds that hold whatever the solver did: an exact value from above, a dual value from below."""

import math
import sys

import numpy as np

from quincunx.solvers.inference.arrays import Floats, dot, safe_log, sum_by
from quincunx.solvers.inference.cone_program import ConePoint, ConeProgram
from quincunx.solvers.inference.objective import Objective
from quincunx.solvers.inference.problem import Problem

FLOOR = 1e-13  # smallest entry of a dual table; a smaller one can only spoil the minimum


def lower_bound(
    problem: Problem, target: Objective, log_q: Floats, multipliers: Floats | None = None
) -> float:
    """Bound the inconsistency from below by the dual at conditional tables q.

    For any tables ``q_a(T|S)`` and multipliers of the hard arcs,
    ``<<M>>_gamma >= -gamma log sum_w exp(-E(w) / gamma)`` with
    ``E = linear + sum_a slope_a log q_a + multipliers``, and ``min_w E(w)`` at gamma = 0: a
    conditional entropy is at most the cross-entropy with any q (Gibbs' inequality).

    Arguments:
        problem: the compiled problem.
        target: the score bounded.
        log_q: float64 [M], logarithms of q up to a constant a row; they are normalised here.
        multipliers: float64 [E] of :meth:`Problem.hard_equations`; None: zero.

    Returns:
        The bound in nats; -inf where it overflows.
    """
    from quincunx.kernels.tree_messages._numba import least_energy, log_partition

    energy = target.linear.copy()
    used = target.slope[problem.row] > 0
    if used.any():
        q = normalize_rows(problem, np.where(used, log_q, 0.0))
        energy += problem.joint.T @ (target.slope[problem.row] * q)
    if multipliers is not None and len(multipliers):
        energy += problem.hard_equations().T @ multipliers
    if not np.isfinite(energy).all():
        return -math.inf
    if target.gamma == 0:
        return float(least_energy(problem.layout, energy))
    with np.errstate(over="ignore"):
        scaled = energy / target.gamma
    if not np.isfinite(scaled).all():
        return -math.inf
    return float(-target.gamma * log_partition(problem.layout, scaled))


def rounding(problem: Problem, target: Objective, mu: Floats) -> float:
    """Estimate how far evaluating a bound in double precision can be off, in nats.

    Both bounds are sums of terms of the size of confidences times logarithms, added pairwise;
    thirty-two units in the last place a level of addition have been enough on all that was tried.
    """
    mass = problem.rows @ mu
    size = dot(np.abs(target.linear), mu) + dot(target.slope * mass, np.log(problem.width))
    size += target.gamma * sum(math.log(c) for c in problem.tree.sizes)
    levels = math.log2(problem.size + len(problem.table) + 2)
    return 32 * sys.float_info.epsilon * levels * size


def normalize_rows(problem: Problem, log_q: Floats) -> Floats:
    """Shift logarithms so that each row's exponentials, floored at 1e-13, sum to one."""
    n_rows = len(problem.alpha)
    top = np.full(n_rows, -np.inf)
    np.maximum.at(top, problem.row, log_q)
    shifted = log_q - top[problem.row]
    floored = np.maximum(np.exp(shifted), FLOOR)
    sums = sum_by(problem.row, floored, n_rows)
    return np.asarray(np.log(floored / sums[problem.row]))


def conditional_logs(problem: Problem, mu: Floats) -> Floats:
    """Return float64 [M]: ``log mu(t|s)``; 0 where the entry or its row has no mass."""
    joint = problem.joint @ mu
    return safe_log(joint) - safe_log((problem.rows @ mu)[problem.row])


def dual_logs(program: ConeProgram, point: ConePoint, problem: Problem, slope: Floats) -> Floats:
    """Read the dual tables off a cone program's dual point.

    At the optimum the dual of the cone ``(-u, mu(s,t), mu(s))`` with cost ``slope`` on u is
    ``(-slope, -slope (log q + 1), slope q)``, where q is the optimal ``mu(t|s)``, also where
    ``mu(s)`` is zero.

    Returns:
        float64 [M]: log q where the row has a slope, else 0.
    """
    logs = np.zeros(len(problem.row))
    at = program.arc_terms
    weight = slope[problem.row[at]]
    logs[at] = -point.cone_dual[: len(at), 1] / weight - 1.0
    return logs


def tilt(problem: Problem, log_q: Floats, multipliers: Floats, gamma: float) -> Floats:
    """Move the optimal tables at gamma = 0 to first order in gamma.

    Along the optimum, ``d log q(t|s) / d gamma`` at 0+ is ``lambda(s,t) / beta`` up to a constant
    a row, where lambda are the multipliers of the frozen conditionals in the second stage: compare
    the stationarity of the two programs order by order. Dual tables for a small gamma so come
    without another solve.

    Arguments:
        problem: the compiled problem.
        log_q: float64 [M], the optimal tables at gamma = 0.
        multipliers: float64 [M], 0 where no equation froze the entry.
        gamma: the small gamma.
    """
    beta = problem.beta[problem.row]
    moved = np.isfinite(beta) & (beta > 0)
    return log_q + gamma * np.where(moved, multipliers / np.where(moved, beta, 1.0), 0.0)
