"""Answers found another way: every joint state enumerated, programs written in cvxpy's own words.

Nothing here uses the library's solvers: a graph is read through its public fields only.
"""

import itertools
import math
import warnings

import numpy as np


def worlds_of(pdg):
    """Return all joint states as an array [worlds, variables] of state positions."""
    return np.array(list(itertools.product(*(range(len(v)) for v in pdg.variables))), dtype=int)


def arc_states(pdg, arc, worlds):
    """Return for each world the numbers of the arc's source state and target state."""
    names = [v.name for v in pdg.variables]
    numbers = []
    for members in (arc.sources, arc.targets):
        number = np.zeros(len(worlds), dtype=int)
        for v in members:
            number = number * len(v) + worlds[:, names.index(v.name)]
        numbers.append(number)
    return numbers


def joint_optimum(pdg, gamma, only_optimal=False):
    """Minimise the score at gamma over joint distributions, written in cvxpy's own words.

    Raises RuntimeError where the solver fails, or with ``only_optimal`` is not sure of itself.

    Returns:
        (value, mu): the least score in nats, and the worlds' masses.
    """
    import cvxpy as cp

    worlds = worlds_of(pdg)
    possible = np.ones(len(worlds), dtype=bool)
    for arc in pdg.arcs:
        if arc.table is not None and arc.beta > 0:
            s, t = arc_states(pdg, arc, worlds)
            possible &= ~(table_rows(arc)[s, t] == 0)
    kept = np.nonzero(possible)[0]
    mu = cp.Variable(len(kept))
    constraints = [cp.sum(mu) == 1, mu >= 0]
    score = -gamma * cp.sum(cp.entr(mu)) if gamma else cp.Constant(0)
    for arc in pdg.arcs:
        table = table_rows(arc)
        n_t = table.shape[1]
        s, t = arc_states(pdg, arc, worlds[kept])
        found, index = np.unique(s * n_t + t, return_inverse=True)
        row = found // n_t
        joint = selector(index, len(found)) @ mu
        source = selector(s, table.shape[0])[row] @ mu
        p = table.ravel()[found]
        says = ~np.isnan(p)
        several = np.bincount(row, minlength=table.shape[0])[row] > 1
        if math.isinf(arc.beta):
            entropy = -np.where(table > 0, table * np.log(np.where(table > 0, table, 1)), 0).sum(1)
            score += gamma * arc.alpha * ((entropy @ selector(s, table.shape[0])) @ mu)
            at = np.nonzero(p < 1)[0]
            if len(at):
                constraints.append(joint[at] == cp.multiply(p[at], source[at]))
            continue
        beta = np.where(says, arc.beta, 0.0)
        score += (-beta * np.log(np.where(says & (p > 0), p, 1.0))) @ joint
        weight = np.where(several, beta - gamma * arc.alpha, 0.0)
        at = np.nonzero(weight > 1e-13)[0]
        if len(at):
            score += weight[at] @ cp.rel_entr(joint[at], source[at])
    problem = cp.Problem(cp.Minimize(score), constraints)
    for tolerance in (1e-10, 1e-9, 1e-8):
        keys = ("tol_gap_abs", "tol_gap_rel", "tol_feas")
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Solution may be inaccurate")
                problem.solve(solver="CLARABEL", **dict.fromkeys(keys, tolerance))
        except cp.SolverError:
            continue
        if problem.status == "optimal":
            break
    if mu.value is None or (only_optimal and problem.status != "optimal"):
        raise RuntimeError(f"the oracle's solver ended with {problem.status}")
    masses = np.zeros(len(worlds))
    masses[kept] = np.maximum(mu.value, 0)
    value = float(problem.value)
    if not math.isfinite(value):  # cvxpy evaluates log of a mass of -1e-17
        value = joint_score(pdg, masses / masses.sum(), gamma)
    return value, masses


def limit_deficiency(pdg, inc, scale):
    """Estimate the least IDef among the Inc-optimal distributions, from small gammas.

    ``(f(gamma) - Inc) / gamma`` rises to it as gamma falls, so the largest of some is nearest. Only
    programs that the solver calls optimal count. Good to about 1e-3.
    """
    slopes = []
    for gamma in (1e-4 * scale, 5e-5 * scale, 2e-5 * scale, 1e-5 * scale):
        try:
            value, _ = joint_optimum(pdg, gamma, only_optimal=True)
        except RuntimeError:
            continue
        slopes.append((value - inc) / gamma)
    return max(slopes)


def selector(index, size):
    """Return the 0/1 matrix [size, len(index)] that sums masses by index."""
    matrix = np.zeros((size, len(index)))
    matrix[index, np.arange(len(index))] = 1.0
    return matrix


def table_rows(arc):
    """Return an arc's table as [source states, target states], NaN where it has none."""
    n_s = math.prod(len(v) for v in arc.sources)
    n_t = math.prod(len(v) for v in arc.targets)
    return np.full((n_s, n_t), np.nan) if arc.table is None else arc.table.reshape(n_s, n_t)


def joint_score(pdg, mu, gamma):
    """Return Inc + gamma IDef of worlds' masses, straight from the definitions, in nats."""
    worlds = worlds_of(pdg)
    mu = np.asarray(mu)
    total = gamma * float(sum(p * math.log(p) for p in mu if p > 0))
    for arc in pdg.arcs:
        s, t = arc_states(pdg, arc, worlds)
        table = table_rows(arc)
        for row in range(table.shape[0]):
            mass = mu[s == row].sum()
            if mass <= 0:
                continue
            p = np.array([mu[(s == row) & (t == k)].sum() for k in range(table.shape[1])]) / mass
            for k in np.nonzero(p)[0]:
                total -= gamma * arc.alpha * mass * p[k] * math.log(p[k])
                if arc.beta > 0 and not math.isinf(arc.beta) and not np.isnan(table[row, k]):
                    q = table[row, k]
                    total += arc.beta * mass * p[k] * math.log(p[k] / q) if q > 0 else math.inf
    return total
