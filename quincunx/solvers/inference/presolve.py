"""Presolve: a smaller graph with the same answers, by what has a closed form.

Three reductions change neither the least score nor the distribution that attains it. Arcs that say
the same are merged, arcs without effect go (``merging``), and barren leaves, arcs whose targets no
other arc mentions, are solved in closed form (``barren``), again and again, so that of a Bayesian
network with a few contradicting beliefs only the ancestors of what these speak of are left. What
they cost stays behind as potentials, and their targets come back by multiplying conditionals
(``extension``). Zeros in tables and arcs with ``beta = gamma alpha`` need nothing here: the first
leave no cells, the second no cones when the graph is compiled.
"""

import math
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from quincunx.graphs.arc import Arc
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Names
from quincunx.graphs.variable import Variable
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.arrays import Floats
from quincunx.solvers.inference.barren import hard_prices, settle
from quincunx.solvers.inference.extension import extend, extended_tree
from quincunx.solvers.inference.merging import merge_arcs
from quincunx.solvers.inference.problem import Potential


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """A graph reduced for one gamma, and the way back.

    For every distribution mu of the variables left, the least score of the whole graph among the
    distributions with that marginal is ``Inc(mu) + gamma (IDef(mu) + E_mu[potentials] +
    constant)`` with Inc and IDef those of ``pdg``, and :meth:`extend` attains it.

    Attributes:
        whole: the graph that was reduced.
        gamma: the trade-off that it was reduced for; None: the limit 0+.
        pdg: what is left of it.
        potentials: costs over variables that are left, nats of IDef per unit of mass.
        constant: nats of IDef.
        removed: in the order of removal, the optimal conditionals of variables that were left out.
        merged: for each arc made by merging the arcs that it stands for, by its name.
        prices: for each hard arc removed its multipliers, as in :class:`Inference`.
        size: nats of IDef, what the costs' magnitudes add up to, by which rounding is judged.
    """

    whole: PDG
    gamma: float | None
    pdg: PDG
    potentials: tuple[Potential, ...]
    constant: float
    removed: tuple[Arc, ...]
    merged: Mapping[str, tuple[Arc, ...]]
    prices: Mapping[str, Floats]
    size: float

    @property
    def changed(self) -> bool:
        """Whether anything was reduced."""
        return bool(self.removed) or len(self.pdg.arcs) < len(self.whole.arcs)

    @property
    def scopes(self) -> tuple[tuple[Variable, ...], ...]:
        """What a cluster tree for the reduced graph must hold: its arcs' and potentials' scopes."""
        return (*(arc.scope for arc in self.pdg.arcs), *(scope for scope, _ in self.potentials))

    def extended_tree(self, tree: ClusterTree, order: Names | None = None) -> ClusterTree:
        """Return a tree for the whole graph around one for the reduced graph."""
        return extended_tree(tree, self.whole, (arc.scope for arc in self.removed), order)

    def extend(self, beliefs: Beliefs, tree: ClusterTree | None = None) -> Beliefs:
        """Return the best distribution of all variables that has these beliefs as marginal.

        Arguments:
            beliefs: a distribution of the variables left.
            tree: from :meth:`extended_tree` for the beliefs' tree; None: it is built.
        """
        return extend(beliefs, self.removed, tree or self.extended_tree(beliefs.tree))

    def restore(self, answer: Inference, tree: ClusterTree) -> Inference:
        """Turn the answer for the reduced graph into the one for the whole graph.

        The gap stays what it is, but for an allowance for rounding in the costs of what was left
        out. Whether beliefs at gamma = 0 are unique becomes unknown, as clusters can be larger.

        Arguments:
            answer: the answer for ``pdg`` with the potentials.
            tree: from :meth:`extended_tree` for the answer's tree.
        """
        if answer.beliefs is None:
            return replace(answer, pdg=self.whole)
        beliefs = self.extend(answer.beliefs, tree)
        gamma = self.gamma or 0.0
        rounding = 32 * sys.float_info.epsilon * gamma * self.size
        n = len(self.whole.variables)
        part = f"{n - len(self.pdg.variables)} of {n} variables in closed form"
        return replace(
            answer,
            method=f"{answer.method}, {part}" if self.removed else answer.method,
            inconsistency=answer.inconsistency + gamma * self.constant + rounding,
            gap=answer.gap + 2 * rounding,
            beliefs=beliefs,
            idef=self.whole.idef(beliefs),
            idef_lower=answer.idef_lower + self.constant,
            unique=None if self.gamma == 0 else answer.unique,
            pdg=self.whole,
            multipliers=self._multipliers(answer.multipliers),
        )

    def _multipliers(self, found: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return prices by the names of the whole graph: of equal hard arcs the first has all."""
        prices = {**self.prices, **found}
        for name in self.merged.keys() & prices.keys():
            first, *others = self.merged[name]
            price = prices.pop(name)
            for other in others:
                prices[other.name] = np.zeros(other.rows.shape)
            prices[first.name] = price
        return prices


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf:
    """A barren arc solved: its targets' conditional, its cost a source state, and its prices."""

    arc: Arc
    belief: Arc
    cost: Floats  # [source states], nats of IDef
    prices: Floats | None

    @property
    def varies(self) -> bool:
        """Whether the cost depends on the sources."""
        return bool((self.cost != self.cost[0]).any())

    @property
    def potential(self) -> Potential:
        """The cost as a potential over the sources."""
        sources = self.belief.scope[: len(self.belief.sources)]
        return sources, self.cost.reshape([len(v) for v in sources])


def untouched(pdg: PDG, gamma: float | None) -> Reduced:
    """Return a graph as it is, nothing reduced."""
    return Reduced(pdg, gamma, pdg, (), 0.0, (), {}, {}, 0.0)


def presolve(pdg: PDG, gamma: float | None) -> Reduced:
    """Reduce a graph for one gamma; :class:`Reduced` says what stays the same.

    A leaf stays if its targets have a potential together with variables that are not its sources,
    or if ``beta <= gamma (alpha - 1)`` on a row.

    Arguments:
        pdg: the graph.
        gamma: the trade-off, in [0, inf), in the convex regime or not; None: the limit 0+.

    Returns:
        What is left and the way back; ``changed`` says whether that is any less.
    """
    arcs, merged = merge_arcs(pdg.arcs, gamma)
    left = {v.name: v for v in pdg.variables}
    arcs_of: dict[str, list[Arc]] = {name: [] for name in left}
    for arc in arcs:
        for name in arc.source_names + arc.target_names:
            arcs_of[name].append(arc)
    leaves: list[_Leaf] = []
    potentials: list[Potential] = []
    waiting = deque(left)
    while waiting:
        name = waiting.popleft()
        barren = _barren_arc(left[name], arcs_of) if name in left else None
        if barren is None:
            continue
        near = [not set(barren.targets).isdisjoint(scope) for scope, _ in potentials]
        leaf = _solve_leaf(barren, list(compress(potentials, near)), gamma)
        if leaf is None:
            continue
        leaves.append(leaf)
        potentials = [p for p, gone in zip(potentials, near, strict=True) if not gone]
        if leaf.varies:
            potentials.append(leaf.potential)
        for target in barren.target_names:
            del left[target]
        for source in barren.source_names:
            arcs_of[source] = [arc for arc in arcs_of[source] if arc is not barren]
            waiting.append(source)
    return Reduced(
        whole=pdg,
        gamma=gamma,
        pdg=PDG([arc for arc in arcs if left.keys() >= set(arc.target_names)], left.values()),
        potentials=tuple(potentials),
        constant=math.fsum(float(leaf.cost[0]) for leaf in leaves if not leaf.varies),
        removed=tuple(leaf.belief for leaf in leaves),
        merged=merged,
        prices={leaf.arc.name: leaf.prices for leaf in leaves if leaf.prices is not None},
        size=math.fsum(float(np.abs(leaf.cost).max()) for leaf in leaves),
    )


def _barren_arc(variable: Variable, arcs_of: Mapping[str, list[Arc]]) -> Arc | None:
    """Return the only arc that mentions a variable, if nothing else mentions its targets either.

    A variable that no arc mentions is the target of an arc that says nothing.
    """
    arcs = arcs_of[variable.name]
    if not arcs:
        return Arc((), variable, None, 0.0, 0.0)
    leaf = variable in arcs[0].targets and all(len(arcs_of[t]) == 1 for t in arcs[0].target_names)
    return arcs[0] if leaf else None


def _solve_leaf(arc: Arc, potentials: Sequence[Potential], gamma: float | None) -> _Leaf | None:
    """Solve a barren arc whose targets have these potentials; None where it must stay."""
    if not all(set(scope) <= set(arc.scope) for scope, _ in potentials):
        return None
    prices = _spread(potentials, arc.scope).reshape(arc.rows.shape)
    found = settle(arc, prices, gamma)
    if found is None:
        return None
    conditional, cost = found
    shape = [len(v) for v in arc.scope]
    belief = Arc(arc.sources, arc.targets, conditional.reshape(shape), label=arc.label)
    hard = math.isinf(arc.beta) and bool(((arc.rows > 0).sum(axis=1) > 1).any())
    return _Leaf(arc, belief, cost, hard_prices(arc, prices, gamma) if hard else None)


def _spread(potentials: Sequence[Potential], variables: Sequence[Variable]) -> Floats:
    """Add potentials up, as one array with an axis a variable."""
    total = np.zeros([len(v) for v in variables])
    for scope, costs in potentials:
        order = [scope.index(v) for v in variables if v in scope]
        shape = [len(v) if v in scope else 1 for v in variables]
        total += costs.transpose(order).reshape(shape)
    return total
