"""Beyond the convex regime: majorizers, closed forms, brute force, and what is said about it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

import quincunx as q
from quincunx._errors import ModelError, NotConvexError, SolveError, SolveInterrupted
from quincunx._types import Status
from quincunx.solvers.inference import convex_concave
from quincunx.solvers.inference.difference import concave_arcs, difference, floored_logs, majorizer
from quincunx.solvers.inference.point import Budget
from quincunx.solvers.inference.problem import compile_problem
from quincunx.solvers.inference.stage import Run, solve_at
from tests.oracles import arc_states, joint_score, selector, table_rows, worlds_of
from tests.problems import random_pdg

A, B, C = (q.Variable(n, ["t", "f"]) for n in "ABC")
NOISY = [[0.9, 0.1], [0.2, 0.8]]
PRIORS = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4])])
LOOP = PRIORS + q.PDG(
    [
        q.Arc(A, B, NOISY),
        q.Arc(B, C, [[0.7, 0.3], [0.1, 0.9]]),
        q.Arc(C, A, [[0.8, 0.2], [0.3, 0.7]]),
    ]
)


def compiled(pdg, gamma):
    work = q.plan(pdg, gamma=gamma)
    return compile_problem(work.pdg, work.tree)


def small_pdg(seed):
    """Draw three to six arcs over three bits, some without numbers, all confidences unequal."""
    rng = np.random.default_rng(seed)
    arcs = []
    for _ in range(int(rng.integers(3, 7))):
        members = [(A, B, C)[int(i)] for i in rng.permutation(3)[: rng.integers(1, 4)]]
        sources, target = members[:-1], members[-1]
        table = rng.dirichlet([1.0, 1.0], size=(2,) * len(sources))
        if rng.random() < 0.2:
            table.reshape(-1, 2)[rng.integers(2 ** len(sources))] = np.nan
        alpha, beta = rng.choice([-0.5, 0.0, 0.5, 1.0, 2.0]), rng.choice([0.3, 1.0, 2.0])
        known = None if rng.random() < 0.15 else table
        arcs.append(q.Arc(sources, target, known, alpha, beta))
    return q.PDG(arcs, [A, B, C])


def least_score(pdg, gamma, starts):
    """Return the least score that L-BFGS finds over the logits of all worlds, and which one."""
    worlds = worlds_of(pdg)
    linear = np.zeros(len(worlds))
    terms = []
    for arc in pdg.arcs:
        s, t = arc_states(pdg, arc, worlds)
        table = table_rows(arc)
        says = ~np.isnan(table[:, 0])
        beta = np.where(says, arc.beta, 0.0)
        linear -= beta[s] * np.log(np.where(says[s], table[s, t], 1.0))
        joint = s * table.shape[1] + t
        folds = selector(s, table.shape[0]), selector(joint, table.size)
        terms.append((*folds, s, joint, beta - gamma * arc.alpha))

    def score(logits):
        mu = np.exp(logits - logits.max())
        mu /= mu.sum()
        logs = np.log(np.maximum(mu, 1e-300))
        value, slope = linear @ mu + gamma * mu @ logs, linear + gamma * logs
        for source, joint, s, st, weight in terms:
            conditional = np.log(np.maximum(joint @ mu, 1e-300))[st]
            conditional = conditional - np.log(np.maximum(source @ mu, 1e-300))[s]
            value += (weight[s] * mu) @ conditional
            slope = slope + weight[s] * conditional
        return value, mu * (slope - mu @ slope)

    rng = np.random.default_rng(0)
    options = {"maxiter": 3000, "ftol": 1e-15, "gtol": 1e-10}
    ends = [
        minimize(
            score,
            scale * rng.normal(size=len(worlds)),
            jac=True,
            method="L-BFGS-B",
            options=options,
        )
        for scale in (0.1, 1.0, 4.0)
        for _ in range(starts)
    ]
    best = min(ends, key=lambda end: end.fun)
    mu = np.exp(best.x - best.x.max())
    return best.fun, mu / mu.sum()


def test_the_oracle_is_the_definition():
    value, mu = least_score(small_pdg(3), 2.0, 1)
    assert value == pytest.approx(joint_score(small_pdg(3), mu, 2.0), abs=1e-12)


@pytest.mark.parametrize("gamma", [0.4, 1.5, 6.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_majorizer_touches_and_is_nowhere_below(seed, gamma):
    """Also at distributions with cells and whole rows without mass."""
    pdg = small_pdg(seed)
    problem = compiled(pdg, gamma)
    score = difference(problem, gamma)
    rng = np.random.default_rng(seed)
    cells = [rng.dirichlet(np.full(problem.size, size)) for size in (1.0, 0.05)]
    cells.append(np.where(np.arange(problem.size) == 2, 1.0, 0.0))
    points = [problem.calibrated(c) for c in cells]

    def true(mu):
        inc, idef = problem.measure(mu)
        return inc + gamma * idef

    def bound(target, mu):
        # The convex part keeps its own entropies: evaluate it by its definition.
        logs = np.where(problem.joint @ mu > 0, np.log(np.maximum(problem.joint @ mu, 1e-300)), 0)
        rows = np.maximum((problem.rows @ mu)[problem.row], 1e-300)
        entropies = (problem.joint @ mu) * (logs - np.log(rows))
        above = np.maximum(problem.sepset_mass(mu), 1e-300)
        tree = mu @ np.where(mu > 0, np.log(np.maximum(mu, 1e-300)) - np.log(above), 0)
        return target.linear @ mu + target.slope[problem.row] @ entropies + gamma * tree

    for one in points:
        target = majorizer(problem, score, floored_logs(problem, one))
        # The floor of 1e-13 an entry keeps it from touching exactly.
        assert bound(target, one) == pytest.approx(true(one), abs=1e-11)
        for other in points:
            assert bound(target, other) >= true(other) - 1e-11


@pytest.mark.parametrize("gamma", [1.2, 2.0, 6.0])
def test_tangent_steps_never_raise_the_score(gamma):
    """On this loop the original falls to 1.80 and then jumps up: it took log 0 for 0."""
    problem = compiled(LOOP, gamma)
    score = difference(problem, gamma)
    run = Run(q.InteriorPoint(), Budget(1e-8))
    tables, values = np.full(len(problem.row), math.log(0.5)), []
    for _ in range(60):
        stage = solve_at(problem, majorizer(problem, score, tables), run)
        values.append(stage.inc + gamma * stage.idef)
        tables = floored_logs(problem, stage.mu)
    # Measured at most 2e-9, once at rest: what the interior point leaves.
    assert np.diff(values).max() <= 1e-8
    assert values[-1] == pytest.approx(least_score(LOOP, gamma, 5)[0], abs=1e-7)


@pytest.mark.parametrize("solver", [q.InteriorPoint(), q.Conic()], ids=["interior", "conic"])
@pytest.mark.parametrize("gamma", [1.2, 2.0, 6.0])
def test_the_loop(gamma, solver):
    answer = q.infer(LOOP, gamma=gamma, solver=q.ConvexConcave(convex=solver))
    assert answer.status is Status.LOCAL_OPTIMUM
    assert (np.diff(answer.stats["scores"]) < 0).all()
    assert answer.stats["scores"][-1] == min(answer.stats["starts"])
    assert answer.inconsistency == pytest.approx(least_score(LOOP, gamma, 5)[0], abs=1e-7)
    assert 0 <= answer.stats["stationarity"] <= 1e-8 * (1 + answer.inconsistency)
    assert 0.03 < answer.gap < 0.08  # measured 0.035 and 0.077
    assert "global optimum is lower by at most" in answer.message


MISSED = 158  # the one of the 300 on which the best of eight descents is not the global optimum
CASES = [
    pytest.param(seed, marks=() if seed < 25 else pytest.mark.full, id=f"seed{seed}")
    for seed in range(300)
]


@pytest.mark.parametrize("seed", CASES)
def test_against_brute_force(seed):
    """The score is the beliefs' own, the bound is one, and nothing local is called optimal."""
    pdg = small_pdg(seed)
    gamma = [0.5, 1.5, 4.0][seed % 3]
    answer = q.infer(pdg, gamma=gamma, solver=q.ConvexConcave())
    names = [v.name for v in pdg.variables]
    joint = answer.beliefs.marginal(names).values.ravel()
    assert answer.inconsistency == pytest.approx(joint_score(pdg, joint, gamma), abs=1e-11)
    least, _ = least_score(pdg, gamma, 5)
    assert answer.inconsistency - answer.gap <= least + 1e-12
    # Measured 9e-7, on a graph that leaves the entropy of a variable free; elsewhere 4e-7.
    found = answer.inconsistency <= least + 3e-6
    assert found or answer.status is Status.LOCAL_OPTIMUM
    if not concave_arcs(pdg, gamma):
        assert answer.status is Status.OPTIMAL
    assert found or seed == MISSED


