"""LDLQ: equal to GPTQ and to its definition, exact losses, trouble."""

import os
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import threadpoolctl

from quincunx._errors import ModelError
from quincunx.solvers.linalg.ldl import block_ldl
from quincunx.solvers.rounding import (
    E8P,
    Grid,
    Trellis,
    decode,
    gptq,
    ldlq,
    nearest,
    proxy_loss,
    stochastic,
)
from tests.solvers.rounding.problems import coherent, degenerate, draw

LIBRARIES = ["torch", "array_api_strict"]


def plain(weights, hessian, grid, damping):
    """LDLQ by its definition, a column at a time; also how near targets came to a border."""
    ldl = block_ldl(hessian, damping=damping)
    errors, codes = np.zeros_like(weights), np.zeros(weights.shape, int)
    margin = np.empty_like(weights)
    points = np.asarray(grid.points) * grid.scale
    if not len(points):
        points = (np.arange(grid.top + 1) - grid.center) * grid.scale
    borders = (points[1:] + points[:-1]) / 2
    for k in reversed(range(weights.shape[1])):
        target = weights[:, k] - errors[:, k + 1 :] @ ldl.lower[k + 1 :, k]
        codes[:, k] = np.abs(target[:, None] - points).argmin(axis=1)
        margin[:, k] = np.abs(target[:, None] - borders).min(axis=1)
        errors[:, k] = points[codes[:, k]] - weights[:, k]
    return codes, margin, errors


@pytest.mark.parametrize("levels", ["half-integer", "uniform", "lloyd-max"])
@pytest.mark.parametrize("columns", [1, 7, 64, 150, 300])
def test_the_definition(levels, columns):
    weights, hessian = coherent(columns, 5, columns)
    grid = Grid(3, scale=0.4, levels=levels)
    codes, margin, errors = plain(weights, hessian, grid, 0.01)
    assert margin.min() > 1e-9  # else the comparison below says nothing
    found = ldlq(weights, hessian, grid)
    assert np.array_equal(found.codes, codes)
    assert np.abs(found.values - weights - errors).max() < 1e-12
    assert found.proxy_loss == pytest.approx(proxy_loss(errors, hessian), rel=1e-9)


@pytest.mark.parametrize("seed", range(100))
def test_gptq_is_ldlq_in_reversed_order(seed):
    rng = np.random.default_rng(seed)
    bits, columns = int(rng.integers(2, 5)), int(rng.integers(2, 160))
    weights, hessian = (coherent if seed % 2 else draw)(seed, 4, columns)
    grid = Grid(bits, scale=float(rng.uniform(0.2, 1.0)))
    back, turned = weights[:, ::-1].copy(), hessian[::-1, ::-1].copy()
    _, margin, _ = plain(back, turned, grid, 0.01)
    ours = ldlq(back, turned, grid)
    peer = gptq(weights, hessian, grid)
    # A row is comparable where no target lies on a border.
    rows = (margin > 1e-9).all(axis=1)
    assert rows.any()
    assert np.array_equal(ours.codes[rows, ::-1], peer.codes[rows])
    assert peer.proxy_loss == pytest.approx(ours.proxy_loss, rel=1e-8)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", [nearest, ldlq, gptq])
@pytest.mark.parametrize("seed", range(6))
def test_libraries_agree(library, method, seed):
    xp = pytest.importorskip(library)
    weights, hessian = coherent(seed, 6, 140)
    grid = Grid(2 + seed % 3, scale=0.5, levels=("half-integer", "lloyd-max")[seed % 2])
    ours = method(weights, hessian, grid)
    other = method(xp.asarray(weights), xp.asarray(hessian), grid)
    assert type(other.values) is type(xp.asarray(weights))
    assert np.array_equal(np.asarray(other.codes), ours.codes)
    assert np.allclose(np.asarray(other.values), ours.values, atol=1e-12)
    assert other.proxy_loss == pytest.approx(ours.proxy_loss, rel=1e-9)


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_agree_on_tiles(library):
    xp = pytest.importorskip(library)
    weights, hessian = draw(5, 8, 64)
    codebook = E8P(scale=1.05)
    ours = ldlq(weights, hessian, codebook)
    other = ldlq(xp.asarray(weights), xp.asarray(hessian), codebook)
    assert np.array_equal(np.asarray(other.codes), ours.codes)


def test_single_precision_is_good_to_its_rounding():
    weights, hessian = coherent(3, 32, 200)
    grid = Grid(3, scale=0.4)
    double = ldlq(weights, hessian, grid)
    single = ldlq(weights.astype(np.float32), hessian.astype(np.float32), grid)
    assert single.values.dtype == np.float32
    exact = proxy_loss(single.values.astype(float) - weights, hessian)
    assert single.proxy_loss == pytest.approx(exact, rel=1e-4)
    assert exact == pytest.approx(double.proxy_loss, rel=0.05)


