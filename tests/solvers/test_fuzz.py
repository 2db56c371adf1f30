"""Random graphs and calls: each ends in time, in an answer whose claims hold or in an own error."""

import time

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import QuincunxError
from tests.certificates import Definitions, check_agreement, check_answer
from tests.fuzz import draw_case, draw_mistake
from tests.oracles import joint_score

SECONDS = 10.0  # for one call, at most
LIMIT = 0.5  # what calls are told to keep to
TOLERANCE = 1e-8
CHUNKS = {"fast": [(n, n + 80) for n in range(0, 400, 80)]}
CHUNKS["full"] = [(n, n + 1000) for n in range(0, 16000, 1000)]


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Compile all loops: the first calls on a new machine take longer than any other."""
    case = draw_case(0)
    for gamma in (0.0, None, 0.1):
        for solver in (None, q.InteriorPoint(), q.ConvexConcave()):
            q.infer(case.pdg, gamma=gamma, solver=solver, throw=False)


def solve(case, solver):
    began = time.perf_counter()
    try:
        return q.infer(case.pdg, gamma=case.gamma, solver=solver, throw=False, time_limit=LIMIT)
    except QuincunxError:
        return None
    finally:
        assert time.perf_counter() - began < SECONDS


def check_cases(first, last):
    for seed in range(first, last):
        case, rng = draw_case(seed), np.random.default_rng([seed, 3])
        try:
            answer = solve(case, case.solver)
            if answer is None:
                continue
            facts = Definitions(case.pdg)
            check_answer(facts, case.gamma, answer, TOLERANCE, rng)
            if answer.beliefs is None or seed % 3:
                continue
            ours = isinstance(case.solver, q.Conic) or seed % 2
            other = solve(case, q.InteriorPoint() if ours else q.Conic())
            check_answer(facts, case.gamma, other, TOLERANCE, rng)
            check_agreement(answer, other, facts.size(case.gamma))
        except Exception as error:
            error.add_note(f"case {seed}: gamma {case.gamma}, {case.solver}, {case.pdg}")
            raise


@pytest.mark.parametrize(("first", "last"), CHUNKS["fast"])
def test_answers(first, last):
    check_cases(first, last)


@pytest.mark.full
@pytest.mark.parametrize(("first", "last"), CHUNKS["full"])
def test_many_answers(first, last):
    check_cases(first, last)


def check_mistakes(first, last):
    for seed in range(first, last):
        kind, call = draw_mistake(seed)
        try:
            call()
        except QuincunxError as error:
            assert len(str(error)) > 20, f"{kind}: {error}"
        else:
            pytest.fail(f"case {seed}, {kind}, was accepted")


def test_mistakes_are_refused():
    check_mistakes(0, 100)


@pytest.mark.full
def test_many_mistakes_are_refused():
    check_mistakes(0, 4000)


@pytest.mark.parametrize("seed", range(10))
def test_the_checks_score_as_the_oracle_does(seed):
    pdg = draw_case(seed).pdg
    facts = Definitions(pdg)
    mu = facts.feasible(np.random.default_rng(seed))
    if mu is not None:
        assert facts.score(mu, 0.3) == pytest.approx(joint_score(pdg, mu, 0.3), rel=1e-9, abs=1e-9)
