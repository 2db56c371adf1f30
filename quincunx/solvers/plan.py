"""What :func:`quincunx.infer` would do: the graph, the tree, the method, before any work."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TypeAlias

import numpy as np

from quincunx._errors import ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.cluster_tree import ClusterTree, cluster_tree
from quincunx.graphs.factor_graph import FactorGraph
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Names, names_of
from quincunx.graphs.variable import State, find_variable
from quincunx.solvers.inference.conic import Conic
from quincunx.solvers.inference.convex_concave import ConvexConcave
from quincunx.solvers.inference.descent import Descent, joint_tree
from quincunx.solvers.inference.difference import concave_arcs
from quincunx.solvers.inference.interior_point import InteriorPoint
from quincunx.solvers.inference.presolve import Reduced, presolve, untouched
from quincunx.solvers.inference.products import Product, as_product
from quincunx.solvers.inference.support import home_of

Model: TypeAlias = PDG | BayesianNetwork | FactorGraph

# A cell in a cone program: measured 8.4 to 9.4 kB at treewidth 2 to 6; large clusters take more.
CELL_BYTES = 10_000
# Cells of a cluster up to which dense elimination is the faster: 3 to 23 times so at 512, and
# Clarabel 3 times so at 1,024, on random graphs of treewidth 8 and 9.
LARGEST_BLOCK = 700
WIDE_ROWS = 60  # beyond, it still is where entries share rows with more cells than a 60th of it
ROW_BYTES = 500  # a cell in the cone of another one's row
BLOCK_BYTES = 8  # a pair of cells of one cluster, in elimination
STATE_BYTES = 1500  # and each cell, its arcs and certificates included
TABLE_BYTES = 24  # a cell's energy, its belief and one temporary
LOGIT_BYTES = 500  # a cell in descent, with the steps that L-BFGS remembers; measured 440
ENTRY_BYTES = 60  # and for each arc over it; measured 55


@dataclass(frozen=True, slots=True)
class SumProduct:
    """Exact message passing on the cluster tree, where the optimum is a product of tables.

    That is so when ``beta = gamma alpha`` on every row, as for Bayesian networks and factor
    graphs, and at every gamma for a PDG whose arcs form a Bayesian network with alpha = 1.
    """


Solver: TypeAlias = SumProduct | InteriorPoint | Conic | ConvexConcave | Descent


@dataclass(frozen=True, slots=True)
class Plan:
    """What :func:`infer` would do, before any of it is done.

    Attributes:
        pdg: the model as a PDG, with what is assumed.
        gamma: the trade-off; None: the limit 0+.
        tree: the cluster tree of the answer.
        solver: the method.
        product: how the optimum is a product of tables, where the solver is :class:`SumProduct`.
        reason: why this method.
        memory: bytes that the solve takes, roughly.
        reduced: what presolve leaves of the graph; all of it where a solver is asked for.
        core: the cluster tree of what is left.
        automatic: whether the method was left to the plan; then an answer that our interior point
            leaves inaccurate, which is rare, is sought by cone programs too.
    """

    pdg: PDG
    gamma: float | None
    tree: ClusterTree
    solver: Solver
    product: Product | None
    reason: str
    memory: int
    reduced: Reduced
    core: ClusterTree
    automatic: bool


def plan(
    model: Model,
    *,
    gamma: float | None = None,
    solver: Solver | None = None,
    assume: Mapping[str, State] | None = None,
    order: Names | None = None,
) -> Plan:
    """Say what :func:`infer` would do with these arguments: tree, method, memory; solve nothing.

    A solver that is asked for gets the graph as it is; otherwise what has a closed form is left out
    of what is solved, and comes back with the answer.

    Raises:
        ModelError: an argument is out of range, a name is unknown, or :class:`SumProduct` was
            asked for where the optimum is no product of the tables.
        TooLargeError: a cluster of more than 64 variables is needed.
    """
    pdg, gamma = _graph(model, gamma, assume)
    if not (solver is None or isinstance(solver, Solver)):
        raise ModelError(
            "solver must be SumProduct(), InteriorPoint(), Conic(), ConvexConcave(), Descent() or "
            f"None, not {solver!r}"
        )
    product = as_product(pdg, gamma)
    if isinstance(solver, SumProduct) and product is None:
        raise ModelError(
            "SumProduct() needs beta = gamma * alpha on every arc, or arcs that form a Bayesian "
            "network with alpha = 1; use InteriorPoint(), or solver=None to have it chosen"
        )
    if not pdg.variables:
        solver = SumProduct()
    automatic = solver is None
    as_it_is = solver is not None or product is not None
    reduced = untouched(pdg, gamma) if as_it_is else presolve(pdg, gamma)
    left = {v.name for v in reduced.pdg.variables}
    core_order = None if order is None else [v for v in names_of(order) if v in left]
    core = cluster_tree(reduced.pdg.variables, reduced.scopes, order=core_order)
    if isinstance(solver, Descent) and solver.over == "joint":
        core = joint_tree(pdg.variables)
    tree = reduced.extended_tree(core, order) if reduced.changed else core
    if solver is None and reduced.removed and not reduced.potentials:
        product = as_product(reduced.pdg, gamma)
        if product and not reduced.pdg.arcs:
            product = replace(product, reason="nothing is left to be optimised")
    concave = concave_arcs(reduced.pdg, gamma) if gamma else ()
    if solver is None:
        convex = convex_method(core, reduced.pdg)
        solver = SumProduct() if product else ConvexConcave(convex=convex) if concave else convex
    if not isinstance(solver, SumProduct):
        product = None
    return Plan(
        pdg=pdg,
        gamma=gamma,
        tree=tree,
        solver=solver,
        product=product,
        reason=product.reason if product else _reason(solver, gamma, concave),
        memory=_memory(core, reduced.pdg, solver) + TABLE_BYTES * sum(tree.sizes),
        reduced=reduced,
        core=core,
        automatic=automatic,
    )


def _graph(
    model: Model, gamma: float | None, assume: Mapping[str, State] | None
) -> tuple[PDG, float | None]:
    """Return the model as a PDG, with what is assumed, and the gamma meant."""
    if gamma is None and not isinstance(model, PDG):
        gamma = 1.0  # at which a network or factor graph is its own optimum
    if gamma is not None:
        # An integer can be finite and still too large for a float.
        if not (isinstance(gamma, Real) and 0 <= gamma <= sys.float_info.max):
            raise ModelError(f"gamma must be a number in [0, inf), or None, not {gamma!r}")
        gamma = float(gamma)
    if not isinstance(model, PDG | BayesianNetwork | FactorGraph):
        raise ModelError(f"a model is a PDG, BayesianNetwork or FactorGraph, not {model!r}")
    if isinstance(model, FactorGraph):
        pdg = model.to_pdg(gamma or 1.0)
    else:
        pdg = model if isinstance(model, PDG) else model.to_pdg()
    if not (assume is None or isinstance(assume, Mapping)):
        raise ModelError(f"assume must be a mapping of names to states, not {assume!r}")
    for name, state in (assume or {}).items():
        variable = find_variable(pdg.variables, name)
        one_hot = np.zeros(len(variable))
        one_hot[variable.index(state)] = 1.0
        pdg += Arc((), variable, one_hot, 0.0, math.inf, f"assume {name}={state}")
    return pdg, gamma


def convex_method(tree: ClusterTree, pdg: PDG) -> InteriorPoint | Conic:
    """Choose between elimination, cubic in a cluster's cells, and Clarabel's sparse algebra.

    The latter suffers from rows that many cells belong to: each of a row's cones holds them all.
    """
    largest = max(tree.sizes, default=1)
    if largest <= LARGEST_BLOCK or _row_cells(tree, pdg) > largest / WIDE_ROWS * sum(tree.sizes):
        return InteriorPoint()
    return Conic()


def _row_cells(tree: ClusterTree, pdg: PDG) -> int:
    """Count for each entry of the arcs' tables the cells of its row, all added up."""
    total = 0
    for arc in pdg.arcs:
        targets = math.prod(len(v) for v in arc.targets)
        total += targets * tree.sizes[home_of(tree, arc)]
    return total


