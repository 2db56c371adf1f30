"""Dependency graphs: how they are put together, and their scores against the definitions."""

import copy
import math
import pickle
import tracemalloc
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quincunx import PDG, Arc, Beliefs, Table, Variable, cluster_tree
from quincunx._errors import ModelError, TooLargeError, UnknownNameError
from quincunx.graphs.files import json
from tests import oracles
from tests.graphs.files.models import pdgs
from tests.problems import random_pdg

A = Variable("A", ["a0", "a1"])
B = Variable("B", ["b0", "b1", "b2"])
C = Variable("C", ["c0", "c1"])
HARD = math.inf
NAN = math.nan
# Sums of at most 700 terms of size up to 10: measured 5e-14 on 400 graphs.
EXACT = 1e-12

SEEDS = st.integers(0, 2**32 - 1)
# No two of them are equal: Python holds 1, 1.0 and True for one.
FINITE = st.one_of(st.text(max_size=3), st.integers(2, 9), st.booleans(), st.floats(0.1, 0.9))


def coin(p, variable=A):
    return Table([variable], [1 - p, p])


def random_joint(seed, variables, zeros=True):
    rng = np.random.default_rng([seed, 7])
    values = rng.dirichlet(np.ones(math.prod(len(v) for v in variables)))
    if zeros:
        values = values * (rng.random(len(values)) < 0.7)
    values[0] += 0.1
    return Table(variables, (values / values.sum()).reshape([len(v) for v in variables]))


# Putting together


def test_variables_come_first_given_then_met():
    pdg = PDG([Arc(C, B, None), Arc([], A, None)], [A])
    assert pdg.variables == (A, C, B)
    assert PDG().variables == ()
    assert PDG().arcs == ()
    assert PDG([], [B, A, B]).variables == (B, A)


def test_names_stand_for_variables_of_other_arcs_or_given_ones():
    pdg = PDG([Arc("A", "B", np.full((2, 3), 1 / 3)), Arc([], A, None)], [B])
    assert pdg.arcs[0].scope == (A, B)
    assert pdg.variables == (B, A)
    assert pdg.variable("A") is A


def test_iterators_are_read_once():
    pdg = PDG((Arc([], v, None) for v in (A, B)), (v for v in (C, B)))
    assert pdg.variables == (C, B, A)
    assert len(pdg.arcs) == 2


def test_union():
    one, other = PDG([Arc([], A, [0.5, 0.5])]), PDG([Arc([], A, [0.5, 0.5])], [B])
    both = one + other
    assert len(both.arcs) == 2
    assert both.variables == (A, B)
    assert (one.variables, len(one.arcs)) == ((A,), 1)
    assert one + Arc("A", B, None) == PDG([*one.arcs, Arc(A, B, None)])
    assert one + C == PDG(one.arcs, [A, C])
    assert one + PDG() == one == PDG() + one


@given(pdgs(states=FINITE), pdgs(states=FINITE))
def test_union_holds_the_parts_of_both(one, other):
    try:
        both = one + other
    except ModelError as error:
        assert "appears with states" in str(error)
        shared = {v.name: v for v in one.variables}
        assert any(shared.get(v.name, v) != v for v in other.variables)
        return
    assert both.arcs == one.arcs + other.arcs
    assert set(both.variables) == set(one.variables) | set(other.variables)
    assert set((other + one).variables) == set(both.variables)