@pytest.mark.parametrize("gamma", [2.0, 3.0, 50.0])
def test_two_priors_at_a_vertex(gamma):
    """The score is (2 - gamma) E log mu - E log p1 p2: from gamma = 2 on a vertex is optimal."""
    answer = q.infer(PRIORS, gamma=gamma)
    value = -math.log(0.7 * 0.4)
    assert answer.status is Status.OPTIMAL
    assert answer.inconsistency == pytest.approx(value, abs=3e-8)
    assert answer.inconsistency - answer.gap <= value
    np.testing.assert_allclose(answer.query("A").values, [0, 1], atol=1e-7)


def test_one_strong_arc_is_proved_optimal():
    """Here the score is convex all the same: -0.6 H(A) - 0.4 H(B|A) - E log p(B|A)."""
    pdg = q.PDG([q.Arc(A, B, NOISY, alpha=2.0, beta=1.0)])
    answer = q.infer(pdg, gamma=0.6, solver=q.ConvexConcave())
    costs = -0.4 * np.log((np.array(NOISY) ** 2.5).sum(axis=1))
    weights = np.exp(-costs / 0.6)
    value = -0.6 * math.log(weights.sum())
    assert answer.status is Status.OPTIMAL
    assert "convex-concave" in answer.method
    assert answer.inconsistency == pytest.approx(value, abs=2e-8)
    assert answer.inconsistency - answer.gap <= value + 1e-13
    np.testing.assert_allclose(answer.query("A").values, weights / weights.sum(), atol=1e-4)


