"""Inference in PDGs as first published: one cvxpy expression a table entry.

Written from the description in the paper and from how its public program is built, so that the two
formulations can be timed on the same solver. The structure is the original's: each marginal is a
stack of sums, one a table entry; each cluster is held to total one; a product with a conditional
table is a stack of scaled entries, one a row; a sepset's marginal is spread over its cluster entry
by entry. Where the original spends time for no reason, this does not: vectors are added by
``cp.sum`` and not by Python's ``sum`` over their entries, and the convex program is solved once
where the original's outer loop solves it again to see that nothing changes.

Reference:
    O. E. Richardson, J. Y. Halpern, C. De Sa, "Inference for Probabilistic Dependency Graphs",
    UAI 2023, Section 4.
"""

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
from cvxpy.constraints.exponential import ExpCone

import quincunx as q


@dataclass(frozen=True, slots=True)
class Original:
    """What the original formulation finds.

    Attributes:
        value: the optimum in nats: Inc at gamma = 0 and in the limit, else the score; None where
            the engine gave up.
        idef: in the limit the optimum of the second program, else None.
        solver_seconds: seconds inside the engine, of all programs.
        statuses: the engine's word on each program.
    """

    value: float | None
    idef: float | None
    solver_seconds: float
    statuses: tuple[str, ...]


class _Program:
    """The parts that all programs share: clusters, sepsets, and each arc's marginals."""

    def __init__(self, pdg: q.PDG, tree: q.ClusterTree) -> None:
        self.pdg = pdg
        self.tree = tree
        self.shapes = [tree.shapes[c] for c in range(len(tree.clusters))]
        self.mu = [cp.Variable(int(np.prod(shape)), nonneg=True) for shape in self.shapes]
        self.constraints: list[Any] = [cp.sum(mu) == 1 for mu in self.mu]
        self.sepset: list[Any] = []
        for c, parent in enumerate(tree.parents):
            shared = tree.parent_axes[c]
            self.sepset.append(self.marginal(c, range(len(shared))) if shared else None)
            if shared:
                self.constraints.append(self.sepset[c] == self.marginal(parent, shared))
        self.homes = []
        self.joint = []
        self.source = []
        for arc in pdg.arcs:
            places = [tree.position[v.name] for v in arc.scope]
            home = tree.home(places)
            axes = [tree.clusters[home].index(v) for v in places]
            self.homes.append(home)
            self.joint.append(self.marginal(home, axes))
            self.source.append(self.marginal(home, axes[: len(arc.sources)]))

    def state(self, c: int, axes: Any) -> Any:
        """Return for each cell of a cluster the number of its state on some axes."""
        axes = list(axes)
        cells = np.unravel_index(np.arange(self.mu[c].size), self.shapes[c])
        if not axes:
            return np.zeros(self.mu[c].size, dtype=int)
        sizes = [self.shapes[c][i] for i in axes]
        return np.ravel_multi_index([cells[i] for i in axes], sizes)

    def marginal(self, c: int, axes: Any) -> Any:
        """Return a marginal of a cluster: an expression for each of its entries, stacked."""
        state = self.state(c, axes)
        return cp.hstack(
            [cp.sum(self.mu[c][np.nonzero(state == i)]) for i in range(int(state.max()) + 1)]
        )

    def times(self, table: Any, a: int) -> Any:
        """Return the joint ``table(t | s) mu(s)`` of an arc: an expression a row, stacked."""
        return cp.hstack([row * self.source[a][i] for i, row in enumerate(table)])

    def above(self, c: int) -> Any:
        """Return the sepset's marginal spread over the cells of its cluster; 1 at a root."""
        if self.sepset[c] is None:
            return np.ones(self.mu[c].size)
        entries = list(self.sepset[c])
        state = self.state(c, range(len(self.tree.parent_axes[c])))
        return cp.hstack([entries[i] for i in state])

    def conditional(self, a: int) -> Any:
        """Return an arc's ``mu(t | s)`` at the point found, as [rows, targets]."""
        joint = np.maximum(self.joint[a].value.reshape(self.pdg.arcs[a].rows.shape), 0)
        mass = joint.sum(axis=1, keepdims=True)
        even = np.full(joint.shape, 1 / joint.shape[1])
        return np.divide(joint, mass, out=even, where=mass > 0)


