"""Variables: what a name and states may be, and how states are found."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import Variable
from quincunx._errors import ModelError, QuincunxError, UnknownNameError
from quincunx.graphs.variable import find_variable

STATES = st.lists(
    st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False)),
    min_size=1,
    max_size=8,
    unique_by=(str, lambda state: state),
)


@given(st.text(min_size=1), STATES)
def test_every_state_is_found_as_itself_and_in_its_written_form(name, states):
    variable = Variable(name, states)
    assert len(variable) == len(states)
    assert variable.states == tuple(states)
    assert [variable.index(s) for s in states] == list(range(len(states)))
    assert [variable.index(str(s)) for s in states] == list(range(len(states)))


def test_kinds_of_states_are_kept():
    variable = Variable("a", [2, 2.5, True, "no"])
    assert [type(s) for s in variable.states] == [int, float, bool, str]


def test_numpy_scalars_become_plain_values():
    variable = Variable("a", np.array([3, 5]))
    assert [type(s) for s in variable.states] == [int, int]
    assert variable == Variable("a", [3, 5])
    assert variable.index(np.int64(5)) == 1
    assert type(Variable("b", [np.float32(0.5), np.bool_(True)]).states[0]) is float


def test_states_may_come_from_any_iterable():
    assert Variable("a", range(3)).states == (0, 1, 2)
    assert Variable("a", (s for s in "xy")).states == ("x", "y")


def test_one_state_and_an_empty_one():
    assert len(Variable("a", ["only"])) == 1
    assert Variable("a", ["", "x"]).index("") == 0


def test_order_of_states_and_name_make_equality():
    one = Variable("a", ["n", "y"])
    assert one == Variable("a", ("n", "y"))
    assert hash(one) == hash(Variable("a", ("n", "y")))
    assert one != Variable("a", ["y", "n"])
    assert one != Variable("b", ["n", "y"])
    assert one != "a"


def test_frozen():
    variable = Variable("a", ["n", "y"])
    with pytest.raises(FrozenInstanceError):
        variable.name = "b"
    with pytest.raises(FrozenInstanceError):
        del variable.states
    assert isinstance(variable.states, tuple)


def test_the_list_given_is_not_kept():
    states = ["n", "y"]
    variable = Variable("a", states)
    states[0] = "changed"
    assert variable.states == ("n", "y")


def test_copies_and_replacement():
    variable = Variable("a", ["n", 1])
    assert pickle.loads(pickle.dumps(variable)) == variable
    assert copy.deepcopy(variable) == variable
    assert replace(variable, name="b") == Variable("b", ["n", 1])
    with pytest.raises(ModelError, match="non-empty"):
        replace(variable, name="")


@pytest.mark.parametrize("name", ["", None, 3, b"a", ("a",)])
def test_a_name_is_a_string_with_something_in_it(name):
    with pytest.raises(ModelError, match="must be a non-empty string") as caught:
        Variable(name, ["n", "y"])
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("states", ["yes", "", 2, None, 0.5])
def test_states_are_a_list(states):
    with pytest.raises(ModelError, match="must be a list of states") as caught:
        Variable("rain", states)
    assert repr(states) in str(caught.value)
    assert "'rain'" in str(caught.value)
    assert "['no', 'yes']" in str(caught.value)


def test_at_least_one_state():
    with pytest.raises(ModelError, match=r"'rain' has no states; give at least one"):
        Variable("rain", [])


@pytest.mark.parametrize("state", [None, ("n",), ["n"], 1j, b"n", frozenset()])
def test_kinds_of_states_refused(state):
    with pytest.raises(ModelError, match="strings, integers, floats or booleans") as caught:
        Variable("rain", ["yes", state])
    assert repr(state) in str(caught.value)
    assert type(state).__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("states", "twice"),
    [
        (["n", "y", "n"], "'n'"),
        ([1, "1"], "'1'"),
        (["True", 0, True], "True"),
        ([0, 1, False], "False"),
        ([1, 2, 1.0], "1.0"),
        ([0.0, -0.0], "-0.0"),
    ],
)
def test_states_differ_as_values_and_in_writing(states, twice):
    with pytest.raises(ModelError, match=rf"'rain' has the state {twice} twice; make its states"):
        Variable("rain", states)


@pytest.mark.parametrize("state", ["maybe", "Yes", 1, None, "yes "])
def test_an_unknown_state_names_those_there_are(state):
    with pytest.raises(UnknownNameError, match=r"its states are 'no', 'yes'$") as caught:
        Variable("rain", ["no", "yes"]).index(state)
    assert f"'rain' has no state {state!r}" in str(caught.value)


def test_a_long_list_of_states_is_cut():
    with pytest.raises(UnknownNameError, match=r"10, 11, \.\.\.$"):
        Variable("a", range(1000)).index("x")
    with pytest.raises(UnknownNameError, match=r"10, 11$"):
        Variable("a", range(12)).index("x")


def test_finding_a_variable_by_name():
    known = [Variable(n, [0, 1]) for n in "abc"]
    assert find_variable(known, "b") is known[1]
    with pytest.raises(UnknownNameError, match=r"there is no variable 'd'; there are: a, b, c$"):
        find_variable(iter(known), "d")
    with pytest.raises(UnknownNameError, match=r"there are: none$"):
        find_variable([], "d")
    many = [Variable(f"v{i}", [0]) for i in range(13)]
    with pytest.raises(UnknownNameError, match=r"v11, \.\.\.$"):
        find_variable(many, "d")


def test_errors_are_what_a_python_user_expects():
    with pytest.raises(ValueError, match="no states"):
        Variable("a", [])
    with pytest.raises(QuincunxError):
        Variable("a", [0]).index(1)


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_has_no_order_to_lay_a_table_along(kind):
    with pytest.raises(ModelError):
        Variable("rain", kind(["no", "yes"]))


def test_bytes_are_no_list_of_states():
    with pytest.raises(ModelError):
        Variable("rain", b"ab")


def test_an_array_of_states_has_one_axis():
    with pytest.raises(ModelError):
        Variable("rain", np.zeros((2, 2)))


def test_states_of_other_writing_make_another_variable():
    assert Variable("a", [0, 1]) != Variable("a", [False, True])
    assert Variable("a", [0, 1]) != Variable("a", [0.0, 1.0])


def test_nan_is_no_state():
    with pytest.raises(ModelError):
        Variable("a", [0.5, float("nan")])
