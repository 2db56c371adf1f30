"""The products for GPUs, run by Triton's interpreter, against plain products with decoded weights.

What the interpreter cannot run, inline assembly, is compiled and counted.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from quincunx._errors import ModelError
from quincunx.kernels import packing, trellis_codes
from quincunx.kernels.gpu_parts import Blocks
from tests.fresh import fresh

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "matmul-cost.json"
DEFAULT_CODES = ("mul1", "hyb")
DTYPES = ("float32", "float16", "bfloat16")
# What a product may be off by, in shares of sum |w| |x|. Measured at most 1.7e-7 in float32 (sums
# of single precision). In half types outputs are rounded, and weights too, with tensor cores or of
# mul1: at most 2^-11 and 2^-8 each; measured 2.8e-4 and 5.0e-3.
BOUNDS = {"float32": 1e-5, "float16": 2**-10, "bfloat16": 2**-7}
# code, bits, tile, shape, batch, dtype
CASES = [
    *((code, 2, (32, 8), (32, 70), 1, "float32") for code in trellis_codes.NAMES),
    *((code, 2, (32, 8), (32, 70), 1, "float16") for code in ("1mad", "mul1", "hyb")),
    ("mul1", 2, (32, 8), (32, 70), 1, "bfloat16"),
    *((code, 2, (16, 16), (40, 70), 16, dtype) for code in trellis_codes.NAMES for dtype in DTYPES),
    *(("mul1", k, (32, 8), (31, 17), 1, "float32") for k in (1, 3, 4, 5, 7, 8)),
    *(("mul1", k, (32, 8), (33, 17), 9, "float32") for k in (1, 3, 4, 5, 7, 8)),
    *(("3inst", k, (16, 16), (15, 33), b, "float16") for k in (3, 7) for b in (1, 9)),
    *(("hyb", k, (32, 8), (30, 40), b, "float32") for k in (1.5, 3.5, 8) for b in (1, 9)),
    *(("1mad", 4, (32, 8), (64, 1100), b, "float32") for b in (1, 33)),
    *(("mul1", 2, (32, 8), (40, 60), b, "float16") for b in (3, 8, 16, 33)),
    ("mul1", 2, (32, 8), (1, 1), 1, "float32"),
    ("hyb", 4, (32, 8), (100, 64), 33, "bfloat16"),
    ("mul1", 2, (16, 16), (300, 32), 129, "float32"),
]
# Other ways to cut up few rows: half a row of tiles a program, sums in one part or several.
WAYS = [
    (case, Blocks(warps=1, height=case[2][0] // 2, along=256, batch=8, programs=programs))
    for case in (
        ("mul1", 2, (32, 8), (32, 70), 1, "float16"),
        ("hyb", 2, (32, 8), (32, 70), 1, "float32"),
        ("mul1", 3, (32, 8), (31, 17), 1, "float32"),
        ("3inst", 3, (16, 16), (15, 33), 1, "float16"),
        ("mul1", 2, (32, 8), (40, 60), 8, "float16"),
        ("1mad", 4, (32, 8), (64, 1100), 1, "float32"),
    )
    for programs in (1, 1024)
]
ALL = [*((case, None) for case in CASES), *WAYS]
SHARED = {80: 163 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10}  # bytes a program may have


def problem(case):
    """Inputs, packed paths, scales, and the weights they stand for, in float64."""
    code, bits, tile, (m, n), batch, _ = case
    rng = np.random.default_rng([m, n, batch, int(2 * bits)])
    rows, columns, width = -(-m // tile[0]), -(-n // tile[1]), trellis_codes.width(code)
    qweight = rng.integers(0, 256, (rows, int(columns * 32 * bits)), dtype=np.uint8)
    paths = qweight.reshape(rows * columns, -1)
    states = packing.unpack(paths, 256 // width, int(width * bits), 16)
    tiles = trellis_codes.values(code)[states].reshape(rows, columns, *tile)
    weights = tiles.transpose(0, 2, 1, 3).reshape(rows * tile[0], columns * tile[1])[:m, :n]
    scales = rng.uniform(0.5, 2, size=m if batch % 2 else 1).astype(np.float32)
    x = rng.normal(size=(batch, n)) + 1  # a mean, which corrections by sums of inputs must carry
    return x, qweight, scales, weights.astype(np.float64)


def tensors(case):
    """The problem in torch, with inputs that are every second of others, which are NaN."""
    import torch

    x, qweight, scales, _ = problem(case)
    strided = torch.full((x.shape[0], 2 * x.shape[1]), float("nan"), dtype=getattr(torch, case[5]))
    strided[:, ::2] = torch.tensor(x)
    return strided[:, ::2], torch.tensor(qweight), torch.tensor(scales)


def interpreted(indices):
    """The products of some cases and how far equal calls differ; fresh memory is NaN."""
    import torch

    from quincunx.kernels.trellis_matmul import _triton

    def poisoned(*shape, dtype, device):
        return torch.full(*shape, float("nan"), dtype=dtype, device=device)

    torch.empty = poisoned
    found = []
    for index in indices:
        case, blocks = ALL[index]
        code, bits, tile, shape, _, dtype = case
        x, qweight, scales = tensors(case)
        options = {"shape": shape, "bits": bits, "code": code, "tile": tile, "blocks": blocks}
        y = _triton.trellis_matmul(x, qweight, scales, **options)
        assert y.dtype == getattr(torch, dtype)
        if case[3:5] in (((40, 60), 8), ((40, 60), 33), ((1, 1), 1)):
            assert torch.equal(y, _triton.trellis_matmul(x, qweight, scales, **options))
            three = _triton.trellis_matmul(x[None, :, None], qweight, scales, **options)
            assert torch.equal(three[0, :, 0], y)
        found.append(y.double().tolist())
    return found


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    return fresh(__name__, "interpreted", list(range(len(ALL))), TRITON_INTERPRET="1")


@pytest.mark.parametrize("index", range(len(ALL)), ids=lambda index: str(ALL[index]))
def test_the_same_as_a_product_with_decoded_weights(index, found):
    case = ALL[index][0]
    _, _, scales, weights = problem(case)
    x = tensors(case)[0].double().numpy()
    expected = x @ weights.T * scales
    most = np.abs(x) @ np.abs(weights.T) * scales
    y = np.array(found[index])
    assert y.shape == expected.shape
    assert np.all(np.abs(y - expected) <= BOUNDS[case[5]] * most), np.max(abs(y - expected) / most)


def test_what_does_not_fit_is_refused():
    torch = pytest.importorskip("torch")
    from quincunx.kernels.trellis_matmul._triton import trellis_matmul

    x, qweight = torch.zeros(1, 8), torch.zeros(1, 64, dtype=torch.uint8)
    given = {"shape": (32, 8), "bits": 2}
    for change, word in [
        ({"code": "4mad"}, "4mad"),
        ({"tile": (64, 4)}, "tile"),
        ({"bits": 2.5}, "bits"),
        ({"bits": 3}, "qweight"),
        ({"shape": (32, 9)}, "last size"),
        ({"scales": torch.ones(3)}, "scales"),
        ({"x": x.double()}, "float64"),
    ]:
        arguments = {"x": x, "qweight": qweight, "scales": torch.ones(1)} | given | change
        with pytest.raises(ModelError, match=word):
            trellis_matmul(**arguments)


def test_nothing_times_anything_is_nothing():
    torch = pytest.importorskip("torch")
    from quincunx.kernels.trellis_matmul._triton import trellis_matmul

    codes, one = torch.zeros(1, 64, dtype=torch.uint8), torch.ones(1)
    y = trellis_matmul(torch.zeros(2, 0, 8), codes, one, shape=(32, 8), bits=2)
    assert y.shape == (2, 0, 32)
    y = trellis_matmul(torch.zeros(3, 8), codes[:0], one, shape=(0, 8), bits=2)
    assert y.shape == (3, 0)


def test_the_last_step_takes_any_number_of_rows(monkeypatch):
    """A GPU's grid has up to 2^31 - 1 programs along its first side, and 65535 along the others."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    from quincunx.kernels import gpu_functions
    from quincunx.kernels.trellis_matmul import _kernels
    from quincunx.kernels.trellis_matmul._triton import trellis_matmul

    grids = []

    class Seen:
        def __getitem__(self, grid):
            return lambda *_, **__: grids.append(grid)

    monkeypatch.setattr(_kernels, "matrix", Seen())
    monkeypatch.setattr(gpu_functions, "finish", Seen())
    qweight = torch.zeros(1, 64, dtype=torch.uint8)
    x = torch.zeros(65536, 8, dtype=torch.float16)
    trellis_matmul(x, qweight, torch.ones(1), shape=(32, 8), bits=2)
    assert len(grids) == 2
    assert all(side <= 65535 for grid in grids for side in grid[1:]), grids


