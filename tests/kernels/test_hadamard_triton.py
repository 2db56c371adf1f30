"""Fused transforms for GPUs, run by Triton's interpreter, against matrices written out.

What the interpreter cannot run, products of bfloat16, is compiled and counted.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from array_api_compat import array_namespace

from quincunx._errors import ModelError
from quincunx.kernels.hadamard.reference import walsh_hadamard
from quincunx.solvers.linalg import RandomHadamard
from quincunx.solvers.linalg.flat import factors, flat, kronecker
from tests.fresh import fresh

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "hadamard-cost.json"
# What a number may be off by, in shares of sum_j |Q_ij before_j x_j| |after_i| + |bias_i|.
# Measured at most 2.9e-7 where results are float32: sums of single precision, odd matrices
# rounded to it. Results of half types are rounded to 2^-11 of themselves, and in bfloat16, of which
# the interpreter cuts bits off, to 2^-7.
SINGLE = 1e-6
ROUNDED = {"float32": 0, "float16": 2**-11, "bfloat16": 2**-7}
# Every way of cutting up: powers of two; one matrix; several; an odd one, and one with others;
# several chunks and blocks; stages of Sylvester's matrix within the last one.
SIZES = (1, 2, 7, 12, 15, 20, 48, 60, 64, 84, 96, 144, 560, 688, 804, 1000, 1024, 1728, 4096)
LARGE = (11008, 13824, 14784, 32768)
# size, rows, type of inputs, type of outputs, transposed, which vectors there are
CASES = [
    *((n, 3, "float32", "float32", way, "b") for n in SIZES for way in (False, True)),
    *((n, 1, "bfloat16", "bfloat16", n % 512 > 0, "b") for n in LARGE),
    *((n, rows, "float16", "float32", False, "") for n in (64, 60) for rows in (1, 2, 8, 16, 33)),
    *((n, 5, "bfloat16", "float16", True, v) for n in (64, 48, 101) for v in ("a", "ai", "bdai")),
    *((n, 2, "float16", "bfloat16", False, v) for n in (64, 48, 560) for v in ("d", "bd", "bi")),
    (48, 0, "float32", "float32", False, "b"),
    (4096, 1, "float32", "bfloat16", True, "wai"),
    *((n, rows, "float32", "bfloat16", True, "oai") for n in (64, 60) for rows in (1, 33)),
    *((11008, rows, "float32", "float32", True, "oa") for rows in (2, 40)),  # cut finely, and not
]
SHARED = 99 << 10  # bytes a program may have on the devices that have least


def problem(case):
    """Inputs, vectors (before, divisor, after, bias), and the matrix's product of float64."""
    n, rows, *_, vectors = case
    rng = np.random.default_rng([n, rows, len(vectors)])
    x = rng.normal(size=(rows, n)) + 1
    signs = 1 - 2 * rng.integers(0, 2, (2, n)).astype(np.int8)
    some = rng.uniform(0.5, 2, n).astype(np.float32)
    before = {"b": signs[0], "w": signs[0] * some, "o": some[:1]}
    return x, (
        next((before[name] for name in "bwo" if name in vectors), None),
        rng.uniform(0.5, 2, n).astype(np.float32) if "d" in vectors else None,
        signs[1] if "a" in vectors else None,
        rng.normal(size=n).astype(np.float32) if "i" in vectors else None,
    )


def tensors(case):
    """The problem in torch, with inputs that are every second of others, which are NaN."""
    import torch

    x, vectors = problem(case)
    wide = torch.full((2 * len(x), 2 * case[0]), float("nan"), dtype=getattr(torch, case[2]))
    wide[::2, ::2] = torch.tensor(x)
    x = wide[::2, ::2]
    if case[1] % 2 == 0:  # numbers side by side, rows apart
        wide = wide[::2].clone()
        wide[:, : case[0]] = x
        x = wide[:, : case[0]]
    return x, [None if v is None else torch.tensor(v) for v in vectors]


