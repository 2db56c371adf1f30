"""Most probable states, samples and expectations: against the joint distribution, enumerated."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

import quincunx as q
from quincunx import Beliefs, Variable, cluster_tree
from quincunx._errors import ImpossibleEventError, ModelError, TooLargeError, UnknownNameError
from quincunx.graphs.files.frames import arc_from_data
from quincunx.graphs.sampling import _first_above
from tests.graphs.test_beliefs import (
    EXACT,
    SEEDS,
    STICKY,
    A,
    C,
    chain,
    conditioned,
    marginal_of,
    random_beliefs,
    random_event,
    some_names,
)

# Most probable states


def position(tree, states):
    return tuple(v.states.index(states[v.name]) for v in tree.variables)


@given(SEEDS)
def test_the_most_probable_state_of_all(seed):
    beliefs, joint = random_beliefs(seed)
    states, probability = beliefs.most_probable()
    assert list(states) == [v.name for v in beliefs.tree.variables]
    assert probability == pytest.approx(joint.max(), rel=1e-12)
    assert joint[position(beliefs.tree, states)] == pytest.approx(joint.max(), rel=1e-12)


@given(SEEDS)
def test_the_most_probable_state_given_an_event(seed):
    beliefs, joint = random_beliefs(seed)
    event = random_event(np.random.default_rng(seed), beliefs.tree, joint)
    masked, total = conditioned(joint, beliefs.tree, event)
    if total == 0:
        with pytest.raises(ImpossibleEventError):
            beliefs.most_probable(event)
        return
    states, probability = beliefs.most_probable(event)
    assert all(states[name] == state for name, state in event.items())
    assert probability == pytest.approx(masked.max() / total, rel=1e-12)
    assert joint[position(beliefs.tree, states)] == pytest.approx(masked.max(), rel=1e-12)


def test_it_need_not_be_made_of_the_most_probable_states():
    joint = np.array([[0.0, 0.3, 0.3], [0.4, 0.0, 0.0]])
    other = Variable("B", ["u", "v", "w"])
    beliefs = Beliefs(cluster_tree([A, other], [("A", "B")]), (joint,))
    assert beliefs.most_probable() == ({"A": "a1", "B": "u"}, pytest.approx(0.4, rel=1e-15))
    assert beliefs.marginal("A").values.argmax() == 0


def test_a_chain_against_viterbi():
    n = 2000
    beliefs, singles = chain(n, [0.4, 0.6], STICKY)
    event = {f"X{i}": 1 for i in range(0, n, 3)}
    score = np.log(singles[0]) + np.where([0, 1], 0.0, -np.inf)
    back = []
    for i in range(1, n):
        step = score[:, None] + np.log(STICKY)
        back.append(step.argmax(axis=0))
        score = step.max(axis=0) + (np.where([0, 1], 0.0, -np.inf) if i % 3 == 0 else 0.0)
    path = [int(score.argmax())]
    for choice in reversed(back):
        path.append(int(choice[path[-1]]))
    states, probability = beliefs.most_probable(event)
    assert list(states.values()) == path[::-1]
    log_evidence = math.log(beliefs.probability(event))
    # A sum of 4,000 logarithms: measured 1e-14.
    assert math.log(probability) == pytest.approx(score.max() - log_evidence, rel=1e-11)


def test_the_first_of_equal_states():
    beliefs, _ = chain(30, [0.5, 0.5], np.full((2, 2), 0.5))
    for _ in range(2):
        states, probability = beliefs.most_probable()
        assert set(states.values()) == {0}
        assert probability == pytest.approx(2.0**-30, rel=1e-13)
    states, _ = beliefs.most_probable({"X7": 1})
    assert [name for name, state in states.items() if state] == ["X7"]


def test_nothing_to_choose():
    assert Beliefs(cluster_tree([], []), ()).most_probable() == ({}, 1.0)
    only = Beliefs(cluster_tree([Variable("one", ["x"])], []), (np.ones(1),))
    assert only.most_probable() == ({"one": "x"}, 1.0)


# Samples


def test_samples_have_the_joint_distribution():
    for seed in range(12):
        beliefs, joint = random_beliefs(seed)
        n = 20_000
        samples = beliefs.sample(n, seed)
        index = np.ravel_multi_index(tuple(samples.positions.T), joint.shape)
        counts, expected = np.bincount(index, minlength=joint.size), joint.ravel() * n
        assert (counts[expected == 0] == 0).all()
        often = expected >= 5  # the others are taken together
        found = np.append(counts[often], counts[~often].sum())
        wanted = np.append(expected[often], expected[~often].sum())
        found, wanted = found[wanted > 0], wanted[wanted > 0]
        if len(found) > 1:
            # measured: 0.16 is the smallest p-value
            assert stats.chisquare(found, wanted * n / wanted.sum()).pvalue > 1e-3


def test_samples_given_an_event():
    beliefs, joint = random_beliefs(3, zeros=False)
    event = random_event(np.random.default_rng(1), beliefs.tree, joint)
    assert event
    samples = beliefs.sample(5000, 0, given=event)
    for name, state in event.items():
        assert (samples[name] == beliefs.tree.variables[beliefs.tree.find(name)].index(state)).all()
    for v in beliefs.tree.variables:
        p = beliefs.query(v, event).values
        found = np.bincount(samples[v.name], minlength=len(v)) / 5000
        # five standard deviations of a share of 5,000
        assert (np.abs(found - p) <= 5 * np.sqrt(p * (1 - p) / 5000) + 1e-12).all()


def test_the_same_seed_the_same_samples():
    beliefs, _ = chain(10, [0.2, 0.8], STICKY)
    one, same, other = (beliefs.sample(50, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.positions, same.positions)
    assert not np.array_equal(one.positions, other.positions)
    assert len(one) == 50 and one.positions.shape == (50, 10)
    assert repr(one) == "50 samples of 10 variables"
    with pytest.raises(ValueError, match="read-only"):
        one.positions[0, 0] = 1


def test_wide_rows_and_states_without_mass():
    """Inverting a distribution function must not step into empty states at either end."""
    p = np.zeros(1000)
    p[[3, 500, 998]] = [0.25, 0.5, 0.25]
    wide = Variable("W", range(1000))
    beliefs = Beliefs(cluster_tree([wide], []), (p,))
    found = np.bincount(beliefs.sample(4000, 0)["W"], minlength=1000)
    assert np.flatnonzero(found).tolist() == [3, 500, 998]
    np.testing.assert_allclose(found[[3, 500, 998]] / 4000, [0.25, 0.5, 0.25], atol=0.03)


def test_a_level_on_the_edge_of_a_step_is_beyond_it():
    cumulated = np.array([[0.0, 0.0, 0.25, 0.25, 1.0], [0.0, 1.0, 1.0, 1.0, 1.0]])
    rows, levels = np.array([0, 0, 0, 0, 1, 1]), np.array([0.0, 0.2, 0.25, 0.99, 0.0, 0.99])
    assert _first_above(cumulated, rows, levels).tolist() == [2, 2, 4, 4, 1, 1]


def test_no_samples_and_no_variables():
    beliefs, _ = chain(3, [0.2, 0.8], STICKY)
    assert beliefs.sample(0, 0).positions.shape == (0, 3)
    assert Beliefs(cluster_tree([], []), ()).sample(4, 0).positions.shape == (4, 0)


def test_a_frame_of_samples_gives_the_table_back():
    pytest.importorskip("pandas", reason="needs pandas, for data frames")
    beliefs, _ = chain(3, [0.2, 0.8], STICKY)
    frame = beliefs.sample(20_000, 5).to_frame()
    assert list(frame.columns) == ["X0", "X1", "X2"]
    assert frame["X1"].tolist() == beliefs.sample(20_000, 5)["X1"].tolist()
    learned = arc_from_data(frame, "X1", "X0", pseudo_count=0)
    assert learned.table is not None
    # five standard deviations of shares of about 4,000 and 16,000
    assert np.abs(learned.table - STICKY).max() < 0.025
    mixed = Variable("M", [1, "one", False])
    column = Beliefs(cluster_tree([mixed], []), (np.array([0, 0, 1.0]),)).sample(2, 0).to_frame()
    assert column["M"].tolist() == [False, False]
    assert list(column["M"].cat.categories) == [1, "one", False]


@pytest.mark.parametrize(
    ("n", "seed", "words"),
    [
        (-1, 0, "number of samples must be a whole number >= 0, not -1"),
        (2.5, 0, "number of samples"),
        (True, 0, "number of samples"),
        (3, -1, "seed must be a whole number >= 0, not -1"),
        (3, None, "seed"),
    ],
)
def test_samples_that_make_no_sense(n, seed, words):
    beliefs, _ = chain(3, [0.2, 0.8], STICKY)
    with pytest.raises(ModelError, match=words):
        beliefs.sample(n, seed)


def test_samples_that_do_not_fit():
    beliefs, _ = chain(3, [0.2, 0.8], STICKY)
    with pytest.raises(TooLargeError, match="samples of 3 variables"):
        beliefs.sample(10**15, 0)
    with pytest.raises(UnknownNameError, match="no variable 'Z'"):
        beliefs.sample(2, 0)["Z"]


# Expectations


@given(SEEDS)
def test_mean_and_variance_in_three_forms(seed):
    beliefs, joint = random_beliefs(seed)
    rng = np.random.default_rng(seed)
    names = some_names(rng, beliefs.tree, least=1)
    p = marginal_of(joint, beliefs.tree, names)
    f = rng.normal(size=p.shape)
    keys = list(
        itertools.product(*(beliefs.tree.variables[beliefs.tree.find(n)].states for n in names))
    )
    numbers = dict(zip(keys, f.ravel().tolist(), strict=True))
    mapping = {k[0]: x for k, x in numbers.items()} if len(names) == 1 else numbers
    mean = float((p * f).sum())
    variance = float((p * f**2).sum()) - mean**2
    for values in (f, mapping, lambda *states: numbers[states]):
        assert beliefs.expectation(names, values) == pytest.approx(mean, rel=0, abs=EXACT)
        assert beliefs.variance(names, values) == pytest.approx(variance, rel=0, abs=1e-11)


def test_an_expectation_given_an_event():
    beliefs, singles = chain(6, [0.2, 0.8], STICKY)
    given_first = np.linalg.matrix_power(STICKY, 5)[0]
    assert beliefs.expectation("X5", float, {"X0": 0}) == pytest.approx(given_first[1], rel=1e-12)
    assert beliefs.expectation("X5", [0, 1]) == pytest.approx(singles[5][1], rel=1e-12)
    assert beliefs.variance("X5", [3, 3]) == 0


def test_values_of_impossible_states_are_not_asked_for():
    beliefs = Beliefs(cluster_tree([A], []), (np.array([1.0, 0.0]),))
    assert beliefs.expectation("A", {"a0": 2.0}) == 2
    assert beliefs.expectation("A", [2.0, math.inf]) == 2
    assert beliefs.expectation("A", lambda state: {"a0": 2.0}[state]) == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 2.0, 3.0], r"an array of shape \(2,\); got shape \(3,\)"),
        ({0: 1.0}, "no number for the state 1 of C"),
        ([1.0, math.inf], "need finite numbers"),
        (["a", "b"], "values must be numbers"),
        (lambda state: "high", "the value of state 0 must be a number, not 'high'"),
    ],
)
def test_values_that_make_no_sense(values, words):
    beliefs = Beliefs(cluster_tree([C], []), (np.array([0.25, 0.75]),))
    with pytest.raises(ModelError, match=words):
        beliefs.expectation("C", values)


# Beliefs as a graph


@given(SEEDS)
def test_the_score_of_beliefs_as_a_graph_is_the_divergence_from_them(seed):
    beliefs, joint = random_beliefs(seed)
    pdg = beliefs.to_pdg()
    mu = np.random.default_rng(seed).random(joint.shape) * (joint > 0)
    mu /= mu.sum()
    at = mu > 0
    divergence = float((mu[at] * np.log(mu[at] / joint[at])).sum())
    table = q.Table(beliefs.tree.variables, mu)
    assert pdg.score(table, 1.0) == pytest.approx(divergence, rel=0, abs=1e-11)
    assert pdg.score(beliefs, 3.0) == pytest.approx(0, abs=1e-11)


def test_beliefs_as_a_graph_are_its_optimum():
    for seed in range(10):
        beliefs, joint = random_beliefs(seed)
        for gamma in (1.0, 0.5):
            answer = q.infer(beliefs.to_pdg(), gamma=gamma)
            names = [v.name for v in beliefs.tree.variables]
            # gamma = 1 is sum-product; the other is solved within a gap of 1e-8
            atol = 1e-12 if gamma == 1 else 1e-4
            np.testing.assert_allclose(answer.query(names).values, joint, rtol=0, atol=atol)
            assert answer.inconsistency == pytest.approx(0, abs=1e-8)


def test_answers_pass_the_questions_on():
    answer = q.infer(q.PDG([q.Arc([], A, [0.25, 0.75]), q.Arc(A, C, [[0.5, 0.5], [0.1, 0.9]])]))
    states, probability = answer.most_probable()
    assert states == {"A": "a1", "C": 1} and probability == pytest.approx(0.675, rel=1e-12)
    assert answer.most_probable({"C": 0})[0] == {"A": "a0", "C": 0}
    same = answer.beliefs.sample(20, 3, given={"C": 1}).positions
    assert np.array_equal(answer.sample(20, 3, given={"C": 1}).positions, same)
    certain = [q.Arc([], A, p, beta=math.inf) for p in ([1, 0], [0, 1])]
    none = q.infer(q.PDG(certain), throw=False)
    for ask in (none.most_probable, lambda: none.sample(1, 0), lambda: none.bounds("A")):
        with pytest.raises(q._errors.SolveError, match="there is no answer to"):
            ask()