@pytest.mark.parametrize("other", [3, None, "A", [Arc([], A, None)]])
def test_union_with_something_else(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        PDG() + other


def test_union_refuses_other_states_and_unknown_names():
    pdg = PDG([Arc([], A, None)])
    with pytest.raises(ModelError, match=r"'A' appears with states .* use one of the two"):
        pdg + Variable("A", ["x", "y"])
    with pytest.raises(UnknownNameError, match=r"names 'Z', which is not a variable of the graph"):
        pdg + Arc("A", "Z", None)


RADIO = Arc([], A, [0.7, 0.3], label="radio")
SKY = Arc([], A, [0.4, 0.6], label="sky")
HABIT = Arc(A, C, [[0.9, 0.1], [0.2, 0.8]])


def test_arcs_are_left_out_by_name_and_their_variables_stay():
    pdg = PDG([RADIO, HABIT, SKY, RADIO], [B])
    assert pdg.without("sky") == PDG([RADIO, HABIT, RADIO], pdg.variables)
    assert pdg.without("radio", "(C | A)") == PDG([SKY], pdg.variables)
    assert pdg.without("radio", "radio", "sky", "(C | A)").variables == pdg.variables == (B, A, C)
    assert pdg.without() == pdg
    assert len(pdg.arcs) == 4


def test_an_arc_is_found_by_name_and_changed():
    pdg = PDG([RADIO, HABIT, SKY])
    assert pdg.arc("sky") is SKY and pdg.arc("(C | A)") is HABIT
    softer = pdg.without("sky") + replace(pdg.arc("sky"), beta=0.2)
    assert [(arc.name, arc.beta) for arc in softer.arcs][-1] == ("sky", 0.2)
    with pytest.raises(ModelError, match="2 arcs are named 'sky'"):
        (pdg + SKY).arc("sky")


@pytest.mark.parametrize("ask", [PDG.without, PDG.arc])
def test_an_unknown_arc_is_told_the_nearest_names(ask):
    many = PDG([Arc([], A, None, label=f"x{i:02}") for i in range(14)])
    for pdg, name, text in (
        (PDG([RADIO, SKY]), "raido", "no arc 'raido'; did you mean 'radio'?"),
        (PDG([RADIO, SKY]), "uncle", "no arc 'uncle'; there are: 'radio', 'sky'"),
        (PDG(), "sky", "no arc 'sky'; there are: none"),
        (many, "uncle", "'x11', ..."),
        (PDG([RADIO]), RADIO, "no arc Arc(radio"),
    ):
        with pytest.raises(UnknownNameError) as caught:
            ask(pdg, name)
        assert text in str(caught.value)
    with pytest.raises(UnknownNameError, match="'sku'"):
        PDG([RADIO, SKY]).without("radio", "sku")


@pytest.mark.parametrize("thing", [3, "arc", None, (A, B, None), A])
def test_a_graph_is_made_of_arcs(thing):
    with pytest.raises(ModelError, match="a PDG is made of arcs; got") as caught:
        PDG([thing])
    assert repr(thing) in str(caught.value)


def test_tables_must_fit_the_variables_that_names_stand_for():
    with pytest.raises(ModelError, match=r"arc \(B\): the table must have shape \(3,\)"):
        PDG([Arc([], "B", [0.5, 0.5])], [B])
    with pytest.raises(UnknownNameError, match=r"pass it as a Variable, or list it in variables="):
        PDG([Arc([], "B", [0.5, 0.5])])
    with pytest.raises(UnknownNameError, match=r"no variable 'Z'; there are: A$"):
        PDG([], [A]).variable("Z")


def test_frozen_equal_and_hashable():
    pdg = PDG([Arc(A, B, None), Arc([], A, [NAN, NAN])])
    same = PDG([Arc(A, B, None), Arc([], A, [NAN, NAN])])
    assert pdg == same
    assert hash(pdg) == hash(same)
    assert pdg != PDG(pdg.arcs[::-1], pdg.variables)
    assert pdg != PDG(pdg.arcs, [*pdg.variables, C])
    with pytest.raises(FrozenInstanceError):
        pdg.arcs = ()
    assert isinstance(pdg.arcs, tuple)
    assert isinstance(pdg.variables, tuple)


@given(pdgs(states=FINITE))
def test_copies_are_equal(pdg):
    assert json.loads(json.dumps(pdg)) == pdg
    assert pickle.loads(pickle.dumps(pdg)) == pdg
    assert copy.deepcopy(pdg) == pdg
    assert replace(pdg, arcs=()) == PDG([], pdg.variables)
    assert PDG(pdg.arcs, pdg.variables) == pdg


# Scores, in closed form


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.5, 3.0])
def test_inc_of_one_arc_is_beta_times_the_divergence(p, beta):
    pdg = PDG([Arc([], A, [0.25, 0.75], beta=beta)])
    divergence = sum(m * math.log(m / q) for m, q in [(1 - p, 0.25), (p, 0.75)] if m > 0)
    assert pdg.inc(coin(p)) == pytest.approx(beta * divergence, rel=0, abs=EXACT)


