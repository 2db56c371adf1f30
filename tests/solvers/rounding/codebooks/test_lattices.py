"""D4 and the lattices without bound, against all points nearby."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from quincunx.solvers.rounding.codebooks import D4, E8Lattice, Integer, best_scales
from quincunx.solvers.rounding.codebooks.d4 import d4_points


def metric(seed, width):
    factor = np.random.default_rng(seed).normal(size=(width, 2 * width))
    return factor @ factor.T


def loss(x, q, m):
    error = x - q
    return np.einsum("...i,ij,...j->...", error, m, error)


def test_d4_has_the_published_points():
    points = d4_points()
    assert points.shape == (256, 4)
    assert len(np.unique(points, axis=0)) == 256
    assert (points % 1 == 0.5).all() and (points.sum(axis=1) % 2 == 0).all()
    assert (points**2).sum(axis=1).max() == 9


@pytest.mark.parametrize("weighed", [False, True])
def test_d4_finds_the_nearest(weighed):
    x = np.random.default_rng(0).normal(size=(500, 4))
    m = metric(1, 4) if weighed else np.eye(4)
    values, codes = D4(scale=0.8).quantize(x, metric=m if weighed else None)
    least = loss(x[:, None], 0.8 * d4_points(), m).min(axis=1)
    np.testing.assert_allclose(loss(x, values, m), least, rtol=1e-12)
    np.testing.assert_allclose(D4(scale=0.8).decode(codes), values, rtol=1e-6)


def test_d4_at_its_best_scale():
    found = best_scales(D4(), vectors=1 << 12)
    assert found.scale == pytest.approx(D4().unit_scale, rel=0.05)
    assert found.error == pytest.approx(0.1024, rel=0.03)  # of 2^19 vectors: 0.10238


def test_the_integers():
    x = np.random.default_rng(1).normal(0, 10, (100, 1))
    values, codes = Integer(0.5).quantize(x)
    np.testing.assert_array_equal(values, np.round(2 * x) / 2)
    np.testing.assert_array_equal(Integer(0.5).decode(codes), values)
    assert Integer().bits == np.inf


def nearby():
    """Return all vectors of E8 that can be nearest to one of the cube [-1/2, 1/2]^8.

    A larger entry would alone be at a distance of 1, which is the covering radius.
    """
    whole = np.array(list(product((-1.0, 0.0, 1.0), repeat=8)))
    half = np.array(list(product((-0.5, 0.5), repeat=8)))
    points = np.concatenate([whole, half])
    return points[points.sum(axis=1) % 2 == 0]


def test_e8_finds_the_nearest():
    x = np.random.default_rng(2).uniform(-0.5, 0.5, (200, 8))
    values, codes = E8Lattice().quantize(x)
    least = ((x[:, None] - nearby()) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(((x - values) ** 2).sum(axis=1), least, rtol=1e-12)
    np.testing.assert_array_equal(E8Lattice().decode(codes), values)
    moved = E8Lattice().quantize(x + 2.0 * np.arange(8))[0]
    np.testing.assert_array_equal(moved, values + 2.0 * np.arange(8))


def test_the_second_moment_of_e8():
    x = np.random.default_rng(3).uniform(0, 2, (1 << 16, 8))  # whole periods
    error = np.mean((x - E8Lattice().quantize(x)[0]) ** 2)
    # Conway and Sloane: 929/12960 = 0.07168; the standard error of the sample is 5e-5.
    assert error == pytest.approx(929 / 12960, abs=2e-4)


def test_e8_in_a_metric_cannot_be_bettered_by_a_short_vector():
    x, m = np.random.default_rng(4).normal(0, 3, (200, 8)), metric(5, 8)
    plain, found = E8Lattice().quantize(x)[0], E8Lattice().quantize(x, metric=m)[0]
    assert (loss(x, found, m) <= loss(x, plain, m) + 1e-9).all()
    roots = nearby()
    roots = roots[(roots**2).sum(axis=1) == 2]
    assert len(roots) == 240
    around = loss(x[:, None], found[:, None] + roots, m).min(axis=1)
    assert (loss(x, found, m) <= around + 1e-9).all()


@pytest.mark.parametrize("codebook", [D4(scale=1.0), E8Lattice(), Integer()], ids=repr)
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_libraries_agree(codebook, library):
    xp = pytest.importorskip(library)
    width = codebook.tile[1]
    x = np.random.default_rng(6).normal(size=(50, width))
    for m in (None, metric(7, width)):
        values, codes = codebook.quantize(x, metric=m)
        there, there_codes = codebook.quantize(
            xp.asarray(x), metric=None if m is None else xp.asarray(m)
        )
        np.testing.assert_array_equal(np.asarray(there), values)
        np.testing.assert_array_equal(np.asarray(there_codes), codes)
        np.testing.assert_allclose(np.asarray(codebook.decode(there_codes)), values)


def test_a_scale_for_each_row():
    scale = np.array([[0.5], [2.0]])
    x = np.random.default_rng(8).normal(size=(2, 8))
    values = replace(E8Lattice(), scale=scale).quantize(x)[0]
    np.testing.assert_allclose(values, scale * E8Lattice().quantize(x / scale)[0])
