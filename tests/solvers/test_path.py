"""The optimum along falling gammas: against separate answers, and what must hold between them."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import ContradictionError, ModelError, NotConvexError, SolveError
from quincunx._types import Status
from tests.problems import random_pdg
from tests.solvers.test_convex_concave import LOOP, A, B

GAMMAS = (1.0, 0.3, 0.01, 1e-4, None, 0.0)
BARE = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc(A, B, None, label="bare")])


@pytest.mark.parametrize("seed", [0, 5, 6])
def test_it_agrees_with_separate_answers(seed):
    pdg = random_pdg(seed, most_worlds=100, extras=False)
    along = q.path(pdg, GAMMAS)
    assert along.gammas == GAMMAS and along.status is Status.OPTIMAL
    for k, (gamma, answer) in enumerate(zip(GAMMAS, along.answers, strict=True)):
        alone = q.infer(pdg, gamma=gamma)
        assert answer.gamma == gamma and answer.pdg is pdg
        assert along.inconsistency[k] == answer.inconsistency and along.gap[k] == answer.gap
        apart = abs(answer.inconsistency - alone.inconsistency)
        assert apart <= max(answer.gap, alone.gap) + 1e-12
        if gamma:
            name = pdg.variables[0].name
            difference = np.abs(along.query(name)[k] - alone.query(name).values).sum() / 2
            assert difference <= answer.belief_error + alone.belief_error


def test_the_optimum_bends_down_and_runs_into_the_limit():
    """Beliefs at one gamma are candidates at the next, so the value stays below each tangent."""
    along = q.path(LOOP)
    gammas = np.array([gamma or 0.0 for gamma in along.gammas])
    idef = np.array([answer.idef for answer in along.answers])
    tangents = along.inconsistency[:-1] + np.diff(gammas) * idef[:-1]
    assert (along.inconsistency[1:] <= tangents + along.gap[1:] + 1e-12).all()
    assert (np.diff(idef) > -1e-7).all()
    # Measured 2e-8 and 1e-6: first order in the last gamma, 1e-6.
    np.testing.assert_allclose(along.query("A")[-2], along.query("A")[-1], atol=1e-6)
    assert along.inconsistency[-2] - along.inconsistency[-1] == pytest.approx(1.2595e-6, abs=1e-9)


def test_the_usual_gammas():
    one = q.PDG([q.Arc([], A, [0.3, 0.7]), q.Arc([], A, [0.6, 0.4], beta=0.25)])
    free = q.PDG([q.Arc([], A, [0.3, 0.7], alpha=0.0)])
    for pdg, end in ((one, 0.25), (free, 1.0)):
        gammas = q.path(pdg).gammas
        assert len(gammas) == 26 and gammas[-1] is None
        np.testing.assert_allclose(gammas[:-1], np.geomspace(end, 1e-6 * end, 25), rtol=1e-12)


def test_questions():
    along = q.path(LOOP, [0.5, None])
    assert along.query(["A", "B"]).shape == (2, 2, 2)
    given = along.query("A", given={"B": "t"})
    joint = along.query(["A", "B"])[:, :, 0]
    np.testing.assert_allclose(given, joint / joint.sum(axis=1, keepdims=True), atol=1e-14)


def test_beyond_the_convex_regime_answers_say_so():
    along = q.path(LOOP, [3.0, 1.2, 0.5], solver=q.ConvexConcave(starts=2))
    statuses = [answer.status for answer in along.answers]
    assert statuses == [Status.LOCAL_OPTIMUM, Status.LOCAL_OPTIMUM, Status.OPTIMAL]
    assert along.status is Status.LOCAL_OPTIMUM
    assert along.message.startswith("At gamma = 3: ")
    assert [len(answer.stats["starts"]) for answer in along.answers[:2]] == [2, 3]
    assert q.path(BARE, [0.1]).answers[0].inconsistency == pytest.approx(0, abs=1e-9)


def test_where_there_is_no_path():
    with pytest.raises(ModelError, match="no gamma > 0 is in the convex regime"):
        q.path(BARE)
    with pytest.raises(NotConvexError, match=r"limit .* bare"):
        q.path(BARE, [0.1, None])
    clash = q.PDG([q.Arc([], A, p, beta=math.inf) for p in ([0.3, 0.7], [0.6, 0.4])])
    with pytest.raises(ContradictionError):
        q.path(clash)


@pytest.mark.parametrize(
    ("gammas", "text"),
    [
        ([0.1, 0.1], "0.1 comes after 0.1"),
        ([0.1, 0.2], "0.2 comes after 0.1"),
        ([None, 0.1], r"0.1 comes after 0\+"),
        ([0.0, None], r"0\+ comes after 0"),
        ([], "at least one gamma"),
        ([math.inf], "not inf"),
        (["1"], "not '1'"),
        ([-1.0], "not -1.0"),
    ],
)
def test_gammas_out_of_order_or_range(gammas, text):
    with pytest.raises(ModelError, match=text):
        q.path(LOOP, gammas)


def test_arguments_of_other_kinds():
    with pytest.raises(ModelError, match="a path is that of a PDG"):
        q.path(q.BayesianNetwork([q.Arc([], A, [0.3, 0.7])]))
    with pytest.raises(ModelError, match=r"solver must be ConvexConcave\(\)"):
        q.path(LOOP, solver=q.InteriorPoint())
    with pytest.raises(ModelError, match="tolerance must be in"):
        q.path(LOOP, tolerance=2)


def test_a_time_limit_keeps_the_answers_so_far():
    pdg = random_pdg(15)
    with pytest.raises(SolveError, match="Time limit") as raised:
        q.path(pdg, [8.0, 4.0, 2.0], time_limit=0.01)
    found = raised.value.solution
    assert found.status is Status.TIME_LIMIT
    assert 1 <= len(found.answers) == len(found.gammas) <= 3
    assert found.answers[-1].status is Status.TIME_LIMIT
    assert q.path(pdg, [8.0, 4.0, 2.0], time_limit=0.01, throw=False).answers


def test_it_tells_where_it_is():
    lines = []
    along = q.path(LOOP, [0.5, None], progress=lines.append)
    assert "gamma = 0.5, 1 of 2" in lines and "gamma = 0+, 2 of 2" in lines
    assert any(line.startswith("gamma = 0.5, 1 of 2: ") for line in lines)
    assert repr(along).startswith("Path of 2 answers at gamma = 0.5 to 0+: OPTIMAL\n")