def test_inc_where_the_arc_is_met():
    rows = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    mu = Table([A, B], np.array([[0.3], [0.7]]) * rows)
    assert PDG([Arc(A, B, rows, beta=5)]).inc(mu) == pytest.approx(0, abs=EXACT)
    assert PDG([Arc(A, B, rows, beta=HARD)]).inc(mu) == 0


def test_what_a_table_excludes():
    pdg = PDG([Arc([], A, [0, 1])])
    assert pdg.inc(coin(1)) == 0
    assert pdg.inc(coin(1 - 1e-15)) == math.inf
    assert PDG([Arc([], A, [0, 1], beta=0)]).inc(coin(0)) == 0
    assert pdg.score(coin(0), 0.5) == math.inf


def test_a_row_without_mass_excludes_nothing():
    table = [[0, 0.5, 0.5], [1, 0, 0]]
    mu = Table([A, B], [[0, 0, 0], [1, 0, 0]])
    assert PDG([Arc(A, B, table)]).inc(mu) == 0
    assert PDG([Arc(A, B, table, beta=HARD)]).inc(mu) == 0


def test_a_hard_arc_is_met_within_its_residual():
    pdg = PDG([Arc([], A, [0.25, 0.75], beta=HARD)])
    assert pdg.inc(coin(0.75)) == 0
    assert pdg.inc(coin(0.75 + 0.9e-9)) == 0
    assert pdg.inc(coin(0.75 + 1.1e-9)) == math.inf


def test_rows_and_tables_that_say_nothing_cost_nothing():
    mu = Table([A, B], [[0.1, 0.2, 0.3], [0.1, 0.1, 0.2]])
    assert PDG([Arc(A, B, None, beta=3)]).inc(mu) == 0
    assert PDG([Arc(A, B, None, beta=HARD)]).inc(mu) == 0
    assert PDG([Arc(A, B, np.full((2, 3), NAN), beta=HARD)]).inc(mu) == 0
    partial = PDG([Arc(A, B, [[0.5, 0.25, 0.25], [NAN] * 3])])
    expected = 0.1 * math.log(0.1 / 0.3) + 0.2 * math.log(0.2 / 0.15) + 0.3 * math.log(2)
    assert partial.inc(mu) == pytest.approx(expected, rel=0, abs=EXACT)
    hard = PDG([Arc(A, B, [[0.5, 0.25, 0.25], [NAN] * 3], beta=HARD)])
    assert hard.inc(mu) == math.inf
    assert hard.inc(Table([A, B], [[0.2, 0.1, 0.1], [0.6, 0, 0]])) == 0


def test_idef_in_closed_form():
    mu = coin(0.25)
    h = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert PDG([], [A]).idef(mu) == pytest.approx(-h, rel=0, abs=EXACT)
    assert PDG([Arc([], A, None, alpha=3)]).idef(mu) == pytest.approx(2 * h, rel=0, abs=EXACT)
    assert PDG([Arc([], A, None, alpha=-1)]).idef(mu) == pytest.approx(-2 * h, rel=0, abs=EXACT)


def test_a_graph_of_nothing_scores_zero():
    nothing = Table((), 1.0)
    assert PDG().inc(nothing) == 0
    assert PDG().idef(nothing) == 0
    assert PDG().score(nothing, 2.0) == 0


def test_two_coins_that_copy_each_other():
    """The copies determine each other, and nothing determines which side they show."""
    eye = np.eye(2)
    pdg = PDG([Arc(A, C, eye), Arc(C, A, eye)])
    mu = Table([A, C], eye / 2)
    assert pdg.inc(mu) == 0
    assert pdg.idef(mu) == pytest.approx(-math.log(2), rel=0, abs=EXACT)


