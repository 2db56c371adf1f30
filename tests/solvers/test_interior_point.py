"""What a hostile review of the interior point and its presolve found, so that it stays found."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest

import quincunx as q
from quincunx._types import Status
from quincunx.solvers.inference.equations import independent_equations
from quincunx.solvers.inference.problem import compile_problem
from tests.oracles import joint_optimum
from tests.solvers.catalogue import A, B, C

SILENT = [[math.nan, math.nan], [math.nan, math.nan]]


def backward() -> list[q.Arc]:
    """Two soft arcs that disagree with every arc from A to B and from B to C."""
    return [q.Arc(C, A, [[0.4, 0.6], [0.2, 0.8]]), q.Arc(B, A, [[0.4, 0.6], [0.2, 0.8]])]


@pytest.mark.parametrize(
    "bare",
    [q.Arc(A, C, SILENT, 0.0, 1.0), q.Arc(A, C, None, 1.0, 0.0)],
    ids=["silent", "structure only"],
)
def test_arcs_without_effect_at_gamma_0_may_join_what_no_other_arc_joins(bare):
    # Presolve drops the arc and no variable; the tree of the answer must hold the arc all the same.
    pdg = q.PDG(
        [
            bare,
            q.Arc(A, B, [[0.9, 0.1], [0.2, 0.8]], 0.0),
            q.Arc(B, A, [[0.4, 0.6], [0.7, 0.3]], 0.0),
            q.Arc(B, C, [[0.7, 0.3], [0.1, 0.9]], 0.0),
            q.Arc(C, B, [[0.6, 0.4], [0.3, 0.7]], 0.0),
        ]
    )
    answer = q.infer(pdg, gamma=0)
    value, _ = joint_optimum(pdg, 0.0)
    assert answer.status is Status.OPTIMAL
    assert answer.inconsistency == pytest.approx(value, abs=1e-7)
    assert math.fsum(answer.blame().by_name.values()) == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0])
def test_hard_arcs_that_agree_in_single_precision_agree(gamma):
    # The third table is the product of the others: exactly so in double precision, up to 2e-8 in
    # single, a difference that must not be enforced as one more equation.
    first, then = np.array([[0.1, 0.9], [0.6, 0.4]]), np.array([[0.25, 0.75], [0.5, 0.5]])

    def solve(precision: type) -> q.Inference:
        tables = [table.astype(precision) for table in (first, then, first @ then)]
        scopes = [(A, B), (B, C), (A, C)]
        hard = [
            q.Arc(s, t, table, 1.0, math.inf) for (s, t), table in zip(scopes, tables, strict=True)
        ]
        return q.infer(q.PDG([*hard, *backward()]), gamma=gamma)

    exact, rough = solve(np.float64), solve(np.float32)
    assert rough.status is Status.OPTIMAL
    assert rough.inconsistency == pytest.approx(exact.inconsistency, abs=1e-6)
    for name in "ABC":
        np.testing.assert_allclose(
            rough.query(name).values, exact.query(name).values, rtol=0, atol=1e-6
        )


def test_a_long_chain_of_hard_arcs_takes_memory_in_proportion():
    rng = np.random.default_rng(0)
    variables = [q.Variable(f"X{i}", ["a", "b", "c"]) for i in range(300)]
    arcs = [
        q.Arc(one, other, rng.dirichlet(np.ones(3), size=3), 1.0, math.inf)
        for one, other in itertools.pairwise(variables)
    ]
    pdg = q.PDG(arcs)
    problem = compile_problem(pdg, q.plan(pdg, gamma=0.5, solver=q.InteriorPoint()).core)
    count = problem.hard_equations().shape[0]
    tracemalloc.start()
    found = independent_equations(problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.matrix.shape[0] == count  # none follows from the others
    assert peak < 8 * count**2 / 4  # a dense matrix of all by all equations would take 8 count^2


def test_an_earlier_answer_that_misses_a_hard_arc_is_not_taken_for_optimal():
    def model(p: float) -> q.PDG:
        certain, soft = q.Arc([], A, [p, 1 - p], 0.0, math.inf), q.Arc([], A, [0.3, 0.7])
        return q.PDG([certain, soft])  # at p = 0.3 the hard arc has no price, so the gap is small

    ours = q.InteriorPoint()
    earlier = q.infer(model(0.3), gamma=1.0, solver=ours)
    answer = q.infer(model(0.3 + 1e-5), gamma=1.0, solver=ours, start=earlier, tolerance=1e-3)
    assert answer.residual <= 1e-8
    assert answer.query("A").values[0] == pytest.approx(0.3 + 1e-5, abs=1e-8)


def test_the_order_of_arcs_and_a_far_start_do_not_matter():
    pdg = q.PDG([q.Arc(A, B, [[0.9, 0.1], [0.2, 0.8]]), *backward()], [A, B, C])
    turned = q.PDG(list(pdg.arcs)[::-1], pdg.variables)
    corner = [q.Arc([], v, [1.0, 0.0], 0.0, math.inf) for v in pdg.variables]
    far = q.infer(q.PDG(corner, pdg.variables), gamma=0.5)
    value = q.infer(pdg, gamma=0.1, solver=q.InteriorPoint()).inconsistency
    for other in (
        q.infer(turned, gamma=0.1, solver=q.InteriorPoint()),
        q.infer(pdg, gamma=0.1, solver=q.InteriorPoint(), start=far),
    ):
        assert other.inconsistency == pytest.approx(value, abs=1e-8)
