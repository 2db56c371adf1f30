"""A PDG compiled to sparse arrays over a cluster tree: what every solver works on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from quincunx._errors import ContradictionError, ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import xlogx
from quincunx.graphs.variable import Variable
from quincunx.kernels.tree_elimination.layout import TreeLayout, tree_layout
from quincunx.solvers.inference.arrays import (
    Bools,
    Floats,
    Ints,
    Sparse,
    compact,
    dot,
    safe_log,
    sum_by,
)
from quincunx.solvers.inference.hard import maximal_support
from quincunx.solvers.inference.sum_product import sum_product
from quincunx.solvers.inference.support import (
    clashing,
    excludes,
    home_of,
    joint_index,
    possible_cells,
)

# Costs over the joint states of some variables: float64, one axis a variable, in nats.
Potential: TypeAlias = tuple[tuple[Variable, ...], Floats]

ROUNDING = 1e-15  # an equation between probabilities that is met as well as can be


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A PDG over a cluster tree, restricted to the cells that can have mass.

    With N cells over all clusters, M cells over all arcs' (source, target) states, R rows over all
    arcs' source states and K sepset rows. Only possible states are counted.

    Attributes:
        pdg: the graph.
        tree: the cluster tree.
        arcs: the arcs that count (alpha or beta not zero).
        masks: for each cluster the possible cells, in the shape of its table.
        offsets: int64 [clusters + 1], where each cluster's cells begin.
        sepset: int64 [N], the sepset row of each cell: one row a sepset state, one a root.
        layout: the same tree for compiled loops.
        calibration: sparse [K, N]; ``calibration @ mu = mass`` says that neighbours agree.
        mass: float64 [K], 1 at the roots' rows, else 0.
        joint: sparse [M, N], the marginals ``mu(s, t)``.
        row: int64 [M], the row of each (s, t).
        target: int64 [M], the joint target state of each (s, t), row-major.
        rows: sparse [R, N], the marginals ``mu(s)``.
        table: float64 [M], ``p(t | s)``, NaN in rows that say nothing.
        arc: int64 [R], the arc of each row, as a position in ``arcs``.
        source: int64 [R], the joint source state of each row, row-major.
        alpha: float64 [R].
        beta: float64 [R]; 0 in rows that say nothing, inf in hard ones.
        width: int64 [R], number of possible targets; a row of width 1 has no entropy.
        potential: float64 [N], what each cell adds to IDef per unit of mass, in nats: the part of
            IDef that a presolve has taken out of the graph.
    """

    pdg: PDG
    tree: ClusterTree
    arcs: tuple[Arc, ...]
    masks: tuple[Bools, ...]
    offsets: Ints
    sepset: Ints
    layout: TreeLayout
    calibration: Sparse
    mass: Floats
    joint: Sparse
    row: Ints
    target: Ints
    rows: Sparse
    table: Floats
    arc: Ints
    source: Ints
    alpha: Floats
    beta: Floats
    width: Ints
    potential: Floats

    @property
    def size(self) -> int:
        """Number of cells N."""
        return int(self.offsets[-1])

    @property
    def hard(self) -> Bools:
        """Bool [R]: rows that are equality constraints (hard, and not settled by zeros alone)."""
        return np.isinf(self.beta) & (self.width > 1)

    def sepset_mass(self, mu: Floats) -> Floats:
        """Return float64 [N]: the mass of each cell's own sepset state, from its own cluster."""
        return sum_by(self.sepset, mu, len(self.mass))[self.sepset]

    def measure(self, mu: Floats) -> tuple[float, float]:
        """Return Inc and IDef of calibrated cells, in nats; hard arcs count as satisfied.

        IDef includes the potential, so that ``Inc + gamma IDef`` is what :func:`objective` writes.
        """
        mu_st = self.joint @ mu
        mu_s = sum_by(self.row, mu_st, len(self.alpha))
        negative_entropy = sum_by(self.row, xlogx(mu_st), len(self.alpha)) - xlogx(mu_s)
        soft = (self.beta > 0) & np.isfinite(self.beta)
        weight = np.where(soft, self.beta, 0.0)
        cross = weight[self.row] * mu_st * np.where(soft[self.row], safe_log(self.table), 0.0)
        inc = dot(weight, negative_entropy) - float(cross.sum())
        tree_entropy = float((mu * safe_log(self.sepset_mass(mu))).sum() - xlogx(mu).sum())
        deficiency = dot(self.potential, mu) - dot(self.alpha, negative_entropy)
        return inc, deficiency - tree_entropy

    def hard_equations(self) -> Sparse:
        """Return sparse [E, N]: ``mu(s,t) - p(t|s) mu(s)`` for the entries of hard rows."""
        if not self.hard.any():
            return sp.csr_array((0, self.size))
        return self.freeze(self.hard, self.table)

    def freeze(self, rows: Bools, table: Floats) -> Sparse:
        """Return sparse [E, N]: ``mu(s,t) - q(t|s) mu(s)`` for the entries of some rows.

        The equations of a row add up to nothing, so each row's last entry is left out.

        Arguments:
            rows: bool [R], which rows.
            table: float64 [M], the conditionals q; those of other rows are not read.
        """
        at = np.nonzero(self.free_entries(rows))[0]
        scale = sp.dia_array((table[at][None, :], [0]), shape=(len(at), len(at)))
        return (self.joint[at] - scale @ self.rows[self.row[at]]).tocsr()

    def free_entries(self, rows: Bools) -> Bools:
        """Return bool [M]: the entries of some rows, without each row's last."""
        return np.asarray(rows[self.row] & (np.diff(self.row, append=-1) == 0))

    def residual(self, mu: Floats) -> float:
        """Return how far cells are from the hard arcs: the largest ``|mu(s,t) - p(t|s) mu(s)|``."""
        at = self.hard[self.row]
        off = (self.joint @ mu)[at] - self.table[at] * (self.rows @ mu)[self.row[at]]
        return float(np.abs(off).max(initial=0.0))

    def split(self, values: Floats, fill: float = 0.0) -> list[Floats]:
        """Spread values over cells [N] into one full table a cluster, ``fill`` elsewhere."""
        tables = []
        offsets = self.offsets.tolist()
        for mask, first, last in zip(self.masks, offsets[:-1], offsets[1:], strict=True):
            if last - first == mask.size:  # nothing is impossible here
                tables.append(values[first:last].reshape(mask.shape).copy())
                continue
            table = np.full(mask.shape, fill)
            table[mask] = values[first:last]
            tables.append(table)
        return tables

    def gather(self, tables: Sequence[Floats]) -> Floats:
        """Collect full cluster tables into one vector over cells [N]; the inverse of split."""
        return _concat([t[m] for t, m in zip(tables, self.masks, strict=True)])

    def calibrated(self, values: Floats) -> Floats:
        """Turn approximate cell masses [N] into those of an exactly calibrated distribution.

        Root clusters are scaled to one; below, each cluster keeps its conditionals given its sepset
        and takes the sepset's mass from its parent. Where a cluster has no mass for a sepset state
        that its parent uses, it spreads evenly over the possible cells.
        """
        from quincunx.kernels.tree_messages._numba import calibrate

        return np.asarray(calibrate(self.layout, np.maximum(values, 0.0)))

    def beliefs(self, mu: Floats) -> Beliefs:
        """Wrap calibrated cells [N] up as beliefs."""
        tables = self.split(mu)
        for table in tables:
            table.setflags(write=False)
        return Beliefs(self.tree, tuple(tables))

    def row_name(self, r: int) -> str:
        """Write a row as ``arc [source=state, ...]``, for messages."""
        arc = self.arcs[int(self.arc[r])]
        variables = arc.scope[: len(arc.sources)]
        if not variables:
            return arc.name
        where = np.unravel_index(int(self.source[r]), [len(v) for v in variables])
        states = (f"{v.name}={v.states[i]}" for v, i in zip(variables, where, strict=True))
        return f"{arc.name} [{', '.join(states)}]"


