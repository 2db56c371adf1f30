"""E8P: the published construction, and the compiled searches against a scan of all its points."""

import numba
import numpy as np
import pytest

from quincunx.kernels.e8 import _metric, reference
from quincunx.kernels.e8._numba import nearest
from quincunx.kernels.e8._roots import nearest_short
from quincunx.kernels.e8._roots_metric import LANES, half_norms, nearest_short_in_metric
from quincunx.solvers.rounding.codebooks.scan import nearest_listed

SPREADS = (0.02, 0.3, 0.7, 1.0, 1.3, 2.0, 5.0, 40.0)


def compiled(x, metric=None):
    """Return points and codes; what the loops do not write would show as NaN."""
    values, codes = np.full_like(x, np.nan), np.zeros((len(x), 1), dtype=np.uint16)
    nearest(x, values, codes, 0, len(x))
    if metric is not None:
        tree = _metric.triangle(metric)
        _metric.nearest_in_metric(x, values, codes, tree, 0, len(x))
    return values, codes[:, 0]


def distance(x, q, metric=None):
    error = x - q
    return ((error if metric is None else error @ metric) * error).sum(axis=1)


def vectors(seed, rows):
    """Normal vectors, vectors that are equally far from many points, and zeros."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(0.0, spread, (rows, 8)) for spread in SPREADS]
    parts += [np.round(rng.normal(0.0, 1.5, (rows, 8)) * k) / k for k in (1, 2, 4)]
    edges = reference.points()[rng.integers(1 << 16, size=(2, rows))].mean(axis=0)
    return np.concatenate(
        [*parts, edges, edges + rng.normal(0, 1e-9, edges.shape), np.zeros((1, 8))]
    )


def metrics(seed):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(8, 12))
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    stretched = np.exp(rng.normal(0.0, 1.5, 8))
    return {
        "identity": np.eye(8),
        "random": factor @ factor.T,
        "diagonal": np.diag(stretched),
        "condition 1e4": (rotation * np.logspace(0, 4, 8)) @ rotation.T,
    }


def packed(row):
    """Return a row as it is written in published tables: nibbles 2 v + 8, the last one first."""
    row = row.copy()
    row[7] *= 1 - 2 * (row.sum() % 2)
    return "".join(f"{int(2 * row[i] + 8):x}" for i in (7, 5, 3, 1, 6, 4, 2, 0))


def test_rows_are_the_published_ones():
    rows = reference.absolute_rows()
    shown = {0: "99999999", 1: "59999999", 2: "d9999999", 3: "7999b999", 100: "5b9b9999"}
    shown |= {226: "799b999d", 227: "5b99bb9b", 228: "5b9bbb99", 255: "7b9bbb9b"}
    assert {k: packed(rows[k]) for k in shown} == shown
    norms = (rows**2).sum(axis=1)
    assert (norms[:227] <= 10).all() and (norms[227:] == 12).all()
    assert len(np.unique(rows, axis=0)) == 256


def test_codes_mean_what_they_mean_in_published_checkpoints():
    shown = {
        0x0000: [0.75] * 8,
        0x0001: [0.25] * 8,
        0x0101: [0.25] * 7 + [-1.75],
        0xFF00: [1.75, 1.75, 0.75, 0.75, 1.75, 1.75, 1.75, -0.25],
        0x1597: [0.25, -0.75, -0.75, 0.25, -1.75, 0.25, 1.25, 1.25],
        0xE3FF: [-1.25, -0.25, -0.25, -0.25, -1.25, -1.25, -1.25, 1.75],
        0x7B5A: [0.75, -1.25, -0.25, 2.75, 0.75, -0.25, -0.25, -0.25],
    }
    for code, point in shown.items():
        assert reference.points()[code].tolist() == point


def test_points_are_different_and_lie_in_the_lattice_moved():
    points = reference.points()
    assert len(np.unique(points, axis=0)) == 1 << 16
    lattice = points - 0.25
    assert (lattice.sum(axis=1) % 2 == 0).all()
    assert np.isin(lattice[:, 0] % 1, (0.0, 0.5)).all()
    assert (lattice % 1 == lattice[:, :1] % 1).all()
    norms, counts = np.unique((points**2).sum(axis=1), return_counts=True)
    assert norms.tolist() == [0.5 + k for k in range(17)]
    published = [2, 56, 252, 688, 1514, 2664, 4396, 7056, 9330, 9980, 11062, 7860, 5892, 3252]
    assert counts.tolist() == [*published, 1010, 348, 174]


def test_published_examples_of_ties_and_all():
    x = np.array(
        [
            [0.0] * 8,
            [1.0] * 8,
            [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8],
            [3.0] + [0.0] * 7,
            [-2, 1.5, -1, 0.5, -0.25, 0.75, 1.25, -1.75],
        ]
    )
    assert compiled(x)[1].tolist() == [0x00FF, 0, 369, 56190, 51078]


def assert_nearest(x):
    values, codes = compiled(x)
    np.testing.assert_array_equal(values, reference.points()[codes])
    least = distance(x, reference.points()[reference.nearest(x)])
    # Both distances are sums of eight rounded squares.
    np.testing.assert_allclose(distance(x, values), least, rtol=4e-15, atol=1e-15)


def test_the_nearest_point_is_found():
    assert_nearest(vectors(0, 100))


@numba.njit
def gains_by_rows(x, rows, best):
    """Find the largest gain over both moves, all 256 rows and all signs that fit, row by row.

    Of the signs, those of y are best, with the one turned over that costs least if they do not fit.
    """
    for n in range(x.shape[0]):
        best[n] = -np.inf
        slant = x[n].sum() / 2
        for move in (0.25, -0.25):
            for k in range(rows.shape[0]):
                gain, least, odd = 4 * move * slant, np.inf, False
                for i in range(8):
                    y, r = x[n, i] - move, rows[k, i]
                    gain += (2 * abs(y) - r) * r
                    least = min(least, r * abs(y))
                    odd ^= (y < 0) ^ (r == 1.5)
                best[n] = max(best[n], gain - 4 * least if odd else gain)


def assert_no_row_gains_more(x):
    best = np.empty(len(x))
    gains_by_rows(x, reference.absolute_rows(), best)
    least = ((x**2).sum(axis=1) + 0.5) - best
    found = distance(x, compiled(x)[0])
    # Rounding of the oracle's differences: measured 1.2e-14 of the squared norm.
    assert np.max((found - least) / (1 + (x**2).sum(axis=1))) < 1e-13


@pytest.mark.full
def test_the_nearest_point_is_found_for_many():
    x = vectors(1, 1_000)
    assert_nearest(x)
    assert_no_row_gains_more(x)


@pytest.mark.full
def test_the_nearest_point_is_found_for_ten_million():
    rng = np.random.default_rng(2)
    for k in range(20):
        assert_no_row_gains_more(rng.normal(0.0, SPREADS[k % 7], (490_000, 8)))
        assert_no_row_gains_more(vectors(100 + k, 900)[-10_000:])


def test_single_precision_and_strides():
    x = vectors(3, 20).astype(np.float32)
    values, codes = np.empty((len(x), 16), dtype=np.float32), np.empty((len(x), 2), dtype=np.uint16)
    nearest(np.asfortranarray(x), values[:, ::2], codes[:, 1:], 0, len(x))
    expected, numbers = compiled(x.astype(np.float64))
    np.testing.assert_array_equal(values[:, ::2], expected.astype(np.float32))
    np.testing.assert_array_equal(codes[:, 1], numbers)


@pytest.mark.parametrize("kind", metrics(0))
def test_the_nearest_point_in_a_metric_is_found(kind):
    metric = metrics(0)[kind]
    x = vectors(5, 10)[:-1]
    values, codes = compiled(x, metric)
    np.testing.assert_array_equal(values, reference.points()[codes])
    found = distance(x, values, metric)
    least = distance(x, reference.points()[reference.nearest(x, metric)], metric)
    # The scan's score leaves out x M x', which is up to 1e5 times as large at a spread of 40.
    np.testing.assert_allclose(found, least, rtol=1e-9, atol=1e-9)
    assert (found <= distance(x, compiled(x)[0], metric)).all()


@pytest.mark.parametrize("kind", metrics(0))
def test_a_triangle_is_the_metric_in_the_order_of_the_largest_weights(kind):
    metric = metrics(0)[kind]
    order, factor, weight = _metric.triangle(metric)
    assert sorted(order) == list(range(8))
    np.testing.assert_array_equal(np.tril(factor, -1), 0.0)
    np.testing.assert_array_equal(np.diagonal(factor), 1.0)
    again = (factor.T * weight) @ factor
    # Measured 1.1e-16 of the largest entry: sums of eight products are rounded.
    assert np.abs(again - metric[np.ix_(order, order)]).max() < 1e-14 * metric.max()
    for k in range(8):  # the weight that a coordinate has as the last of those left
        left = metric[np.ix_(order[: k + 1], order[: k + 1])]
        weights = 1 / np.diagonal(np.linalg.inv(left))
        # Measured 1.0e-13 at condition 1e4, by which two inverses differ.
        np.testing.assert_allclose(weight[k], weights.max(), rtol=1e-11)


def test_a_metric_that_is_not_positive_definite_has_no_triangle():
    for metric in (-np.eye(8), np.diag([1.0, 1, 1, -1, 1, 1, 1, 1])):
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            _metric.triangle(metric)


def test_short_vectors_are_the_published_ones():
    points = reference.short_points()
    norms, counts = np.unique((points**2).sum(axis=1), return_counts=True)
    assert dict(zip(norms, counts, strict=True)) == {0.0: 1, 2.0: 240, 4.0: 15}
    assert len(np.unique(points, axis=0)) == 256
    assert (points.sum(axis=1) % 2 == 0).all()
    assert not (points == [0.0] * 7 + [-2.0]).all(axis=1).any()


def test_the_nearest_short_vector_is_found():
    x = np.concatenate([vectors(6, 300), -3.0 * np.eye(8), 3.0 * np.eye(8)])
    x = np.concatenate([x, x[:500] * [1, 1, 1, 1, 1, 1, 1, 9]])  # the point that is left out
    values, codes = np.full_like(x, np.nan), np.zeros((len(x), 1), dtype=np.uint8)
    nearest_short(x, values, codes, 0, len(x))
    np.testing.assert_array_equal(values, reference.short_points()[codes[:, 0]])
    all_points = reference.short_points()
    least = ((x[:, None] - all_points) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(distance(x, values), least, rtol=4e-15, atol=1e-15)


def short_in_metric(x, metric, first=0, last=None):
    values, codes = np.full_like(x, np.nan), np.full((len(x), 1), 255, dtype=np.uint8)
    given = (x, metric, half_norms(metric), values, codes)
    nearest_short_in_metric(*given, first, len(x) if last is None else last)
    return values, codes[:, 0]


@pytest.mark.parametrize("kind", metrics(0))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_nearest_short_vector_in_a_metric_is_found(kind, dtype):
    metric, points = metrics(0)[kind], reference.short_points()
    x = np.concatenate([vectors(7, 101), -3.0 * np.eye(8), 3.0 * np.eye(8)])
    x = np.concatenate([x, x[:501] * [1, 1, 1, 1, 1, 1, 1, 9]]).astype(dtype)
    assert len(x) % LANES
    values, codes = short_in_metric(x, metric)
    np.testing.assert_array_equal(values, points[codes])
    scores = ((points @ metric) * points).sum(axis=1) - 2 * x.astype(np.float64) @ metric @ points.T
    found = np.take_along_axis(scores, codes[:, None].astype(int), axis=1)[:, 0]
    # Measured 0; both ways round sums of eight products, 1e-15 of the largest score at most.
    assert np.max((found - scores.min(axis=1)) / np.abs(scores).max(axis=1)) < 1e-14
    apart = np.diff(np.partition(scores, 1, axis=1)[:, :2], axis=1)[:, 0]
    clear = apart > 1e-12 * np.abs(scores).max(axis=1)
    assert clear.mean() > 0.8  # measured 0.886, for the identity, to 0.999
    np.testing.assert_array_equal(codes[clear], nearest_listed(x, points, metric)[clear])


def test_of_short_vectors_equally_near_in_a_metric_the_first_counts():
    # All sums are of multiples of 1/4, so nothing is rounded and ties are ties.
    rng = np.random.default_rng(8)
    factor = rng.integers(-2, 3, (8, 12)).astype(np.float64)
    for metric in (np.eye(8), factor @ factor.T):
        x = rng.integers(-4, 5, (3_000, 8)) / 2
        scan = nearest_listed(x, reference.short_points(), metric)
        np.testing.assert_array_equal(short_in_metric(x, metric)[1], scan)


def test_rows_of_short_vectors_in_a_metric_do_not_depend_on_ranges():
    metric, x = metrics(1)["random"], vectors(9, 20)
    values, codes = short_in_metric(x, metric)
    for first, last in ((0, 1), (5, LANES + 4), (17, len(x)), (3, 3)):
        part, numbers = short_in_metric(x, metric, first, last)
        np.testing.assert_array_equal(part[first:last], values[first:last])
        np.testing.assert_array_equal(numbers[first:last], codes[first:last])
        assert np.isnan(part[:first]).all() and np.isnan(part[last:]).all()


def test_strided_vectors_and_those_not_finite_get_short_vectors_too():
    metric = metrics(2)["random"]
    x = vectors(10, 10).astype(np.float32)
    x[3, 2], x[8, 7], x[9, 0] = np.nan, np.inf, -np.inf
    values, codes = np.empty((len(x), 16), dtype=np.float32), np.empty((len(x), 3), dtype=np.uint8)
    given = (np.asfortranarray(x), metric, half_norms(metric), values[:, ::2], codes[:, 1:])
    nearest_short_in_metric(*given, 0, len(x))
    expected, numbers = short_in_metric(x, metric)
    np.testing.assert_array_equal(values[:, ::2], expected)
    np.testing.assert_array_equal(codes[:, 1], numbers)
    assert (numbers[[3, 8, 9]] == 0).all()
    with np.errstate(invalid="ignore"):
        scan = nearest_listed(x[[3, 8, 9]], reference.short_points(), metric)
    assert (scan == 0).all()
