"""Models of pgmpy both ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import PDG, FactorGraph, Table, Variable
from quincunx._errors import ModelError
from quincunx.graphs.files.pgmpy import from_pgmpy, to_pgmpy
from tests.graphs.files.models import networks, same

pytestmark = pytest.mark.filterwarnings("ignore:::pgmpy", "ignore::DeprecationWarning")
models = pytest.importorskip("pgmpy.models")
discrete = pytest.importorskip("pgmpy.factors.discrete")


@given(networks(states=st.integers(0, 5)))
def test_networks_round_trip(network):
    theirs = to_pgmpy(network)
    assert theirs.check_model()
    ours = from_pgmpy(theirs)
    # pgmpy keeps the nodes in the order in which nodes and edges came, and the tables in ours.
    assert same(type(ours)(ours.arcs, network.variables), network)


def test_parents_keep_their_order():
    cpds = [
        discrete.TabularCPD("a", 2, [[0.1], [0.9]], state_names={"a": ["n", "y"]}),
        discrete.TabularCPD("b", 3, [[0.2], [0.3], [0.5]]),
        discrete.TabularCPD(
            "c",
            2,
            [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]],
            ["a", "b"],
            [2, 3],
            state_names={"a": ["n", "y"], "b": [0, 1, 2], "c": [0, 1]},
        ),
    ]
    theirs = models.DiscreteBayesianNetwork([("a", "c"), ("b", "c")])
    theirs.add_cpds(*cpds)
    arc = from_pgmpy(theirs).arcs[2]
    assert arc.source_names == ("a", "b")
    assert arc.table[1, 2].tolist() == [0.6, 0.4]
    assert arc.sources[0].states == ("n", "y")


def test_factor_graphs_and_markov_networks():
    a, b, c = Variable("a", ["n", "y"]), Variable("b", [0, 1, 2]), Variable("c", [0, 1])
    values = np.arange(6.0).reshape(3, 2)
    model = FactorGraph([Table([b, a], values), Table([a], [4, 9])], [1, 0.5], [a, b, c])
    theirs = to_pgmpy(model)
    assert theirs.check_model()
    ours = from_pgmpy(theirs)
    assert ours.variables == (a, b, c)
    assert ours.factors[0].values.tolist() == values.tolist()
    assert ours.factors[1].values.tolist() == [2, 3]
    assert ours.factors[2].values.tolist() == [1, 1]
    graph = theirs.to_factor_graph()
    assert {f.names for f in from_pgmpy(graph).factors} == {("b", "a"), ("a",), ("c",)}


def test_what_does_not_fit():
    with pytest.raises(ModelError, match="expected a Discrete"):
        from_pgmpy("model")
    with pytest.raises(ModelError, match="PDG"):
        to_pgmpy(PDG())
    with pytest.raises(ModelError, match="without variables"):
        to_pgmpy(FactorGraph([Table([], 1.0)]))
    bare = models.DiscreteBayesianNetwork()
    bare.add_node("a")
    with pytest.raises(ModelError, match="no table of the model has 'a'"):
        from_pgmpy(bare)
    with pytest.raises(ModelError, match="non-empty string"):
        numbered = models.DiscreteBayesianNetwork()
        numbered.add_node(1)
        numbered.add_cpds(discrete.TabularCPD(1, 2, [[0.5], [0.5]]))
        from_pgmpy(numbered)
