"""Graphs with answers in closed form, by every method that applies."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx._errors import ModelError
from quincunx.solvers.inference.products import as_product
from tests.solvers.catalogue import CATALOGUE, Known

SOLVERS = [None, q.SumProduct(), q.Conic(), q.Conic(engine="cvxpy")]


def describe(solver) -> str:
    return (
        "chosen" if solver is None else f"{type(solver).__name__} {getattr(solver, 'engine', '')}"
    )


@pytest.mark.parametrize("solver", SOLVERS, ids=describe)
@pytest.mark.parametrize("known", CATALOGUE, ids=str)
def test_value_and_marginals(known: Known, solver):
    if isinstance(solver, q.SumProduct) and as_product(known.pdg, known.gamma) is None:
        with pytest.raises(ModelError, match="SumProduct"):
            q.infer(known.pdg, gamma=known.gamma, solver=solver)
        return
    answer = q.infer(known.pdg, gamma=known.gamma, solver=solver)
    # Published figures are rounded to 1e-9; the largest error measured over all is 7e-9.
    assert answer.inconsistency == pytest.approx(known.value, abs=3e-8)
    slack = 1e-8 * (1 + abs(known.value))
    assert answer.inconsistency - answer.gap - slack <= known.value <= answer.inconsistency + slack
    assert answer.residual <= 1e-9
    for name, expected in known.marginals.items():
        # In the limit, marginals are those of an optimum at gamma = 1e-6 in the worst case.
        np.testing.assert_allclose(answer.query(name).values, expected, atol=2e-5)
    if known.idef is not None and not math.isnan(answer.idef):
        if known.gamma is None:
            assert answer.idef_lower <= known.idef + 1e-6
        assert answer.idef == pytest.approx(known.idef, abs=2e-5)


@pytest.mark.parametrize("known", [k for k in CATALOGUE if k.gamma], ids=str)
def test_belief_error_bounds_the_marginals(known: Known):
    answer = q.infer(known.pdg, gamma=known.gamma, solver=q.Conic())
    for name, expected in known.marginals.items():
        total_variation = 0.5 * np.abs(answer.query(name).values - expected).sum()
        assert total_variation <= answer.belief_error + 1e-9