def test_half_precision_is_worked_on_in_single():
    torch = pytest.importorskip("torch")
    weights, hessian = draw(0, 4, 32, dtype=np.float32)
    half = torch.asarray(weights).bfloat16()
    found = ldlq(half, torch.asarray(hessian), Grid(4))
    assert found.values.dtype == torch.float32
    assert torch.equal(found.codes, ldlq(half.float(), torch.asarray(hessian), Grid(4)).codes)


@pytest.mark.parametrize("codebook", [Grid(2), Grid(4, levels="lloyd-max"), E8P(), E8P(3), E8P(4)])
@pytest.mark.parametrize("columns", [64, 70])
def test_codes_decode_to_the_values_and_the_scale_is_stored(codebook, columns):
    weights, hessian = draw(1, 12, columns)
    found = ldlq(weights, hessian, codebook)
    assert found.codebook.scale > 0 and codebook.scale is None
    values = decode(found.codebook, found.codes, weights.shape)
    assert np.allclose(values, found.values, atol=1e-6)
    exact = proxy_loss(found.values - weights, hessian)
    assert found.proxy_loss == pytest.approx(exact, rel=1e-9)
    assert ("padded" in found.message) == (columns == 70 and codebook.tile[1] == 8)


@pytest.mark.parametrize("codebook", [Grid(2), Grid(4), E8P()])
def test_the_chosen_scale_is_near_the_best(codebook):
    weights, hessian = coherent(2, 64, 64)
    found = ldlq(weights, hessian, codebook)
    tried = np.geomspace(0.3, 3, 60) * found.codebook.scale
    losses = [ldlq(weights, hessian, replace(codebook, scale=float(s))).proxy_loss for s in tried]
    assert found.proxy_loss <= 1.03 * min(losses)


def test_scales_of_trellises_are_found_by_trials_and_used_with_the_full_search(monkeypatch):
    seen, full = [], Trellis.quantize

    def quantize(self, x, /, *, metric=None):
        seen.append((self.search, len(x)))
        return full(self, x, metric=metric)

    monkeypatch.setattr(Trellis, "quantize", quantize)
    weights, hessian = coherent(2, 128, 16)
    codebook = Trellis(2, state_bits=10)
    found = ldlq(weights, hessian, codebook)
    assert found.codebook.search == "paper"
    assert set(seen) == {("trial", 2), ("paper", 4)}  # tiles of some rows, and of all
    tried = np.geomspace(0.5, 2, 13) * found.codebook.scale
    losses = [ldlq(weights, hessian, replace(codebook, scale=float(s))).proxy_loss for s in tried]
    assert found.proxy_loss <= 1.03 * min(losses)


def test_all_rows_have_their_scale():
    weights, hessian = draw(4, 6, 40)
    scale = np.linspace(0.2, 1.5, 6)[:, None]
    together = ldlq(weights, hessian, Grid(3, scale=scale))
    for row in range(6):
        alone = ldlq(weights[row : row + 1], hessian, Grid(3, scale=float(scale[row, 0])))
        assert np.array_equal(together.codes[row : row + 1], alone.codes)


def test_clipping_is_fed_back():
    """The originals clip targets first, so that the feedback never sees that error."""
    weights, hessian = coherent(8, 40, 96)
    grid = Grid(2, scale=0.5)
    clipped = np.clip(weights, -1.5 * 0.5, 1.5 * 0.5)
    ours = ldlq(weights, hessian, grid)
    theirs = ldlq(clipped, hessian, grid)
    assert ours.proxy_loss < 0.9 * proxy_loss(theirs.values - weights, hessian)


@pytest.mark.parametrize("codebook", [Grid(2), E8P()])
@pytest.mark.parametrize("method", [nearest, ldlq])
def test_weights_that_are_zero_stay_zero(method, codebook):
    found = method(np.zeros((4, 16)), draw(0, 1, 16)[1], codebook)
    assert np.abs(found.values).max() < 1e-11 and found.proxy_loss < 1e-20


def check_degenerate(first, last):
    for seed in range(first, last):
        rng = np.random.default_rng([seed, 1])
        columns = int(rng.integers(1, 40))
        weights, hessian = rng.normal(size=(3, columns)), degenerate(seed, columns)
        codebook = (Grid(2), Grid(4, levels="lloyd-max"), E8P())[seed % 3]
        found = ldlq(weights, hessian, codebook, damping=(0.0, 0.01)[seed % 2])
        assert np.isfinite(found.values).all(), seed
        assert np.isfinite(found.proxy_loss) and found.proxy_loss >= 0, seed