def compile_problem(pdg: PDG, tree: ClusterTree, potentials: Sequence[Potential] = ()) -> Problem:
    """Compile a PDG over a cluster tree to sparse arrays.

    Arguments:
        pdg: the graph.
        tree: a cluster tree over its variables that holds the variables of each arc and of each
            potential in one cluster.
        potentials: further terms of IDef, linear in the marginals over some variables.

    Returns:
        The problem, with every impossible cell removed.

    Raises:
        ContradictionError: the certainties among the arcs contradict each other; the message names
            arcs of which one must go.
        ModelError: no cluster holds the variables of a potential.
    """
    arcs = tuple(a for a in pdg.arcs if a.beta > 0 or a.alpha != 0)
    problem = _restricted(pdg, tree, arcs)
    if problem is None:
        raise_contradiction(tree, arcs)
    return replace(problem, potential=_cell_costs(problem, potentials))


def _restricted(pdg: PDG, tree: ClusterTree, arcs: tuple[Arc, ...]) -> Problem | None:
    """Assemble the cells that certainties leave possible; None where there are none."""
    masks = possible_cells(tree, arcs)
    if _empty(masks):
        return None
    problem = _assemble(pdg, tree, arcs, masks)
    if not problem.hard.any():
        return problem
    support = _hard_support(problem)
    if support is None or support.all():
        return None if support is None else problem
    left = [m.astype(np.bool_) for m in problem.split(support.astype(np.float64))]
    # Where entries are near the linear program's own rounding, clusters disagree about what is
    # left, and rows lose a target that they need.
    masks = possible_cells(tree, arcs, left)
    return None if _empty(masks) else _assemble(pdg, tree, arcs, masks)


