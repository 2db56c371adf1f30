"""A reduced graph has the answers of the whole one, whoever solves it."""

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import ModelError, NotConvexError, SolveError
from quincunx._types import Status
from quincunx.graphs.cluster_tree import cluster_tree
from quincunx.solvers.inference.barren import settle
from quincunx.solvers.inference.cone_program import cone_program
from quincunx.solvers.inference.conic import Conic
from quincunx.solvers.inference.convex import solve_convex
from quincunx.solvers.inference.merging import merge_arcs
from quincunx.solvers.inference.objective import objective
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.presolve import presolve
from quincunx.solvers.inference.problem import compile_problem
from quincunx.solvers.inference.products import as_product, solve_product
from quincunx.solvers.inference.stage import Run
from tests.oracles import joint_optimum, joint_score, worlds_of
from tests.problems import random_arc, random_pdg

A, B, C, D = (q.Variable(name, ["t", "f"]) for name in "ABCD")
COPY = [[1.0, 0.0], [0.0, 1.0]]
NOISY = [[0.9, 0.1], [0.2, 0.8]]
GAMMAS = [0.0, 1e-3, 0.3, None]


def random_network(seed):
    """Draw a network of 3 to 7 variables with a contradicting belief, so that leaves are barren.

    Some arcs are hard, have zeros, undefined rows or odd confidences; some stand twice, some
    without a table; some variables have no arc.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 8))
    sizes = rng.integers(2, 4, size=n).tolist()
    variables = [q.Variable(f"X{i}", [f"s{j}" for j in range(k)]) for i, k in enumerate(sizes)]
    arcs = []
    for i, variable in enumerate(variables):
        if i and rng.random() < 0.1:
            continue
        parents = rng.choice(i, int(rng.integers(0, min(i, 2) + 1)), replace=False) if i else []
        hard = rng.random() < 0.15
        sources = [variables[int(j)] for j in parents]
        arcs.append(random_arc(rng, sources, [variable], not hard, math.inf if hard else None))
    arcs.append(random_arc(rng, [], [variables[int(rng.integers(n))]], False))
    one = arcs[int(rng.integers(len(arcs)))]
    if rng.random() < 0.3:
        arcs.append(q.Arc(one.sources, one.targets, one.table, 0.5, 2 * one.beta, "again"))
    if rng.random() < 0.2:
        arcs.append(q.Arc(one.sources, one.targets, None, 0.5, 1.0, "structure"))
    return q.PDG(arcs, variables)


def solved(pdg, gamma, tree, potentials=()):
    if not pdg.variables:
        return solve_product(pdg, tree, as_product(pdg, gamma), gamma)
    return solve_convex(compile_problem(pdg, tree, potentials), gamma, Run(Conic(), Budget(1e-8)))


def solved_whole(pdg, gamma):
    return solved(pdg, gamma, cluster_tree(pdg.variables, (a.scope for a in pdg.arcs)))


def solved_reduced(pdg, gamma):
    reduced = presolve(pdg, gamma)
    tree = cluster_tree(reduced.pdg.variables, reduced.scopes)
    answer = solved(reduced.pdg, gamma, tree, reduced.potentials)
    return reduced, reduced.restore(answer, reduced.extended_tree(tree))


def marginals(pdg, beliefs):
    """Return the marginal of each variable and of each arc's variables."""
    scopes = [*((v,) for v in pdg.variables), *(a.scope for a in pdg.arcs)]
    return [beliefs.marginal(scope).values for scope in scopes]


def assert_same_prices(pdg, whole, reduced):
    """Compare the prices of hard arcs; of equal arcs the sum is settled, not who has what."""
    totals = []
    for answer in (whole, reduced):
        total = {}
        for arc in pdg.arcs:
            if math.isinf(arc.beta) and arc.name in answer.multipliers:
                key = (arc.source_names, arc.target_names)
                total[key] = total.get(key, 0.0) + answer.multipliers[arc.name]
        totals.append(total)
    assert totals[0].keys() == totals[1].keys()
    for arc in pdg.arcs:
        key = (arc.source_names, arc.target_names)
        if key in totals[0]:
            rows = whole.beliefs.marginal(arc.scope).values.reshape(arc.rows.shape)
            often = rows.sum(axis=1) > 1e-3  # elsewhere the engine's prices are noise
            off = np.abs(totals[0][key] - totals[1][key])[often]
            # measured 5e-4 over 410 graphs, at gamma = 1e-3; an engine's duals are about that good
            assert off.max(initial=0.0) < 5e-3


