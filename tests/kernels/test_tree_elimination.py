"""Elimination over cluster trees against one dense factorisation."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx.kernels.tree_elimination import _numba as compiled
from quincunx.kernels.tree_elimination.layout import LANES, with_equations
from quincunx.kernels.tree_elimination.reference import constraints, solve_dense
from quincunx.solvers.inference.problem import compile_problem
from tests.problems import random_arc, random_pdg


def layout_of(pdg):
    plan = q.plan(pdg, gamma=0.1)
    problem = compile_problem(plan.pdg, plan.tree)
    return problem, with_equations(problem.layout, problem.hard_equations())


def with_hard_arcs(seed):
    """A random graph with two arcs made certain, and so equations within clusters."""
    pdg = random_pdg(seed, extras=False)
    rng = np.random.default_rng(seed)
    arc = pdg.arcs[0]
    return pdg + random_arc(rng, arc.sources, arc.targets, False, beta=math.inf)


def eliminated(tree, matrices, mass, softness):
    """Reduce all blocks, children first."""
    blocks = np.zeros(int(tree.block[-1]))
    heaviest = np.zeros(int(tree.groups[-1]), dtype=np.int32)
    place = np.zeros(int(tree.cells[-1]), dtype=np.int32)
    for c in reversed(range(len(tree.parent))):
        dense = matrices[c].copy()
        for child in np.nonzero(tree.parent == c)[0]:
            compiled.add_child(tree, child, blocks, dense)
        compiled.order_cells(tree, c, mass, heaviest, place)
        compiled.reduce_block(tree, c, dense, heaviest, place, softness, blocks)
    return blocks, heaviest, place


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("make", [random_pdg, with_hard_arcs])
def test_the_same_step_and_prices_as_one_dense_system(make, seed):
    _, tree = layout_of(make(seed))
    rng = np.random.default_rng(seed)
    n, k, e = int(tree.cells[-1]), int(tree.groups[-1]), len(tree.equation_order)
    matrices = []
    whole = np.zeros((n, n))
    for first, last in zip(tree.cells, tree.cells[1:], strict=False):
        part = rng.standard_normal((last - first, last - first))
        matrices.append(part @ part.T + 0.1 * np.eye(last - first))
        whole[first:last, first:last] = matrices[-1]
    mass = rng.random(n) + 0.01
    softness = 1e-3
    blocks, heaviest, place = eliminated(tree, matrices, mass, softness)
    gradient, shift, wanted = rng.standard_normal(n), rng.standard_normal(k), rng.standard_normal(e)
    step, price, equation_price = np.zeros(n), np.zeros(k), np.zeros(e)
    compiled.solve(
        tree, blocks, heaviest, place, gradient, shift, wanted, step, price, equation_price
    )
    right = solve_dense(tree, whole, softness, gradient, shift, wanted)
    for ours, theirs in zip((step, price, equation_price), right, strict=True):
        np.testing.assert_allclose(
            ours, theirs, rtol=1e-8, atol=1e-8 * (1 + abs(theirs).max(initial=0))
        )


@pytest.mark.parametrize("seed", range(10))
def test_the_layout_says_what_calibration_does(seed):
    problem, tree = layout_of(with_hard_arcs(seed))
    sums, extra = constraints(tree)
    np.testing.assert_array_equal(sums, problem.calibration.toarray())
    hard = problem.hard_equations().toarray()
    np.testing.assert_array_equal(extra, hard[tree.equation_order])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 16, 31])
def test_partial_elimination_leaves_the_schur_complement(size):
    rng = np.random.default_rng(size)
    part = rng.standard_normal((size, size))
    matrix = part @ part.T + np.eye(size)
    stride = -(-size // LANES) * LANES
    for pivots in range(size + 1):
        block = np.zeros((size, stride))
        block[:, :size] = matrix
        compiled.eliminate(block.reshape(-1), stride, size, pivots)
        a, b, c = matrix[:pivots, :pivots], matrix[:pivots, pivots:], matrix[pivots:, pivots:]
        schur = c - b.T @ np.linalg.solve(a, b) if pivots else c
        ours = block[pivots:, pivots:size]
        np.testing.assert_allclose(np.triu(ours), np.triu(schur), rtol=1e-9, atol=1e-9)


def test_one_cell_that_carries_nearly_all_mass_does_no_harm():
    """The group's sum replaces its heaviest cell: the others' huge curvature stays apart."""
    A, B = q.Variable("A", [0, 1]), q.Variable("B", [0, 1])
    _, tree = layout_of(q.PDG([q.Arc(A, B, [[0.5, 0.5], [0.5, 0.5]])], [A, B]))
    mass = np.array([1e-14, 0.5, 0.5, 1e-14])
    whole = np.diag(1 / mass)
    blocks, heaviest, place = eliminated(tree, [whole], mass, 1e-9)
    gradient, step = np.array([3.0, 1.0, -1.0, 2.0]), np.zeros(4)
    price, none = np.zeros(1), np.zeros(0)
    compiled.solve(
        tree, blocks, heaviest, place, gradient, np.zeros(1), none, step, price, none.copy()
    )
    mean = (mass @ gradient) / mass.sum()
    np.testing.assert_allclose(step, -mass * (gradient - mean), rtol=1e-12)