def test_degenerate_hessians_give_finite_results():
    check_degenerate(0, 60)


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_a_thousand_degenerate_hessians_give_finite_results(first):
    check_degenerate(first, first + 250)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"W": np.full((2, 4), np.nan)}, "weights have NaN"),
        ({"W": np.full((2, 4), np.inf)}, "weights have NaN"),
        ({"W": np.ones(4)}, "matrix"),
        ({"W": np.ones((0, 4))}, "matrix"),
        ({"W": np.ones((2, 4), int)}, "int"),
        ({"H": np.eye(3)}, r"shape \(4, 4\)"),
        ({"H": np.eye(4, dtype=int)}, "int"),
        ({"H": np.full((4, 4), np.nan)}, "NaN"),
        ({"H": -np.eye(4)}, "diagonal"),
        ({"H": np.triu(np.ones((4, 4)))}, "symmetric"),
        ({"codebook": Grid(2, scale=np.ones((3, 1)))}, "3 scales"),
    ],
)
@pytest.mark.parametrize("method", [nearest, ldlq, gptq])
def test_what_does_not_fit_is_refused(method, change, words):
    arguments = {"W": np.ones((2, 4)), "H": np.eye(4), "codebook": Grid(2, scale=1.0)} | change
    with pytest.raises(ModelError, match=words):
        method(**arguments)


def test_gptq_rounds_single_weights_only():
    with pytest.raises(ModelError, match="gptq codes one"):
        gptq(np.ones((2, 8)), np.eye(8), E8P(scale=1.0))


def test_arguments_are_left_as_they_were():
    weights, hessian = draw(0, 4, 24)
    before = weights.copy(), hessian.copy()
    ldlq(weights, hessian, Grid(2))
    assert np.array_equal(weights, before[0]) and np.array_equal(hessian, before[1])


def test_views_are_as_good_as_arrays():
    weights, hessian = draw(0, 12, 48)
    grid = Grid(3, scale=0.4)
    strided = np.asfortranarray(weights)[::2, ::-1]
    found = ldlq(strided, hessian, grid)
    assert np.array_equal(found.codes, ldlq(strided.copy(), hessian, grid).codes)


class TestStochastic:
    def test_the_mean_is_the_weight(self):
        weights = np.full((40_000, 1), 0.3)
        found = stochastic(weights, np.eye(1), Grid(3, scale=1.0), seed=5)
        assert set(np.unique(found.values)) == {-0.5, 0.5}
        assert found.values.mean() == pytest.approx(0.3, abs=4 * 0.4 / 200)

    def test_the_seed_is_all_there_is(self):
        weights, hessian = draw(0, 8, 32)
        runs = [stochastic(weights, hessian, Grid(2), seed=s, damping=0.01) for s in (1, 1, 2)]
        assert np.array_equal(runs[0].codes, runs[1].codes)
        assert not np.array_equal(runs[0].codes, runs[2].codes)

    def test_feedback_helps(self):
        weights, hessian = draw(0, 64, 64)
        alone, fed = (stochastic(weights, hessian, Grid(4), seed=0, damping=d) for d in (None, 0))
        assert fed.proxy_loss < alone.proxy_loss

    def test_only_equal_steps(self):
        with pytest.raises(ModelError, match="equal steps"):
            stochastic(np.ones((2, 8)), np.eye(8), E8P(scale=1.0), seed=0)


def test_parameters_of_layers_are_taken_without_their_history():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(64, 20))
    weights, hessian = torch.from_numpy(rng.normal(size=(6, 20))), torch.from_numpy(inputs).T
    hessian = hessian @ hessian.T
    plain = ldlq(weights, hessian, Grid(2, scale=0.5))
    found = ldlq(torch.nn.Parameter(weights), hessian, Grid(2, scale=0.5))
    assert not found.values.requires_grad
    assert torch.equal(found.values, plain.values)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_processes_have_threads_of_their_own():
    rng = np.random.default_rng(0)
    inputs, weights = rng.normal(size=(300, 140)), rng.normal(size=(80, 140))
    hessian = inputs.T @ inputs
    codes = ldlq(weights, hessian, Grid(2, scale=0.5)).codes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that forks with threads are risky
        child = os.fork()
    if not child:
        signal.alarm(30)
        same = np.array_equal(ldlq(weights, hessian, Grid(2, scale=0.5)).codes, codes)
        os._exit(0 if same else 3)
    assert os.waitpid(child, 0)[1] == 0


def test_roundings_at_once_do_not_disturb_each_other():
    rng = np.random.default_rng(0)
    inputs, weights = rng.normal(size=(300, 140)), rng.normal(size=(80, 140))
    hessian = inputs.T @ inputs
    codes = ldlq(weights, hessian, Grid(2, scale=0.5)).codes
    threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(ldlq, weights, hessian, Grid(2, scale=0.5)) for _ in range(12)]
        for work in works:
            np.testing.assert_array_equal(work.result(timeout=60).codes, codes)
    assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == threads


def test_arrays_of_two_libraries_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(ModelError, match=r"Tensor and ndarray|ndarray and Tensor"):
        ldlq(torch.ones(2, 2), np.eye(2), Grid(2))
    with pytest.raises(ModelError, match="list and ndarray"):
        ldlq([[1.0]], np.eye(1), Grid(2))