def test_score_at_zero_is_inc_even_where_idef_is_large():
    pdg = PDG([Arc([], A, [0.5, 0.5], alpha=1e300)])
    mu = coin(0.25)
    assert pdg.score(mu, 0) == pdg.inc(mu)
    assert pdg.score(mu, 0.5) == pdg.inc(mu) + 0.5 * pdg.idef(mu)


# Scores against the enumeration of worlds


def soft(pdg):
    return PDG([a for a in pdg.arcs if math.isfinite(a.beta)], pdg.variables)


@given(SEEDS, st.booleans())
def test_scores_are_the_definitions(seed, zeros):
    pdg = soft(random_pdg(seed))
    mu = random_joint(seed, pdg.variables, zeros)
    masses = mu.values.ravel()
    inc = oracles.joint_score(pdg, masses, 0)
    assert pdg.inc(mu) == pytest.approx(inc, rel=0, abs=EXACT)
    if math.isfinite(inc):
        for gamma in (0.1, 1.0, 3.0):
            expected = oracles.joint_score(pdg, masses, gamma)
            assert pdg.score(mu, gamma) == pytest.approx(expected, rel=0, abs=EXACT)
    without = PDG([replace(a, beta=0) for a in pdg.arcs], pdg.variables)
    idef = oracles.joint_score(without, masses, 1)
    assert pdg.idef(mu) == pytest.approx(idef, rel=0, abs=EXACT)


@given(SEEDS)
def test_order_of_axes_and_of_arcs_does_not_matter(seed):
    pdg = soft(random_pdg(seed))
    mu = random_joint(seed, pdg.variables, zeros=False)
    turned = mu.marginal(mu.names[::-1])
    other = PDG(pdg.arcs[::-1], pdg.variables[::-1])
    assert other.inc(turned) == pytest.approx(pdg.inc(mu), rel=0, abs=EXACT)
    assert other.idef(turned) == pytest.approx(pdg.idef(mu), rel=0, abs=EXACT)


@given(SEEDS, st.sampled_from([0.25, 2.0, 8.0]))
def test_scaling_and_splitting_confidences(seed, c):
    pdg = soft(random_pdg(seed))
    mu = random_joint(seed, pdg.variables, zeros=False)
    scaled = PDG([replace(a, beta=c * a.beta) for a in pdg.arcs], pdg.variables)
    assert scaled.inc(mu) == pytest.approx(c * pdg.inc(mu), rel=1e-12, abs=0)
    halves = [replace(a, alpha=a.alpha / 2, beta=a.beta / 2) for a in pdg.arcs]
    split = PDG([*halves, *halves], pdg.variables)
    assert split.inc(mu) == pytest.approx(pdg.inc(mu), rel=1e-12, abs=0)
    assert split.idef(mu) == pytest.approx(pdg.idef(mu), rel=0, abs=EXACT)


@given(SEEDS)
def test_scores_of_a_union_add_up(seed):
    one, other = soft(random_pdg(seed)), soft(random_pdg(seed))
    mu = random_joint(seed, one.variables, zeros=False)
    both = one + other
    assert both.inc(mu) == pytest.approx(one.inc(mu) + other.inc(mu), rel=0, abs=EXACT)
    expected = one.idef(mu) + other.idef(mu) + mu.entropy()
    assert both.idef(mu) == pytest.approx(expected, rel=0, abs=EXACT)


@given(SEEDS)
def test_a_table_taken_from_mu_costs_nothing(seed):
    pdg = soft(random_pdg(seed))
    mu = random_joint(seed, pdg.variables)
    arcs = []
    for arc in pdg.arcs:
        found = mu.marginal(arc.scope).conditional(arc.sources)
        arcs += [
            Arc(found.sources, found.targets, found.values, 1, beta) for beta in (0.5, 7.0, HARD)
        ]
    assert PDG(arcs, pdg.variables).inc(mu) == pytest.approx(0, abs=EXACT)


