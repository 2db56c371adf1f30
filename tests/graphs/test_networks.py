"""Bayesian networks and factor graphs, and the graphs that capture them."""

import copy
import itertools
import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import PDG, Arc, BayesianNetwork, FactorGraph, Table, Variable
from quincunx._errors import ModelError, UnknownNameError
from quincunx.graphs.bayesian_network import network_fault
from quincunx.graphs.files import json
from tests.graphs.files.models import factor_graphs, networks

A = Variable("A", ["n", "y"])
B = Variable("B", ["u", "v", "w"])
C = Variable("C", [0, 1])
HALF = np.full((2, 2), 0.5)
EXACT = 1e-12  # at most 81 worlds: measured 7e-15

SEEDS = st.integers(0, 2**32 - 1)
# No two of them are equal: Python holds 1, 1.0 and True for one.
FINITE = st.one_of(st.text(max_size=3), st.integers(2, 9), st.booleans(), st.floats(0.1, 0.9))


def joint_of(tables, variables):
    """The product of labelled arrays ``(names, values)`` over all variables, by einsum."""
    number = {v.name: i for i, v in enumerate(variables)}
    operands = []
    for names, values in tables:
        operands += [values, [number[n] for n in names]]
    for v in variables:
        operands += [np.ones(len(v)), [number[v.name]]]
    return np.einsum(*operands, list(range(len(variables))))


def divergence(mu, p):
    at = mu > 0
    return math.fsum((mu[at] * np.log(mu[at] / p[at])).tolist())


def random_mu(seed, shape):
    return np.random.default_rng(seed).dirichlet(np.ones(math.prod(shape))).reshape(shape)


def plain_networks():
    return networks(names=st.sampled_from("ABCDEF"), states=st.sampled_from("uvwx"))


def plain_factor_graphs():
    return factor_graphs(names=st.sampled_from("ABCDEF"), states=st.sampled_from("uvwx"))


# Bayesian networks


def test_a_network_with_names():
    network = BayesianNetwork([Arc("A", "C", HALF), Arc([], "A", [0.5, 0.5])], [A, C])
    assert network.variables == (A, C)
    assert network.arcs[0].scope == (A, C)
    assert network.variable("C") is C
    assert BayesianNetwork([]).variables == ()


def test_joint_sources_and_single_states():
    only = Variable("only", ["x"])
    network = BayesianNetwork(
        [Arc([], only, [1]), Arc([], A, [0, 1]), Arc([only, A], C, HALF[None])]
    )
    assert len(network.arcs) == 3


@pytest.mark.parametrize(
    ("arcs", "variables", "words"),
    [
        ([Arc([], [A, C], HALF / 2)], [], r"arc \(A, C\) has 2 targets, not one"),
        ([Arc([], A, [0.5, 0.5])] * 2, [], "'A' is the target of two arcs"),
        ([Arc([], A, None)], [], "the table of 'A' is missing or has an undefined row"),
        ([Arc([], A, [math.nan] * 2)], [], "the table of 'A' is missing or has an undefined"),
        (
            [Arc([], A, [0.5, 0.5]), Arc(A, C, [[math.nan] * 2, [0.5, 0.5]])],
            [],
            "the table of 'C' is missing or has an undefined row",
        ),
        ([Arc([], A, [0.5, 0.5])], [B], "no arc gives 'B' a table"),
        ([Arc(A, C, HALF)], [], "no arc gives 'A' a table"),
    ],
)
def test_what_is_not_a_network(arcs, variables, words):
    with pytest.raises(ModelError, match=f"not a Bayesian network, though a PDG may be: {words}"):
        BayesianNetwork(arcs, variables)
    assert network_fault(PDG(arcs, variables))


def test_cycles_are_named():
    names = "PQRS"
    known = [Variable(n, [0, 1]) for n in names]
    ring = [Arc(known[i - 1], known[i], HALF) for i in range(4)]
    with pytest.raises(ModelError, match="the arcs form the cycle") as caught:
        BayesianNetwork(ring)
    cycle = str(caught.value).rsplit("the cycle ")[1].split(" -> ")
    assert cycle[0] == cycle[-1]
    assert sorted(cycle[:-1]) == list(names)
    edges = {(names[i - 1], names[i]) for i in range(4)}
    steps = set(itertools.pairwise(cycle))
    assert steps in (edges, {(b, a) for a, b in edges})
    with pytest.raises(ModelError, match="'B'"):
        BayesianNetwork([*ring, Arc([], A, [0.5, 0.5])], [B])


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="names 'Z'"):
        BayesianNetwork([Arc("Z", A, HALF)])
    with pytest.raises(UnknownNameError, match=r"no variable 'Z'; there are: A"):
        BayesianNetwork([Arc([], A, [0.5, 0.5])]).variable("Z")


