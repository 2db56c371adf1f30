"""Trouble: numbers far apart, hard arcs near rounding, cliques too large, Ctrl-C, a time limit."""

import itertools
import math
import time
import tracemalloc

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import SolveInterrupted, TooLargeError
from quincunx._types import Status
from tests.certificates import Definitions, check_answer
from tests.fuzz import draw_case

A, B, C = (q.Variable(n, ["t", "f"]) for n in "ABC")
NOISY = [[0.9, 0.1], [0.2, 0.8]]
LOOP = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, NOISY), q.Arc(B, C, NOISY), q.Arc(C, A, NOISY)])
METHODS = [None, q.InteriorPoint(), q.Conic()]


@pytest.mark.parametrize("solver", METHODS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("gamma", [0.0, None, 1e-3])
def test_confidences_and_entries_far_apart(gamma, solver):
    tiny = [[1 - 1e-12, 1e-12], [1e-12, 1 - 1e-12]]
    pdg = LOOP + q.Arc(A, C, tiny, alpha=0.0, beta=1e6) + q.Arc([], C, [0.5, 0.5], 0.0, 1e-6)
    bound = gamma if gamma is None else min(gamma, 1.0)
    answer = q.infer(pdg, gamma=bound, solver=solver, throw=False)
    check_answer(Definitions(pdg), bound, answer, 1e-8, np.random.default_rng(0))


@pytest.mark.parametrize("solver", METHODS, ids=lambda s: type(s).__name__)
def test_the_limit_is_convex_however_far_apart_the_confidences(solver):
    """Beside the largest beta, the least one was below the gamma that stands for the limit."""
    pdg = LOOP + q.Arc([], A, [0.6, 0.4], beta=1e6) + q.Arc(A, C, NOISY, alpha=2.0, beta=1e-6)
    answer = q.infer(pdg, solver=solver, throw=False)
    check_answer(Definitions(pdg), None, answer, 1e-8, np.random.default_rng(0))
    assert answer.beliefs is not None


@pytest.mark.parametrize("gamma", [0.0, None, 0.1])
def test_single_states_and_empty_arcs(gamma):
    one, other = q.Variable("one", ["only"]), q.Variable("other", ["only"])
    pdg = LOOP + q.Arc(one, other, [[1.0]]) + q.Arc([], one, [1.0], beta=math.inf)
    pdg += q.Arc([one, A], other, None, alpha=0.0)
    answer = q.infer(pdg, gamma=gamma)
    assert answer.inconsistency == pytest.approx(q.infer(LOOP, gamma=gamma).inconsistency, abs=1e-7)
    assert answer.query("other").values.tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("n", [60, 70])
def test_a_clique_is_refused_with_its_size_before_memory_is_taken(n):
    variables = [q.Variable(f"v{i}", ["t", "f"]) for i in range(n)]
    pdg = q.PDG([q.Arc(a, b, NOISY) for a, b in itertools.combinations(variables, 2)])
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match=str(n - 1)):  # the treewidth
            q.infer(pdg, gamma=0.1)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def interrupt(line):
    if line.startswith("iteration"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("solver", [q.InteriorPoint(), q.Conic()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("gamma", [0.0, None, 0.1])
def test_ctrl_c_leaves_the_best_answer_with_its_gap(gamma, solver):
    arguments = {"gamma": gamma, "solver": solver, "progress": interrupt, "tolerance": 1e-15}
    with pytest.raises(SolveInterrupted) as raised:
        q.infer(LOOP, **arguments)
    assert isinstance(raised.value, KeyboardInterrupt)
    for answer in (raised.value.solution, q.infer(LOOP, throw=False, **arguments)):
        assert answer.status is Status.INTERRUPTED and math.isfinite(answer.gap)
        exact = q.infer(LOOP, gamma=gamma)
        assert answer.inconsistency - answer.gap <= exact.inconsistency
        assert exact.inconsistency - exact.gap <= answer.inconsistency


@pytest.mark.parametrize("solver", [q.InteriorPoint(), q.Conic()], ids=lambda s: type(s).__name__)
def test_a_time_limit_leaves_an_answer_with_its_gap(solver):
    arguments = {"solver": solver, "time_limit": 1e-9, "tolerance": 1e-15, "throw": False}
    answer = q.infer(LOOP, gamma=0.1, **arguments)
    # Our own looks at the clock every 0.05 s, and can be done before.
    in_time = Status.NEARLY_OPTIMAL if isinstance(solver, q.InteriorPoint) else Status.TIME_LIMIT
    assert answer.status in (Status.TIME_LIMIT, in_time)
    exact = q.infer(LOOP, gamma=0.1)
    assert answer.inconsistency - answer.gap <= exact.inconsistency
    assert exact.inconsistency - exact.gap <= answer.inconsistency


@pytest.mark.parametrize("seed", [1056, 2056])
def test_hard_arcs_whose_support_is_within_rounding(seed):
    """Cells dropped by the linear program once left clusters at odds and hard arcs unheeded."""
    case = draw_case(seed)
    answer = q.infer(case.pdg, gamma=case.gamma, throw=False)
    facts = Definitions(case.pdg)
    check_answer(facts, case.gamma, answer, 1e-8, np.random.default_rng(seed))


def test_descent_of_a_score_that_is_flat():
    pdg = q.PDG([q.Arc([], A, None)])
    answer = q.infer(pdg, gamma=0, solver=q.Descent("adam", iterations=5))
    assert answer.inconsistency == pytest.approx(0, abs=1e-12)


def test_many_short_programs_keep_to_the_time_limit():
    """Each ends between two looks at the clock; the limit once stopped none of them."""
    began = time.perf_counter()
    solver = q.ConvexConcave(starts=10**6)
    answer = q.infer(LOOP, gamma=2.0, solver=solver, time_limit=0.3, throw=False)
    assert time.perf_counter() - began < 5  # compiling kernels without a cache included
    assert answer.status is Status.TIME_LIMIT and math.isfinite(answer.gap)