def interpreted(indices):
    """The results of some cases; fresh memory is NaN, and stays so behind what is written."""
    import torch

    from quincunx.kernels.hadamard import random_hadamard

    rooms = []

    def poisoned(shape, dtype, device):
        rooms.append(torch.full((math.prod(shape) + 99,), float("nan"), dtype=dtype, device=device))
        return rooms[-1][: math.prod(shape)].view(shape)

    found = []
    for index in indices:
        n, rows, _, wanted, transposed, _ = CASES[index]
        x, (before, divisor, after, bias) = tensors(CASES[index])
        empty, torch.empty = torch.empty, poisoned
        y = random_hadamard(
            x, kronecker(n), transposed=transposed, before=before, divisor=divisor, after=after,
            bias=bias, dtype=getattr(torch, wanted),
        )  # fmt: skip
        torch.empty = empty
        assert y.dtype == getattr(torch, wanted) and y.shape == (rows, n)
        assert rooms[-1][rows * n :].isnan().all()
        found.append(y.double().tolist())
    return found


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    return fresh(__name__, "interpreted", list(range(len(CASES))), TRITON_INTERPRET="1")


def times(x, n, transposed):
    """Products with the matrix, written out where it is small, in float64."""
    if n & (n - 1) == 0 and n <= 1024:
        return walsh_hadamard(x, 1) / math.sqrt(n)
    if n > 1024:
        return flat(x, transposed=transposed)
    matrix = flat(np.eye(n)).T
    return x @ (matrix if transposed else matrix.T)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_as_the_matrix_written_out(case, found):
    n, rows, _, wanted, transposed, _ = case
    before, divisor, after, bias = problem(case)[1]
    x = tensors(case)[0].double().numpy()
    x = x if divisor is None else x / divisor.astype(np.float64)
    x = x if before is None else x * before
    y = times(x, n, transposed)
    most = np.abs(x).sum(axis=1, keepdims=True) / math.sqrt(n) + np.zeros(n)
    y = y if after is None else y * after
    y, most = (y, most) if bias is None else (y + bias, most + np.abs(bias))
    got = np.array(found[CASES.index(case)]).reshape(rows, n)
    wrong = np.abs(got - y) - ROUNDED[wanted] * np.abs(y)
    assert np.all(wrong <= SINGLE * most), np.max(wrong / most)


def on_a_device():
    """Let transforms take tensors on the processor for those on a GPU; count the launches."""
    import torch

    from quincunx.kernels.hadamard import _torch, _triton
    from quincunx.solvers.linalg import flat as flats
    from quincunx.solvers.linalg import orthogonal

    launches = []

    def serves(x, power, orders):
        return x.dtype != torch.float64 and _triton.plan(power, orders) is not None

    def counted(x, **options):
        launches.append(x.shape)
        return _triton.product(x, **options)

    flats.serves = serves
    flats.on_gpu = orthogonal.on_gpu = lambda x: isinstance(x, torch.Tensor)
    _torch.product = counted
    return launches


def solved():
    """How far transforms by the kernel are from those of NumPy, by what was asked."""
    import torch

    launches = on_a_device()
    rng = np.random.default_rng(0)
    wrong = {}
    for n in (64, 48, 101, 4099):
        x, factor, bias = rng.normal(size=(4, 2, n)), rng.uniform(0.5, 2, n), rng.normal(size=n)
        tuned = rng.uniform(-2, 2, n)
        for name, V in ("", RandomHadamard(n, 3)), ("tuned", RandomHadamard(n, 3, tuned)):
            if name and n != 48:
                continue
            W = V if not name else RandomHadamard(n, 3, torch.tensor(tuned))
            for dtype in (torch.float32, torch.float64):
                given = [torch.tensor(v).to(dtype) for v in (x, factor, bias)]
                results = {
                    "apply": (V.apply(x), W.apply(given[0])),
                    "undo": (V.undo(x), W.undo(given[0])),
                    "divided": (V.apply(x / factor), W.apply(given[0], divisor=given[1])),
                    "biased": (
                        V.undo(x * factor) + bias,
                        W.undo(given[0], factor=given[1], bias=given[2]),
                    ),
                    "scaled": (V.undo(3 * x), W.undo(given[0], factor=torch.tensor([3.0]))),
                    "twice": (flat(2 * x), flat(given[0], 2.0)),
                }
                for what, (right, got) in results.items():
                    assert got.dtype == dtype and got.shape == x.shape
                    difference = np.abs(got.numpy() - right).max() / np.abs(right).max()
                    wrong[f"{what} {name} {n} {dtype}"] = float(difference)
        before = len(launches)
        half = V.apply(torch.tensor(x).to(torch.bfloat16), dtype=torch.float16)
        assert half.dtype == torch.float16
        assert len(launches) == before + (n != 4099)
    return wrong


