"""The verb: choices, refusals, statuses, assumptions, limits."""

import math
import subprocess
import sys
import threading

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import (
    ContradictionError,
    ImpossibleEventError,
    ModelError,
    NotConvexError,
    SolveError,
    TooLargeError,
    UnknownNameError,
)
from quincunx._types import Status
from tests.problems import random_pdg

A, B, C = (q.Variable(n, ["t", "f"]) for n in "ABC")
NOISY = [[0.9, 0.1], [0.2, 0.8]]
CLASH = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4]), q.Arc(A, B, NOISY)])


def test_the_method_is_chosen_and_told():
    bn = q.BayesianNetwork([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, NOISY)])
    fg = q.FactorGraph([q.Table([A, B], NOISY)])
    for model, gamma, kind in [
        (bn, None, q.SumProduct),
        (bn, 0.3, q.SumProduct),
        (fg, None, q.SumProduct),
        (bn.to_pdg(), None, q.SumProduct),
        (CLASH, None, q.InteriorPoint),
        (CLASH, 0.5, q.InteriorPoint),
        (CLASH, 1.0, q.SumProduct),
    ]:
        plan = q.plan(model, gamma=gamma)
        assert isinstance(plan.solver, kind)
        answer = q.infer(model, gamma=gamma)
        assert plan.reason in answer.method or kind is q.InteriorPoint
        assert answer.status is Status.OPTIMAL


def test_a_network_means_itself_and_a_pdg_its_limit():
    bn = q.BayesianNetwork([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, NOISY)])
    assert q.infer(bn).gamma == 1.0
    assert q.infer(bn.to_pdg()).gamma is None


def test_sum_product_where_it_does_not_apply():
    with pytest.raises(ModelError, match=r"beta = gamma \* alpha"):
        q.infer(CLASH, gamma=0.5, solver=q.SumProduct())


@pytest.mark.parametrize("gamma", [-0.1, math.nan, math.inf, "low"])
def test_gamma_out_of_range(gamma):
    with pytest.raises(ModelError, match=rf"gamma must be .*{gamma}"):
        q.infer(CLASH, gamma=gamma)


def test_a_solver_and_a_model_of_other_kinds():
    with pytest.raises(ModelError, match=r"solver must be .* not 'clarabel'"):
        q.infer(CLASH, solver="clarabel")
    with pytest.raises(ModelError, match=r"a model is a PDG, .* not None"):
        q.infer(None)


@pytest.mark.parametrize("tolerance", [0, 1, -1e-8, math.nan])
def test_tolerance_out_of_range(tolerance):
    with pytest.raises(ModelError, match="tolerance must be in"):
        q.infer(CLASH, tolerance=tolerance)


def test_time_limit_out_of_range():
    with pytest.raises(ModelError, match="time_limit must be a positive"):
        q.infer(CLASH, time_limit=0)


def test_gamma_beyond_the_convex_regime_names_rows_and_bound():
    pdg = q.PDG([q.Arc(A, B, NOISY, alpha=2.0, beta=1.0, label="noise")])
    assert q.infer(pdg, gamma=0.5).status is Status.OPTIMAL
    with pytest.raises(NotConvexError, match=r"noise \[A=t\], noise \[A=f\].*allowed is 0\.5"):
        q.infer(pdg, gamma=0.6, solver=q.Conic())
    answer = q.infer(pdg, gamma=0.6, solver=q.Conic(), throw=False)
    assert answer.status is Status.NOT_CONVEX
    assert "noise [A=t]" in answer.message and "0.5" in answer.message
    with pytest.raises(SolveError, match="no answer"):
        answer.query("A")


def test_convexity_is_decided_row_by_row():
    """Only rows that say nothing are refused where alpha > 0; a settled row never is."""
    half = [[0.9, 0.1], [math.nan, math.nan]]
    pdg = q.PDG([q.Arc([], A, [0.5, 0.5]), q.Arc(A, B, half, alpha=1.0, label="half")])
    with pytest.raises(NotConvexError, match=r"1 row\(s\): half \[A=f\].*counts as beta = 0"):
        q.infer(pdg, gamma=0.1, solver=q.InteriorPoint())
    with pytest.raises(NotConvexError, match=r"limit .*half \[A=f\]"):
        q.infer(pdg)
    assert q.infer(pdg, gamma=0).status is Status.OPTIMAL
    # Once A = t is certain, the silent row cannot have mass.
    assumed = q.infer(pdg, gamma=0.1, assume={"A": "t"})
    np.testing.assert_allclose(assumed.query("B").values, [0.9, 0.1], atol=1e-6)


def test_a_structure_without_table_and_with_alpha_is_refused_but_at_zero():
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, None, label="bare")])
    with pytest.raises(NotConvexError, match=r"bare \[A=t\].*largest gamma allowed is 0;"):
        q.infer(pdg, gamma=0.01, solver=q.InteriorPoint())
    assert q.infer(pdg, gamma=0).inconsistency == pytest.approx(0, abs=1e-8)


