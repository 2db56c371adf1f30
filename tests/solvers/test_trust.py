"""Whether answers can be trusted at the edges: hard arcs that nearly agree, extreme confidences."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import SolveError
from quincunx._types import Status

A, B, C = (q.Variable(n, ["t", "f"]) for n in "ABC")
NOISY = [[0.9, 0.1], [0.2, 0.8]]


def hard_chain(rng, least):
    """Three hard arcs p(A), p(B|A), p(B) of one distribution, in floating point."""
    p, q_t, q_f = least + (1 - 2 * least) * rng.random(3)
    b = p * q_t + (1 - p) * q_f
    return [
        q.Arc([], A, [p, 1 - p], beta=math.inf),
        q.Arc(A, B, [[q_t, 1 - q_t], [q_f, 1 - q_f]], beta=math.inf),
        q.Arc([], B, [b, 1 - b], beta=math.inf),
    ]


@pytest.mark.parametrize("off", [1e-9, 1e-8, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("gamma", [0, None, 0.1])
def test_hard_arcs_that_nearly_agree(off, gamma):
    """They contradict each other; an answer that misses them must not pass for optimal."""
    pdg = q.PDG(
        [
            q.Arc([], A, [0.3, 0.7], beta=math.inf),
            q.Arc([], A, [0.3 + off, 0.7 - off], beta=math.inf),
        ]
    )
    answer = q.infer(pdg, gamma=gamma, throw=False)
    if answer.status is Status.CONTRADICTION:
        return
    if answer.status is Status.OPTIMAL:
        assert answer.residual <= 1e-8
        assert answer.query("A").values[0] == pytest.approx(0.3, abs=2e-8)
    else:
        assert "missed by up to" in answer.message or "gap" in answer.message


@pytest.mark.parametrize("seed", range(20))
def test_hard_arcs_that_agree_up_to_rounding(seed):
    arcs = hard_chain(np.random.default_rng(seed), 1e-3)
    answer = q.infer(q.PDG(arcs), gamma=0.1, throw=False)
    assert answer.status is Status.OPTIMAL
    assert answer.residual <= 1e-8
    np.testing.assert_allclose(answer.query("A").values, arcs[0].table, atol=1e-7)


@pytest.mark.parametrize("p", [1e-5, 1e-8, 1e-10, 1e-12])
def test_small_hard_probabilities_are_not_zeros(p):
    pdg = q.PDG(
        [
            q.Arc([], A, [1 - p, p], beta=math.inf),
            q.Arc(A, B, [[0.5, 0.5], [0.2, 0.8]], alpha=0.0),
            q.Arc(B, C, NOISY, beta=math.inf),
        ]
    )
    answer = q.infer(pdg, gamma=0.1, throw=False)
    assert answer.query("A").values[1] > 0
    if p >= 1e-8:  # below, what follows from the event is lost in the engine's rounding
        np.testing.assert_allclose(answer.query("B", {"A": "f"}).values, [0.2, 0.8], atol=0.05)


@pytest.mark.parametrize("beta", [1e-8, 1e-4, 1.0, 1e4, 1e8, 1e10])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.9])
def test_the_interval_holds_at_every_size_of_confidence(beta, gamma):
    """Two priors with alpha = 0: the optimum at gamma is prod p^(beta/(2 beta - gamma))."""
    gamma = gamma * beta
    pdg = q.PDG(
        [
            q.Arc([], A, [0.3, 0.7], alpha=0.0, beta=beta),
            q.Arc([], A, [0.6, 0.4], alpha=0.0, beta=beta),
        ]
    )
    # score = sum_j beta E log(mu/p_j) - gamma H = (2 beta + gamma) E log mu - beta E log(p_1 p_2)
    total = 2 * beta + gamma
    weights = [(0.3 * 0.6) ** (beta / total), (0.7 * 0.4) ** (beta / total)]
    value = -total * math.log(sum(weights))
    answer = q.infer(pdg, gamma=gamma, throw=False)
    rounding = 4e-16 * total  # of the closed form itself
    assert answer.inconsistency >= value - rounding
    assert answer.inconsistency - answer.gap <= value + rounding
    assert answer.gap <= 1e-8 * max(1.0, beta)
    np.testing.assert_allclose(
        answer.query("A").values, np.array(weights) / sum(weights), atol=1e-5
    )


@pytest.mark.parametrize(("one", "other"), [(1e5, 1e-3), (1e4, 1e-4), (1e6, 1e6), (1e2, 1e-2)])
def test_the_bound_on_idef_counts_rounding(one, other):
    """A consistent chain has Inc = IDef = 0 in the limit; no bound may exceed that."""
    pdg = q.PDG(
        [
            q.Arc([], A, [0.3, 0.7], beta=one),
            q.Arc(A, B, NOISY, beta=other),
            q.Arc(B, C, NOISY, beta=one),
        ]
    )
    b = np.array([0.3, 0.7]) @ np.array(NOISY)
    pdg += q.Arc([], C, b @ np.array(NOISY), alpha=0.0, beta=other)
    answer = q.infer(pdg, throw=False)
    assert answer.idef_lower <= 1e-12
    assert answer.inconsistency - answer.gap <= 0 <= answer.inconsistency


def test_product_values_are_upper_bounds():
    pdg = q.PDG(
        [
            q.Arc([], A, [0.3, 0.7], alpha=1000.0, beta=1000.0),
            q.Arc([], A, [0.6, 0.4], alpha=1000.0, beta=1000.0),
        ]
    )
    answer = q.infer(pdg, gamma=1.0)
    # In logarithms: 0.18^1000 + 0.28^1000.
    value = -(1000 * math.log(0.28) + math.log1p((0.18 / 0.28) ** 1000))
    assert answer.inconsistency - answer.gap <= value <= answer.inconsistency
    assert answer.gap <= 1e-10


@pytest.mark.parametrize("gamma", [1e-320, 5e-324])
def test_a_gamma_below_all_numbers(gamma):
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4])])
    answer = q.infer(pdg, gamma=gamma, throw=False)
    value = -2 * math.log(math.sqrt(0.18) + math.sqrt(0.28))
    assert answer.inconsistency - answer.gap <= value <= answer.inconsistency


def test_no_variables_at_gamma_zero():
    assert q.infer(q.PDG(), gamma=0).inconsistency == 0


@pytest.mark.parametrize(
    "arguments",
    [{"assume": "A=t"}, {"order": 5}, {"tolerance": "x"}, {"time_limit": "x"}, {"start": 3}],
)
def test_arguments_of_other_kinds(arguments):
    pdg = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4])])
    with pytest.raises(ValueError, match=r"must be|wanted"):
        q.infer(pdg, gamma=0.1, **arguments)
    with pytest.raises(ValueError, match="wanted"):
        q.infer(pdg).query(None)
    with pytest.raises(ValueError, match="mapping"):
        q.infer(pdg).query("A", given=[("A", "t")])


def test_inaccurate_answers_are_raised_with_what_is_known():
    pdg = q.PDG(
        [
            q.Arc([], A, [0.3, 0.7], beta=math.inf),
            q.Arc([], A, [0.3 + 3e-8, 0.7 - 3e-8], beta=math.inf),
        ]
    )
    answer = q.infer(pdg, gamma=0.1, throw=False)
    if answer.status in (Status.INACCURATE, Status.CONTRADICTION):
        with pytest.raises(SolveError) as raised:
            q.infer(pdg, gamma=0.1)
        assert raised.value.solution.status is answer.status


@pytest.mark.parametrize("gamma", [0.25, 1.0, 3.0])
def test_a_factor_graph_has_its_distribution_at_every_gamma(gamma):
    graph = q.FactorGraph([q.Table([A, B], [[1, 2], [3, 4]])], [0.7])
    joint = np.array([[1, 2], [3, 4]]) ** 0.7
    answer = q.infer(graph, gamma=gamma)
    np.testing.assert_allclose(answer.query(["A", "B"]).values, joint / joint.sum(), atol=1e-14)
    value = gamma * (-math.log(joint.sum()) + 0.7 * math.log(10))
    assert answer.inconsistency == pytest.approx(value, abs=1e-13)