def warmed():
    """Whether a second call copies nothing from the processor, and launches once."""
    import torch

    launches = on_a_device()
    xp = array_namespace(torch.ones(1))

    def refused(*_, **__):
        raise AssertionError("a copy from the processor")

    ways = [(torch, name) for name in ("tensor", "asarray", "as_tensor", "from_numpy")]
    made = [(*way, getattr(*way)) for way in [*ways, (xp, "asarray")]]
    for n in (64, 48, 804, 4099, 2 * 569):
        x, V = torch.ones(2, n), RandomHadamard(n, 5)
        V.undo(V.apply(x))
        before = len(launches)
        for place, name, _ in made:
            setattr(place, name, refused)
        V = RandomHadamard(n, 5)
        difference = V.undo(V.apply(x)) - x
        for known in made:
            setattr(*known)
        assert len(launches) == before + 2 * (n < 1000)
        assert difference.abs().max() < 1e-5  # measured 1e-6
    return True


def share(got, expected):
    """The largest difference, in shares of the largest number."""
    return float((got - expected).detach().abs().max() / expected.detach().abs().max())


def gradients():
    """How far gradients, and those of gradients, are from what they should be."""
    import torch

    from quincunx.kernels.hadamard import random_hadamard

    launches = on_a_device()
    wrong = {}
    torch.manual_seed(0)
    for n in (64, 48, 101):
        matrix = torch.tensor(flat(np.eye(n)).T)
        before, divisor, after = (torch.rand(n).double() + 0.5 for _ in range(3))
        x, seen = torch.randn(2, 3, n).double(), torch.randn(2, 3, n).double()
        x.requires_grad, seen.requires_grad = True, True
        y = ((x / divisor * before) @ matrix.T) * after
        (expected,) = torch.autograd.grad(y, x, seen, create_graph=True)
        (twice,) = torch.autograd.grad(expected.square().sum(), seen)
        x, seen = (v.detach().float().requires_grad_() for v in (x, seen))
        vectors = {"before": before.float(), "divisor": divisor.float(), "after": after.float()}
        y = random_hadamard(x, kronecker(n), **vectors)
        (got,) = torch.autograd.grad(y, x, seen, create_graph=True)
        (second,) = torch.autograd.grad(got.square().sum(), seen)
        wrong[f"first {n}"] = share(got, expected)
        wrong[f"second {n}"] = share(second, twice)
        one = {"before": before[:1].float(), "after": after.float(), "transposed": True}
        (got,) = torch.autograd.grad(random_hadamard(x, kronecker(n), **one).square().sum(), x)
        wide = x.detach().double().requires_grad_()
        y = (wide * before[0]) @ matrix * after
        wrong[f"one factor {n}"] = share(got, torch.autograd.grad(y.square().sum(), wide)[0])
        half = x.detach().bfloat16().requires_grad_()
        random_hadamard(half, kronecker(n), dtype=torch.float32).sum().backward()
        assert half.grad.dtype == torch.bfloat16
        # signs that are trained, and scales and biases, by V and by the processor's loops
        given = [torch.randn(n) for _ in range(3)]
        both = []
        for dtype in (torch.float32, torch.float64):
            tuned, factor, bias = (v.to(dtype).clone().requires_grad_() for v in given)
            V, z = RandomHadamard(n, 0, tuned), x.detach().to(dtype).clone().requires_grad_()
            V.undo(V.apply(z, divisor=factor), factor=factor, bias=bias).square().sum().backward()
            both.append([v.grad for v in (z, tuned, factor, bias)])
        for name, single, double in zip(("x", "tuned", "factor", "bias"), *both, strict=True):
            wrong[f"{name} {n}"] = share(single, double)
    assert launches
    return wrong


def used():
    """All three, in one process."""
    return {"solved": solved(), "warmed": warmed(), "gradients": gradients()}


@pytest.fixture(scope="module")
def through_solvers():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    return fresh(__name__, "used", TRITON_INTERPRET="1")


def test_transforms_take_the_kernel_and_say_the_same(through_solvers):
    wrong = through_solvers["solved"]
    # measured 4.6e-7 and 1.1e-15 of the largest number
    assert max(v for k, v in wrong.items() if k.endswith("float32")) < 2e-6
    assert max(v for k, v in wrong.items() if k.endswith("float64")) < 1e-14


