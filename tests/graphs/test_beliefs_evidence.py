"""Evidence that contradicts itself, and what beliefs refuse."""

import itertools

import numpy as np
import pytest

from quincunx import Beliefs, Table, Variable, cluster_tree
from quincunx._errors import ImpossibleEventError, ModelError
from tests.graphs.test_beliefs import STICKY, A, C, chain

# Many witnesses that contradict each other


def naive_bayes(n, wrong):
    """A class of two fair states, and n features that report it, wrongly with some probability."""
    variables = [C, *(Variable(f"F{i}", [0, 1]) for i in range(n))]
    tree = cluster_tree(variables, [("C", f"F{i}") for i in range(n)])
    return Beliefs(tree, (report(wrong),) * n)


def hidden_state(n, wrong):
    """A fair state that never changes, and n reports of it."""
    hidden = [Variable(f"H{i}", [0, 1]) for i in range(n)]
    seen = [Variable(f"S{i}", [0, 1]) for i in range(n)]
    scopes = [(f"H{i}", f"H{i + 1}") for i in range(n - 1)]
    scopes += [(f"H{i}", f"S{i}") for i in range(n)]
    tree = cluster_tree([*hidden, *seen], scopes)
    tables = []
    for c in range(len(tree.clusters)):
        still = all(name.startswith("H") for name in tree.names(c))
        tables.append(report(0.0 if still else wrong))
    return Beliefs(tree, tuple(tables))


def report(wrong):
    """The joint table of a fair coin and a report of it, symmetric in the two."""
    return 0.5 * np.array([[1 - wrong, wrong], [wrong, 1 - wrong]])


def check_balance(beliefs, wrong, surplus):
    """Half of the witnesses say 0, then half say 1, but for ``surplus`` that change sides."""
    seen = [v.name for v in beliefs.tree.variables if v.name[0] in "FS"]
    event = {name: int(i >= len(seen) // 2 - surplus) for i, name in enumerate(seen)}
    odds = ((1 - wrong) / wrong) ** (2 * surplus)
    asked = next(v.name for v in beliefs.tree.variables if v.name[0] in "CH")
    found = beliefs.query(asked, given=event).values
    # Measured 7e-16 with 60 witnesses; in logs, 200 of them reach 1400, an error of 1e-13 each.
    np.testing.assert_allclose(found, np.array([1, odds]) / (1 + odds), rtol=1e-11, atol=0)


@pytest.mark.parametrize("surplus", [0, 1, 2])
@pytest.mark.parametrize("make", [naive_bayes, hidden_state])
def test_a_few_witnesses_that_contradict_each_other(make, surplus):
    check_balance(make(60, 0.1), 0.1, surplus)


@pytest.mark.parametrize("surplus", [0, 1, 2])
def test_many_features_that_contradict_each_other(surplus):
    check_balance(naive_bayes(200, 1e-6), 1e-6, surplus)


@pytest.mark.parametrize("surplus", [0, 1, 2])
def test_many_reports_of_a_state_that_contradict_each_other(surplus):
    check_balance(hidden_state(200, 1e-6), 1e-6, surplus)


# Other faults found


def test_clusters_are_frozen():
    given_table = np.array([0.25, 0.75])
    beliefs = Beliefs(cluster_tree([A], []), (given_table,))
    given_table[0] = 9
    assert beliefs.marginal("A").values.tolist() == [0.25, 0.75]
    assert not beliefs.clusters[0].flags.writeable
    assert not beliefs.condition({"A": "a0"}).clusters[0].flags.writeable


@pytest.mark.parametrize(
    "clusters", [(), (np.ones(3) / 3,), (np.ones((1, 2)) / 2,), (np.ones(2) / 2,) * 2]
)
def test_clusters_have_the_shapes_of_the_tree(clusters):
    with pytest.raises(ModelError):
        Beliefs(cluster_tree([A], []), clusters)


def test_a_target_with_other_states_is_another():
    beliefs = Beliefs(cluster_tree([A], []), (np.array([0.25, 0.75]),))
    with pytest.raises(ModelError):
        beliefs.marginal(Variable("A", ["a1", "a0"]))


def test_a_long_impossible_event_has_a_short_message():
    beliefs, _ = chain(2000, [0.5, 0.5], np.eye(2))
    with pytest.raises(ImpossibleEventError) as caught:
        beliefs.condition({f"X{i}": int(i == 1999) for i in range(2000)})
    assert len(str(caught.value)) < 1000


def test_tables_asked_are_tables():
    beliefs, _ = chain(3, [0.2, 0.8], STICKY)
    found = beliefs.query(["X2", "X0"])
    assert isinstance(found, Table)
    assert found.to_dict().keys() == set(itertools.product([0, 1], repeat=2))