def test_network_fault_of_a_network_is_empty():
    assert network_fault(PDG([Arc([], A, [0.5, 0.5]), Arc(A, B, np.full((2, 3), 1 / 3))])) == ""
    assert network_fault(PDG()) == ""


@given(plain_networks())
def test_the_graph_of_a_network_has_its_arcs(network):
    pdg = network.to_pdg(alpha=0.5, beta=3)
    assert pdg.variables == network.variables
    assert {a.alpha for a in pdg.arcs} == {0.5}
    assert {a.beta for a in pdg.arcs} == {3.0}
    for one, other in zip(pdg.arcs, network.arcs, strict=True):
        assert (one.scope, one.label) == (other.scope, other.label)
        assert one.table.tobytes() == other.table.tobytes()
    assert (
        {a.alpha for a in network.to_pdg().arcs} == {1.0} == {a.beta for a in network.to_pdg().arcs}
    )


@given(plain_networks(), SEEDS, st.sampled_from([0.25, 1.0, 4.0]))
def test_the_graph_of_a_network_measures_divergence_from_it(network, seed, gamma):
    """With alpha = 1 and beta = gamma the score of any mu is ``gamma KL(mu || network)``."""
    tables = [(a.source_names + a.target_names, a.table) for a in network.arcs]
    p = joint_of(tables, network.variables)
    assert p.sum() == pytest.approx(1, rel=0, abs=EXACT)
    pdg = network.to_pdg(beta=gamma)
    own = Table(network.variables, p)
    assert pdg.inc(own) == pytest.approx(0, abs=EXACT)
    assert pdg.idef(own) == pytest.approx(0, abs=EXACT)
    mu = random_mu(seed, p.shape) * (p > 0)
    mu /= mu.sum()
    expected = gamma * divergence(mu, p)
    found = pdg.score(Table(network.variables, mu), gamma)
    assert found == pytest.approx(expected, rel=1e-12, abs=EXACT)


@given(networks(states=FINITE))
def test_networks_are_equal_by_their_parts(network):
    assert json.loads(json.dumps(network)) == network
    assert pickle.loads(pickle.dumps(network)) == network
    other = copy.deepcopy(network)
    assert other == network
    assert hash(other) == hash(network)
    assert network != network.to_pdg()


def test_a_network_is_frozen():
    network = BayesianNetwork([Arc([], A, [0.5, 0.5])])
    with pytest.raises(FrozenInstanceError):
        network.arcs = ()
    with pytest.raises(ValueError, match="read-only"):
        network.arcs[0].table[0] = 1
    assert isinstance(network.arcs, tuple)


# Factor graphs


def test_weights_default_to_one_and_variables_come_first():
    graph = FactorGraph([Table([C, A], HALF)], variables=[B])
    assert graph.weights == (1.0,)
    assert graph.variables == (B, C, A)
    assert graph.variable("A") is A
    assert FactorGraph([]).to_pdg() == PDG()
    assert FactorGraph([], variables=[A]).to_pdg() == PDG([], [A])


@pytest.mark.parametrize("weights", [[], [1], [1, 2, 3]])
def test_a_weight_a_factor(weights):
    with pytest.raises(ModelError, match=f"2 factors need as many weights; got {len(weights)}"):
        FactorGraph([Table([A], [1, 2])] * 2, weights)


@pytest.mark.parametrize("weight", [-1.0, -1e-300, math.nan, math.inf, -math.inf])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(
        ModelError, match=r"over \('A',\) has weight .*; weights are >= 0"
    ) as caught:
        FactorGraph([Table([A], [1, 2])], [weight])
    assert str(weight) in str(caught.value)


@pytest.mark.parametrize(("values", "total"), [([0, 0], "0.0"), ([math.inf, 1], "inf")])
def test_factors_are_neither_zero_nor_infinite(values, total):
    with pytest.raises(ModelError, match=rf"the factor over \('A',\) .*{total}"):
        FactorGraph([Table([B], [1, 2, 3]), Table([A], values)])


def test_factors_that_disagree_about_a_variable():
    with pytest.raises(ModelError, match=r"'A' appears with states .* and with states"):
        FactorGraph([Table([A], [1, 2]), Table([Variable("A", ["x"])], [1])])
    with pytest.raises(UnknownNameError, match=r"no variable 'Z'; there are: A"):
        FactorGraph([Table([A], [1, 2])]).variable("Z")


def test_confidences_of_the_graph():
    graph = FactorGraph([Table([A, C], [[1, 2], [3, 4]]), Table([A], [1, 0])], [0.5, 0])
    first, second = graph.to_pdg(gamma=4).arcs
    assert (first.alpha, first.beta) == (0.5, 2.0)
    assert (second.alpha, second.beta) == (0.0, 0.0)
    assert first.sources == ()
    assert first.targets == (A, C)
    assert first.table.tolist() == [[0.1, 0.2], [0.3, 0.4]]


