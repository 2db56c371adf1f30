"""Labelled tables: against plain arrays, against each other, and refusing what is not a table."""

import copy
import importlib.util
import itertools
import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import Arc, Table, Variable
from quincunx._errors import MissingExtraError, ModelError, UnknownNameError
from quincunx.graphs.table import align, merge_variables, names_of, xlogx

A = Variable("A", ["a0", "a1"])
B = Variable("B", ["b0", "b1", "b2"])
C = Variable("C", ["c0", "c1", "c2", "c3"])
ONE = Variable("ONE", ["only"])
EXACT = 1e-12  # sums of numbers of size one: measured 2e-16

SEEDS = st.integers(0, 2**32 - 1)


def random_table(seed, least=0, most=4, total=None, zeros=True):
    """A table over some of five variables in some order, perhaps with zeros."""
    rng = np.random.default_rng(seed)
    known = [A, B, C, ONE, Variable("D", [0, 1])]
    count = int(rng.integers(least, most + 1))
    chosen = [known[int(i)] for i in rng.permutation(len(known))[:count]]
    values = rng.random([len(v) for v in chosen])
    if zeros:
        values = values * (rng.random(values.shape) < 0.8)
    values = np.asarray(values)
    values.flat[0] = 0.5
    return Table(chosen, values if total is None else values / values.sum())


def einsum(tables, names):
    """Sum a product of tables down to the variables named, by NumPy's einsum."""
    number = {n: i for i, n in enumerate(dict.fromkeys(n for t in tables for n in t.names))}
    operands = [x for t in tables for x in (t.values, [number[n] for n in t.names])]
    return np.einsum(*operands, [number[n] for n in names])


def some_names(seed, names):
    rng = np.random.default_rng([seed, 1])
    return [names[int(i)] for i in rng.permutation(len(names))[: rng.integers(len(names) + 1)]]


def entropy_of(values):
    return -math.fsum(p * math.log(p) for p in np.asarray(values).ravel().tolist() if p > 0)


# Marginals


@given(SEEDS)
def test_marginal_is_the_sum_with_axes_in_the_order_asked(seed):
    table = random_table(seed)
    names = some_names(seed, table.names)
    found = table.marginal(names)
    assert found.names == tuple(names)
    assert found.values.shape == tuple(len(v) for v in found.variables)
    np.testing.assert_allclose(found.values, einsum([table], names), rtol=0, atol=EXACT)


@given(SEEDS)
def test_marginal_entry_by_entry(seed):
    table = random_table(seed)
    names = some_names(seed, table.names)
    sums = dict.fromkeys(itertools.product(*(v.states for v in table.marginal(names).variables)), 0)
    for world in itertools.product(*(range(len(v)) for v in table.variables)):
        states = {v.name: v.states[i] for v, i in zip(table.variables, world, strict=True)}
        sums[tuple(states[n] for n in names)] += table.values[world]
    found = table.marginal(names).to_dict()
    for key, value in sums.items():
        assert found[key[0] if len(names) == 1 else key] == pytest.approx(value, rel=0, abs=EXACT)


@given(SEEDS)
def test_marginal_of_a_marginal(seed):
    table = random_table(seed)
    outer = some_names(seed, table.names)
    inner = some_names(seed + 1, outer)
    one = table.marginal(outer).marginal(inner)
    assert one.variables == table.marginal(inner).variables
    np.testing.assert_allclose(one.values, table.marginal(inner).values, rtol=0, atol=EXACT)


@given(SEEDS)
def test_every_order_is_a_transpose_to_the_bit(seed):
    table = random_table(seed, most=3)
    for order in itertools.permutations(range(len(table.variables))):
        found = table.marginal([table.names[i] for i in order])
        assert np.array_equal(found.values, table.values.transpose(order))


def test_marginal_by_one_name_one_variable_or_several():
    table = Table([A, B], [[1, 2, 3], [4, 5, 6]])
    for targets in ("B", B, ["B"], (B,), iter([B])):
        assert table.marginal(targets).values.tolist() == [5, 7, 9]
    assert table.marginal(()).values.shape == ()
    assert table.marginal(()).values == 21
    assert Table((), 2.0).marginal(()).values == 2


def test_marginal_refuses():
    table = Table([A, B], np.ones((2, 3)))
    with pytest.raises(UnknownNameError, match=r"no variable 'Z'; it has A, B$"):
        table.marginal(["A", "Z"])
    with pytest.raises(ModelError, match=r"each variable may be named once; got A, A$"):
        table.marginal(["A", "A"])
    with pytest.raises(UnknownNameError, match=r"it has none$"):
        Table((), 1.0).marginal("A")