def _reason(solver: Solver, gamma: float | None, concave: Sequence[Arc]) -> str:
    if isinstance(solver, Descent):
        if gamma is None:
            raise ModelError(
                "Descent() needs a gamma, as the limit 0+ is no minimum of one function; give a "
                "small one, such as 1e-8, or use InteriorPoint() for the limit"
            )
        return f"descent on logits over {solver.over}, as asked"
    if not (concave and isinstance(solver, ConvexConcave)):
        return "a convex program over the cluster tree"
    names = ", ".join(arc.name for arc in concave[:3]) + (", ..." if len(concave) > 3 else "")
    return (
        f"gamma exceeds beta/alpha on {names}; that is outside the convex regime, where a local "
        "optimum is sought and called one"
    )


def _memory(tree: ClusterTree, pdg: PDG, solver: Solver) -> int:
    """Estimate what solving takes beside the answer, in bytes."""
    if isinstance(solver, ConvexConcave):
        solver = solver.convex
    cells = sum(tree.sizes)
    if isinstance(solver, SumProduct):
        return 0
    if isinstance(solver, Descent):
        entries = sum(tree.sizes[home_of(tree, arc)] for arc in pdg.arcs)
        return LOGIT_BYTES * cells + ENTRY_BYTES * entries
    if isinstance(solver, InteriorPoint):
        return BLOCK_BYTES * sum(size * size for size in tree.sizes) + STATE_BYTES * cells
    return CELL_BYTES * cells + ROW_BYTES * _row_cells(tree, pdg)
