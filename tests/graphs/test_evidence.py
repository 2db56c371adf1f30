"""Uncertain evidence and interventions, against Jeffrey's, Pearl's and Bayes' rules enumerated."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx import Arc, BayesianNetwork, Variable, infer, soft_evidence, virtual_evidence
from quincunx._errors import ModelError, UnknownNameError
from tests.problems import random_pdg

A = Variable("A", ["n", "y"])
B = Variable("B", ["u", "v", "w"])
C = Variable("C", [0, 1])
D = Variable("D", ["lo", "hi"])
NAMES = ["A", "B", "C", "D"]
# Programs end with gaps near 1e-11; at gamma = 1 that bounds the error of beliefs by 2e-6.
# Measured 4e-7.
CLOSE = 1e-5


def diamond(seed):
    """A network A -> B, A -> C, (B, C) -> D, and its joint distribution."""
    rng = np.random.default_rng(seed)

    def rows(*shape):
        return rng.dirichlet(np.ones(shape[-1]) * 2, size=shape[:-1])

    tables = [rows(2), rows(2, 3), rows(2, 2), rows(3, 2, 2)]
    network = BayesianNetwork(
        [
            Arc([], A, tables[0]),
            Arc(A, B, tables[1]),
            Arc(A, C, tables[2]),
            Arc([B, C], D, tables[3]),
        ]
    )
    return network, np.einsum("a,ab,ac,bcd->abcd", *tables)


def jeffrey(joint, axis, new):
    """``p(rest | x) new(x)`` for the variable on an axis."""
    shape = [-1 if i == axis else 1 for i in range(joint.ndim)]
    old = joint.sum(axis=tuple(i for i in range(joint.ndim) if i != axis))
    return joint * (np.asarray(new) / old).reshape(shape)


def geometric(p, other, weight):
    mixed = p ** (1 - weight) * np.asarray(other) ** weight
    return mixed / mixed.sum()


def marginal(joint, axis):
    return joint.sum(axis=tuple(i for i in range(joint.ndim) if i != axis))


def joint_of(answer):
    return answer.query(NAMES).values


CASES = [(A, [0.8, 0.2]), (B, [0.2, 0.3, 0.5]), (C, [0.9, 0.1]), (D, [0.05, 0.95]), (D, [1, 0])]


@pytest.mark.parametrize(("variable", "new"), CASES, ids=lambda x: getattr(x, "name", str(x)))
@pytest.mark.parametrize("gamma", [1.0, 0.4])
def test_jeffreys_rule_where_beta_is_gamma(variable, new, gamma):
    network, joint = diamond(0)
    answer = infer(network.to_pdg(beta=gamma) + soft_evidence(variable, new), gamma=gamma)
    axis = NAMES.index(variable.name)
    np.testing.assert_allclose(joint_of(answer), jeffrey(joint, axis, new), rtol=0, atol=CLOSE)
    old = marginal(joint, axis)
    divergence = sum(n * math.log(n / o) for n, o in zip(new, old, strict=True) if n > 0)
    assert answer.inconsistency == pytest.approx(gamma * divergence, abs=1e-8)


@pytest.mark.parametrize("confidence", [0.0, 0.3, 1.0, 8.0])
@pytest.mark.parametrize("gamma", [1.0, 0.4])
def test_confidence_mixes_old_and_new_geometrically(confidence, gamma):
    network, joint = diamond(1)
    new = [0.2, 0.3, 0.5]
    evidence = soft_evidence(B, new, confidence=confidence)
    answer = infer(network.to_pdg(beta=gamma) + evidence, gamma=gamma)
    mixed = geometric(marginal(joint, 1), new, confidence / (confidence + gamma))
    np.testing.assert_allclose(joint_of(answer), jeffrey(joint, 1, mixed), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("gamma", [None, 0.1, 0.7])
def test_a_variable_without_parents_follows_the_rule_at_every_gamma(gamma):
    network, joint = diamond(2)
    new = [0.8, 0.2]
    answer = infer(network.to_pdg() + soft_evidence(A, new), gamma=gamma)
    np.testing.assert_allclose(joint_of(answer), jeffrey(joint, 0, new), rtol=0, atol=CLOSE)
    answer = infer(network.to_pdg(beta=2) + soft_evidence(A, new, confidence=3), gamma=gamma)
    mixed = geometric(marginal(joint, 0), new, 3 / 5)
    np.testing.assert_allclose(joint_of(answer), jeffrey(joint, 0, mixed), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("gamma", [None, 0.3])
def test_a_variable_with_parents_does_not(gamma):
    """So that the condition beta = gamma in the theorem is not for nothing."""
    network, joint = diamond(0)
    answer = infer(network.to_pdg() + soft_evidence(D, [0.05, 0.95]), gamma=gamma)
    assert np.abs(joint_of(answer) - jeffrey(joint, 3, [0.05, 0.95])).max() > 1e-3


@pytest.mark.parametrize("seed", [1, 3])
def test_jeffreys_rule_on_an_answer(seed):
    pdg = random_pdg(seed, most_worlds=100, extras=False)
    earlier = infer(pdg, gamma=0.5)
    names = [v.name for v in pdg.variables]
    joint = earlier.query(names).values
    new = np.random.default_rng(seed).dirichlet(np.ones(len(pdg.variables[1])))
    answer = infer(earlier.beliefs.to_pdg() + soft_evidence(names[1], new), gamma=1)
    expected = jeffrey(joint, 1, new)
    np.testing.assert_allclose(answer.query(names).values, expected, rtol=0, atol=CLOSE)


def test_two_variables_at_once_and_two_rules_in_a_row():
    network, joint = diamond(3)
    new = np.array([[0.1, 0.2], [0.3, 0.1], [0.2, 0.1]])
    answer = infer(network.to_pdg() + soft_evidence([B, C], new), gamma=1)
    expected = joint * (new / joint.sum(axis=(0, 3)))[None, :, :, None]
    np.testing.assert_allclose(joint_of(answer), expected, rtol=0, atol=CLOSE)
    first = infer(network.to_pdg() + soft_evidence(A, [0.3, 0.7]), gamma=1)
    second = infer(first.beliefs.to_pdg() + soft_evidence(D, [0.6, 0.4]), gamma=1)
    expected = jeffrey(jeffrey(joint, 0, [0.3, 0.7]), 3, [0.6, 0.4])
    np.testing.assert_allclose(joint_of(second), expected, rtol=0, atol=CLOSE)
    together = network.to_pdg() + soft_evidence(A, [0.3, 0.7]) + soft_evidence(D, [0.6, 0.4])
    both = infer(together, gamma=1)
    np.testing.assert_allclose(both.query("A").values, [0.3, 0.7], atol=1e-7)
    np.testing.assert_allclose(both.query("D").values, [0.6, 0.4], atol=1e-7)


@pytest.mark.parametrize("gamma", [1.0, 0.4])
def test_virtual_evidence_is_bayes_rule(gamma):
    network, joint = diamond(4)
    pairs = [(B, [3.0, 0.5, 1.0]), (D, [0.0, 7.0])]
    pdg = network.to_pdg(beta=gamma)
    for variable, likelihoods in pairs:
        pdg += virtual_evidence(variable, likelihoods, gamma=gamma)
    answer = infer(pdg, gamma=gamma)
    weights = joint * np.array([3.0, 0.5, 1.0])[None, :, None, None] / 4.5 * np.array([0.0, 1.0])
    np.testing.assert_allclose(joint_of(answer), weights / weights.sum(), rtol=0, atol=1e-12)
    assert answer.inconsistency == pytest.approx(-gamma * math.log(weights.sum()), abs=1e-12)
    assert answer.method.startswith("sum-product")


def test_virtual_evidence_on_a_factor_graph_and_on_several_variables():
    rng = np.random.default_rng(0)
    phi = [rng.random((2, 3)), rng.random((3, 2))]
    graph = q.FactorGraph([q.Table([A, B], phi[0]), q.Table([B, C], phi[1])], [1.0, 0.5])
    likelihoods = rng.random((2, 2)) * 5
    answer = infer(graph.to_pdg(1.0) + virtual_evidence([A, C], likelihoods), gamma=1)
    joint = np.einsum("ab,bc,ac->abc", phi[0], phi[1] ** 0.5, likelihoods)
    found = answer.query(["A", "B", "C"]).values
    np.testing.assert_allclose(found, joint / joint.sum(), rtol=0, atol=1e-12)


def test_both_kinds_agree_where_they_say_the_same():
    network, joint = diamond(5)
    new = np.array([0.2, 0.3, 0.5])
    softly = infer(network.to_pdg() + soft_evidence(B, new), gamma=1)
    ratios = new / marginal(joint, 1)
    weighed = infer(network.to_pdg() + virtual_evidence(B, ratios), gamma=1)
    np.testing.assert_allclose(joint_of(softly), joint_of(weighed), rtol=0, atol=CLOSE)


def test_virtual_evidence_elsewhere_is_not_the_old_answer_times_likelihoods():
    pdg = q.PDG([Arc([], A, [0.3, 0.7]), Arc([], A, [0.6, 0.4])])
    p = infer(pdg, gamma=0.5).query("A").values
    found = infer(pdg + virtual_evidence(A, [1, 3], gamma=0.5), gamma=0.5).query("A").values
    times = p * [1, 3] / (p @ [1, 3])
    # mu^(2 - 0.5) prop. to p1 p2 lambda^0.5: the power of lambda is 1/3, not 1
    expected = np.array([0.18, 0.28 * 3**0.5]) ** (1 / 1.5)
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=0, atol=CLOSE)
    assert np.abs(found - times).max() > 0.1


def test_extreme_likelihoods():
    prior = q.PDG([Arc([], A, [0.5, 0.5])])
    for scale in (1e-300, 1.0, 1e300):
        heard = virtual_evidence(A, [scale, 3 * scale])
        found = infer(prior + heard, gamma=1).query("A").values
        np.testing.assert_allclose(found, [0.25, 0.75], rtol=1e-14)
    huge = virtual_evidence(A, [1.7e308, 1.7e308])
    assert huge.table is not None and huge.table.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: soft_evidence(A, [0.5, 0.4]), "soft evidence on A: .* sums to 0.9"),
        (lambda: soft_evidence(A, [1.0]), "must have shape"),
        (lambda: soft_evidence(A, [0.5, 0.5], confidence=-1), "beta must be in"),
        (lambda: virtual_evidence(A, [1, -1]), "virtual evidence on A: likelihoods must be finite"),
        (lambda: virtual_evidence(A, [0, 0]), "not all of them 0"),
        (lambda: virtual_evidence(A, [1, math.inf]), "finite numbers >= 0"),
        (lambda: virtual_evidence(A, [1, math.nan]), "finite numbers >= 0"),
        (lambda: virtual_evidence(A, []), "not all of them 0"),
        (lambda: virtual_evidence(A, "much"), "must be numbers"),
        (lambda: virtual_evidence(A, [1, 2, 3]), "must have shape"),
        (lambda: virtual_evidence(A, [1, 2], gamma=0), r"gamma must be a number in \(0, inf\)"),
    ],
)
def test_evidence_that_makes_no_sense(make, words):
    with pytest.raises(ModelError, match=words):
        make()


# Interventions


def test_doing_against_seeing_with_a_common_cause():
    """C causes A and D, and A causes D: those with C take A, and do badly whatever they take."""
    p_a = np.array([[0.9, 0.1], [0.2, 0.8]])
    p_d = np.array([[[0.3, 0.7], [0.2, 0.8]], [[0.8, 0.2], [0.7, 0.3]]])  # [c, a, d]
    network = BayesianNetwork([Arc([], C, [0.6, 0.4]), Arc(C, A, p_a), Arc([C, A], D, p_d)])
    seen = infer(network).query("D", {"A": "y"}).values[1]
    done = infer(network.intervene({"A": "y"})).query("D").values[1]
    # by hand: p(c | a) = (0.06, 0.32) / 0.38, and p(c) = (0.6, 0.4)
    assert seen == pytest.approx((0.06 * 0.8 + 0.32 * 0.3) / 0.38, abs=1e-12)
    assert done == pytest.approx(0.6 * 0.8 + 0.4 * 0.3, abs=1e-12)
    untreated = infer(network.intervene({"A": "n"})).query("D").values[1]
    # taking A helps, 0.6 against 0.5, though those who take it do worse, 0.379 against 0.643
    assert done > untreated and seen < infer(network).query("D", {"A": "n"}).values[1]
    # what is done says nothing of its causes
    causes = infer(network.intervene({"A": "y"})).query("C").values
    np.testing.assert_allclose(causes, [0.6, 0.4], rtol=0, atol=1e-12)


def test_a_stochastic_action_mixes_atomic_ones():
    network, _ = diamond(7)
    weights = [0.5, 0.2, 0.3]
    mixed = joint_of(infer(network.intervene({"B": weights})))
    atomic = [joint_of(infer(network.intervene({"B": state}))) for state in B.states]
    expected = sum(w * p for w, p in zip(weights, atomic, strict=True))
    np.testing.assert_allclose(mixed, expected, rtol=0, atol=1e-12)


def test_several_actions_and_numbers_as_states():
    network, joint = diamond(8)
    changed = network.intervene({"C": np.int64(1), "B": "u"})
    d_given_bc = joint.sum(axis=0) / joint.sum(axis=(0, 3))[:, :, None]
    np.testing.assert_allclose(infer(changed).query("D").values, d_given_bc[0, 1], atol=1e-12)
    assert changed.variables == network.variables
    assert network.intervene({}).arcs == network.arcs


def test_causal_effects_equal_those_of_pyagrum():
    gum = pytest.importorskip("pyagrum", reason="needs pyagrum, the peer compared with")
    network, _ = diamond(9)
    peer = gum.BayesNet()
    for v in network.variables:
        peer.add(gum.LabelizedVariable(v.name, v.name, [str(s) for s in v.states]))
    for arc in network.arcs:
        for name in arc.source_names:
            peer.addArc(name, arc.target_names[0])
    for arc in network.arcs:
        (target,) = arc.target_names
        for index in np.ndindex(*(len(v) for v in arc.scope[:-1])):
            where = dict(zip(arc.source_names, map(int, index), strict=True))
            peer.cpt(target)[where] = arc.table[index].tolist()
    model = gum.CausalModel(peer)
    for i, state in enumerate(B.states):
        _, effect, _ = gum.causalImpact(model, on="D", doing="B", values={"B": i})
        found = infer(network.intervene({"B": state})).query("D").values
        expected = [effect[{"B": i, "D": k}] for k in range(2)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("actions", "error", "words"),
    [
        ({"Z": "y"}, UnknownNameError, "no variable 'Z'"),
        ({"A": "maybe"}, UnknownNameError, "no state 'maybe'"),
        ({"A": [0.5, 0.2, 0.3]}, ModelError, "do A: the table must have shape"),
        ({"A": [0.5, 0.4]}, ModelError, "sums to 0.9"),
        ({"A": [math.nan, math.nan]}, ModelError, "undefined row"),
        ({"A": None}, ModelError, "missing"),
        (["A"], ModelError, "a mapping of names to states"),
    ],
)
def test_actions_that_make_no_sense(actions, error, words):
    with pytest.raises(error, match=words):
        diamond(0)[0].intervene(actions)
