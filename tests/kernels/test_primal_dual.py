"""The compiled interior-point steps against the same steps written with dense matrices."""

import numpy as np
import pytest

import quincunx as q
from quincunx.kernels.primal_dual import _numba as compiled
from quincunx.kernels.primal_dual.layout import DualPoint, room_for
from quincunx.kernels.primal_dual.reference import step
from quincunx.solvers.inference.interior_point import first_point
from quincunx.solvers.inference.objective import gamma_slopes, largest_gamma, objective
from quincunx.solvers.inference.problem import compile_problem
from quincunx.solvers.inference.tree_program import tree_program
from tests.problems import random_pdg


def set_up(seed, gamma):
    plan = q.plan(random_pdg(seed, most_worlds=200), gamma=0.0)
    problem = compile_problem(plan.pdg, plan.tree)
    gamma *= min(1.0, largest_gamma(problem))
    target = objective(problem, gamma)
    program = tree_program(problem, target.slope)
    return problem, target, program, first_point(problem, target, program)


def advance(problem, target, program, point, steps, tolerance=0.0):
    tree, terms = program.tree, program.terms
    work = room_for(tree, terms)
    state = np.array([1.0, np.inf, np.inf, np.inf, np.inf, 1.0, np.inf, 0.0])
    taken = compiled.advance(
        tree,
        terms,
        target.linear,
        problem.mass,
        target.gamma,
        1e-10,
        point,
        work,
        steps,
        tolerance,
        state,
    )
    return taken, state, work


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.7])
@pytest.mark.parametrize("seed", range(12))
def test_the_same_steps_as_with_dense_matrices(seed, gamma):
    problem, target, program, point = set_up(seed, gamma)
    tree, terms = program.tree, program.terms
    plain = DualPoint(*(part.copy() for part in point))
    for _ in range(4):
        advance(problem, target, program, point, 1)
        plain = step(tree, terms, target.linear, problem.mass, target.gamma, 1e-10, plain)
        for ours, theirs in zip(point[:4], plain[:4], strict=True):
            scale = 1e-6 * (1e-3 + np.abs(theirs).max(initial=0.0))
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=scale)


@pytest.mark.parametrize("seed", range(8))
def test_the_tangent_is_the_optimum_s_derivative(seed):
    gamma, h = 0.3, 1e-4
    problem, target, program, point = set_up(seed, gamma)
    _, _, work = advance(problem, target, program, point, 60, 1e-13)
    linear_slope, slope = gamma_slopes(problem)
    weight_slope = np.where(program.terms.weight > 0, slope[program.rows], 0.0)
    log_slope = np.zeros(len(program.terms.row))
    compiled.tangent(
        program.tree,
        program.terms,
        linear_slope,
        weight_slope,
        target.gamma,
        1e-10,
        point,
        work,
        log_slope,
    )
    ends = []
    for shift in (-h, h):
        moved = objective(problem, target.gamma + shift)
        other = tree_program(problem, moved.slope)
        ends.append(first_point(problem, moved, other))
        advance(problem, moved, other, ends[-1], 60, 1e-13)
    difference = (ends[1].mass - ends[0].mass) / (2 * h)
    np.testing.assert_allclose(work.step, difference, atol=1e-5)
