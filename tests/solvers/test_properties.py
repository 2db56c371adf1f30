"""What must not change when a graph is written another way, by hypothesis."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quincunx as q
from quincunx._types import Status
from tests.problems import random_pdg

SEEDS = st.integers(0, 10_000)
GAMMAS = st.sampled_from([0.0, None, 0.05, 0.2])
# Certified gaps are at most 1e-8 (1 + |value|); two answers can differ by as much as both gaps.
VALUE = 2e-7


def small_pdg(seed):
    """Draw a graph without hard arcs, all of whose rows are convex up to gamma = 0.25."""
    return random_pdg(seed, most_worlds=100, extras=seed % 2 == 0)


def solved(pdg, gamma):
    answer = q.infer(pdg, gamma=gamma, throw=False)
    usable = (Status.OPTIMAL, Status.NEARLY_OPTIMAL)
    return answer if answer.status in usable else None


def assert_same(one, other, gamma, names, factor=1.0):
    assert (one is None) == (other is None)
    if one is None:
        return
    scale = 1 + abs(one.inconsistency)
    assert other.inconsistency == pytest.approx(factor * one.inconsistency, abs=VALUE * scale)
    if gamma:
        # Total variation from the optimum is certified on both sides.
        slack = 2 * (one.belief_error + other.belief_error) + 1e-9
        for name in names:
            a, b = one.query(name).values, other.query(name).values
            assert 0.5 * np.abs(a - b).sum() <= slack


@given(SEEDS, GAMMAS, st.randoms(use_true_random=False))
def test_relabelling_variables_and_states(seed, gamma, random):
    pdg = small_pdg(seed)
    names = [f"V{i}" for i in range(len(pdg.variables))]
    random.shuffle(names)
    orders = {v.name: random.sample(range(len(v)), len(v)) for v in pdg.variables}
    renamed = {
        v.name: q.Variable(new, [v.states[i] for i in orders[v.name]])
        for v, new in zip(pdg.variables, names, strict=True)
    }
    arcs = []
    for arc in pdg.arcs:
        table = arc.table[np.ix_(*(orders[v.name] for v in arc.scope))]
        sources = [renamed[v.name] for v in arc.sources]
        targets = [renamed[v.name] for v in arc.targets]
        arcs.append(q.Arc(sources, targets, table, arc.alpha, arc.beta))
    other = solved(q.PDG(arcs, [renamed[v.name] for v in reversed(pdg.variables)]), gamma)
    one = solved(pdg, gamma)
    assert_same(one, other, gamma, [])
    if one is not None and gamma:
        for v in pdg.variables:
            back = other.query(renamed[v.name].name).to_dict()
            for state, p in one.query(v.name).to_dict().items():
                slack = 2 * (one.belief_error + other.belief_error) + 1e-9
                assert back[state] == pytest.approx(p, abs=slack)


@given(SEEDS, GAMMAS, st.randoms(use_true_random=False))
def test_permuting_arcs(seed, gamma, random):
    pdg = small_pdg(seed)
    arcs = list(pdg.arcs)
    random.shuffle(arcs)
    names = [v.name for v in pdg.variables]
    assert_same(solved(pdg, gamma), solved(q.PDG(arcs, pdg.variables), gamma), gamma, names)


@given(SEEDS, GAMMAS, st.floats(0.01, 100))
def test_scaling_beta_and_gamma(seed, gamma, factor):
    """Beta and gamma times c, alpha fixed: the value times c, the same beliefs."""
    pdg = small_pdg(seed)
    scaled = q.PDG(
        [q.Arc(a.sources, a.targets, a.table, a.alpha, a.beta * factor) for a in pdg.arcs],
        pdg.variables,
    )
    one, other = solved(pdg, gamma), solved(scaled, gamma and gamma * factor)
    assert (one is None) == (other is None)
    if one is not None:
        scale = 1 + factor * (1 + abs(one.inconsistency))
        wanted = factor * one.inconsistency
        assert other.inconsistency == pytest.approx(wanted, abs=VALUE * scale)
        if gamma:
            slack = 2 * (one.belief_error + other.belief_error) + 1e-9
            for v in pdg.variables:
                difference = one.query(v.name).values - other.query(v.name).values
                assert 0.5 * np.abs(difference).sum() <= slack


@given(SEEDS, GAMMAS, st.floats(0.05, 0.95))
def test_splitting_an_arc(seed, gamma, share):
    """One arc as two of the same table, alpha and beta shared out in one proportion."""
    pdg = small_pdg(seed)
    first = pdg.arcs[0]
    halves = [
        q.Arc(first.sources, first.targets, first.table, first.alpha * part, first.beta * part)
        for part in (share, 1 - share)
    ]
    other = q.PDG([*pdg.arcs[1:], *halves], pdg.variables)
    names = [v.name for v in pdg.variables]
    assert_same(solved(pdg, gamma), solved(other, gamma), gamma, names)


@given(SEEDS, GAMMAS)
def test_an_arc_without_confidence(seed, gamma):
    pdg = small_pdg(seed)
    ends = (pdg.variables[0], pdg.variables[1])
    table = np.random.default_rng(seed).dirichlet(np.ones(len(ends[1])), size=len(ends[0]))
    other = pdg + q.Arc(*ends, table, alpha=0.0, beta=0.0)
    names = [v.name for v in pdg.variables]
    assert_same(solved(pdg, gamma), solved(other, gamma), gamma, names)


@given(SEEDS, GAMMAS, st.floats(0.1, 10))
def test_an_arc_that_agrees_with_the_optimum(seed, gamma, beta):
    """An arc with the table mu*(T|S), alpha = 0 and any beta changes nothing."""
    pdg = small_pdg(seed)
    one = solved(pdg, gamma)
    if one is None:
        return
    source, target = pdg.variables[0], pdg.variables[1]
    conditional = one.query([source.name, target.name]).conditional(source.name)
    other = solved(pdg + q.Arc(source, target, conditional.values, 0.0, beta), gamma)
    # The table is off the optimum's by the gap's share, which costs at most beta KL, second order.
    assert other is not None
    scale = 1 + abs(one.inconsistency)
    assert other.inconsistency == pytest.approx(one.inconsistency, abs=5 * VALUE * scale)
    if gamma:
        for v in pdg.variables:
            a, b = one.query(v.name).values, other.query(v.name).values
            slack = 2 * (one.belief_error + other.belief_error) * (1 + math.sqrt(beta / gamma))
            assert 0.5 * np.abs(a - b).sum() <= slack + 1e-9


@given(SEEDS, st.sampled_from([0.05, 0.2]))
def test_conditioning_is_bayes(seed, gamma):
    """p(x|e) p(e) = p(x, e), whichever clusters x and e are in."""
    pdg = small_pdg(seed)
    answer = solved(pdg, gamma)
    if answer is None:
        return
    x, e = pdg.variables[0], pdg.variables[-1]
    joint = answer.query([e.name, x.name]).values
    for i, state in enumerate(e.states):
        p = answer.beliefs.probability({e.name: state})
        assert p == pytest.approx(joint[i].sum(), abs=1e-12)
        if p > 1e-12:
            posterior = answer.query(x.name, given={e.name: state}).values
            np.testing.assert_allclose(posterior * p, joint[i], atol=1e-12)
