"""Grids: nearest points, published figures, errors."""

from dataclasses import replace

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.rounding.codebooks.grid import Grid, lloyd_max, normal_error, spanning

KINDS = ["half-integer", "uniform", "lloyd-max"]


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("levels", KINDS)
@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict"])
def test_no_point_is_nearer(bits, levels, library):
    xp = pytest.importorskip(library)
    grid = Grid(bits, scale=0.37, levels=levels)
    x = np.random.default_rng(bits).normal(size=(300, 1)) * 2
    every = np.asarray(grid.decode(xp.asarray(np.arange(1 << bits, dtype=np.uint8))))
    values, codes = grid.quantize(xp.asarray(x))
    least = np.abs(x - every.astype(np.float64)).min(axis=1)
    assert np.abs(np.asarray(values) - x)[:, 0] == pytest.approx(least, abs=1e-6)
    assert np.asarray(grid.decode(codes)) == pytest.approx(np.asarray(values), abs=1e-6)


def test_ties_go_to_the_even_code():
    grid = Grid(3, scale=1.0, levels="uniform", zero=4)
    assert grid.quantize(np.array([[-0.5], [0.5], [1.5]]))[1].ravel().tolist() == [4, 4, 6]
    assert Grid(1, scale=1.0, levels="lloyd-max").quantize(np.zeros((1, 1)))[1].item() == 0


@pytest.mark.parametrize(
    ("bits", "error"), [(1, 0.36338), (2, 0.11748), (3, 0.03455), (4, 0.00950)]
)
def test_lloyd_max_has_the_published_error(bits, error):
    """Max (1960), Table I."""
    assert normal_error(lloyd_max(bits)) == pytest.approx(error, abs=5e-6)


@pytest.mark.parametrize("bits", range(1, 9))
def test_lloyd_max_is_stationary(bits):
    points = lloyd_max(bits)
    for k in range(len(points)):
        for step in (-1e-3, 1e-3):
            moved = points + step * np.eye(len(points))[k]
            assert normal_error(moved) > normal_error(points)


@pytest.mark.parametrize(("bits", "error"), [(2, 0.11885), (3, 0.03744), (4, 0.01154)])
def test_half_integers_have_the_published_error(bits, error):
    grid = Grid(bits)
    points = (np.arange(1 << bits) - grid.center) * grid.unit_scale
    assert normal_error(points) == pytest.approx(error, abs=5e-6)


def test_the_closed_form_of_the_error_is_the_sampled_one():
    x = np.random.default_rng(0).normal(size=(400_000, 1))
    grid = Grid(3, scale=0.5)
    squares = (grid.quantize(x)[0] - x) ** 2
    exact = normal_error(grid.decode(np.arange(8, dtype=np.uint8)).astype(float))
    assert squares.mean() == pytest.approx(exact, abs=4 * squares.std() / 400_000**0.5)


def test_a_scale_and_a_zero_for_each_row():
    x = np.array([[-1.0, 0.0, 2.0], [5.0, 6.0, 8.0], [0.0, 0.0, 0.0]])
    grid = spanning(x, 4)
    values, codes = grid.quantize(x)
    assert values[0].tolist() == pytest.approx([-1, 0, 2]) and values[2].tolist() == [0, 0, 0]
    assert grid.scale.ravel() == pytest.approx([3 / 15, 8 / 15, 1 / 15])
    assert codes.dtype == np.uint8 and np.array_equal(grid.decode(codes), values)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bits": 0}, "bits"),
        ({"bits": 9}, "bits"),
        ({"bits": 2.5}, "bits"),
        ({"bits": 2, "levels": "ternary"}, "levels"),
        ({"bits": 2, "zero": 1}, "zero"),
        ({"bits": 2, "scale": 0.0}, "scale"),
        ({"bits": 2, "scale": -1.0}, "scale"),
        ({"bits": 2, "scale": np.nan}, "scale"),
        ({"bits": 2, "scale": np.array([[1.0], [0.0]])}, "scale"),
        ({"bits": 2, "scale": np.ones(3)}, "shape"),
    ],
)
def test_fields_are_checked(arguments, words):
    with pytest.raises(ModelError, match=words):
        Grid(**arguments)


def test_a_scale_is_needed():
    with pytest.raises(ModelError, match="no scale yet"):
        Grid(2).quantize(np.zeros((1, 1)))
    with pytest.raises(ModelError, match="no scale yet"):
        Grid(2).decode(np.zeros((1, 1), np.uint8))
    replace(Grid(2), scale=1.0).quantize(np.zeros((1, 1)))