@given(SEEDS)
def test_calibrated_beliefs_score_as_their_joint(seed):
    pdg = soft(random_pdg(seed))
    tree = cluster_tree(pdg.variables, [a.scope for a in pdg.arcs])
    rng = np.random.default_rng(seed)
    joint = Table((), 1.0)
    for c in range(len(tree.clusters)):
        members = [tree.variables[v] for v in tree.clusters[c]]
        joint = joint * Table(members, rng.random(tree.shapes[c]) + 0.01)
    joint = joint.normalized().marginal([v.name for v in pdg.variables])
    marginals = tuple(joint.marginal(tree.names(c)).values for c in range(len(tree.clusters)))
    beliefs = Beliefs(tree, marginals)
    assert pdg.idef(beliefs) == pytest.approx(pdg.idef(joint), rel=0, abs=EXACT)
    assert pdg.inc(beliefs) == pytest.approx(pdg.inc(joint), rel=0, abs=EXACT)


def test_a_distribution_that_lacks_a_variable():
    pdg = PDG([Arc(A, B, np.full((2, 3), 1 / 3))])
    with pytest.raises(UnknownNameError, match="no variable 'B'; it has A"):
        pdg.inc(coin(0.5))
    with pytest.raises(UnknownNameError, match="no variable 'B'; it has A"):
        pdg.idef(coin(0.5))


def test_a_structure_too_large_for_a_table_is_refused_before_it_is_made():
    variables = [Variable(f"X{i}", [0, 1]) for i in range(60)]
    pdg = PDG([Arc(variables[:30], variables[30:], None)])
    beliefs = Beliefs(cluster_tree(variables, []), (np.array([0.5, 0.5]),) * 60)
    assert pdg.inc(beliefs) == 0
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match=r"60 variables .* would take 8.59e\+09 GiB"):
            pdg.idef(beliefs)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# Showing


def test_repr_is_cut_at_ten_arcs():
    assert repr(PDG()) == "PDG with 0 variables and 0 arcs"
    shown = repr(PDG([Arc([], A, [0.5, 0.5], label="prior")]))
    assert shown.splitlines() == [
        "PDG with 1 variables and 1 arcs",
        "  Arc(prior, table (2,), alpha=1, beta=1)",
    ]
    assert "..." not in repr(PDG([Arc([], A, None)] * 10))
    assert repr(PDG([Arc([], A, None)] * 11)).splitlines()[-1] == "  ... 11 arcs"


def test_html_escapes_names_and_labels():
    odd, other = Variable("<b>x", ["0"]), Variable("y & z", ["0"])
    shown = PDG([Arc(odd, other, None, beta=HARD, label="<script>")])._repr_html_()
    assert "<b>" not in shown
    assert "<script>" not in shown
    for text in ("&lt;script&gt;", "&lt;b&gt;x", "y &amp; z", "none", "inf"):
        assert f"<td>{text}</td>" in shown


def test_html_is_cut_at_a_hundred_arcs():
    assert "..." not in PDG([Arc([], A, None)] * 100)._repr_html_()
    shown = PDG([Arc([], A, None)] * 101)._repr_html_()
    assert shown.count("<tr><td>") == 100
    assert "... 101 " in shown


# Faults found


@pytest.mark.parametrize("variables", [["A"], [None], A])
def test_variables_are_a_list_of_variables(variables):
    with pytest.raises(ModelError):
        PDG([], variables)


def test_an_arc_alone_is_no_list():
    with pytest.raises(ModelError):
        PDG(Arc([], A, None))


def test_a_distribution_over_other_states_is_refused():
    pdg = PDG([Arc([], A, [0.25, 0.75])])
    with pytest.raises(ModelError):
        pdg.inc(Table([Variable("A", ["a1", "a0"])], [0.75, 0.25]))


def test_a_distribution_over_more_states_is_refused():
    pdg = PDG([Arc([], A, [0.25, 0.75])])
    with pytest.raises(ModelError):
        pdg.inc(Table([Variable("A", ["a0", "a1", "a2"])], [0.25, 0.75, 0]))


def test_idef_of_a_distribution_that_lacks_an_idle_variable():
    with pytest.raises(ModelError):
        PDG([], [A, B]).idef(coin(0.5))


@pytest.mark.parametrize("gamma", [-1.0, NAN, math.inf])
def test_gamma_is_finite_and_not_negative(gamma):
    with pytest.raises(ModelError):
        PDG([], [A]).score(coin(0.5), gamma)
