"""All distributions that fit the tables best, as linear constraints: the optima at gamma = 0."""

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.solvers.inference.arrays import Bools, Floats, Sparse
from quincunx.solvers.inference.certificate import lower_bound, normalize_rows, rounding
from quincunx.solvers.inference.conic import Conic
from quincunx.solvers.inference.objective import Objective, objective
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.problem import Problem
from quincunx.solvers.inference.stage import Run, solve_at

CONSISTENT = 1e-8  # Inc, in units of the largest beta, up to which it is worth asking if it is 0
FEASIBILITY = 1e-10  # of the linear programs: how far an equation between probabilities may be off
EMPTY = 1e-4  # price of mass on a cell, in units of the largest beta, from which it can be empty
TOLERANCE = 1e-9  # gap asked for, in these units; conditionals are known to the root of the gap


@dataclass(frozen=True, slots=True, eq=False)
class OptimalFace:
    """The calibrated cells of all minimisers of Inc.

    Attributes:
        kept: bool [N], cells that some minimiser gives mass; the others have none.
        equations: sparse [E, N]; ``equations @ mu = 0``.
        inequalities: sparse [I, N]; ``inequalities @ mu <= 0``.
        slack: by how much the inequalities relax equations, as a probability: the largest one, at
            the masses of the answer.
    """

    kept: Bools
    equations: Sparse
    inequalities: Sparse
    slack: float


def optimal_face(problem: Problem, beliefs: Beliefs) -> OptimalFace:
    """Describe the minimisers of Inc by the conditionals that they share, and by their support.

    If some distribution has every row of every table (within 1e-10), the minimisers are those that
    do, and nothing is relaxed. Else Inc is minimised anew. The certificate of that, tables q and an
    energy E over joint states, says for every distribution mu ``Inc(mu) >= LB + sum_s beta mu(s)
    KL(mu(T|s) || q(T|s)) + E_mu[E] - min E``. Of a minimiser the left side is at most LB plus the
    gap. Hence

    - its ``mu(t|s)`` are within ``sqrt(K / 2)`` of ``q(t|s)``, by Pinsker's inequality, and within
      ``sqrt(2 min(q, 1 - q) K) + 2 K``, where ``K = gap / (beta m)`` and m is the largest mass that
      a minimiser gives s, as all share that row. Half of what the answer gives s stands for m:
      answers of interior-point methods have about the largest support;
    - its mass on a cell times the cell's price, ``E - min E`` at the best joint state there, is at
      most the gap. A cell with a price above 1e-4 and above the answer's mass counts as empty
      (strict complementarity); lower prices can be rounding, on cells that are rare.

    So every minimiser meets ``mu(s,t) >= (q(t|s) - slack) mu(s)``, unless one of these two readings
    of the answer, m and the empty cells, is wrong: numerical work, not a proof.

    Arguments:
        problem: the compiled problem.
        beliefs: an answer at gamma = 0 or in the limit, on any tree of the same variables.

    Reference:
        Y. Ye, "On the finite convergence of interior-point algorithms for linear programming",
        Mathematical Programming 57, 1992 (the optimal face found by strict complementarity).
    """
    finite = problem.beta[np.isfinite(problem.beta)]
    scaled = replace(problem, beta=problem.beta / (float(finite.max(initial=0.0)) or 1.0))
    tree = problem.tree
    tables = [beliefs.marginal(tree.names(c)).values for c in range(len(tree.clusters))]
    answer = problem.calibrated(problem.gather(tables))
    all_rows = problem.freeze((problem.beta > 0) & (problem.width > 1), problem.table)
    if scaled.measure(answer)[0] <= CONSISTENT and _feasible(problem, all_rows):
        everywhere = np.ones(problem.size, dtype=np.bool_)
        return OptimalFace(everywhere, all_rows, sp.csr_array((0, problem.size)), 0.0)
    return _around(scaled, objective(scaled, 0.0))


def _around(problem: Problem, target: Objective) -> OptimalFace:
    """Minimise Inc, and relax the conditionals by what the certificate leaves open."""
    stage = solve_at(problem, target, Run(Conic(), Budget(TOLERANCE)))
    bound = lower_bound(problem, target, stage.log_q, stage.multipliers)
    gap = stage.upper(0.0) - bound + rounding(problem, target, stage.mu)
    soft = target.slope > 0
    log_q = normalize_rows(problem, np.where(soft[problem.row], stage.log_q, 0.0))
    energy = target.linear + problem.joint.T @ (target.slope[problem.row] * log_q)
    energy += problem.hard_equations().T @ stage.multipliers
    price = problem.gather(_excess(problem.tree, problem.split(energy, math.inf)))
    at = np.nonzero(soft[problem.row])[0]
    row, q = problem.row[at], np.exp(log_q[at])
    mass = (problem.rows @ stage.mu)[row]
    with np.errstate(divide="ignore"):
        divergence = gap / (target.slope[row] * mass / 2)
    near = np.sqrt(2 * np.minimum(q, 1 - q) * divergence) + 2 * divergence
    slack = np.minimum(np.minimum(near, np.sqrt(divergence / 2)), 1.0)
    # A row's entries add up to its mass, so that bounds from below bound each from above too.
    factors = sp.dia_array(((q - slack)[None, :], [0]), shape=(len(at),) * 2)
    below = factors @ problem.rows[row] - problem.joint[at]
    return OptimalFace(
        kept=price <= np.maximum(stage.mu, EMPTY),
        equations=problem.hard_equations(),
        inequalities=below.tocsr(),
        slack=float((slack * mass).max(initial=0.0)),
    )


def _feasible(problem: Problem, equations: Sparse) -> bool:
    """Say whether some distribution over the tree satisfies the equations."""
    from scipy.optimize import linprog

    result = linprog(
        np.zeros(problem.size),
        A_eq=sp.vstack([problem.calibration, equations]).tocsc(),
        b_eq=np.concatenate([problem.mass, np.zeros(equations.shape[0])]),
        options={"primal_feasibility_tolerance": FEASIBILITY},
    )
    return bool(result.status == 0)


def _excess(tree: ClusterTree, energies: list[Floats]) -> list[Floats]:
    """Return for each cell how far the least energy of a joint state with it is above the least.

    Arguments:
        tree: the cluster tree.
        energies: for each cluster float64 of shape ``tree.shapes[c]``; +inf excludes.
    """
    tables = list(energies)
    sent: dict[int, Floats] = {}
    for c in reversed(range(len(tables))):
        least = tables[c].reshape(tree.sepset_size(c), -1).min(axis=1)
        sent[c] = np.where(np.isfinite(least), least, 0.0).reshape(-1, 1)
        if tree.parents[c] >= 0:
            above = tables[tree.parents[c]]
            tables[tree.parents[c]] = above + least.reshape(tree.message_shape(c))
    for c, parent in enumerate(tree.parents):
        rows = tables[c].reshape(tree.sepset_size(c), -1) - sent[c]
        if parent >= 0:
            rest = (i for i in range(tables[parent].ndim) if i not in tree.parent_axes[c])
            rows = rows + tables[parent].min(axis=tuple(rest)).reshape(-1, 1)
        tables[c] = rows.reshape(tree.shapes[c])
    return tables