def test_byte_sums_by_assembly_and_plainly_are_equal():
    """dp4a by what it is defined as, beside the sums of two bytes at a time."""
    words = np.random.default_rng(0).integers(0, 1 << 32, 10_000, dtype=np.uint64)
    words[:2] = 0, (1 << 32) - 1
    two = (words & 0x00FF00FF) + ((words >> 8) & 0x00FF00FF)
    plain = ((two + (two >> 16)) & 0x7FF) + 0x6400
    dot = sum((words >> (8 * byte)) & 0xFF for byte in range(4)) + 0x6400
    np.testing.assert_array_equal(plain, dot)
    # mul1 by a half-precision multiply-add is one rounding; single precision before it is exact
    raw = np.arange(0x6400, 0x6400 + 1021, dtype=np.uint16).view(np.float16)
    factor, offset = np.array([0x1EEE, 0xC931], dtype=np.uint16).view(np.float16)
    exact = raw.astype(np.float64) * float(factor) + float(offset)
    single = raw.astype(np.float32) * np.float32(factor) + np.float32(offset)
    np.testing.assert_array_equal(single.astype(np.float64), exact)


def costs(cases):
    """Registers, spills and instructions of (code, bits, batch, dtype, architecture, tile)."""
    from benchmarks.matmul_cost import measured

    return [measured(*case) for case in cases]


