"""Models of pgmpy to ours and back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quincunx._errors import ModelError, need_extra
from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.factor_graph import FactorGraph
from quincunx.graphs.files._text import RowSums
from quincunx.graphs.table import Table
from quincunx.graphs.variable import Variable

if TYPE_CHECKING:
    from pgmpy.models import DiscreteBayesianNetwork, DiscreteMarkovNetwork


def from_pgmpy(model: Any) -> BayesianNetwork | FactorGraph:
    """Turn a model of pgmpy into one of ours.

    Arguments:
        model: a ``DiscreteBayesianNetwork`` with its tables, a ``DiscreteMarkovNetwork`` or a
            ``pgmpy.models.FactorGraph``; its nodes are named by strings.

    Returns:
        A Bayesian network, or a factor graph with weights 1. Rows of conditional tables that miss
        one by at most 1e-2 are rescaled, with a warning where one was off by more than 1e-6.

    Raises:
        ModelError: the model is of another kind, lacks a table, or has names or states that
            Quincunx does not know.
        MissingExtraError: pgmpy is not installed.
    """
    need_extra("pgmpy", "pgmpy", "a model of pgmpy")
    from pgmpy.models import DiscreteBayesianNetwork, DiscreteMarkovNetwork
    from pgmpy.models import FactorGraph as PgmpyFactorGraph

    if isinstance(model, DiscreteBayesianNetwork):
        return _network(model)
    if isinstance(model, DiscreteMarkovNetwork | PgmpyFactorGraph):
        named = _named(model.get_factors())
        nodes = list(model.nodes)
        if isinstance(model, PgmpyFactorGraph):
            # Its nodes are the variables and, as objects or under made-up names, the factors.
            nodes = [n for n in nodes if n in named]
        factors = [
            Table((named[n] for n in f.variables), np.asarray(f.values))
            for f in model.get_factors()
        ]
        return FactorGraph(factors, variables=[_of(named, n) for n in nodes])
    raise ModelError(
        "expected a DiscreteBayesianNetwork, DiscreteMarkovNetwork or FactorGraph of pgmpy, not "
        f"{type(model).__name__}"
    )


def to_pgmpy(
    model: BayesianNetwork | FactorGraph,
) -> "DiscreteBayesianNetwork | DiscreteMarkovNetwork":
    """Turn a model into one of pgmpy.

    Arguments:
        model: a Bayesian network, or a factor graph whose factors all have variables.

    Returns:
        A ``DiscreteBayesianNetwork``, or a ``DiscreteMarkovNetwork`` with the same distribution:
        weights go into the factors as powers, and a variable without a factor gets a constant
        one, which pgmpy asks for.

    Raises:
        ModelError: the model is of another kind, or a factor has no variable.
        MissingExtraError: pgmpy is not installed.
    """
    need_extra("pgmpy", "pgmpy", "a model of pgmpy")
    if isinstance(model, BayesianNetwork):
        return _to_network(model)
    if isinstance(model, FactorGraph):
        return _to_markov(model)
    raise ModelError(
        f"pgmpy has no models like a {type(model).__name__}; give a Bayesian network or a factor "
        "graph"
    )


def _network(model: "DiscreteBayesianNetwork") -> BayesianNetwork:
    named = _named(model.get_cpds())
    sums = RowSums("the model of pgmpy")
    arcs = []
    for cpd in model.get_cpds():
        # pgmpy's tables have the child first; get_evidence() would give the parents backwards.
        child, *parents = (named[name] for name in cpd.variables)
        values = np.moveaxis(np.asarray(cpd.values, np.float64), 0, -1)
        rows = sums.scaled(values.reshape(-1, len(child)), child.name, parents)
        arcs.append(Arc(parents, child, rows.reshape(values.shape)))
    network = BayesianNetwork(arcs, [_of(named, node) for node in model.nodes])
    sums.warn()
    return network


def _named(factors: Any) -> dict[Any, Variable]:
    """Collect the variables of pgmpy's factors or tables by their names there."""
    found: dict[Any, Variable] = {}
    for factor in factors:
        for name in factor.variables:
            variable = Variable(name, factor.state_names[name])
            if found.setdefault(name, variable) != variable:
                raise ModelError(f"two tables of the model give {name!r} different states")
    return found


def _of(named: Mapping[Any, Variable], node: Any) -> Variable:
    if node not in named:
        raise ModelError(f"no table of the model has {node!r}, so its states are unknown")
    return named[node]


def _to_network(model: BayesianNetwork) -> "DiscreteBayesianNetwork":
    from pgmpy.factors.discrete import TabularCPD
    from pgmpy.models import DiscreteBayesianNetwork

    network = DiscreteBayesianNetwork()
    network.add_nodes_from([v.name for v in model.variables])
    for arc in model.arcs:
        *parents, child = arc.scope
        network.add_edges_from([(p.name, child.name) for p in parents])
        network.add_cpds(
            TabularCPD(
                child.name,
                len(child),
                arc.rows.T,
                evidence=[p.name for p in parents] or None,
                evidence_card=[len(p) for p in parents] or None,
                state_names={v.name: list(v.states) for v in arc.scope},
            )
        )
    return network


def _to_markov(model: FactorGraph) -> "DiscreteMarkovNetwork":
    from pgmpy.factors.discrete import DiscreteFactor
    from pgmpy.models import DiscreteMarkovNetwork

    network = DiscreteMarkovNetwork()
    network.add_nodes_from([v.name for v in model.variables])
    tables = [
        Table(t.variables, t.values if w == 1 else t.values**w)
        for t, w in zip(model.factors, model.weights, strict=True)
    ]
    covered = {name for t in tables for name in t.names}
    tables += [Table([v], np.ones(len(v))) for v in model.variables if v.name not in covered]
    for table in tables:
        if not table.variables:
            raise ModelError("pgmpy cannot hold a factor without variables; leave it out")
        names = table.names
        network.add_edges_from((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
        states = {v.name: list(v.states) for v in table.variables}
        shape = [len(v) for v in table.variables]
        network.add_factors(DiscreteFactor(names, shape, table.values, state_names=states))
    return network
