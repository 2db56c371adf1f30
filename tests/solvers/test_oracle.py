"""Random graphs against joint programs that share no code with the library."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import ContradictionError, NotConvexError
from quincunx._types import Status
from tests.oracles import joint_optimum, joint_score, limit_deficiency
from tests.problems import random_pdg

GAMMAS = [0.0, None, 0.1, 0.5, "largest"]
SEEDS = [
    pytest.param(seed, marks=() if seed < 12 else pytest.mark.full, id=f"seed{seed}")
    for seed in range(200)
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gamma", GAMMAS, ids=lambda g: "0+" if g is None else str(g))
def test_value_interval_and_beliefs(seed, gamma):
    pdg = random_pdg(seed)
    largest = min((a.beta / a.alpha for a in pdg.arcs if a.alpha > 0), default=1.0)
    hard = any(math.isinf(a.beta) for a in pdg.arcs)
    if gamma == "largest":
        gamma = min(largest, 10.0)
    if gamma is not None and gamma > largest:
        with pytest.raises((NotConvexError, ContradictionError)):
            q.infer(pdg, gamma=gamma, solver=q.InteriorPoint())
        return
    answer = q.infer(pdg, gamma=gamma, throw=False)
    if answer.status is Status.CONTRADICTION:
        assert answer.inconsistency == math.inf
        return
    value, mu = joint_optimum(pdg, gamma or 0.0)
    # The worst over all 200 graphs: see docs/systems/pdg.md; the oracle itself is good to 1e-8.
    assert answer.inconsistency == pytest.approx(value, abs=1e-6)
    assert answer.inconsistency - answer.gap <= value + 1e-7
    assert answer.gap <= 1e-6
    joint = answer.beliefs.marginal([v.name for v in pdg.variables]).values.ravel()
    assert joint.sum() == pytest.approx(1, abs=1e-12)
    if not hard:
        score = joint_score(pdg, joint, gamma or 0.0)
        assert score == pytest.approx(answer.inconsistency, abs=1e-9)
    else:
        assert answer.residual <= 1e-7
    if gamma and not hard:
        distance = 0.5 * np.abs(joint - mu / mu.sum()).sum()
        assert distance <= answer.belief_error + 1e-4  # 1e-4: what the oracle's own gap allows
    if gamma is None:
        deficiency = limit_deficiency(pdg, value, min(1.0, largest))
        # Measured at most 7e-4 (1 + |IDef|), most of it the oracle's.
        slack = 1e-3 * (1 + abs(deficiency))
        assert answer.idef_lower <= deficiency + slack
        assert answer.idef == pytest.approx(deficiency, abs=slack)


@pytest.mark.parametrize("seed", SEEDS)
def test_methods_overlap(seed):
    """The certified intervals of all methods contain the optimum, so they meet."""
    pdg = random_pdg(seed)
    largest = min((a.beta / a.alpha for a in pdg.arcs if a.alpha > 0), default=1.0)
    for gamma in (0.0, None, min(0.1, largest), min(0.5, largest), min(largest, 10.0)):
        answers = [
            q.infer(pdg, gamma=gamma, solver=solver, throw=False)
            for solver in (None, q.Conic(), q.Conic(engine="cvxpy"))
        ]
        if answers[0].status is Status.CONTRADICTION:
            assert all(a.status is Status.CONTRADICTION for a in answers)
            continue
        highest_lower = max(a.inconsistency - a.gap for a in answers)
        lowest_upper = min(a.inconsistency for a in answers)
        assert highest_lower <= lowest_upper + 1e-12 * (1 + abs(lowest_upper))