DEFAULTS = [(code, 2, batch, "float16", 90, (32, 8)) for code in DEFAULT_CODES for batch in (1, 16)]


def test_default_codes_neither_spill_nor_grow(tmp_path):
    triton = pytest.importorskip("triton")
    found = fresh(__name__, "costs", DEFAULTS, TRITON_CACHE_DIR=str(tmp_path))
    for cost in found:
        assert 0 < cost["registers"] <= 255
        assert cost["spills"] == 0
    table = json.loads(RESULTS.read_text())
    if table["environment"]["versions"]["triton"] != triton.__version__:
        pytest.skip("instructions are compared with those of the Triton that counted them")
    for (code, bits, batch, *_), cost in zip(DEFAULTS, found, strict=True):
        known = table["costs"][f"{code}, k={bits}, rows={batch}"]
        assert cost["instructions"] <= 1.05 * known["instructions"]


def test_the_committed_table_has_no_spills():
    for name, cost in json.loads(RESULTS.read_text())["costs"].items():
        assert cost["spills"] == 0, name
    assert json.loads(RESULTS.read_text())["costs"]["mul1, k=2, rows=1"]["instructions"] <= 5


@pytest.mark.full
@pytest.mark.parametrize("architecture", [80, 89, 90, 100])
@pytest.mark.parametrize("code", trellis_codes.NAMES)
def test_every_code_compiled_without_spills(code, architecture, tmp_path):
    pytest.importorskip("triton")
    cases = [
        *((code, k, 1, "float16", architecture, (32, 8)) for k in range(1, 9)),
        *((code, k, 16, "float16", architecture, (32, 8)) for k in range(1, 9)),
        *(
            (code, 2, batch, dtype, architecture, (16, 16))
            for batch, dtype in product((8, 16, 256), DTYPES)
        ),
        *((code, 2, batch, "float16", architecture, (32, 8)) for batch in (2, 4, 8, 32, 64, 128)),
    ]
    found = fresh(__name__, "costs", cases, TRITON_CACHE_DIR=str(tmp_path))
    assert not [
        case
        for case, cost in zip(cases, found, strict=True)
        if cost["spills"] or cost["shared"] > SHARED[architecture]
    ]
