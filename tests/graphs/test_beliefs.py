"""Calibrated beliefs: every question against the joint distribution, and against closed forms."""

import itertools
import math
import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import Beliefs, Variable, cluster_tree
from quincunx._errors import ImpossibleEventError, ModelError, TooLargeError, UnknownNameError

A = Variable("A", ["a0", "a1"])
B = Variable("B", ["b0", "b1", "b2"])
C = Variable("C", [0, 1])
EXACT = 1e-12  # measured 3e-16 on 400 forests, 2e-15 after 2,000 conditionings in a row

SEEDS = st.integers(0, 2**32 - 1)


def random_beliefs(seed, zeros=True):
    """A distribution over a random forest of up to 7 variables, and its joint array."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    sizes = rng.integers(1, 4, size=n)
    variables = [Variable(f"X{i}", [f"s{j}" for j in range(k)]) for i, k in enumerate(sizes)]
    scopes = [[f"X{i}" for i in rng.permutation(n)[: rng.integers(1, 4)]] for _ in range(n)]
    scopes = scopes[: int(rng.integers(0, n + 1))]
    tree = cluster_tree(variables, scopes)
    operands = []
    for c, cluster in enumerate(tree.clusters):
        potential = rng.random(tree.shapes[c]) + 0.05
        if zeros:
            potential = potential * (rng.random(tree.shapes[c]) < 0.8)
            potential.flat[0] = 0.5  # the first world stays possible
        operands += [potential, list(cluster)]
    joint = np.einsum(*operands, list(range(n)))
    joint /= joint.sum()
    marginals = [np.einsum(joint, list(range(n)), list(k)) for k in tree.clusters]
    return Beliefs(tree, tuple(marginals)), joint


def some_names(rng, tree, least=0):
    names = [v.name for v in tree.variables]
    return [
        names[int(i)] for i in rng.permutation(len(names))[: rng.integers(least, len(names) + 1)]
    ]


def marginal_of(joint, tree, names):
    whole = list(range(joint.ndim))
    return np.einsum(joint, whole, [tree.find(n) for n in names])


def conditioned(joint, tree, event):
    masked = joint
    for name, state in event.items():
        v = tree.variables[tree.find(name)]
        mask = np.array([s == state for s in v.states], dtype=float)
        shape = [len(v) if i == tree.find(name) else 1 for i in range(joint.ndim)]
        masked = masked * mask.reshape(shape)
    return masked, masked.sum()


def random_event(rng, tree, joint):
    """An event that a random world satisfies, which need not be possible."""
    names = some_names(rng, tree)
    world = np.unravel_index(int(rng.integers(joint.size)), joint.shape)
    return {n: tree.variables[tree.find(n)].states[world[tree.find(n)]] for n in names}


def chain(n, start, step, name="X"):
    """A homogeneous chain of n variables, its tree and its cluster marginals."""
    size = len(start)
    variables = [Variable(f"{name}{i}", range(size)) for i in range(n)]
    tree = cluster_tree(variables, [(f"{name}{i}", f"{name}{i + 1}") for i in range(n - 1)])
    singles = [np.asarray(start, dtype=float)]
    for _ in range(n - 1):
        singles.append(singles[-1] @ step)
    marginals = []
    for cluster in tree.clusters:
        i, j = sorted(cluster)
        assert j == i + 1
        joint = singles[i][:, None] * step
        marginals.append(joint if cluster[0] == i else joint.T)
    return Beliefs(tree, tuple(marginals)), singles


STICKY = np.array([[0.9, 0.1], [0.3, 0.7]])


# Against the joint


@given(SEEDS)
def test_marginals_in_any_order(seed):
    beliefs, joint = random_beliefs(seed)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        names = some_names(rng, beliefs.tree)
        found = beliefs.marginal(names)
        assert found.names == tuple(names)
        expected = marginal_of(joint, beliefs.tree, names)
        np.testing.assert_allclose(found.values, expected, rtol=0, atol=EXACT)


@given(SEEDS)
def test_the_whole_joint(seed):
    beliefs, joint = random_beliefs(seed)
    names = [v.name for v in beliefs.tree.variables]
    np.testing.assert_allclose(beliefs.marginal(names).values, joint, rtol=0, atol=EXACT)
    np.testing.assert_allclose(beliefs.marginal(names[::-1]).values, joint.T, rtol=0, atol=EXACT)


@given(SEEDS)
def test_every_pair_within_and_across_clusters(seed):
    beliefs, joint = random_beliefs(seed)
    tree = beliefs.tree
    for one, other in itertools.permutations([v.name for v in tree.variables], 2):
        found = beliefs.marginal([one, other])
        expected = marginal_of(joint, tree, [one, other])
        np.testing.assert_allclose(found.values, expected, rtol=0, atol=EXACT)


@given(SEEDS)
def test_entropy(seed):
    beliefs, joint = random_beliefs(seed)
    expected = -math.fsum(p * math.log(p) for p in joint.ravel().tolist() if p > 0)
    assert beliefs.entropy() == pytest.approx(expected, rel=0, abs=EXACT)


@given(SEEDS)
def test_probability_of_events(seed):
    beliefs, joint = random_beliefs(seed)
    rng = np.random.default_rng(seed)
    for _ in range(8):
        event = random_event(rng, beliefs.tree, joint)
        expected = conditioned(joint, beliefs.tree, event)[1]
        assert beliefs.probability(event) == pytest.approx(expected, rel=1e-12, abs=0)


@given(SEEDS)
def test_conditioning(seed):
    beliefs, joint = random_beliefs(seed)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        event = random_event(rng, beliefs.tree, joint)
        masked, total = conditioned(joint, beliefs.tree, event)
        if total == 0:
            with pytest.raises(ImpossibleEventError, match="has probability zero"):
                beliefs.condition(event)
            assert beliefs.probability(event) == 0
            continue
        found = beliefs.condition(event)
        assert found.tree is beliefs.tree
        for c, cluster in enumerate(found.tree.clusters):
            expected = np.einsum(masked / total, list(range(joint.ndim)), list(cluster))
            np.testing.assert_allclose(found.clusters[c], expected, rtol=0, atol=EXACT)
        names = some_names(rng, beliefs.tree)
        expected = marginal_of(masked / total, beliefs.tree, names)
        table = beliefs.query(names, given=event)
        assert table.names == tuple(names)
        np.testing.assert_allclose(table.values, expected, rtol=0, atol=EXACT)


@given(SEEDS)
def test_zeros_stay_zeros(seed):
    beliefs, joint = random_beliefs(seed)
    names = [v.name for v in beliefs.tree.variables]
    world = np.unravel_index(int(np.argmax(joint)), joint.shape)
    event = {names[0]: beliefs.tree.variables[0].states[world[0]]}
    masked, _ = conditioned(joint, beliefs.tree, event)
    found = beliefs.query(names, given=event)
    assert np.array_equal(found.values == 0, masked == 0)


@given(SEEDS)
def test_conditioning_step_by_step_and_in_any_order(seed):
    beliefs, joint = random_beliefs(seed, zeros=False)
    event = random_event(np.random.default_rng(seed), beliefs.tree, joint)
    together = beliefs.condition(event)
    turned = beliefs.condition(dict(reversed(event.items())))
    one_by_one = beliefs
    for name, state in event.items():
        one_by_one = one_by_one.condition({name: state})
    for c in range(len(together.clusters)):
        for other in (turned, one_by_one):
            np.testing.assert_allclose(other.clusters[c], together.clusters[c], rtol=0, atol=EXACT)


@given(SEEDS)
def test_probabilities_multiply(seed):
    """p(e, f) = p(e) p(f | e)."""
    beliefs, joint = random_beliefs(seed, zeros=False)
    event = random_event(np.random.default_rng(seed), beliefs.tree, joint)
    cut = len(event) // 2
    first = dict(list(event.items())[:cut])
    rest = dict(list(event.items())[cut:])
    product = beliefs.probability(first) * beliefs.condition(first).probability(rest)
    assert beliefs.probability(event) == pytest.approx(product, rel=1e-12, abs=0)


@given(SEEDS)
def test_questions_leave_the_beliefs_alone(seed):
    beliefs, joint = random_beliefs(seed, zeros=False)
    before = [c.copy() for c in beliefs.clusters]
    event = random_event(np.random.default_rng(seed), beliefs.tree, joint)
    beliefs.query([v.name for v in beliefs.tree.variables], given=event)
    beliefs.probability(event)
    for one, other in zip(before, beliefs.clusters, strict=True):
        assert np.array_equal(one, other)


# Closed forms


def test_a_chain_across_its_clusters():
    beliefs, singles = chain(50, [0.2, 0.8], STICKY)
    for i, j in [(0, 49), (49, 0), (10, 30), (48, 49)]:
        low, high = sorted((i, j))
        joint = singles[low][:, None] * np.linalg.matrix_power(STICKY, high - low)
        found = beliefs.marginal([f"X{i}", f"X{j}"]).values
        np.testing.assert_allclose(found, joint if i < j else joint.T, rtol=0, atol=EXACT)
    four = beliefs.marginal(["X40", "X3", "X20", "X10"]).values
    powers = [np.linalg.matrix_power(STICKY, k) for k in (7, 10, 20)]
    expected = np.einsum("a,ab,bc,cd->dacb", singles[3], *powers)
    np.testing.assert_allclose(four, expected, rtol=0, atol=EXACT)


def test_entropy_of_a_chain():
    beliefs, singles = chain(300, [0.2, 0.8], STICKY)
    rows = -(STICKY * np.log(STICKY)).sum(axis=1)
    start = -(singles[0] * np.log(singles[0])).sum()
    expected = start + math.fsum(float(s @ rows) for s in singles[:-1])
    # A sum of 600 terms that reaches 119: measured 2e-15.
    assert beliefs.entropy() == pytest.approx(expected, rel=1e-14)


def test_independent_components():
    p = {"A": [0.25, 0.75], "B": [0.2, 0.3, 0.5], "C": [0.5, 0.5]}
    tree = cluster_tree([A, B, C], [])
    places = {name: c for c in range(3) for name in tree.names(c)}
    beliefs = Beliefs(tree, tuple(np.array(p[name]) for name in places))
    np.testing.assert_allclose(
        beliefs.marginal(["C", "A", "B"]).values,
        np.einsum("a,b,c->cab", p["A"], p["B"], p["C"]),
        rtol=1e-15,
    )
    assert beliefs.probability({"A": "a0", "B": "b2"}) == pytest.approx(0.125, rel=1e-15)
    found = beliefs.condition({"A": "a0"})
    assert found.clusters[places["A"]].tolist() == [1, 0]
    np.testing.assert_allclose(found.marginal("B").values, p["B"], rtol=1e-15)


def test_one_variable_asked_of_a_large_tree():
    beliefs, singles = chain(500, [0.2, 0.8], STICKY)
    for i in (0, 250, 499):
        np.testing.assert_allclose(beliefs.marginal(f"X{i}").values, singles[i], rtol=0, atol=EXACT)


def test_no_variables_no_targets_no_event():
    empty = Beliefs(cluster_tree([], []), ())
    assert empty.marginal([]).values == 1
    assert empty.entropy() == 0
    assert empty.probability({}) == 1
    assert empty.condition({}) is empty
    beliefs = Beliefs(cluster_tree([A], []), (np.array([0.25, 0.75]),))
    assert beliefs.marginal(()).values == 1
    assert beliefs.query("A").values.tolist() == [0.25, 0.75]
    assert beliefs.query(A, given={}).values.tolist() == [0.25, 0.75]
    assert beliefs.condition({}) is beliefs
    assert beliefs.probability({}) == 1


def test_states_of_an_event_by_themselves_or_in_writing():
    beliefs = Beliefs(cluster_tree([C], []), (np.array([0.25, 0.75]),))
    assert beliefs.probability({"C": 1}) == 0.75
    assert beliefs.probability({"C": "1"}) == 0.75


def test_a_target_may_be_given():
    beliefs, _ = chain(5, [0.2, 0.8], STICKY)
    found = beliefs.query(["X0", "X4"], given={"X4": 1})
    assert (found.values[:, 0] == 0).all()
    assert found.values.sum() == pytest.approx(1, rel=0, abs=EXACT)


# Much evidence


def test_evidence_on_all_of_two_thousand_variables():
    """Alternating states have probability 1e-1523, far below the smallest float."""
    beliefs, _ = chain(2000, [0.2, 0.8], STICKY)
    event = {f"X{i}": i % 2 for i in range(2000)}
    found = beliefs.condition(event)
    for c, cluster in enumerate(found.tree.clusters):
        point = np.zeros((2, 2))
        point[cluster[0] % 2, cluster[1] % 2] = 1
        assert np.array_equal(found.clusters[c] == 0, point == 0)
        np.testing.assert_allclose(found.clusters[c], point, rtol=0, atol=EXACT)
    assert found.probability(event) == pytest.approx(1, rel=0, abs=EXACT)


def test_evidence_on_all_but_a_few_of_two_thousand():
    beliefs, singles = chain(2000, [0.2, 0.8], STICKY)
    open_at = [0, 777, 1500, 1501, 1999]
    event = {f"X{i}": i % 2 for i in range(2000) if i not in open_at}
    found = beliefs.condition(event)
    expected = STICKY[0] * STICKY[:, 0]  # between two zeros
    np.testing.assert_allclose(
        found.marginal("X777").values, expected / expected.sum(), rtol=0, atol=EXACT
    )
    expected = STICKY[1][:, None] * STICKY * STICKY[:, 0]  # between X1499 = 1 and X1502 = 0
    np.testing.assert_allclose(
        found.marginal(["X1500", "X1501"]).values, expected / expected.sum(), rtol=0, atol=EXACT
    )
    expected = singles[0] * STICKY[:, 1]
    np.testing.assert_allclose(
        found.marginal("X0").values, expected / expected.sum(), rtol=0, atol=EXACT
    )
    np.testing.assert_allclose(found.marginal("X1999").values, STICKY[0], rtol=0, atol=EXACT)


def test_probability_of_much_evidence():
    """What a float can hold is not lost on the way: 600 fair coins."""
    beliefs, _ = chain(600, [0.5, 0.5], np.full((2, 2), 0.5))
    event = {f"X{i}": i % 2 for i in range(600)}
    assert beliefs.probability(event) == pytest.approx(2.0**-600, rel=1e-12)


def test_an_event_of_tiny_probability_is_possible():
    p = np.array([1e-300, 1 - 1e-300])
    beliefs = Beliefs(cluster_tree([A, C], []), (p, p))
    found = beliefs.condition({"A": "a0", "C": 0})
    assert [c.tolist() for c in found.clusters] == [[1, 0], [1, 0]]
    assert beliefs.probability({"A": "a0"}) == pytest.approx(1e-300, rel=1e-12)


# What is refused


def test_impossible_events():
    joint = np.array([[0.25, 0.0], [0.25, 0.5]])
    beliefs = Beliefs(cluster_tree([A, C], [(A, C)]), (joint,))
    with pytest.raises(ImpossibleEventError, match=r"the event A=a0, C=1 has probability zero"):
        beliefs.condition({"A": "a0", "C": 1})
    with pytest.raises(ImpossibleEventError, match="assume="):
        beliefs.query("A", given={"C": 1, "A": "a0"})
    assert beliefs.probability({"A": "a0", "C": 1}) == 0
    assert beliefs.probability({"A": "a0", "C": 0}) == 0.25


def test_an_event_impossible_only_through_the_tree():
    beliefs, _ = chain(10, [0.5, 0.5], np.eye(2))
    with pytest.raises(ImpossibleEventError, match="X0=0, X9=1"):
        beliefs.condition({"X0": 0, "X9": 1})
    assert beliefs.probability({"X0": 0, "X9": 1}) == 0
    assert beliefs.query("X5", {"X0": 0, "X9": 0}).values.tolist() == [1, 0]


def test_impossible_in_one_of_two_components():
    beliefs = Beliefs(cluster_tree([A, C], []), (np.array([0.5, 0.5]), np.array([0.0, 1.0])))
    with pytest.raises(ValueError, match="C=0"):
        beliefs.condition({"A": "a0", "C": 0})


def test_unknown_names_and_states():
    beliefs, _ = chain(4, [0.2, 0.8], STICKY)
    for ask in (beliefs.marginal, beliefs.query):
        with pytest.raises(UnknownNameError, match=r"no variable 'Z'; there are: X0, X1, X2, X3"):
            ask(["X0", "Z"])
    for event in ({"X0": 7}, {"X1": 0, "X0": 7}):
        for ask in (beliefs.condition, beliefs.probability):
            with pytest.raises(UnknownNameError, match=r"'X0' has no state 7; its states are 0, 1"):
                ask(event)
    for ask in (beliefs.condition, beliefs.probability):
        with pytest.raises(UnknownNameError, match="no variable 'Z'"):
            ask({"Z": 0})
    with pytest.raises(UnknownNameError, match="no variable 'Z'"):
        beliefs.query("X0", given={"Z": 0})


def test_a_target_asked_twice():
    beliefs, _ = chain(4, [0.2, 0.8], STICKY)
    for names in (["X0", "X0"], ["X0", "X3", "X0"]):
        with pytest.raises(ModelError, match="each variable may be named once; got X0, "):
            beliefs.marginal(names)


def test_a_joint_of_sixty_variables_is_refused_before_it_is_made():
    beliefs, _ = chain(60, [0.2, 0.8], STICKY)
    names = [f"X{i}" for i in range(60)]
    tracemalloc.start()
    try:
        with pytest.raises(
            TooLargeError, match=r"60 variables .* take 8.59e\+09 GiB; this"
        ) as caught:
            beliefs.marginal(names)
        with pytest.raises(MemoryError):
            beliefs.query(names, given={"X0": 1})
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert "Ask about fewer variables at once" in str(caught.value)


def test_a_joint_of_more_axes_than_numpy_has():
    beliefs, _ = chain(66, [0.2, 0.8], STICKY)
    with pytest.raises(TooLargeError, match="65 variables was asked for; 64 is the most"):
        beliefs.marginal([f"X{i}" for i in range(65)])


def test_frozen():
    beliefs, _ = chain(3, [0.2, 0.8], STICKY)
    with pytest.raises(FrozenInstanceError):
        beliefs.clusters = ()
    assert isinstance(beliefs.condition({"X0": 1}).clusters, tuple)
    assert not beliefs.marginal("X0").values.flags.writeable
