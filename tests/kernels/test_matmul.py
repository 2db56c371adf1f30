"""Products with codes: every backend gives what the weights, decoded, give."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from quincunx._errors import ModelError
from quincunx.kernels import code_rows, few_rows, threads, trellis_codes
from quincunx.kernels.e8p_matmul import _numba as e8p_loops
from quincunx.kernels.e8p_matmul import e8p_matmul
from quincunx.kernels.e8p_matmul import reference as e8p_plain
from quincunx.kernels.grid_matmul import _numba as grid_loops
from quincunx.kernels.grid_matmul import grid_matmul
from quincunx.kernels.grid_matmul import reference as grid_plain
from quincunx.kernels.packing import row_size, unpack_rows
from quincunx.kernels.trellis_matmul import compiled_product, trellis_matmul
from quincunx.kernels.trellis_matmul import reference as trellis_plain
from quincunx.solvers.rounding import E8P, Grid, Trellis, decode
from quincunx.solvers.rounding.codebooks.e8p import RATIO

SHAPES = [(1, 1), (7, 13), (32, 8), (33, 50), (70, 1100)]  # the last: more than a block of columns


@dataclass(frozen=True)
class Case:
    """One way to write weights: its function, and the codebook that says what is true."""

    function: Any
    codebook: Any
    options: dict[str, Any] = field(hash=False)

    def __str__(self) -> str:
        return "-".join(map(str, [self.function.__name__, *self.options.values()]))

    @property
    def widths(self) -> tuple[int, ...]:
        if isinstance(self.codebook, E8P):
            return e8p_plain.WIDTHS[self.codebook.bits]
        if isinstance(self.codebook, Grid):
            return (self.codebook.bits,)
        return (8,) * int(32 * self.codebook.bits)

    def packed(self, shape: tuple[int, int], seed: int = 0) -> Any:
        """Bytes of random codes; those that fill a row's last byte are zero."""
        rows, columns = self.codebook.tile
        tiles = -(-shape[1] // columns)
        size = (-(-shape[0] // rows), row_size(tiles, self.widths))
        found = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        spare = -tiles * sum(self.widths) % 8
        found[:, -1] &= 0xFF & ~((1 << spare) - 1)
        return found

    def weights(self, packed: Any, shape: tuple[int, int]) -> Any:
        """What the codebook says, float64."""
        tiles = -(-shape[1] // self.codebook.tile[1])
        codes = unpack_rows(packed, tiles, self.widths)
        return decode(self.codebook, codes, shape).astype(np.float64)

    def plain(self, x: Any, packed: Any, shape: tuple[int, int]) -> Any:
        if isinstance(self.codebook, Trellis):
            return trellis_plain.trellis_matmul(x, packed, shape, **self.options, state_bits=16)
        if isinstance(self.codebook, E8P):
            return e8p_plain.e8p_matmul(x, packed, shape, **self.options)
        return grid_plain.grid_matmul(x, packed, shape, **self.options)


def trellis(bits: float, code: str, tile: tuple[int, int] = (32, 8)) -> Case:
    options = {"bits": bits, "code": code, "tile": tile}
    return Case(trellis_matmul, Trellis(bits, code=code, tile=tile, scale=1.0), options)


def grid(bits: int) -> Case:
    return Case(grid_matmul, Grid(bits, scale=1.0), {"bits": bits})


def e8p(bits: int) -> Case:
    options = {"bits": bits, "ratio": RATIO.get(bits, 1.0)}
    return Case(e8p_matmul, E8P(bits, scale=1.0), options)


USUAL = [
    *[trellis(2, code) for code in trellis_codes.NAMES],
    *[trellis(bits, "mul1") for bits in (1, 3, 4, 8)],
    *[trellis(bits, "hyb") for bits in (1.5, 8)],
    *[trellis(2, code, (16, 16)) for code in ("mul1", "hyb")],
    trellis(2, "1mad", (64, 4)),
    *[grid(bits) for bits in (1, 2, 3, 4, 5, 8)],
    *[e8p(bits) for bits in (2, 3, 4)],
]
REST = [
    *[trellis(bits, code, tile)
      for code in trellis_codes.NAMES for bits in range(1, 9) for tile in ((32, 8), (16, 16))],
    *[trellis(bits + 0.5, "hyb", tile) for bits in range(1, 8) for tile in ((32, 8), (16, 16))],
    *[grid(bits) for bits in (6, 7)],
]  # fmt: skip


def near(y: Any, x: Any, weights: Any) -> None:
    x = np.asarray(x, dtype=np.float64)
    # measured 3e-7 and less of the bound's sum over the catalogue; n additions in float32
    bound = 1e-5 * np.abs(x) @ np.abs(weights).T
    assert y.dtype == np.float32
    assert np.all(np.abs(y - x @ weights.T) <= bound)


def agree(case: Case, shape: tuple[int, int], rows: int) -> None:
    packed = case.packed(shape)
    weights = case.weights(packed, shape)
    x = np.random.default_rng(1).normal(size=(rows, shape[1])).astype(np.float32)
    near(case.function(x, packed, shape, **case.options), x, weights)
    near(case.plain(x, packed, shape), x, weights)


@pytest.mark.parametrize("case", USUAL, ids=str)
def test_products_are_those_with_the_weights(case):
    for shape in SHAPES:
        agree(case, shape, 1)
    agree(case, (33, 50), 9)


@pytest.mark.full
@pytest.mark.parametrize("case", REST, ids=str)
def test_products_of_every_code_and_width(case):
    for shape in SHAPES:
        agree(case, shape, 1)
    agree(case, (70, 1100), 3)


@pytest.mark.parametrize("case", [trellis(2, "mul1"), trellis(2, "hyb"), grid(3), e8p(2)], ids=str)
@pytest.mark.parametrize("rows", range(1, 9))
def test_any_few_rows(case, rows):
    agree(case, (70, 1100), rows)


@pytest.mark.parametrize("case", [trellis(2, "mul1"), grid(3), e8p(4)], ids=str)
def test_strided_inputs_and_torch(case):
    shape = (45, 77)
    packed = case.packed(shape)
    weights = case.weights(packed, shape)
    x = np.random.default_rng(2).normal(size=(77, 6)).astype(np.float32)[:, ::2].T
    wide = np.full((packed.shape[0], 2 * packed.shape[1]), 170, dtype=np.uint8)
    wide[:, ::2] = packed
    y = case.function(x, wide[:, ::2], shape, **case.options)
    near(y, x, weights)
    tensors = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(packed)
    found = case.function(*tensors, shape, **case.options)
    assert isinstance(found, torch.Tensor) and np.array_equal(found.numpy(), y)
    for kind in (torch.float16, torch.bfloat16):
        half = tensors[0].to(kind)
        found = case.function(half, tensors[1], shape, **case.options)
        near(found.numpy(), half.to(torch.float32).numpy(), weights)


@pytest.mark.parametrize("case", [trellis(2, "mul1"), trellis(3, "hyb"), grid(4), e8p(3)], ids=str)
def test_threads_do_not_matter_and_everything_is_written(case, monkeypatch):
    shape = (150, 200)
    packed = case.packed(shape)
    x = np.random.default_rng(3).normal(size=(2, 200)).astype(np.float32)
    monkeypatch.setattr(few_rows, "least_rows", lambda weights: 1)
    monkeypatch.setattr(code_rows, "least_rows", lambda weights: 1)
    monkeypatch.setattr("quincunx.kernels.trellis_matmul.least_rows", lambda weights: 1)
    poisoned = np.empty
    monkeypatch.setattr(np, "empty", lambda *a, **k: np.full_like(poisoned(*a, **k), np.nan))
    found = []
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "_threads", lambda count=count: count)
        found.append(case.function(x, packed, shape, **case.options))
    assert np.isfinite(found[0]).all()
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


def test_sums_of_weights_are_what_decoding_alone_gives():
    shape, ones = (70, 1104), np.ones((1, 1104), dtype=np.float32)
    for case in (trellis(2, "1mad"), trellis(2, "hyb"), grid(4), e8p(3)):
        packed = case.packed(shape)
        given = few_rows.operands(ones, packed, 1104)
        if isinstance(case.codebook, Trellis):
            y = compiled_product(given, 70, **case.options, sums=True)
        else:
            loops = grid_loops if isinstance(case.codebook, Grid) else e8p_loops
            y = loops.product(given, **case.options, sums=True)
        near(y, ones, case.weights(packed, shape))


def test_shapes_and_types_are_checked():
    case = grid(2)
    packed = case.packed((4, 9))
    with pytest.raises(ModelError, match=r"give floating-point numbers \[b, 9\]"):
        grid_matmul(np.zeros((1, 8), np.float32), packed, (4, 9), bits=2)
    with pytest.raises(ModelError, match="packed codes have shape"):
        grid_matmul(np.zeros((1, 9), np.float32), packed[:, 1:], (4, 9), bits=2)
