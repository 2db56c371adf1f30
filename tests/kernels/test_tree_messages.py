"""Passes over a cluster tree against all joint states enumerated."""

import math

import numpy as np
import pytest

import quincunx as q
from quincunx.kernels.tree_messages import _numba as compiled
from quincunx.solvers.inference.problem import compile_problem
from tests.oracles import worlds_of
from tests.problems import random_pdg


def energies_of_worlds(problem, energy):
    """Return each joint state's energy: inf where a cluster's cell is impossible."""
    worlds = worlds_of(problem.pdg)
    total = np.zeros(len(worlds))
    for cluster, table in zip(problem.tree.clusters, problem.split(energy, math.inf), strict=True):
        total += table[tuple(worlds[:, v] for v in cluster)]
    return total


def compiled_problem(seed):
    plan = q.plan(random_pdg(seed), gamma=0.0, solver=q.InteriorPoint())
    return compile_problem(plan.pdg, plan.tree)


@pytest.mark.parametrize("seed", range(15))
def test_log_partition_and_least_energy(seed):
    problem = compiled_problem(seed)
    energy = np.random.default_rng(seed).normal(0.0, 300.0, problem.size)
    worlds = energies_of_worlds(problem, energy)
    least = worlds.min()
    log_z = math.log(np.exp(least - worlds).sum()) - least
    assert compiled.log_partition(problem.layout, energy) == pytest.approx(log_z, rel=1e-12)
    assert compiled.least_energy(problem.layout, energy) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("seed", range(15))
def test_calibration_keeps_conditionals_and_makes_neighbours_agree(seed):
    problem = compiled_problem(seed)
    rng = np.random.default_rng(seed)
    mass = rng.random(problem.size)
    mu = problem.calibrated(mass)
    np.testing.assert_allclose(problem.calibration @ mu, problem.mass, atol=1e-14)
    np.testing.assert_allclose(
        mu / problem.sepset_mass(mu), mass / problem.sepset_mass(mass), rtol=1e-12
    )
    np.testing.assert_allclose(problem.calibrated(mu), mu, rtol=1e-12)


def test_a_group_without_mass_shares_evenly():
    problem = compiled_problem(1)
    mu = problem.calibrated(np.zeros(problem.size))
    assert (mu > 0).all()
    np.testing.assert_allclose(problem.calibration @ mu, problem.mass, atol=1e-14)