def assert_same(pdg, gamma):
    """Solve whole and reduced, where the whole can be solved, and compare everything."""
    try:
        whole = solved_whole(pdg, gamma)
    except NotConvexError:
        return None
    except SolveError as error:
        with pytest.raises(type(error)):
            solved_reduced(pdg, gamma)
        return None
    reduced, answer = solved_reduced(pdg, gamma)
    assert {whole.status, answer.status} <= {Status.OPTIMAL, Status.NEARLY_OPTIMAL}
    # Both intervals hold the optimum. Table rows sum to one within 1e-12 only.
    lower = max(a.inconsistency - a.gap for a in (whole, answer))
    assert lower <= min(whole.inconsistency, answer.inconsistency) + 1e-12
    if whole.status is answer.status is Status.OPTIMAL:  # gaps of 1e-8 (1 + |value|) each
        size = 1 + abs(whole.inconsistency)
        assert abs(whole.inconsistency - answer.inconsistency) < 1e-8 * size
    score = pdg.score(answer.beliefs, gamma or 0.0)
    # A hard arc missed by the engine's 1e-9 scores infinity.
    assert score <= answer.inconsistency + 1e-9 or answer.residual > 1e-9
    assert answer.pdg is pdg and answer.beliefs.tree.variables == pdg.variables
    if gamma == 0:
        return reduced
    # measured 2.1e-5 and 3.4e-5 over 410 graphs: beliefs are off by the root of the gap
    assert abs(whole.idef - answer.idef) < 1e-4
    pairs = zip(marginals(pdg, whole.beliefs), marginals(pdg, answer.beliefs), strict=True)
    assert max(np.abs(one - other).max() for one, other in pairs) < 1e-4
    if gamma:
        assert_same_prices(pdg, whole, answer)
    return reduced


@pytest.mark.parametrize("gamma", GAMMAS)
def test_networks_with_a_contradicting_belief(gamma):
    found = [assert_same(random_network(seed), gamma) for seed in range(12)]
    done = [r for r in found if r is not None]
    assert len(done) >= 8 and sum(bool(r.removed) for r in done) >= 8


@pytest.mark.parametrize("gamma", GAMMAS)
def test_graphs_with_few_leaves(gamma):
    found = [assert_same(random_pdg(seed), gamma) for seed in range(4)]
    assert sum(r is not None for r in found) >= 3


@pytest.mark.full
@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("draw", [random_network, random_pdg])
def test_many_graphs(draw, gamma):
    found = [assert_same(draw(seed), gamma) for seed in range(20, 220)]
    assert sum(r is not None and r.changed for r in found) >= 80
    if gamma and draw is random_network:
        assert sum(r is not None and bool(r.potentials) for r in found) >= 30


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.25])
def test_against_the_joint_program(gamma):
    """Enumerated joints in cvxpy's words know nothing of leaves."""
    for seed in (0, 1, 4, 8, 13):
        pdg = random_network(seed)
        if any(a.beta > 0 and a.alpha > 0 and a.beta / a.alpha < 0.25 for a in pdg.arcs):
            continue
        reduced, answer = solved_reduced(pdg, gamma)
        value, _ = joint_optimum(pdg, gamma)
        assert reduced.removed
        # the oracle's own error is about 1e-8
        assert abs(answer.inconsistency - value) < 2e-7


def least_score(pdg, gamma, starts):
    """Minimise the score over all joint distributions by descent on logits from random starts."""
    from scipy.optimize import minimize

    def score(logits):
        mass = np.exp(logits - logits.max())
        return joint_score(pdg, mass / mass.sum(), gamma)

    rng = np.random.default_rng(0)
    size = len(worlds_of(pdg))
    runs = [minimize(score, rng.normal(size=size), method="BFGS") for _ in range(starts)]
    return min(float(run.fun) for run in runs)