# Products


@given(SEEDS)
def test_product_against_einsum(seed):
    one, other = random_table(seed), random_table(seed + 1)
    found = one * other
    assert found.names == tuple(dict.fromkeys(one.names + other.names))
    # Each entry is one product of two numbers, so nothing may differ.
    assert np.array_equal(found.values, einsum([one, other], found.names))


@given(SEEDS)
def test_product_commutes_up_to_the_order_of_axes(seed):
    one, other = random_table(seed), random_table(seed + 1)
    assert np.array_equal((one * other).values, (other * one).marginal((one * other).names).values)


@given(SEEDS)
def test_product_associates_and_has_a_one(seed):
    one, other, third = (random_table(seed + i, most=3) for i in range(3))
    left, right = (one * other) * third, one * (other * third)
    assert left.variables == right.variables
    np.testing.assert_allclose(left.values, right.values, rtol=1e-15, atol=0)
    assert np.array_equal((one * Table((), 1.0)).values, one.values)
    assert np.array_equal((Table((), 1.0) * one).values, one.values)


@given(SEEDS)
def test_summing_out_before_or_after_a_product(seed):
    """What only one factor knows may be summed out first: all of variable elimination."""
    one, other = random_table(seed), random_table(seed + 1)
    shared = [n for n in one.names if n in other.names]
    early = one.marginal(shared) * other
    late = (one * other).marginal(early.names)
    np.testing.assert_allclose(early.values, late.values, rtol=1e-14, atol=0)


def test_product_of_tables_that_disagree_about_a_variable():
    other = Variable("A", ["x", "y"])
    with pytest.raises(ModelError, match=r"'A' appears with states .*'a0'.*'x'.*everywhere"):
        Table([A], [1, 2]) * Table([other], [1, 2])


# Conditionals


@given(SEEDS)
def test_conditional_times_marginal_is_the_joint(seed):
    table = random_table(seed, total=1)
    names = some_names(seed, table.names)
    found = table.conditional(names)
    order = (*found.sources, *found.targets)
    assert [v.name for v in found.sources] == names
    assert [v.name for v in found.targets] == [n for n in table.names if n not in names]
    n_sources = math.prod(len(v) for v in found.sources)
    rows = found.values.reshape(n_sources, -1)
    mass = table.marginal(names).values.reshape(-1, 1)
    joint = table.marginal(order).values.reshape(rows.shape)
    # The mass of a row is summed in another order here, so it may be one rounding away from 0.
    assert np.array_equal(np.isnan(rows).all(axis=1), mass[:, 0] == 0)
    assert np.array_equal(np.isnan(rows).any(axis=1), mass[:, 0] == 0)
    np.testing.assert_allclose(np.nan_to_num(rows) * mass, joint, rtol=0, atol=EXACT)
    says = mass[:, 0] > 0
    np.testing.assert_allclose(rows[says].sum(axis=1), 1, rtol=0, atol=EXACT)


def test_conditional_is_the_form_of_an_arc():
    table = Table([A, B], [[0.1, 0.2, 0.1], [0, 0, 0]])
    found = table.conditional("A")
    arc = Arc(found.sources, found.targets, found.values)
    assert arc.table[0].tolist() == [0.25, 0.5, 0.25]
    assert np.isnan(arc.table[1]).all()


def test_conditional_on_nothing_and_on_everything():
    table = Table([A, B], [[1, 2, 3], [4, 0, 6]])
    assert np.array_equal(table.conditional(()).values, table.values / 16)
    everything = table.conditional(["B", "A"])
    assert everything.targets == ()
    assert everything.values.shape == (3, 2)
    assert np.isnan(everything.values[1, 1])
    assert np.nansum(everything.values) == 5
    assert np.isnan(Table([A], [0, 0]).conditional(()).values).all()


def test_conditional_refuses():
    table = Table([A, B], np.ones((2, 3)))
    with pytest.raises(UnknownNameError, match="'Z'; it has A, B"):
        table.conditional("Z")
    with pytest.raises(ModelError, match="once; got A, A"):
        table.conditional([A, "A"])


# Selecting


@given(SEEDS)
def test_select_against_indexing(seed):
    table = random_table(seed)
    fixed = some_names(seed, table.names)
    rng = np.random.default_rng(seed)
    at = {v.name: int(rng.integers(len(v))) for v in table.variables}
    index = tuple(at[v.name] if v.name in fixed else slice(None) for v in table.variables)
    chosen = {n: table.variables[table.names.index(n)].states[at[n]] for n in fixed}
    found = table.select(chosen)
    assert found.names == tuple(n for n in table.names if n not in fixed)
    assert np.array_equal(found.values, table.values[index])