def test_hard_arcs_stay_equations():
    """The same five times as large, with hard arcs whose 3 H(A) and 3 H(C|A) cancel the graph's."""
    prior = np.array([0.25, 0.75])
    arcs = [
        q.Arc(A, B, NOISY, alpha=2.0, beta=5.0),
        q.Arc([], A, prior, beta=math.inf, label="prior"),
        q.Arc(A, C, NOISY, beta=math.inf),
    ]
    answer = q.infer(q.PDG(arcs), gamma=3.0)
    costs = -2.0 * np.log((np.array(NOISY) ** 2.5).sum(axis=1))
    value = float(prior @ costs)
    assert answer.status is Status.OPTIMAL
    assert answer.inconsistency == pytest.approx(value, abs=5e-8)
    assert answer.inconsistency - answer.gap <= value + 1e-12
    assert answer.residual <= 1e-9
    np.testing.assert_allclose(answer.query("A").values, prior, atol=1e-8)
    np.testing.assert_allclose(answer.query("C", {"A": "f"}).values, NOISY[1], atol=1e-8)
    # The price of mu(A=t) = 0.25 is minus the score's slope there, C's hard entropy cancelling.
    slope = costs[0] - costs[1] + 3.0 * math.log(0.25 / 0.75)
    assert answer.multipliers["prior"][0, 0] == pytest.approx(-slope, abs=1e-4)


@pytest.mark.parametrize("gamma", [0, None, 0.3])
def test_within_the_convex_regime_it_is_one_program(gamma):
    answer = q.infer(LOOP, gamma=gamma, solver=q.ConvexConcave(convex=q.Conic()))
    same = q.infer(LOOP, gamma=gamma, solver=q.Conic())
    assert answer.inconsistency == same.inconsistency
    assert answer.method == same.method and answer.status is Status.OPTIMAL
    assert len(answer.stats["iterations"]) == (2 if gamma is None else 1)


def test_rows_that_zeros_settle_are_not_concave():
    copy = [[1.0, 0.0], [0.0, 1.0]]
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7], alpha=0.0), q.Arc(A, B, copy, alpha=3.0)])
    assert concave_arcs(pdg, 1.0) == ()
    elsewhere = pdg + q.Arc(A, B, NOISY, alpha=3.0)
    assert concave_arcs(elsewhere, 1.0) == elsewhere.arcs[-1:]
    assert isinstance(q.plan(elsewhere, gamma=1.0).solver, q.ConvexConcave)
    answer = q.infer(elsewhere, gamma=1.0)
    assert answer.status is Status.OPTIMAL and answer.unique is True


def test_the_choice_is_told_and_the_convex_methods_refuse():
    work = q.plan(LOOP, gamma=2.0)
    assert isinstance(work.solver, q.ConvexConcave)
    assert "outside the convex regime" in work.reason and "gamma exceeds beta/alpha" in work.reason
    for solver in (q.Conic(), q.InteriorPoint()):
        with pytest.raises(NotConvexError, match=r"allowed is 1;.*ConvexConcave\(\)"):
            q.infer(LOOP, gamma=2.0, solver=solver)
    bare = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, None, label="bare")])
    for solver in (None, q.ConvexConcave()):
        with pytest.raises(
            NotConvexError, match=r"limit .*bare.*allowed is 0; use that.*gamma > 0"
        ):
            q.infer(bare, solver=solver)


