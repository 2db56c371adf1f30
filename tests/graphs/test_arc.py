"""Arcs: what a belief may say, and what is refused with a way out."""

import copy
import math
import pickle
import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import Arc, Variable
from quincunx._errors import ModelError, QuincunxError, UnknownNameError

A = Variable("A", ["a0", "a1"])
B = Variable("B", ["b0", "b1", "b2"])
C = Variable("C", ["c0", "c1"])
ROWS = [[0.5, 0.25, 0.25], [0.125, 0.375, 0.5]]
NAN = math.nan


def test_members_alone_in_lists_and_absent():
    for sources in (A, [A], (A,), iter([A])):
        arc = Arc(sources, B, ROWS)
        assert arc.sources == (A,)
        assert arc.targets == (B,)
    assert Arc(None, A, None).sources == ()
    assert Arc("A", "B", None).source_names == ("A",)
    assert Arc("AB", ["C"], None).source_names == ("AB",)
    assert Arc([], [A, "B"], None).target_names == ("A", "B")


def test_defaults():
    arc = Arc(A, B, ROWS)
    assert (arc.alpha, arc.beta, arc.label) == (1.0, 1.0, None)
    assert arc.scope == (A, B)
    assert arc.table.tolist() == ROWS


def test_confidences_at_their_limits():
    arc = Arc(A, B, ROWS, alpha=-3, beta=math.inf)
    assert (arc.alpha, arc.beta) == (-3.0, math.inf)
    assert type(arc.alpha) is float
    assert Arc(A, B, ROWS, alpha=np.float32(0.5), beta=0).beta == 0.0


def test_names_for_messages():
    assert Arc([A, C], B, None).name == "(B | A, C)"
    assert Arc([], [A, C], None).name == "(A, C)"
    assert Arc(A, B, None, label="habit").name == "habit"


def test_rows_are_source_states_by_target_states():
    table = np.random.default_rng(0).dirichlet(np.ones(6), size=2).reshape(2, 3, 2)
    arc = Arc(A, [B, C], table)
    assert arc.rows.shape == (2, 6)
    assert np.array_equal(arc.rows, table.reshape(2, 6))
    assert Arc([], [B, C], table[0]).rows.shape == (1, 6)
    nothing = Arc(A, B, None)
    assert nothing.rows.shape == (2, 3)
    assert np.isnan(nothing.rows).all()


def test_a_row_may_say_nothing():
    arc = Arc(A, B, [ROWS[0], [NAN] * 3])
    assert arc.table[0].tolist() == ROWS[0]
    assert np.isnan(arc.table[1]).all()
    assert np.isnan(Arc([], A, [NAN, NAN]).table).all()


def test_the_table_is_copied_and_frozen():
    values = np.array(ROWS)
    arc = Arc(A, B, values)
    values[0, 0] = 9
    assert arc.table.tolist() == ROWS
    with pytest.raises(ValueError, match="read-only"):
        arc.table[0, 0] = 9
    with pytest.raises(ValueError, match="read-only"):
        arc.rows[0, 0] = 9
    assert not Arc("A", "B", values.T / values.T.sum(axis=1, keepdims=True)).table.flags.writeable
    with pytest.raises(FrozenInstanceError):
        arc.beta = 2.0