def test_a_second_call_copies_nothing_from_the_processor(through_solvers):
    assert through_solvers["warmed"]


def test_gradients_are_those_of_the_matrix(through_solvers):
    wrong = through_solvers["gradients"]
    assert max(wrong.values()) < 1e-6, wrong  # measured 2.3e-7


def test_three_parts_of_eight_bits_are_the_whole_number():
    """How the kernel cuts up what is multiplied by signs on tensor cores, which have 8 bits."""
    torch = pytest.importorskip("torch")
    x = torch.randn(10_000, generator=torch.manual_seed(0)) * 2.0 ** torch.arange(-50, 50).repeat(
        100
    )
    high = x.bfloat16()
    middle = (x - high.float()).bfloat16()
    low = (x - high.float() - middle.float()).bfloat16()
    assert torch.equal(high.double() + middle.double() + low.double(), x.double())


def test_what_does_not_fit_is_refused():
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    from quincunx.kernels.hadamard import random_hadamard, serves

    x, matrix = torch.zeros(2, 48), kronecker(48)
    for given, word in [
        ({"x": torch.zeros(2, 47)}, "size 48"),
        ({"x": torch.zeros(())}, "size 48"),
        ({"x": x.double()}, "float64"),
        ({"dtype": torch.int8}, "int8"),
        ({"after": torch.ones(2, 48)}, "vector"),
    ]:
        arguments = {"x": x, "matrix": matrix} | given
        with pytest.raises(ModelError, match=word):
            random_hadamard(**arguments)
    assert not serves(x, 4, (12,))  # not on a GPU
    assert not serves(np.zeros((2, 48)), 4, (12,))


def test_sizes_of_models_have_plans():
    from quincunx.kernels.hadamard._triton import MOST, plan, width

    for n in (*range(1, 513), *range(1024, 32769, 1024), 11008, 13824, 18944, 29568, 53248, 65536):
        chosen = factors(n)
        orders = (chosen.odd,) * (chosen.odd > 1) + chosen.cores
        way = plan(chosen.power, orders)
        assert way is not None, n
        tall = way.rows * way.power * math.prod(width(k) for k in orders[: way.small])
        assert tall * way.block <= MOST and tall * way.chunk <= MOST
        assert way.order == way.raised * math.prod(orders[way.small :])
        assert n == way.power * way.order * math.prod(orders[: way.small])


def costs(cases):
    """Registers, spills and instructions of (size, use, architecture)."""
    from benchmarks.hadamard_cost import measured

    return [measured(*case) for case in cases]


def test_default_sizes_neither_spill_nor_grow(tmp_path):
    triton = pytest.importorskip("triton")
    cases = [(4096, "apply", 90), (5120, "undo", 90)]
    found = fresh(__name__, "costs", cases, TRITON_CACHE_DIR=str(tmp_path))
    for cost in found:
        assert 0 < cost["registers"] <= 255
        assert cost["spills"] == 0
    known = json.loads(RESULTS.read_text())
    if known["environment"]["versions"]["triton"] != triton.__version__:
        pytest.skip("instructions are compared with those of the Triton that counted them")
    for (n, use, _), cost in zip(cases, found, strict=True):
        assert cost["instructions"] <= 1.05 * known["costs"][f"{n}, {use}"]["instructions"]


def test_the_committed_table_has_no_spills():
    for name, cost in json.loads(RESULTS.read_text())["costs"].items():
        assert cost["spills"] == 0, name
        assert cost["shared"] <= SHARED, name


@pytest.mark.full
@pytest.mark.parametrize("architecture", [80, 89, 90, 100])
@pytest.mark.parametrize("n", [64, 1000, 2048, 4096, 5120, 8192, 11008, 13824, 14336, 28672])
def test_every_default_size_compiled_without_spills(n, architecture, tmp_path):
    pytest.importorskip("triton")
    from benchmarks.hadamard_cost import USES

    cases = [(n, use, architecture) for use in USES]
    found = fresh(__name__, "costs", cases, TRITON_CACHE_DIR=str(tmp_path))
    # For sm_100 the assembler keeps one kernel, of size 5120, to 64 registers and saves a few.
    allowed = 16 if architecture == 100 else 0
    for case, cost in zip(cases, found, strict=True):
        assert cost["spills"] <= allowed, case
        assert cost["shared"] <= SHARED, case