def test_what_is_not_known_of_a_local_optimum():
    answer = q.infer(LOOP, gamma=2.0)
    assert answer.unique is None and answer.belief_error == 1.0
    with pytest.raises(SolveError, match="gamma = 2"):
        answer.sensitivity()


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_scaling_beta_and_gamma(factor):
    arcs = [q.Arc(a.sources, a.targets, a.table, a.alpha, factor * a.beta) for a in LOOP.arcs]
    one, other = q.infer(LOOP, gamma=1.2), q.infer(q.PDG(arcs), gamma=1.2 * factor)
    assert other.inconsistency == pytest.approx(factor * one.inconsistency, abs=3e-8 * factor)
    assert other.gap == pytest.approx(factor * one.gap, rel=1e-4)
    np.testing.assert_allclose(other.query("B").values, one.query("B").values, atol=1e-4)


def test_more_starts_and_an_earlier_answer():
    """One start falls short of the best of many here; begun at their answer, it does not."""
    pdg = small_pdg(86)
    many = q.infer(pdg, gamma=4.0, solver=q.ConvexConcave(starts=30))
    few = q.infer(pdg, gamma=4.0, solver=q.ConvexConcave(starts=1))
    assert many.inconsistency < few.inconsistency - 0.01
    again = q.infer(pdg, gamma=4.0, solver=q.ConvexConcave(starts=1), start=many)
    assert again.inconsistency <= many.inconsistency + 1e-9
    assert len(again.stats["starts"]) <= 2


def test_the_seed_decides():
    answers = [
        q.infer(LOOP, gamma=6.0, solver=q.ConvexConcave(starts=5, seed=seed)) for seed in (1, 1, 2)
    ]
    starts = [answer.stats["starts"] for answer in answers]
    assert starts[0] == starts[1]
    assert starts[0][:3] == starts[2][:3] and starts[0][3:] != starts[2][3:]


def test_a_descent_that_is_cut_short_says_so():
    answer = q.infer(LOOP, gamma=6.0, solver=q.ConvexConcave(starts=1, iterations=3))
    assert answer.status is Status.LOCAL_OPTIMUM
    assert "not come to rest" in answer.message
    assert answer.stats["programs"] == 3
    whole = q.infer(LOOP, gamma=6.0)
    assert whole.inconsistency < answer.inconsistency - 1
    assert answer.inconsistency - answer.gap <= whole.inconsistency


def test_a_time_limit():
    pdg = random_pdg(15)
    with pytest.raises(SolveError, match="Time limit") as raised:
        q.infer(pdg, gamma=3.0, time_limit=0.01)
    answer = raised.value.solution
    assert answer.status is Status.TIME_LIMIT
    joint = answer.beliefs.marginal([v.name for v in pdg.variables]).values.ravel()
    assert joint_score(pdg, joint, 3.0) == pytest.approx(answer.inconsistency, abs=1e-9)


def test_an_interruption_keeps_the_best_so_far(monkeypatch):
    stages = []

    def interrupted_later(*arguments):  # what solve_at returns after Ctrl-C
        stages.append(solve_at(*arguments))
        effort = replace(stages[-1].effort, interrupted=len(stages) == 12)
        return replace(stages[-1], effort=effort)

    monkeypatch.setattr(convex_concave, "solve_at", interrupted_later)
    with pytest.raises(SolveInterrupted) as raised:
        q.infer(LOOP, gamma=2.0)
    assert len(stages) == 12
    answer = raised.value.solution
    assert answer.status is Status.INTERRUPTED
    assert answer.inconsistency < answer.stats["scores"][0]


def test_progress_is_told():
    lines = []
    q.infer(LOOP, gamma=2.0, progress=lines.append)
    assert "descent 3 of 8" in lines


@pytest.mark.parametrize(
    "options", [{"starts": 0}, {"seed": -1}, {"iterations": 0.5}, {"convex": q.SumProduct()}]
)
def test_options_out_of_range(options):
    ((name, value),) = options.items()
    with pytest.raises(ModelError, match=name) as raised:
        q.ConvexConcave(**options)
    assert repr(value) in str(raised.value)