@given(st.integers(0, 2**32 - 1), st.floats(-0.9e-6, 0.9e-6))
def test_typed_rows_are_scaled_to_one(seed, off):
    row = np.random.default_rng(seed).dirichlet(np.ones(5)) * (1 + off)
    table = Arc([], "X", row).table
    assert table.sum() == pytest.approx(1, rel=0, abs=1e-12)
    np.testing.assert_allclose(table, row / row.sum(), rtol=1e-12, atol=0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_row_one_rounding_off_keeps_its_bits(seed, n):
    row = np.random.default_rng(seed).random(n) + 0.01
    row /= row.sum()
    assert Arc([], "X", row).table.tobytes() == row.tobytes()
    assert Arc([], "X", Arc([], "X", row).table).table.tobytes() == row.tobytes()


@pytest.mark.parametrize("off", [-1.01e-6, 1.01e-6, -0.5, 1.0])
def test_rows_that_do_not_sum_to_one(off):
    table = [[0.5, 0.25, 0.25], [0.5 + off, 0.25, 0.25]]
    with pytest.raises(ModelError, match=r"row \[A=a1\] sums to .*not to 1; correct it") as caught:
        Arc(A, B, table, label="habit")
    assert f"{1 + off:.9g}" in str(caught.value)
    assert "arc habit" in str(caught.value)
    assert "divide by the sum" in str(caught.value)


def test_the_first_bad_row_is_named():
    table = np.full((2, 2, 3), 1 / 3)
    table[1, 0] = 0.5
    table[1, 1] = 0.7
    with pytest.raises(ModelError, match=r"row \[A=a1, C=c0\] sums to 1.5"):
        Arc([A, C], B, table)
    with pytest.raises(ModelError, match=r"row \[A=#1, C=#0\] sums to 1.5"):
        Arc(["A", "C"], "B", table)
    with pytest.raises(ModelError, match=r"row \[A=a1, C=#0\] sums to 1.5"):
        Arc([A, "C"], "B", table)
    with pytest.raises(ModelError, match="its only row sums to 0, not"):
        Arc([], "B", [0, 0])


@pytest.mark.parametrize("wrong", [-0.25, -1e-300, math.inf, -math.inf])
def test_entries_outside_zero_to_one(wrong):
    row = [wrong, 0.5, 0.5]
    with pytest.raises(ModelError, match=re.escape("probabilities must be in [0, 1]")) as caught:
        Arc(A, B, [ROWS[0], row])
    assert f"row [A=a1] is {row}" in str(caught.value)


def test_an_entry_above_one():
    with pytest.raises(ModelError, match=r"sums to 1\.5, not to 1"):
        Arc([], A, [1.5, 0])


@pytest.mark.parametrize("row", [[NAN, 0.5, 0.5], [NAN, NAN, 1.0], [NAN, -1, 2]])
def test_rows_that_are_nan_in_part(row):
    with pytest.raises(ModelError) as caught:
        Arc(A, B, [ROWS[0], row])
    assert "row [A=a1]" in str(caught.value)
    if row[1] != -1:
        assert "NaN in part; give all its numbers, or NaN throughout" in str(caught.value)


@pytest.mark.parametrize("table", [[0.5, 0.5], np.ones((3, 2)) / 2, np.ones((2, 3, 1)), 1.0, []])
def test_shape_must_fit(table):
    with pytest.raises(ModelError, match=r"shape \(2, 3\), the states of the sources") as caught:
        Arc(A, B, table)
    assert f"got {np.shape(table)}" in str(caught.value)


def test_axes_are_counted_where_states_are_unknown():
    with pytest.raises(ModelError, match=r"one axis a variable, sources first; got shape \(2,\)"):
        Arc("A", "B", [0.5, 0.5])
    with pytest.raises(ModelError, match=r"got shape \(1, 2, 3\)"):
        Arc(A, "B", [ROWS])


@pytest.mark.parametrize(
    "table", ["half", ["x", 0.5], [[0.5], [0.5, 0.5]], [0.5j, 0.5], [None, {}]]
)
def test_tables_are_numbers(table):
    with pytest.raises(ModelError, match=r"arc \(A\): the table is not an array of numbers"):
        Arc([], A, table)


@pytest.mark.parametrize("alpha", [math.nan, math.inf, -math.inf])
def test_alpha_is_finite(alpha):
    with pytest.raises(ModelError, match=rf"arc \(B \| A\): alpha .* finite number, not {alpha}"):
        Arc(A, B, ROWS, alpha=alpha)


@pytest.mark.parametrize("beta", [-1, -1e-300, math.nan, -math.inf])
def test_beta_is_not_negative(beta):
    with pytest.raises(ModelError, match=re.escape(f"beta must be in [0, inf], not {float(beta)}")):
        Arc(A, B, ROWS, beta=beta)


@pytest.mark.parametrize("value", ["big", None, [1], 1j])
@pytest.mark.parametrize("which", ["alpha", "beta"])
def test_confidences_are_numbers(which, value):
    with pytest.raises(ModelError, match=rf"{which} of arc \(B \| A\) must be a number") as caught:
        Arc(A, B, ROWS, **{which: value})
    assert f"not {value!r}" in str(caught.value)


def test_at_least_one_target():
    with pytest.raises(ModelError, match="needs at least one target"):
        Arc(A, [], None)
    with pytest.raises(ModelError, match="needs at least one target"):
        Arc(A, None, None)


@pytest.mark.parametrize(
    ("sources", "targets"), [(A, A), ([A, "A"], B), ([], ["B", B]), (["A"], [A])]
)
def test_each_variable_stands_once(sources, targets):
    with pytest.raises(ModelError, match="each variable may stand once"):
        Arc(sources, targets, None)


@pytest.mark.parametrize("member", [3, None, ["A"], b"A"])
def test_members_are_variables_or_names(member):
    with pytest.raises(ModelError, match="joins variables or names") as caught:
        Arc([], [A, member], None)
    assert repr(member) in str(caught.value)


def test_resolving_names():
    arc = Arc(["A"], [B], ROWS, 0.5, 2.0, "habit")
    found = arc.resolve({"A": A, "B": B})
    assert found == Arc(A, B, ROWS, 0.5, 2.0, "habit")
    assert found.scope == (A, B)
    known = Arc(A, B, ROWS)
    assert known.resolve({}) is known


def test_resolving_refuses():
    arc = Arc(["A"], ["B"], ROWS)
    with pytest.raises(UnknownNameError, match=r"arc \(B \| A\) names 'B', .*list it in variables"):
        arc.resolve({"A": A})
    with pytest.raises(ModelError, match=r"shape \(2, 2\)"):
        arc.resolve({"A": A, "B": C})
    with pytest.raises(ModelError, match="no graph has resolved"):
        _ = arc.scope
    with pytest.raises(ModelError, match="no graph has resolved"):
        _ = arc.rows


def test_equality_sees_every_part():
    arc = Arc(A, B, ROWS, 1, 2, "x")
    assert arc == Arc(A, B, ROWS, 1, 2, "x")
    assert hash(arc) == hash(Arc(A, B, ROWS, 1, 2, "x"))
    others = [
        Arc(A, B, ROWS, 1, 2, "y"),
        Arc(A, B, ROWS, 1, 2),
        Arc(A, B, ROWS, 1, 3, "x"),
        Arc(A, B, ROWS, 2, 2, "x"),
        Arc(A, B, ROWS[::-1], 1, 2, "x"),
        Arc(A, B, [ROWS[0], [NAN] * 3], 1, 2, "x"),
        Arc(A, B, None, 1, 2, "x"),
        Arc(C, B, ROWS, 1, 2, "x"),
        Arc("A", B, ROWS, 1, 2, "x"),
    ]
    for other in others:
        assert arc != other
    assert arc != "x"


def test_undefined_rows_equal_each_other_and_not_a_missing_table():
    one, other = (Arc(A, B, [ROWS[0], [NAN] * 3]) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert Arc([], A, [NAN, NAN]) != Arc([], A, None)
    assert Arc([], A, None) == Arc([], A, None)


def test_copies_and_replacement():
    arc = Arc(A, B, ROWS, 1, math.inf, "x")
    assert pickle.loads(pickle.dumps(arc)) == arc
    assert copy.deepcopy(arc) == arc
    assert replace(arc, beta=2.0) == Arc(A, B, ROWS, 1, 2.0, "x")
    with pytest.raises(ModelError, match="beta"):
        replace(arc, beta=-1)


def test_repr_is_one_line():
    assert repr(Arc(A, B, ROWS, 0.5, math.inf)) == (
        "Arc((B | A), table (2, 3), alpha=0.5, beta=inf)"
    )
    assert repr(Arc([], A, None, label="s")) == "Arc(s, no table, alpha=1, beta=1)"


def test_a_single_state_has_a_table_of_ones():
    only = Variable("only", ["x"])
    assert Arc(A, only, [[1], [1]]).rows.tolist() == [[1], [1]]
    assert Arc(only, A, [[0.5, 0.5]]).rows.shape == (1, 2)


def test_errors_are_what_a_python_user_expects():
    with pytest.raises(ValueError, match="sums to"):
        Arc([], A, [1, 1])
    with pytest.raises(QuincunxError):
        Arc([], A, [1, 1])


def test_an_array_of_no_rows():
    with pytest.raises(ModelError):
        Arc("A", "B", np.zeros((0, 2)))


def test_a_number_in_place_of_the_members():
    with pytest.raises(ModelError):
        Arc([], 5, None)


def test_a_confidence_beyond_floats():
    with pytest.raises(ModelError):
        Arc([], A, None, beta=10**400)


def test_a_label_is_a_string():
    with pytest.raises(ModelError):
        Arc([], A, None, label=3)