def test_negative_alpha_is_convex_at_every_gamma():
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7], alpha=-1.0), q.Arc([], B, None, alpha=-0.5)])
    answer = q.infer(pdg, gamma=3.0)
    assert answer.status is Status.OPTIMAL
    # Measured 2e-6: the square root of the gap that Clarabel leaves.
    np.testing.assert_allclose(answer.query("B").values, [0.5, 0.5], atol=5e-6)
    assert q.infer(pdg).status is Status.OPTIMAL


@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_certainties_that_contradict_are_named(beta):
    sure = q.Arc([], A, [1.0, 0.0], beta=beta, label="sure")
    never = q.Arc([], A, [0.0, 1.0], beta=beta, label="never")
    innocent = q.Arc(A, B, [[1.0, 0.0], [0.0, 1.0]], label="innocent")
    pdg = q.PDG([innocent, sure, never])
    for gamma in (0, None, 0.5, 1.0):
        with pytest.raises(ContradictionError) as raised:
            q.infer(pdg, gamma=gamma)
        assert "sure, never" in str(raised.value) and "innocent" not in str(raised.value)
        answer = q.infer(pdg, gamma=gamma, throw=False)
        assert answer.status is Status.CONTRADICTION
        assert answer.inconsistency == math.inf and answer.gap == 0


def test_hard_arcs_that_contradict_without_any_zero():
    pdg = q.PDG(
        [
            q.Arc([], A, [0.3, 0.7], beta=math.inf, label="one"),
            q.Arc([], B, [0.5, 0.5], beta=math.inf, label="fine"),
            q.Arc([], A, [0.6, 0.4], beta=math.inf, label="two"),
        ]
    )
    with pytest.raises(ContradictionError, match="cannot all hold: one, two"):
        q.infer(pdg)


def test_hard_arcs_that_differ_on_one_row_empty_it():
    """Two hard tables that disagree given A=f leave A=f without mass, structurally."""
    other = [[0.9, 0.1], [0.7, 0.3]]
    pdg = q.PDG(
        [
            q.Arc([], A, [0.5, 0.5], beta=1.0),
            q.Arc(A, B, NOISY, beta=math.inf),
            q.Arc(A, B, other, beta=math.inf),
        ]
    )
    answer = q.infer(pdg)
    assert answer.query("A").values[1] == 0.0
    assert answer.inconsistency == pytest.approx(math.log(2), abs=1e-8)
    with pytest.raises(ImpossibleEventError, match=r"A=f has probability zero.*assume="):
        answer.query("B", given={"A": "f"})


def test_impossible_events_are_zeros_not_small_numbers():
    copy = [[1.0, 0.0], [0.0, 1.0]]
    pdg = CLASH + q.Arc(B, C, copy)
    for gamma in (0, None, 0.3):
        joint = q.infer(pdg, gamma=gamma).query(["B", "C"]).values
        assert joint[0, 1] == 0.0 and joint[1, 0] == 0.0


def test_given_conditions_and_assume_solves_again():
    """Two questions: what the optimum says given B, and the optimum if B were certain."""
    conditioned = q.infer(CLASH).query("A", given={"B": "t"}).values
    prior = np.sqrt(np.array([0.3, 0.7]) * np.array([0.6, 0.4]))
    prior /= prior.sum()
    likelihood = np.array([0.9, 0.2])
    # Measured 1.6e-6: the square root of the gap that Clarabel leaves.
    bayes = prior * likelihood / (prior @ likelihood)
    np.testing.assert_allclose(conditioned, bayes, atol=5e-6)
    # With B = t certain, the arc A -> B costs -log p(t|a): mu ~ sqrt(p1 p2) sqrt(p(t|a)).
    assumed = q.infer(CLASH, assume={"B": "t"}).query("A").values
    tilted = np.sqrt(np.array([0.3, 0.7]) * np.array([0.6, 0.4]) * likelihood)
    # Measured 1.3e-6: the square root of the gap that Clarabel leaves.
    np.testing.assert_allclose(assumed, tilted / tilted.sum(), atol=5e-6)


def test_assume_in_a_network_is_conditioning():
    bn = q.BayesianNetwork([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, NOISY)])
    assumed = q.infer(bn, assume={"B": "t"})
    np.testing.assert_allclose(
        assumed.query("A").values, q.infer(bn).query("A", given={"B": "t"}).values, atol=1e-14
    )
    assert assumed.inconsistency == pytest.approx(-math.log(0.3 * 0.9 + 0.7 * 0.2), abs=1e-14)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="no variable 'Z'; there are: A, B"):
        q.infer(CLASH).query("Z")
    with pytest.raises(UnknownNameError, match="'A' has no state 'maybe'; its states are 't', 'f'"):
        q.infer(CLASH).query("B", given={"A": "maybe"})
    with pytest.raises(UnknownNameError, match="no variable 'Z'"):
        q.infer(CLASH, assume={"Z": "t"})
    with pytest.raises(ModelError, match="elimination order names every variable once"):
        q.infer(CLASH, order=["A"])


