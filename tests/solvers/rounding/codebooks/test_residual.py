"""Residual coding of any two codebooks."""

from dataclasses import replace

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.solvers.rounding.codebooks import (
    D4,
    E8P,
    E81B,
    Grid,
    Residual,
    best_scales,
    mean_squared_error,
)


def test_two_grids_make_a_finer_one():
    x = np.random.default_rng(0).uniform(-4, 4, (1000, 1))
    pair = Residual(Grid(2), Grid(2), scale=2.0, ratio=4.0)
    values, codes = pair.quantize(x)
    np.testing.assert_allclose(values, Grid(4, scale=0.5).quantize(x)[0])
    np.testing.assert_allclose(pair.decode(codes), values)
    assert pair.bits == 4 and pair.tile == (1, 1)


def test_three_stages():
    x = np.random.default_rng(1).uniform(-4, 4, (300, 1))
    for nested in (
        Residual(Residual(Grid(1), Grid(1), ratio=2.0), Grid(1), scale=4.0, ratio=4.0),
        Residual(Grid(1), Residual(Grid(1), Grid(1), ratio=2.0), scale=4.0, ratio=2.0),
    ):
        values, codes = nested.quantize(x)
        assert codes.shape == (300, 3)
        np.testing.assert_allclose(values, Grid(3, scale=1.0).quantize(x)[0])
        np.testing.assert_allclose(nested.decode(codes), values)


@pytest.mark.parametrize(("second", "ratio"), [(E8P(2), 3.3), (E81B(), 1.75)])
def test_no_worse_than_one_try(second, ratio):
    x = np.random.default_rng(2).normal(size=(500, 8))
    first, finer = E8P(scale=1.0), replace(second, scale=1 / ratio)
    coarse = first.quantize(x)[0]
    once = coarse + finer.quantize(x - coarse)[0]
    values = Residual(first, second, scale=1.0, ratio=ratio).quantize(x)[0]
    error, error_once = ((x - values) ** 2).sum(axis=1), ((x - once) ** 2).sum(axis=1)
    assert (error <= error_once + 1e-12).all()
    assert error.mean() < 0.95 * error_once.mean()


def test_the_ratio_is_searched_for():
    pair = Residual(Grid(1), Grid(1))
    found = best_scales(pair)
    # Two grids of one bit are the uniform grid of two bits at a ratio of 2, or a better one.
    assert found.error < 0.1189 * 1.01
    at_best = replace(pair, scale=pair.unit_scale)
    x = np.random.default_rng(3).normal(size=(100, 1))
    fixed = replace(at_best, ratio=found.ratio)
    np.testing.assert_array_equal(at_best.quantize(x)[0], fixed.quantize(x)[0])
    assert mean_squared_error(at_best) == pytest.approx(found.error, rel=0.03)


def test_published_forms_can_be_written():
    published = Residual(E8P(2), E8P(2), scale=1.0, ratio=3.45)
    codes = np.array([[0x0000, 0x0001]], dtype=np.uint16)
    np.testing.assert_allclose(published.decode(codes), np.full((1, 8), 0.75 + 0.25 / 3.45))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Residual(D4(), E8P()), "same tile"),
        (lambda: Residual(E8P(), E8P(), ratio=0.0), "ratio is 0.0"),
        (lambda: Residual(E8P(), E8P(), scale=-1.0), "scales are positive"),
        (lambda: Residual(E8P(), E8P(), ratio=3.0).quantize(np.zeros((1, 8))), "no scale yet"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ModelError, match=message):
        call()