def solve_original(pdg: q.PDG, tree: q.ClusterTree, gamma: float | None) -> Original:
    """Solve a PDG with tables that have no zeros, at a gamma of the convex regime or at 0+."""
    program = _Program(pdg, tree)
    stages = [_at_gamma(program, gamma) if gamma else _least_inc(program)]
    if gamma is None and stages[0].value is not None:
        stages.append(_least_idef(program))
    stats = [stage.solver_stats for stage in stages]
    return Original(
        value=stages[0].value,
        idef=stages[1].value if len(stages) > 1 else None,
        solver_seconds=sum(s.solve_time for s in stats if s is not None),
        statuses=tuple(stage.status or "failed" for stage in stages),
    )


def _least_inc(program: _Program) -> cp.Problem:
    cost: Any = 0
    constraints = list(program.constraints)
    for a, arc in enumerate(program.pdg.arcs):
        bound = cp.Variable(arc.rows.size)
        constraints.append(ExpCone(-bound, program.joint[a], program.times(arc.rows, a)))
        cost = cost + arc.beta * cp.sum(bound)
    return _solved(cost, constraints)


def _least_idef(program: _Program) -> cp.Problem:
    """Minimise IDef with every arc's conditionals held at those of the point found."""
    constraints = list(program.constraints)
    weights = [np.ones(shape) for shape in program.shapes]
    for a, arc in enumerate(program.pdg.arcs):
        table = program.conditional(a)
        constraints.append(program.joint[a] == program.times(table, a))
        c = program.homes[a]
        members = program.tree.clusters[c]
        axes = [members.index(program.tree.position[v.name]) for v in arc.scope]
        factor = table.reshape([len(v) for v in arc.scope]) ** arc.alpha
        shape = [program.shapes[c][i] if i in axes else 1 for i in range(len(members))]
        weights[c] = weights[c] * factor.transpose(np.argsort(axes)).reshape(shape)
    cost: Any = 0
    for c, mu in enumerate(program.mu):
        bound = cp.Variable(mu.size)
        right = cp.multiply(weights[c].reshape(-1), program.above(c))
        constraints.append(ExpCone(-bound, mu, right))
        cost = cost + cp.sum(bound)
    return _solved(cost, constraints)


def _at_gamma(program: _Program, gamma: float) -> cp.Problem:
    cost: Any = 0
    constraints = list(program.constraints)
    for a, arc in enumerate(program.pdg.arcs):
        bound = cp.Variable(arc.rows.size)
        ones = np.ones(arc.rows.shape)
        constraints.append(ExpCone(-bound, program.joint[a], program.times(ones, a)))
        cost = cost + (arc.beta - gamma * arc.alpha) * cp.sum(bound)
        energy = -np.log(arc.rows.reshape(-1))
        cost = cost + arc.beta * cp.sum(cp.multiply(energy, program.joint[a]))
    for c, mu in enumerate(program.mu):
        bound = cp.Variable(mu.size)
        constraints.append(ExpCone(-bound, mu, program.above(c)))
        cost = cost + gamma * cp.sum(bound)
    return _solved(cost, constraints)


def _solved(cost: Any, constraints: list[Any]) -> cp.Problem:
    """Solve with Clarabel at its usual tolerances, 1e-8 for the gap and for feasibility."""
    problem = cp.Problem(cp.Minimize(cost), constraints)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "may be inaccurate" is kept as the status
        # Where the engine gives up, cvxpy raises, and the problem keeps no value and no status.
        with suppress(cp.error.SolverError):
            problem.solve(solver=cp.CLARABEL)
    return problem