def test_any_elimination_order_gives_the_same_value():
    pdg = random_pdg(4)
    names = [v.name for v in pdg.variables]
    value = q.infer(pdg, gamma=0.1).inconsistency
    for order in (names, names[::-1]):
        assert q.infer(pdg, gamma=0.1, order=order).inconsistency == pytest.approx(value, abs=1e-7)


def test_too_large_is_said_before_anything_is_allocated():
    bits = [q.Variable(f"X{i}", [0, 1]) for i in range(60)]
    arcs = [q.Arc(a, b, NOISY) for i, a in enumerate(bits) for b in bits[:i]]
    pdg = q.PDG(arcs)
    with pytest.raises(TooLargeError, match=r"width 59.*GiB"):
        q.infer(pdg)
    answer = q.infer(pdg, throw=False)
    assert answer.status is Status.TOO_LARGE and "GiB" in answer.message


def test_a_time_limit_gives_the_point_so_far_with_its_gap():
    pdg = random_pdg(15)
    answer = q.infer(pdg, time_limit=1e-3, throw=False)
    assert answer.status is Status.TIME_LIMIT
    assert answer.beliefs is not None
    best = q.infer(pdg).inconsistency
    assert answer.inconsistency - answer.gap <= best <= answer.inconsistency + 1e-7
    with pytest.raises(SolveError, match="Time limit") as raised:
        q.infer(pdg, time_limit=1e-3)
    assert raised.value.solution.status is Status.TIME_LIMIT


def test_an_earlier_answer_is_reused_only_when_certified():
    first = q.infer(CLASH, gamma=0.3)
    again = q.infer(CLASH, gamma=0.3, start=first)
    assert "earlier answer" in again.method
    assert again.gap <= 1e-8 * (1 + abs(again.inconsistency))
    other = q.infer(CLASH, gamma=0.4, start=first)
    assert "interior point" in other.method
    with pytest.raises(ModelError, match="other variables"):
        q.infer(random_pdg(0), gamma=0.1, start=first)


def test_uniqueness_at_gamma_zero():
    """One belief about A determines A; nothing determines B, which stands beside it."""
    assert q.infer(CLASH, gamma=0).unique is True
    loose = q.PDG([q.Arc(A, B, NOISY)])
    assert q.infer(loose, gamma=0, solver=q.Conic()).unique is False
    assert q.infer(loose).unique is True


def test_progress_is_told():
    lines = []
    q.infer(CLASH, progress=lines.append)
    assert any("iteration" in line for line in lines)


def test_solving_from_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(q.infer(CLASH, gamma=0.5)))
    thread.start()
    thread.join()
    assert found[0].inconsistency == pytest.approx(
        q.infer(CLASH, gamma=0.5).inconsistency, abs=1e-12
    )


def test_empty_graphs():
    assert q.infer(q.PDG()).inconsistency == 0
    alone = q.infer(q.PDG([], [q.Variable("X", ["only"])]))
    assert alone.query("X").to_dict() == {"only": 1.0}


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_confidences_far_apart(scale):
    pdg = q.PDG(
        [
            q.Arc([], A, [0.3, 0.7], alpha=0.0, beta=1.0),
            q.Arc([], A, [0.6, 0.4], alpha=0.0, beta=scale),
        ]
    )
    shares = np.array([1, scale]) / (1 + scale)
    mean = np.array([0.3, 0.7]) ** shares[0] * np.array([0.6, 0.4]) ** shares[1]
    answer = q.infer(pdg, throw=False)
    value = -(1 + scale) * math.log(mean.sum())
    slack = 1e-9 * (1 + scale)  # rounding in numbers of size scale
    assert answer.inconsistency - answer.gap - slack <= value <= answer.inconsistency + slack
    np.testing.assert_allclose(answer.query("A").values, mean / mean.sum(), atol=1e-4)


def test_tiny_probabilities():
    pdg = q.PDG([q.Arc([], A, [1e-12, 1 - 1e-12]), q.Arc([], A, [0.5, 0.5])])
    value = -2 * math.log(math.sqrt(0.5e-12) + math.sqrt(0.5 * (1 - 1e-12)))
    answer = q.infer(pdg, gamma=0, throw=False)
    assert answer.inconsistency - answer.gap <= value <= answer.inconsistency + 1e-9
    assert answer.gap <= 1e-6


def test_nothing_heavy_is_loaded_by_solving():
    code = (
        "import sys, quincunx as q\n"
        "A = q.Variable('A', ['t', 'f'])\n"
        "q.infer(q.PDG([q.Arc([], A, [.3, .7]), q.Arc([], A, [.6, .4])])).query('A')\n"
        "heavy = {'torch', 'cvxpy', 'triton', 'transformers', 'matplotlib', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