@pytest.mark.parametrize("gamma", [1.5, 3.0])
def test_leaves_beyond_the_convex_regime(gamma):
    """With alpha <= 1 a leaf has one minimum at every gamma, though its score is not convex."""
    arcs = [
        q.Arc([], A, [0.3, 0.7], alpha=0.2),
        q.Arc([], A, [0.8, 0.2], alpha=0.1, label="contradicts"),
        q.Arc(A, B, NOISY),
        q.Arc(B, C, [[0.6, 0.4], [0.1, 0.9]], alpha=0.9, beta=0.5),
    ]
    pdg = q.PDG(arcs)
    with pytest.raises(NotConvexError):
        solved_whole(pdg, gamma)
    reduced, answer = solved_reduced(pdg, gamma)
    assert [v.name for v in reduced.pdg.variables] == ["A"] and reduced.potentials
    assert answer.status is Status.OPTIMAL
    assert abs(pdg.score(answer.beliefs, gamma) - answer.inconsistency) < 1e-9
    # measured 3e-10; descent stops at gradients of 1e-5
    assert abs(least_score(pdg, gamma, 6) - answer.inconsistency) < 1e-7


def test_a_leaf_is_minimal_against_all_others():
    """The conditional beats random ones, and the cost is what the terms add up to."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        gamma, alpha = float(rng.uniform(0.01, 3)), float(rng.uniform(-1, 3))
        table = rng.dirichlet(np.full(3, 0.4), size=2)
        table[0, 0] = 0.0
        table[0] /= table[0].sum()
        beta = float(rng.uniform(0.1, 3)) + max(0.0, gamma * (alpha - 1))
        prices = rng.normal(size=(2, 3)) * rng.choice([0.0, 1.0, 30.0])
        found = settle(q.Arc(A, q.Variable("T", list("abc")), table, alpha, beta), prices, gamma)
        assert found is not None
        best, cost = found

        def score(m, table=table, beta=beta, gamma=gamma, alpha=alpha, prices=prices):
            with np.errstate(divide="ignore", invalid="ignore"):
                log_m, log_p = (np.where(m > 0, np.log(x), 0.0) for x in (m, table))
            terms = m * (beta * (log_m - log_p) + gamma * (prices - (alpha - 1) * log_m))
            return terms.sum(axis=1)

        np.testing.assert_allclose(score(best), gamma * cost, rtol=1e-12, atol=1e-11)
        for step in (1e-3, 0.1, 1.0):
            other = (1 - step) * best + step * rng.dirichlet(np.ones(3), size=2) * (table > 0)
            other /= other.sum(axis=1, keepdims=True)
            assert (score(other) >= score(best) - 1e-12).all()


def test_costs_keep_their_digits_as_gamma_falls():
    """``-c log sum p^(beta/c)`` is (alpha - 1) H(p) gamma plus a term of order gamma squared."""
    p = np.array([[0.2, 0.8]])
    deficiency = -float((p * np.log(p)).sum())
    variance = float((p * np.log(p) ** 2).sum()) - deficiency**2
    for gamma in (1e-4, 1e-8, 1e-12):
        _, (cost,) = settle(q.Arc([], A, p[0], alpha=2.0), np.zeros((1, 2)), gamma)
        # the next term of the series is of order gamma squared
        assert abs(cost - (deficiency - gamma * variance / 2)) < 1e-15 + gamma**2


def test_leaves_that_must_stay():
    stays = {
        0.5: q.Arc([], A, [0.3, 0.7], alpha=3.0, beta=1.0),  # c = beta - gamma (alpha - 1) = 0
        0.6: q.Arc([], A, [0.3, 0.7], alpha=3.0, beta=1.0),
        None: q.Arc([], A, None, alpha=1.0),
    }
    for gamma, arc in stays.items():
        assert not presolve(q.PDG([arc]), gamma).changed
    certain = q.Arc([], A, [0.0, 1.0], alpha=3.0, beta=1.0)  # one possible target
    assert presolve(q.PDG([certain]), 0.6).changed


def test_rows_without_effect_are_even():
    """A table with beta = 0 excludes nothing, and at gamma = 0 no alpha counts."""
    idle = q.Arc([], A, [0.0, 1.0], alpha=0.0, beta=0.0)
    half = q.Arc(A, B, [[0.9, 0.1], [np.nan, np.nan]], alpha=2.0)
    for pdg, gamma in ((q.PDG([idle, half]), 0.0), (q.PDG([idle]), 0.3), (q.PDG([idle]), None)):
        reduced, answer = solved_reduced(pdg, gamma)
        assert not reduced.pdg.variables
        np.testing.assert_allclose(answer.query("A").values, [0.5, 0.5], rtol=1e-15)
        known = -(gamma or 0.0) * math.log(2)
        assert known <= answer.inconsistency <= known + 1e-14
    structure = q.Arc([], A, [0.0, 1.0], alpha=0.5, beta=0.0)
    _, answer = solved_reduced(q.PDG([structure]), 0.3)
    np.testing.assert_allclose(answer.query("A").values, [0.5, 0.5], rtol=1e-15)


def test_nothing_is_said_of_uniqueness_at_zero():
    clash = [q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4])]
    for gamma, unique in ((0.0, None), (0.1, True), (None, True)):
        assert q.infer(q.PDG(clash), gamma=gamma).unique is True
        assert solved_reduced(q.PDG([*clash, q.Arc(A, B, NOISY)]), gamma)[1].unique is unique


def test_the_interval_holds_the_value_to_forty_digits():
    """Many leaves with costs of their own: the allowance for rounding is not in vain."""
    variables = [q.Variable(f"V{i}", ["t", "f"]) for i in range(60)]
    gamma, beta, alpha = 0.5, 3.0, 0.25
    tables = [[(2 * i + 1) / 256, 1 - (2 * i + 1) / 256] for i in range(60)]  # exact in binary
    arcs = [q.Arc([], v, p, alpha, beta) for v, p in zip(variables, tables, strict=True)]
    with localcontext(prec=40):
        c = Decimal(beta - gamma * (alpha - 1))
        sums = [sum((Decimal(x).ln() * Decimal(beta) / c).exp() for x in p) for p in tables]
        value = -c * sum(x.ln() for x in sums)
    reduced, answer = solved_reduced(q.PDG(arcs), gamma)
    assert not reduced.pdg.variables
    upper = Decimal(answer.inconsistency)
    assert upper - Decimal(answer.gap) <= value <= upper
    # measured 1.6e-13, where the value itself is off by 6e-16
    assert answer.gap < 1e-12


def test_the_limit_carries_costs_that_vary():
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, NOISY, alpha=2.0)])
    reduced = presolve(pdg, None)
    assert not reduced.pdg.variables and not reduced.potentials
    clash = q.PDG([*pdg.arcs, q.Arc([], A, [0.6, 0.4])])
    assert len(presolve(clash, None).potentials) == 1
    for solver in (q.InteriorPoint(), q.Conic()):
        whole, part = q.infer(clash, solver=solver), q.infer(clash)
        assert math.isclose(whole.idef, part.idef, abs_tol=1e-6)
        found, wanted = part.query(["A", "B"]).values, whole.query(["A", "B"]).values
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    even = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, [[0.2, 0.8], [0.2, 0.8]], alpha=2.0)])
    reduced, answer = solved_reduced(even, None)
    assert not reduced.pdg.variables
    deficiency = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    assert math.isclose(answer.idef, deficiency) and math.isclose(answer.idef_lower, deficiency)


@pytest.mark.parametrize("gamma", [*GAMMAS, 2.0])
def test_a_network_vanishes(gamma):
    arcs = [
        q.Arc([], A, [0.2, 0.8]),
        q.Arc(A, B, NOISY),
        q.Arc(
            [A, B], [C, D], np.random.default_rng(0).dirichlet(np.ones(4), 4).reshape(2, 2, 2, 2)
        ),
    ]
    reduced, answer = solved_reduced(q.PDG(arcs), gamma)
    assert not reduced.pdg.variables and not reduced.potentials
    assert reduced.constant == 0 and answer.inconsistency == 0
    joint = np.einsum("a,ab,abcd->abcd", *(a.table for a in arcs))
    np.testing.assert_allclose(answer.query(["A", "B", "C", "D"]).values, joint, rtol=1e-14)


def test_variables_that_no_arc_mentions():
    E = q.Variable("E", ["x", "y", "z"])
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4])], [A, E])
    for gamma in GAMMAS:
        reduced, answer = solved_reduced(pdg, gamma)
        assert [v.name for v in reduced.pdg.variables] == ["A"]
        np.testing.assert_allclose(answer.query("E").values, np.full(3, 1 / 3), rtol=1e-15)
        if gamma != 0:
            assert math.isclose(reduced.constant, -math.log(3))


def test_a_potential_can_hold_a_variable_back():
    """B has a cost together with C, which its own arc does not mention."""
    joined = q.Arc([B, C], D, [[[0.5, 0.5], [0.1, 0.9]], [[0.8, 0.2], [0.4, 0.6]]], alpha=0.5)
    arcs = [q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, NOISY), q.Arc(A, C, NOISY), joined]
    reduced = presolve(q.PDG(arcs), 0.5)
    assert [v.name for v in reduced.pdg.variables] == ["A", "B", "C"]
    (scope, costs), *rest = reduced.potentials
    assert scope == (B, C) and costs.shape == (2, 2) and not rest
    assert_same(q.PDG(arcs), 0.5)


def test_conditionals_that_join_what_the_reduced_graph_parts():
    """D conditions on B and C, which come back one by one: leaves hung below A cannot hold both."""
    three = q.Arc([B, C], D, [[[0.5, 0.5], [0.1, 0.9]], [[0.8, 0.2], [0.4, 0.6]]])
    clash = [q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4], label="contradicts")]
    pdg = q.PDG([*clash, q.Arc(A, B, NOISY), q.Arc(A, C, [[0.7, 0.3], [0.4, 0.6]]), three])
    reduced, answer = solved_reduced(pdg, 0.2)
    assert [v.name for v in reduced.pdg.variables] == ["A"]
    tables = (answer.query("A").values, *(a.table for a in pdg.arcs[2:]))
    joint = np.einsum("a,ab,ac,bcd->abcd", *tables)
    np.testing.assert_allclose(answer.query(["A", "B", "C", "D"]).values, joint, rtol=1e-13)


def test_an_extended_tree_holds_the_clusters_that_were_solved():
    """Around a cycle the clusters can lie either way, and an order can ask for the other."""
    pairs = [(A, B), (B, C), (C, D), (D, A)]
    E = q.Variable("E", ["t", "f"])
    pdg = q.PDG([*(q.Arc(one, two, NOISY) for one, two in pairs), q.Arc(A, E, NOISY)])
    reduced = presolve(pdg, 0.3)
    tree = cluster_tree(reduced.pdg.variables, reduced.scopes, order=list("ABCD"))
    beliefs = solved(reduced.pdg, 0.3, tree).beliefs
    assert {frozenset(tree.names(c)) for c in range(2)} == {frozenset("ABD"), frozenset("BCD")}
    extended = reduced.extend(beliefs, reduced.extended_tree(tree, order=list("EBDAC")))
    for names in (list("ABD"), list("BCD"), list("AC")):
        known = beliefs.marginal(names).values
        np.testing.assert_allclose(extended.marginal(names).values, known, rtol=1e-12)
    known = beliefs.marginal("A").values[:, None] * np.array(NOISY)
    np.testing.assert_allclose(reduced.extend(beliefs).marginal([A, E]).values, known, rtol=1e-12)


def test_equal_arcs_are_merged():
    turned = np.transpose(
        np.array([[[0.5, 0.5], [0.1, 0.9]], [[np.nan] * 2, [0.4, 0.6]]]), (1, 0, 2)
    )
    arcs = [
        q.Arc([A, B], C, np.transpose(turned, (1, 0, 2)), 0.5, 1.0, "one"),
        q.Arc([B, A], C, turned, 0.25, 2.0, "two"),
        q.Arc([A, B], C, None, 0.125, 8.0, "structure"),
        q.Arc([A, B], C, np.full((2, 2, 2), 0.5), 0.0, 4.0, "other"),
        q.Arc(C, [A, B], None, 0.0, 3.0, "nothing"),
    ]
    merged, names = merge_arcs(arcs, 0.1)
    assert [a.name for a in merged] == ["one + two + structure", "other"]
    assert (merged[0].alpha, merged[0].beta) == (0.875, 3.0)
    np.testing.assert_array_equal(merged[0].table, arcs[0].table)
    assert [a.name for a in names["one + two + structure"]] == ["one", "two", "structure"]
    hard = q.Arc([A, B], C, np.transpose(turned, (1, 0, 2)), 1.0, math.inf, "hard")
    assert merge_arcs([hard, *arcs], 0.1)[0][0] is hard
    (silent,), _ = merge_arcs(arcs[2:3] * 2, None)
    assert silent.table is None and (silent.alpha, silent.beta) == (0.25, 0.0)
    assert [a.name for a in merge_arcs(arcs[2:4], 0.0)[0]] == ["other"]


def test_merging_makes_a_structure_convex():
    """A structure without numbers is not convex alone; the table beside it makes up for it."""
    arcs = [
        q.Arc(A, B, NOISY, alpha=0.0, label="numbers"),
        q.Arc(A, B, None, alpha=1.0, label="structure"),
        q.Arc([], A, [0.3, 0.7]),
        q.Arc([], B, [0.5, 0.5], label="contradicts"),
    ]
    pdg = q.PDG(arcs)
    joined = q.PDG([q.Arc(A, B, NOISY, alpha=1.0), *arcs[2:]])
    for gamma in (0.3, None):
        with pytest.raises(NotConvexError):
            solved_whole(pdg, gamma)
        _, answer = solved_reduced(pdg, gamma)
        known = solved_whole(joined, gamma)
        assert abs(answer.inconsistency - known.inconsistency) < 2e-8
        assert abs(answer.idef - known.idef) < 1e-6


def test_prices_of_hard_leaves():
    """A hard leaf with a cost below it: its prices are those that an engine finds."""
    hard = q.Arc(A, B, NOISY, alpha=0.5, beta=math.inf, label="hard")
    clash = [q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4], label="contradicts")]
    pdg = q.PDG([*clash, hard, q.Arc(B, C, [[0.7, 0.3], [0.4, 0.6]], alpha=0.0)])
    _, answer = solved_reduced(pdg, 0.4)
    whole = solved_whole(pdg, 0.4)
    # measured 6e-8
    np.testing.assert_allclose(answer.multipliers["hard"], whole.multipliers["hard"], atol=1e-5)
    assert np.abs(answer.multipliers["hard"]).max() > 0.1
    twin = q.Arc(A, B, NOISY, alpha=0.0, beta=math.inf, label="twin")
    _, twice = solved_reduced(pdg + twin, 0.4)
    np.testing.assert_array_equal(twice.multipliers["hard"], answer.multipliers["hard"])
    assert not twice.multipliers["twin"].any() and len(twice.multipliers) == 2
    for gamma in (0.0, None):
        pure = q.PDG([*clash, q.Arc(A, B, NOISY, beta=math.inf, label="hard")])
        assert not solved_reduced(pure, gamma)[1].multipliers["hard"].any()


def test_what_compiling_does_by_itself():
    """Zeros leave no cells and no entropies, and ``beta = gamma alpha`` no cones."""
    arcs = [q.Arc([], A, [0.3, 0.7], 2.0, 1.0), q.Arc(A, B, COPY), q.Arc([], B, [0.5, 0.5])]
    pdg = q.PDG(arcs)
    problem = compile_problem(pdg, cluster_tree(pdg.variables, (a.scope for a in pdg.arcs)))
    assert problem.size == 2 and set(problem.width[problem.arc == 1]) == {1}
    target = objective(problem, 0.5)
    program = cone_program(problem, target.linear, target.slope, 0.5, problem.hard_equations())
    assert set(problem.arc[problem.row[program.arc_terms]]) == {2}


def test_potentials_are_part_of_idef():
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, NOISY), q.Arc([], B, [0.5, 0.5])])
    tree = cluster_tree(pdg.variables, (a.scope for a in pdg.arcs))
    costs = np.array([[1.0, 2.0], [4.0, 8.0]])  # over B and A, not in the cluster's order
    problem = compile_problem(pdg, tree, [((B, A), costs), ((A,), np.array([0.5, 0.25]))])
    plain = compile_problem(pdg, tree)
    mu = np.random.default_rng(1).dirichlet(np.ones(problem.size))
    joint = q.Table([tree.variables[v] for v in tree.clusters[0]], mu.reshape(2, 2))
    extra = float((joint.marginal(["B", "A"]).values * costs).sum())
    extra += float(joint.marginal("A").values @ [0.5, 0.25])
    inc, idef = problem.measure(mu)
    assert inc == plain.measure(mu)[0] and math.isclose(idef, plain.measure(mu)[1] + extra)
    for gamma in (0.0, 0.4):
        linear = objective(problem, gamma).linear - objective(plain, gamma).linear
        assert math.isclose(linear @ mu, gamma * extra, abs_tol=1e-15)
    with pytest.raises(ModelError, match="no cluster holds the variables of a potential over A, D"):
        compile_problem(pdg, cluster_tree([A, B, D], [(A, B)]), [((A, D), costs)])


def test_the_same_twice():
    """Nothing depends on the order of sets."""
    runs = [presolve(random_network(3), 0.1) for _ in range(2)]
    for one, other in itertools.pairwise(runs):
        assert one.removed == other.removed and one.pdg.arcs == other.pdg.arcs
        assert one.constant == other.constant and one.changed
