"""E8P and E81B as codebooks: scales, libraries, metrics, codes and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.kernels.e8 import reference
from quincunx.solvers.rounding.codebooks import E8P, E81B, best_scales, mean_squared_error

EVERY = [E8P(2, scale=1.0), E8P(3, scale=1.0), E8P(4, scale=1.25), E81B(scale=1.5)]


def vectors(seed=0, rows=200, width=8):
    """Half of them normal, half equally far from several points."""
    x = np.random.default_rng(seed).normal(size=(2 * rows, width))
    x[rows:] = np.round(x[rows:] * 4) / 4
    return x


def metric(seed=1, width=8):
    factor = np.random.default_rng(seed).normal(size=(width, 2 * width))
    return factor @ factor.T


def loss(x, q, m=None):
    error = np.asarray(x) - np.asarray(q)
    return ((error if m is None else error @ m) * error).sum(axis=1)


@pytest.mark.parametrize("codebook", EVERY, ids=repr)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_codes_decode_to_the_values(codebook, kind):
    values, codes = codebook.quantize(vectors().astype(kind))
    assert values.dtype == kind
    assert codes.dtype == (np.uint8 if codebook.bits == 1 else np.uint16)
    assert codes.shape == (400, 2 if codebook.bits > 2 else 1)
    assert codebook.decode(codes).dtype == np.float32
    np.testing.assert_allclose(codebook.decode(codes), values, atol=1e-6)


def test_all_codes_of_e8p_decode_to_their_points():
    codes = np.arange(1 << 16, dtype=np.uint16)[:, None]
    decoded = E8P(scale=2.0).decode(codes)
    np.testing.assert_array_equal(decoded, 2 * reference.points())
    values, again = E8P(scale=2.0).quantize(decoded)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_array_equal(values, decoded)


@pytest.mark.parametrize("codebook", EVERY, ids=repr)
def test_a_scale_for_each_row(codebook):
    scale = np.exp(np.random.default_rng(0).normal(size=(400, 1)))
    x = vectors().astype(np.float32)
    values, codes = replace(codebook, scale=scale).quantize(x)
    assert values.dtype == np.float32
    for row in (0, 123, 199):  # no ties, which the rounding of the scale would decide
        alone = replace(codebook, scale=float(scale[row, 0]))
        np.testing.assert_allclose(alone.quantize(x[[row]])[0], values[[row]], rtol=1e-6)
        np.testing.assert_allclose(alone.decode(codes[[row]]), values[[row]], rtol=1e-5)
    decoded = replace(codebook, scale=scale).decode(codes)
    assert decoded.dtype == np.float64
    np.testing.assert_allclose(decoded, values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("codebook", EVERY, ids=repr)
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_libraries_agree(codebook, weighed, library):
    xp = pytest.importorskip(library)
    rows = 20 if weighed else 100
    x, m = vectors(3, rows), metric() if weighed else None
    values, codes = codebook.quantize(x, metric=m)
    other = None if m is None else xp.asarray(m)
    there, there_codes = codebook.quantize(xp.asarray(x), metric=other)
    assert type(there) is type(there_codes) is type(xp.asarray(x))
    assert there.dtype == xp.asarray(x).dtype
    # Ties that rounding decides may go either way; nothing else may.
    np.testing.assert_allclose(loss(x, there, m), loss(x, values, m), rtol=1e-9, atol=1e-12)
    differ = (np.asarray(there_codes) != codes).any(axis=1)
    assert not differ[:rows].any()
    decoded = codebook.decode(there_codes)
    np.testing.assert_allclose(np.asarray(decoded), np.asarray(there), atol=1e-6)


def test_ties_are_decided_alike_where_numbers_are_exact():
    strict = pytest.importorskip("array_api_strict")
    x = vectors(4, 2000)[2000:]
    codes = E8P(scale=1.0).quantize(x)[1]
    there = E8P(scale=1.0).quantize(strict.asarray(x))[1]
    np.testing.assert_array_equal(np.asarray(there), codes)


@pytest.mark.parametrize("codebook", EVERY, ids=repr)
def test_types_of_16_bits(codebook):
    torch = pytest.importorskip("torch")
    x = torch.asarray(vectors()).to(torch.bfloat16)
    values, codes = codebook.quantize(x)
    assert values.dtype == torch.bfloat16
    assert (codes == codebook.quantize(x.to(torch.float32))[1]).all()


@pytest.mark.parametrize("codebook", EVERY, ids=repr)
def test_a_scale_for_each_row_serves_torch_as_well(codebook):
    torch = pytest.importorskip("torch")
    x, scale = vectors()[:50], np.linspace(0.5, 1.5, 50)[:, None]
    values, codes = replace(codebook, scale=scale).quantize(x)
    there = replace(codebook, scale=torch.asarray(scale)).quantize(torch.asarray(x))
    np.testing.assert_allclose(there[0].numpy(), values, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(there[1].numpy(), codes)
    assert there[1].dtype == (torch.uint8 if codes.dtype == np.uint8 else torch.int32)


@pytest.mark.parametrize("codebook", EVERY, ids=repr)
def test_rounding_in_a_metric_is_no_worse_in_it(codebook):
    x, m = vectors(5), metric(6)
    plain, weighed = codebook.quantize(x)[0], codebook.quantize(x, metric=m)[0]
    if codebook.bits <= 2:  # a residual's second stage sees what the first one left
        assert (loss(x, weighed, m) <= loss(x, plain, m) + 1e-12).all()
    assert loss(x, weighed, m).sum() < 0.95 * loss(x, plain, m).sum()


def test_a_singular_metric():
    m = np.zeros((8, 8))
    x = vectors(7)
    np.testing.assert_array_equal(
        E8P(scale=1.0).quantize(x, metric=m)[0], E8P(scale=1.0).quantize(x)[0]
    )
    m[:4, :4] = metric(8, 4)
    values, _ = E8P(scale=1.0).quantize(x, metric=m)
    best = reference.points()[reference.nearest(x, m)]
    np.testing.assert_allclose(loss(x, values, m), loss(x, best, m), atol=1e-7)


def test_no_vectors():
    for codebook in EVERY:
        for m in (None, metric()):
            values, codes = codebook.quantize(np.empty((0, 8)), metric=m)
            assert values.shape == (0, 8)
            assert codes.shape == (0, 2 if codebook.bits > 2 else 1)


def test_results_do_not_depend_on_how_rows_are_split():
    x = vectors(9, 100)
    whole = E8P(scale=0.9).quantize(x, metric=metric())[1]
    parts = [E8P(scale=0.9).quantize(x[k : k + 7], metric=metric())[1] for k in range(0, 200, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_huge_and_tiny_numbers():
    for size in (1e-300, 1e-30, 1e30, 1e200):
        values, _ = E8P(scale=1.0).quantize(np.full((1, 8), size))
        assert np.isfinite(values).all()
        assert E8P(scale=1.0).quantize(np.full((1, 8), size), metric=metric())[1].shape == (1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: E8P(5), "bits is 5; E8P has 2, 3 or 4"),
        (lambda: E8P(scale=0.0), "scales are positive"),
        (lambda: E81B(scale=np.inf), "scales are positive"),
        (lambda: E8P().quantize(vectors()), "no scale yet"),
        (lambda: E8P(4).decode(np.zeros((1, 2), np.uint16)), "no scale yet"),
        (lambda: E8P(2).stages, "one stage"),
        (lambda: EVERY[0].quantize(np.zeros((3, 7))), r"shape \(3, 7\)"),
        (lambda: EVERY[0].quantize(np.zeros((3, 8), int)), "floating-point"),
        (lambda: EVERY[0].quantize(np.full((3, 8), np.nan)), "not finite"),
        (lambda: EVERY[0].quantize(np.zeros((3, 8)), metric=np.eye(7)), "metric has shape"),
        (lambda: EVERY[0].quantize(np.zeros((3, 8)), metric=-np.eye(8)), "eigenvalue -1"),
        (lambda: EVERY[0].decode(np.zeros((3, 2), np.uint16)), r"whole numbers \[N, 1\]"),
        (lambda: EVERY[0].decode(np.zeros((3, 1))), "whole numbers"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ModelError, match=message):
        call()


# Of 2^20 vectors with seed 7: 0.09133, 0.02839, 0.00773, 0.3183. A sample of 2^15 is within 0.6 %.
@pytest.mark.parametrize(
    ("codebook", "target"), [(E8P(2), 0.0914), (E8P(3), 0.0294), (E8P(4), 0.0084), (E81B(), 0.32)]
)
def test_mean_squared_error_of_normal_numbers(codebook, target):
    at_best = replace(codebook, scale=codebook.unit_scale)
    assert mean_squared_error(at_best, vectors=1 << 15, seed=1) < 1.006 * target
    assert mean_squared_error(at_best, vectors=1 << 12) > 2 ** (-2 * codebook.bits)


@pytest.mark.full
@pytest.mark.parametrize("codebook", [E8P(2), E8P(3), E8P(4), E81B()], ids=repr)
def test_stored_scales_are_the_best(codebook):
    pair = codebook.bits in (3, 4)
    found = best_scales(replace(codebook.stages, ratio=None) if pair else codebook, vectors=1 << 16)
    stored = replace(codebook, scale=codebook.unit_scale)
    assert found.scale == pytest.approx(codebook.unit_scale, rel=0.03)
    assert mean_squared_error(stored, vectors=1 << 16) < 1.002 * found.error
    targets = {1: 0.32, 2: 0.0914, 3: 0.0294, 4: 0.0084}
    assert mean_squared_error(stored, vectors=1 << 20, seed=7) < targets[codebook.bits]