def _cell_costs(problem: Problem, potentials: Sequence[Potential]) -> Floats:
    """Return float64 [N]: the potentials added up over cells, each in its smallest cluster."""
    tree = problem.tree
    total = np.zeros(problem.size)
    for variables, costs in potentials:
        members = [tree.position[v.name] for v in variables]
        c = tree.home(members)
        if c < 0:
            names = ", ".join(v.name for v in variables)
            raise ModelError(
                f"no cluster holds the variables of a potential over {names}; give them as a "
                "scope when the cluster tree is built"
            )
        states = joint_index(tree, c, members)[problem.masks[c]]
        total[problem.offsets[c] : problem.offsets[c + 1]] += costs.ravel()[states]
    return total


def _hard_support(problem: Problem) -> Bools | None:
    """Find the cells that can have mass under the hard arcs; None where nothing can.

    The product of the hard tables says how large each cell is, and often satisfies them all, as
    the tables of a network do: then every cell is possible, and no linear program is needed.
    """
    log_p = np.where(problem.hard[problem.row], safe_log(problem.table), 0.0)
    energies = problem.split(problem.joint.T @ -log_p, math.inf)
    product = problem.gather(sum_product(problem.tree, energies)[0].clusters)
    if not (product > 0).all():  # underflow
        product = np.ones(problem.size)
    equations = problem.hard_equations()
    if np.abs(equations @ product).max(initial=0.0) <= ROUNDING:
        return np.ones(problem.size, dtype=np.bool_)
    # Where several tables say the same, their product has far smaller entries than the masses,
    # and rounding between equations that agree passes for a clash; its root is nearer.
    for scale in (product, np.sqrt(product)):
        support = maximal_support(problem.calibration, problem.mass, equations, scale)
        if support is not None:
            return support
    return None


def _empty(masks: Sequence[Bools]) -> bool:
    return any(not mask.any() for mask in masks)


def raise_contradiction(tree: ClusterTree, arcs: Sequence[Arc]) -> NoReturn:
    """Raise :class:`ContradictionError`, naming a smallest set of arcs that clash."""

    def possible(some: Sequence[Arc]) -> bool:
        return _restricted(PDG(some, tree.variables), tree, tuple(some)) is not None

    blamed = clashing([a for a in arcs if excludes(a) or math.isinf(a.beta)], possible)
    names = ", ".join(a.name for a in blamed)
    raise ContradictionError(
        f"the inconsistency is infinite: the certainties of these arcs cannot all hold: {names}. "
        "A zero in a table with beta > 0 and every entry of an arc with beta = inf are certain; "
        "remove one of these arcs, or replace its certainty by a small probability or a finite beta"
    )