def test_select_refuses():
    table = Table([A, B], np.ones((2, 3)))
    with pytest.raises(UnknownNameError, match=r"'A' has no state 'b0'; its states are 'a0', 'a1'"):
        table.select({"A": "b0"})
    with pytest.raises(UnknownNameError, match="no variable 'Z'"):
        table.select({"Z": "b0"})


# Scaling and entropy


@given(SEEDS)
def test_normalized(seed):
    table = random_table(seed, least=1)
    found = table.normalized()
    assert found.values.sum() == pytest.approx(1, rel=0, abs=EXACT)
    assert np.array_equal(found.values, table.values / table.values.sum())


@pytest.mark.parametrize(("values", "total"), [([0, 0], "0.0"), ([1, math.inf], "inf")])
def test_what_cannot_be_scaled_to_one(values, total):
    with pytest.raises(ModelError, match=f"total {total} cannot be scaled to one"):
        Table([A], values).normalized()


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_entropy_of_a_uniform_table_is_log_n(n):
    variable = Variable("X", range(n))
    assert Table([variable], np.full(n, 1 / n)).entropy() == pytest.approx(
        math.log(n), rel=0, abs=EXACT
    )


@pytest.mark.parametrize("p", [0.0, 1e-300, 0.25, 0.5, 1.0])
def test_entropy_of_a_coin(p):
    expected = entropy_of([p, 1 - p])
    assert Table([A], [p, 1 - p]).entropy() == pytest.approx(expected, rel=1e-15, abs=0)


@given(SEEDS)
def test_chain_rule_of_entropies(seed):
    table = random_table(seed, total=1)
    given_names = some_names(seed, table.names)
    whole = table.marginal(given_names).entropy() + table.entropy(given=given_names)
    assert table.entropy() == pytest.approx(entropy_of(table.values), rel=0, abs=EXACT)
    assert table.entropy() == pytest.approx(whole, rel=0, abs=EXACT)


@given(SEEDS)
def test_conditional_entropy_is_the_mean_over_the_rows(seed):
    table = random_table(seed, total=1)
    names = some_names(seed, table.names)
    found = table.conditional(names)
    rows = found.values.reshape(math.prod(len(v) for v in found.sources), -1)
    mass = table.marginal(names).values.ravel()
    mean = math.fsum(m * entropy_of(row) for m, row in zip(mass, rows, strict=True) if m > 0)
    assert table.entropy(given=names) == pytest.approx(mean, rel=0, abs=EXACT)


@given(SEEDS)
def test_conditioning_never_adds_entropy(seed):
    table = random_table(seed, least=2, total=1)
    names = some_names(seed, table.names)
    assert table.entropy(given=table.names) == 0
    assert -EXACT <= table.entropy(given=names) <= table.entropy() + EXACT


def test_entropy_given_an_unknown_variable():
    with pytest.raises(UnknownNameError, match="'Z'"):
        Table([A], [0.5, 0.5]).entropy(given="Z")


def test_xlogx():
    found = xlogx(np.array([0.0, 1.0, math.e, 5e-324, 0.5]))
    assert found[:2].tolist() == [0, 0]
    assert found[2] == pytest.approx(math.e, rel=1e-15)
    assert found[3] < 0
    assert found[4] == 0.5 * math.log(0.5)


# Making, freezing, showing


def test_values_are_copied_and_frozen():
    given_values = np.array([1.0, 2.0])
    table = Table([A], given_values)
    given_values[0] = 9
    assert table.values.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 9
    with pytest.raises(FrozenInstanceError):
        table.values = given_values
    assert table.values.dtype == np.float64


@pytest.mark.parametrize(
    "made",
    [
        lambda t: t.marginal("A"),
        lambda t: t.marginal(t.names),
        lambda t: t * t,
        lambda t: t.select({"A": "a0"}),
        lambda t: t.select({}),
        lambda t: t.normalized(),
    ],
)
def test_what_is_made_of_a_table_is_frozen_and_its_own(made):
    table = Table([A, B], np.ones((2, 3)))
    found = made(table)
    assert not found.values.flags.writeable
    assert not np.shares_memory(found.values, table.values)


def test_integers_booleans_and_strided_arrays():
    assert Table([A], [True, False]).values.tolist() == [1, 0]
    strided = np.arange(12.0).reshape(3, 4)[:, ::-2].T
    assert np.array_equal(Table([A, B], strided).values, strided)


