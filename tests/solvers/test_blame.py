"""The inconsistency split into rows: against the definitions, and what hard arcs' prices mean."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import SolveError
from quincunx.graphs.examples import chest_clinic, weather, weather_clash
from tests.oracles import arc_states, table_rows, worlds_of
from tests.problems import random_pdg

A = q.Variable("A", ["a0", "a1"])
B = q.Variable("B", ["b0", "b1", "b2"])
CERTAIN = math.inf


def inside(pdg, share=0.5):
    """Return a gamma inside the convex regime."""
    return share * min([a.beta / a.alpha for a in pdg.arcs if a.alpha > 0], default=1.0)


def defined_terms(pdg, arc, mu):
    """Return E KL(mu(T|s) || p) and H(T|S) of worlds' masses, row by row from the definitions."""
    s, t = arc_states(pdg, arc, worlds_of(pdg))
    table = table_rows(arc)
    joint = np.zeros(table.shape)
    np.add.at(joint, (s, t), mu)
    divergence = entropy = 0.0
    for p, row in zip(table, joint, strict=True):
        for k in np.nonzero(row)[0]:
            conditional = row[k] / row.sum()
            entropy -= row[k] * math.log(conditional)
            if not np.isnan(p[k]):
                divergence += row[k] * math.log(conditional / p[k])
    return divergence, entropy


@pytest.mark.parametrize("seed", range(25))
def test_rows_are_those_of_the_definitions_and_add_up(seed):
    pdg = random_pdg(seed, most_worlds=100)
    names = [v.name for v in pdg.variables]
    for gamma in (0.0, None, inside(pdg)):
        answer = q.infer(pdg, gamma=gamma, throw=False)
        if answer.beliefs is None:
            with pytest.raises(SolveError, match="no answer to split"):
                answer.blame()
            return
        blame = answer.blame()
        mu = answer.beliefs.marginal(names).values.ravel()
        shares = {id(s.arc): s for s in blame.shares}
        for arc in pdg.arcs:
            share = shares[id(arc)]
            divergence, entropy = defined_terms(pdg, arc, mu)
            table = 0.0 if math.isinf(arc.beta) else arc.beta * divergence
            # measured 3e-15: both are sums of the same numbers
            assert share.incompatibility == pytest.approx(table, abs=1e-12)
            assert share.deficiency == pytest.approx(arc.alpha * entropy, abs=1e-12)
            structure = (gamma or 0.0) * arc.alpha * entropy
            assert share.nats == pytest.approx(table + structure, abs=1e-12)
        assert blame.entropy == pytest.approx(-sum(p * math.log(p) for p in mu if p > 0))
        # What is left is the allowance for rounding and for hard arcs missed: measured 1e-11.
        assert 0 <= answer.inconsistency - blame.total + 1e-13 < 1e-9
        assert sum(s.incompatibility for s in blame.shares) == pytest.approx(
            answer.inconsistency - (gamma or 0.0) * answer.idef, abs=1e-9
        )
        deficiency = sum(s.deficiency for s in blame.shares) - blame.entropy
        assert deficiency == pytest.approx(answer.idef, abs=1e-9)


def test_rows_come_by_size_and_names_are_added_up():
    arcs = [q.Arc([], A, [0.7, 0.3], beta=b) for b in (1, 3)] + [q.Arc(A, B, np.ones((2, 3)) / 3)]
    blame = q.infer(q.PDG([*arcs, q.Arc([], A, [0.1, 0.9], label="odd")])).blame()
    assert [s.arc.name for s in blame.shares] == ["odd", "(A)", "(A)", "(B | A)"]
    assert list(blame.by_name) == ["odd", "(A)", "(B | A)"]
    assert blame.by_name["(A)"] == blame.shares[1].nats + blame.shares[2].nats
    text = repr(blame)
    assert text.split("\n")[0] == f"Blame at gamma = 0+: {blame.total:.6g} nats in all"
    assert text.split("\n")[-1].split() == ["0", "0", "1.099", "(B", "|", "A)"]
    assert "<td>odd</td>" in blame._repr_html_()


@pytest.mark.parametrize("model", [chest_clinic(), weather()], ids=["network", "product"])
def test_products_have_blame_too(model):
    answer = q.infer(model, gamma=1.0)
    assert answer.method.startswith("sum-product")
    blame = answer.blame()
    # measured 4e-16
    assert blame.total == pytest.approx(answer.inconsistency, abs=answer.gap + 1e-13)
    if isinstance(model, q.BayesianNetwork):
        assert all(s.incompatibility < 1e-14 for s in blame.shares)


HARD = [s for s in range(80) if any(math.isinf(a.beta) for a in random_pdg(s, most_worlds=60).arcs)]


@pytest.mark.parametrize("seed", HARD[:8])
def test_a_price_tells_what_softening_saves(seed):
    """The inconsistency falls by price^2 / (2 beta), and the arc itself gets as much blame."""
    pdg = random_pdg(seed, most_worlds=60)
    for gamma in (0.0, None, inside(pdg)):
        answer = q.infer(pdg, gamma=gamma, tolerance=1e-11, throw=False)
        if answer.beliefs is None:
            return
        (price,) = (s.price for s in answer.blame().shares if s.price is not None)
        found = []
        for beta in (2e3, 4e3):
            arcs = [
                q.Arc(a.sources, a.targets, a.table, a.alpha, min(a.beta, beta), a.label)
                for a in pdg.arcs
            ]
            soft = q.infer(q.PDG(arcs, pdg.variables), gamma=gamma, tolerance=1e-12, throw=False)
            saved = 2 * beta * (answer.inconsistency - soft.inconsistency)
            (own,) = (s.incompatibility for s in soft.blame().shares if s.arc.beta == beta)
            found.append((saved, 2 * beta * own))
        for one, other in zip(*found, strict=True):
            # The first order in 1/beta is taken out; measured 3e-5 relative for what is left, and
            # the beta times the gaps, 1e-12 * 4e3 and more, in absolute terms.
            assert 2 * other - one == pytest.approx(price**2, rel=2e-3, abs=1e-5)


def test_certain_states_have_no_price():
    answer = q.infer(chest_clinic(), gamma=0.5, assume={"asia": "yes"})
    prices = {s.arc.name: s.price for s in answer.blame().shares}
    assert prices.pop("assume asia=yes") == 0.0
    assert set(prices.values()) == {None}
    # -log 0.01, all of it the prior's
    assert answer.blame().by_name["(asia)"] == pytest.approx(-math.log(0.01), abs=1e-7)


def test_a_price_that_is_not_known_is_nan():
    arcs = [q.Arc([], v, p, 0, CERTAIN, "one") for v, p in ((A, [0.3, 0.7]), (B, [0.2, 0.3, 0.5]))]
    # The smaller table comes last, as its multipliers take the label's place.
    pdg = q.PDG([arcs[1], arcs[0], q.Arc([], A, [0.5, 0.5])])
    answer = q.infer(pdg, gamma=0.5)
    assert sum(math.isnan(s.price) for s in answer.blame().shares if s.price is not None) == 2


def test_a_clash_of_certainties_has_no_rows():
    with pytest.raises(SolveError, match="no answer to split"):
        q.infer(weather_clash(), throw=False).blame()