def _assemble(
    pdg: PDG, tree: ClusterTree, arcs: tuple[Arc, ...], masks: Sequence[Bools]
) -> Problem:
    offsets = np.concatenate([[0], np.cumsum([int(m.sum()) for m in masks])]).astype(np.int64)
    sepset, calibration, mass = _calibration(tree, masks, offsets)
    n_cells = int(offsets[-1])
    parts = [_arc_arrays(tree, a, masks, offsets) for a in arcs]
    n_rows = np.concatenate([[0], np.cumsum([len(p.source) for p in parts])]).astype(np.int64)
    n_joint = np.concatenate([[0], np.cumsum([len(p.table) for p in parts])]).astype(np.int64)
    at = _concat([p.joint + n for p, n in zip(parts, n_joint[:-1], strict=True)])
    columns = _concat([p.column for p in parts])
    joint = sp.csr_array((np.ones(len(at)), (at, columns)), shape=(int(n_joint[-1]), n_cells))
    row = _concat([p.row + n for p, n in zip(parts, n_rows[:-1], strict=True)])
    fold = sp.csr_array(
        (np.ones(len(row)), (row, np.arange(len(row)))), shape=(int(n_rows[-1]), len(row))
    )
    arc = np.repeat(np.arange(len(arcs)), [len(p.source) for p in parts])
    says = _concat([p.says for p in parts]).astype(np.bool_)
    beta = np.array([a.beta for a in arcs], dtype=np.float64)[arc]
    return Problem(
        pdg=pdg,
        tree=tree,
        arcs=arcs,
        masks=tuple(masks),
        offsets=offsets,
        sepset=sepset,
        layout=tree_layout(offsets, sepset, np.array(tree.parents, dtype=np.int64), calibration),
        calibration=calibration,
        mass=mass,
        joint=joint,
        row=row,
        target=_concat([p.target for p in parts]),
        rows=(fold @ joint).tocsr(),
        table=_concat([p.table for p in parts]).astype(np.float64),
        arc=arc,
        source=_concat([p.source for p in parts]),
        alpha=np.array([a.alpha for a in arcs], dtype=np.float64)[arc],
        beta=np.where(says, beta, 0.0),
        width=np.bincount(row, minlength=int(n_rows[-1])),
        potential=np.zeros(n_cells),
    )


def _concat(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _ArcArrays:
    joint: Ints  # for each possible cell of the home cluster: its (s, t), numbered within the arc
    column: Ints  # that cell, numbered over all clusters
    row: Ints  # for each (s, t): its row, numbered within the arc
    target: Ints  # for each (s, t): its joint target state
    table: Floats
    source: Ints  # for each row: its joint source state
    says: Bools  # for each row: whether the table says anything there


def _arc_arrays(tree: ClusterTree, arc: Arc, masks: Sequence[Bools], offsets: Ints) -> _ArcArrays:
    c = home_of(tree, arc)
    table = arc.rows
    state = joint_index(tree, c, [tree.position[v.name] for v in arc.scope])[masks[c]]
    possible, joint = compact(state, table.size)
    source, row = compact(possible // table.shape[1], table.shape[0])
    return _ArcArrays(
        joint=joint,
        column=np.arange(offsets[c], offsets[c + 1]),
        row=row,
        target=possible % table.shape[1],
        table=table.ravel()[possible],
        source=source,
        says=~np.isnan(table[source, 0]),
    )


def _calibration(
    tree: ClusterTree, masks: Sequence[Bools], offsets: Ints
) -> tuple[Ints, Sparse, Floats]:
    """Return each cell's sepset row, and the matrix and right side of calibration."""
    sepset: list[Ints] = []
    entries: list[tuple[Ints, Ints, float]] = []
    mass: list[float] = []
    n_rows = 0
    for c, (mask, parent) in enumerate(zip(masks, tree.parents, strict=True)):
        size = tree.sepset_size(c)
        state = np.nonzero(mask.reshape(size, -1))[0]
        possible, local = compact(state, size)
        sepset.append(n_rows + local)
        entries.append((n_rows + local, np.arange(offsets[c], offsets[c + 1]), 1.0))
        if parent >= 0:
            number = np.full(size, -1, dtype=np.int64)
            number[possible] = n_rows + np.arange(len(possible))
            shared = [tree.clusters[parent][i] for i in tree.parent_axes[c]]
            above = number[joint_index(tree, parent, shared)[masks[parent]]]
            entries.append((above, np.arange(offsets[parent], offsets[parent + 1]), -1.0))
        mass.extend([1.0 if parent < 0 else 0.0] * len(possible))
        n_rows += len(possible)
    at = _concat([e[0] for e in entries])
    columns = _concat([e[1] for e in entries])
    signs = _concat([np.full(len(e[0]), e[2]) for e in entries])
    matrix = sp.csr_array((signs, (at, columns)), shape=(n_rows, int(offsets[-1])))
    return _concat(sepset), matrix, np.array(mass)