@pytest.mark.parametrize("values", [[1], [1, 2, 3], [[1, 2]], 1.0, []])
def test_shape_must_fit(values):
    with pytest.raises(ModelError, match=r"over \['A'\] must have shape \(2,\)") as caught:
        Table([A], values)
    assert f"got shape {np.shape(values)}" in str(caught.value)


def test_a_name_stands_once():
    with pytest.raises(ModelError, match=r"must differ; got \['A', 'A'\]"):
        Table([A, A], np.ones((2, 2)))


@pytest.mark.parametrize("wrong", [-1.0, -1e-300, math.nan, -math.inf])
def test_entries_are_not_negative(wrong):
    values = np.ones((2, 3))
    values[1, 2] = wrong
    with pytest.raises(ModelError, match=r">= 0; at A=a1, B=b2 it has") as caught:
        Table([A, B], values)
    assert str(wrong) in str(caught.value)


@given(SEEDS)
def test_to_dict_holds_every_entry(seed):
    table = random_table(seed)
    found = table.to_dict()
    assert len(found) == table.values.size
    for key, value in found.items():
        states = (key,) if len(table.variables) == 1 else key
        index = tuple(v.index(s) for v, s in zip(table.variables, states, strict=True))
        assert table.values[index] == value
        assert type(value) is float


def test_to_dict_of_no_variables():
    assert Table((), 2.0).to_dict() == {(): 2.0}


def test_to_frame():
    frame = Table([A, B], np.arange(6.0).reshape(2, 3)).to_frame()
    assert list(frame.columns) == ["A", "B", "probability"]
    assert frame.loc[4].tolist() == ["a1", "b1", 4.0]
    assert len(frame) == 6


def test_to_frame_without_pandas(monkeypatch):
    def refuse(name, *rest):
        if name == "pandas":
            return None
        return found(name, *rest)

    found = importlib.util.find_spec
    monkeypatch.setattr("quincunx._errors.find_spec", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'quincunx\[pgmpy\]'"):
        Table([A], [1, 2]).to_frame()


def test_repr_shows_entries_and_says_what_it_leaves_out():
    assert repr(Table([A], [0.25, 0.75])) == "Table(A)\n  a0: 0.25\n  a1: 0.75"
    assert repr(Table((), 2.0)) == "Table()\n  : 2"
    twelve = repr(Table([B, C], np.ones((3, 4))))
    assert twelve.count("\n") == 12
    assert "b2, c3: 1" in twelve
    shown = repr(Table([A, B, C], np.ones((2, 3, 4))))
    assert shown.splitlines()[-1] == "  ... 24 entries"
    assert shown.count("\n") == 13
    assert repr(Table([Variable("X", range(5000))], np.ones(5000))) == "Table(X) with 5000 entries"


def test_html_escapes_names_and_states():
    odd = Variable("<b>x", ["<i>", "a & b"])
    shown = Table([odd], [0.25, 0.75])._repr_html_()
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "<th>&lt;b&gt;x</th><th>value</th>" in shown
    assert "<tr><td>&lt;i&gt;</td><td>0.25</td></tr>" in shown
    assert "<tr><td>a &amp; b</td><td>0.75</td></tr>" in shown


def test_html_is_cut_at_a_hundred_rows():
    whole = Table([Variable("X", range(100))], np.ones(100))._repr_html_()
    assert whole.count("<tr><td>") == 100
    assert "..." not in whole
    shown = Table([Variable("X", range(101))], np.ones(101))._repr_html_()
    assert "<td>99</td>" in shown
    assert "<td>100</td>" not in shown
    assert "... 101 " in shown


def test_copies():
    table = Table([A, B], np.arange(6.0).reshape(2, 3))
    for other in (pickle.loads(pickle.dumps(table)), copy.deepcopy(table), copy.copy(table)):
        assert other.variables == table.variables
        assert np.array_equal(other.values, table.values)


# Helpers of the room


def test_names_of():
    assert names_of("AB") == ("AB",)
    assert names_of(A) == ("A",)
    assert names_of(["x", A]) == ("x", "A")
    assert names_of(()) == ()


def test_merge_keeps_the_first_appearance():
    assert merge_variables([B, A, Variable("B", B.states), C, A]) == (B, A, C)
    assert merge_variables(()) == ()


def test_align_gives_axes_of_length_one():
    values = np.arange(6.0).reshape(2, 3)
    found = align(Table([A, B], values), [C, B, A])
    assert found.shape == (1, 3, 2)
    assert np.array_equal(found[0], values.T)
    assert align(Table((), 2.0), [A]).shape == (1,)