def test_a_constant_factor_has_no_arc():
    graph = FactorGraph([Table((), 5.0), Table([A], [1, 3])])
    assert [a.target_names for a in graph.to_pdg().arcs] == [("A",)]
    assert graph.variables == (A,)


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e300])
def test_the_scale_of_a_factor_is_not_in_its_arc(scale):
    values = np.array([1.0, 2.0, 5.0])
    (arc,) = FactorGraph([Table([B], scale * values)]).to_pdg().arcs
    np.testing.assert_allclose(arc.table, values / 8, rtol=1e-15)


@given(plain_factor_graphs(), SEEDS, st.sampled_from([0.25, 1.0, 4.0]))
def test_the_score_is_the_free_energy(graph, seed, gamma):
    """``score = gamma (KL(mu || Pr) - log Z + sum theta log sum phi)``, for any mu."""
    weights = [min(w, 3.0) for w in graph.weights]
    graph = FactorGraph(graph.factors, weights, graph.variables)
    shape = [len(v) for v in graph.variables]
    used = [(t, w) for t, w in zip(graph.factors, weights, strict=True) if t.variables]
    product = joint_of([(t.names, t.values**w) for t, w in used], graph.variables)
    z = math.fsum(product.ravel().tolist())
    constant = sum((w * math.log(t.values.sum()) for t, w in used), -math.log(z))
    pdg = graph.to_pdg(gamma)
    p = product / z
    best = pdg.score(Table(graph.variables, p), gamma)
    # Logs of entries up to 1e9 to the third, weighted by at most 4: measured 6e-13.
    assert best == pytest.approx(gamma * constant, rel=1e-12, abs=1e-11)
    mu = random_mu(seed, shape)
    expected = gamma * (constant + divergence(mu, p))
    found = pdg.score(Table(graph.variables, mu), gamma)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-11)
    assert found >= best - 1e-11


def test_zeros_of_a_factor_are_zeros_of_its_graph():
    graph = FactorGraph([Table([A], [1, 0]), Table([A, C], [[1, 2], [3, 4]])])
    pdg = graph.to_pdg()
    assert pdg.inc(Table([A, C], [[0.5, 0.25], [0.25, 0]])) == math.inf
    own = Table([A, C], [[1 / 3, 2 / 3], [0, 0]])
    assert pdg.score(own, 1) == pytest.approx(-math.log(3) + math.log(10), rel=0, abs=EXACT)


def test_a_negative_gamma_has_no_graph():
    with pytest.raises(ModelError, match=r"beta must be in \[0, inf\], not -1"):
        FactorGraph([Table([A], [1, 2])]).to_pdg(-1)


def test_a_factor_graph_is_frozen():
    graph = FactorGraph([Table([A], [1, 2])], [1])
    with pytest.raises(FrozenInstanceError):
        graph.weights = ()
    with pytest.raises(ValueError, match="read-only"):
        graph.factors[0].values[0] = 1
    assert isinstance(graph.factors, tuple)
    assert isinstance(graph.weights, tuple)


@given(factor_graphs(states=FINITE))
def test_a_factor_graph_comes_back_from_json(graph):
    other = json.loads(json.dumps(graph))
    assert (other.variables, other.weights) == (graph.variables, graph.weights)
    for one, two in zip(graph.factors, other.factors, strict=True):
        assert one.variables == two.variables
        assert one.values.tobytes() == two.values.tobytes()


def test_html_escapes_names():
    odd = Variable("<b>x", ["0", "1"])
    for model in (
        BayesianNetwork([Arc([], odd, [0.5, 0.5], label="<script>")]),
        FactorGraph([Table([odd], [1, 2])]),
    ):
        shown = model._repr_html_()
        assert "<b>" not in shown
        assert "<script>" not in shown
        assert "&lt;b&gt;x" in shown


# Faults found


def test_factor_graphs_are_equal_by_their_parts():
    assert FactorGraph([Table([A], [1, 2])]) == FactorGraph([Table([A], [1, 2])])


def test_a_zero_factor_is_refused_with_what_is_wanted():
    with pytest.raises(ModelError, match=r"sums to 0.*(must|not zero|give|needs)"):
        FactorGraph([Table([A], [0, 0])])


def test_a_factor_whose_sum_overflows():
    with pytest.raises(ModelError, match="inf"):
        FactorGraph([Table([A], [1e308, 1e308])])


@pytest.mark.parametrize("factor", [[1, 2], None, Arc([], A, [0.5, 0.5])])
def test_factors_are_tables(factor):
    with pytest.raises(ModelError):
        FactorGraph([factor])


@pytest.mark.parametrize("weight", ["x", None])
def test_weights_are_numbers(weight):
    with pytest.raises(ModelError):
        FactorGraph([Table([A], [1, 2])], [weight])
