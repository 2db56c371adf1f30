"""The search for GPUs, run by Triton's interpreter, against the same arithmetic written plainly."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quincunx.kernels import trellis_codes
from quincunx.kernels.viterbi import _triton
from quincunx.kernels.viterbi.reference import shortest, tail_biting
from tests.fresh import fresh

# L, b, V, steps, window, turns: all ways to pack back pointers; nodes of one group; odd lengths.
CASES = [
    (8, 1, 1, 32, 16, ()),
    (8, 2, 1, 16, 4, (8, 4)),
    (8, 3, 1, 16, 8, (8,)),
    (8, 4, 1, 16, 8, ()),
    (8, 4, 2, 8, 4, (4,)),
    (8, 3, 4, 9, 3, (2,)),
    (11, 5, 1, 9, 4, (3,)),
    (12, 6, 1, 6, 2, (3,)),
    (14, 7, 1, 6, 2, ()),
    (16, 8, 1, 6, 2, ()),
    (4, 1, 1, 9, 3, (4,)),
]
TRELLISES = [(1, 1), (2, 1), (3, 1), (4, 1), (4, 2)]  # b and V, at L = 16


def problem(case):
    """Numbers [3, n, V] and values [V, 2^L]; some numbers are far out, some are ties."""
    length, shift, width, steps, *_ = case
    rng = np.random.default_rng([length, shift, width])
    x = rng.normal(size=(3, steps, width))
    x[1, :2] = 1e6
    x[2] = np.round(x[2])
    values = rng.normal(size=(width, 1 << length))
    values[:, ::2] = np.round(values[:, ::2], 1)
    return x, values


def in_half_precision(x, values, shift, node):
    """The kernel's arithmetic; x [n, V] and values [V, 2^L] are float16."""
    nodes, ways = values.shape[1] >> shift, 1 << shift
    so_far = np.zeros(nodes, np.float16)
    if node is not None:
        so_far += np.float16(np.inf)
        so_far[node] = 0
    choices = []
    for step in x:
        costs = np.repeat(so_far, ways)
        for number, row in zip(step, values, strict=True):
            gap = (row - number).astype(np.float64)
            costs = (gap * gap + costs).astype(np.float16)  # rounded once
        costs = costs.reshape(ways, nodes)
        choices.append(costs.argmin(axis=0))
        so_far = costs.min(axis=0) - costs.min()
    here = int(so_far.argmin()) if node is None else node
    path = np.empty(len(x), dtype=np.int64)
    for t in range(len(x) - 1, -1, -1):
        path[t] = choices[t][here] * nodes + here
        here = path[t] >> shift
    assert node is None or here == node
    return path


def plain_search(x, values, shift, window, turns):
    unit = np.float32(_triton.LARGEST / np.abs(values).max())
    table = (values.astype(np.float32) * unit).astype(np.float16)
    most = 2 * _triton.LARGEST
    numbers = (x.astype(np.float32) * unit).clip(-most, most).astype(np.float16)

    def path(part, node):
        return in_half_precision(part, table, shift, node)

    return [tail_biting(q, path, shift=shift, window=window, turns=turns) for q in numbers]


def interpreted():
    import torch

    found = []
    for case in CASES:
        _, shift, _, _, window, turns = case
        x, values = map(torch.asarray, problem(case))
        values = _triton.values_of(values, shift)
        found.append(_triton.search(x, values, shift, window, turns).tolist())
    return found


def launched():
    """Errors of the solver's paths where it takes the kernel, twice, and where it does not."""
    import torch

    from quincunx.solvers.trellis import Bitshift, viterbi

    trellis = Bitshift.of_code("mul1", 2, state_bits=10)
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 64)), dtype=torch.float32)
    plain = viterbi(x, trellis)
    module = sys.modules[viterbi.__module__]
    module.launches = lambda _: True
    paths = [viterbi(x, trellis) for _ in range(2)]
    values = torch.tensor(trellis.values)
    for each in paths:
        assert torch.equal(values[each.states.long()].reshape(x.shape), each.values)
    return [each.distortion.tolist() for each in (plain, *paths)]


def test_the_solver_takes_the_kernel_where_it_serves():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    plain, first, second = fresh(__name__, "launched", TRITON_INTERPRET="1")
    assert first == second
    np.testing.assert_allclose(first, plain, rtol=0.01)


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("torch")
    pytest.importorskip("triton")
    return fresh(__name__, "interpreted", TRITON_INTERPRET="1")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_as_the_same_arithmetic_written_plainly(case, found):
    length, shift, _, _, window, turns = case
    assert _triton.fits(length, shift)
    expected = plain_search(*problem(case), shift, window, turns)
    np.testing.assert_array_equal(found[CASES.index(case)], expected)


@pytest.mark.parametrize("shift, width", TRELLISES)
def test_half_precision_costs_no_distortion(shift, width):
    values = trellis_codes.values("hyb" if width == 2 else "mul1", 12).astype(np.float64)
    x = np.random.default_rng(shift).normal(size=(4, 64, width))
    exact = sum(np.sum((q - values[shortest(q, values, shift, 0)]) ** 2) for q in x)
    unit = _triton.LARGEST / np.abs(values).max()
    table, numbers = (values.T * unit).astype(np.float16), (x * unit).astype(np.float16)
    paths = [in_half_precision(q, table, shift, 0) for q in numbers]
    ours = sum(np.sum((q - values[p]) ** 2) for q, p in zip(x, paths, strict=True))
    # measured 0 here, and at L = 16 with 256 numbers at most 1.4e-5
    assert exact - 1e-9 <= ours < exact * 1.0005


def test_states_beyond_the_registers_are_refused():
    assert _triton.fits(16, 8) and _triton.fits(16, 1)
    assert not _triton.fits(18, 2)  # more costs than registers
    assert not _triton.fits(8, 5)  # a node's ways lead to fewer than 2^b nodes
    assert not _triton.fits(3, 1)  # less than a byte of back pointers


def compiled(trellises, architectures):
    """Registers and bytes of spills of each: stack frame and local memory, by cuobjdump."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    tools, found = Path(triton.__file__).parent / "backends/nvidia/bin", []
    numbers = ["count", "total", "offset", "steps"]
    for shift, width in trellises:
        for pinned in (False, True):
            shape = {"LENGTH": 16, "SHIFT": shift, "WIDTH": width, "PINNED": pinned}
            source = ASTSource(
                fn=_triton._kernel(),
                signature={
                    "x_ptr": "*fp16",
                    "table_ptr": "*fp16",
                    "states_ptr": "*i32",
                    "back_ptr": "*u8",
                    **dict.fromkeys(numbers, "i32"),
                    **dict.fromkeys(shape, "constexpr"),
                },
                constexprs=shape,
                attrs={(place,): [["tt.divisibility", 16]] for place in range(4)},
            )
            options = {"num_warps": _triton.warps(16, shift, width), "enable_fp_fusion": False}
            for architecture in architectures:
                target = GPUTarget("cuda", architecture, 32)
                kernel = triton.compile(source, target=target, options=options)
                cubin = Path(os.environ["TRITON_CACHE_DIR"]) / "kernel.cubin"
                cubin.write_bytes(kernel.asm["cubin"])
                usage = subprocess.run(
                    [tools / "cuobjdump", "--dump-resource-usage", cubin],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                used = dict(part.split(":")[:2] for part in usage.split() if ":" in part)
                found.append([int(used[name]) for name in ("REG", "STACK", "LOCAL")])
    return found


@pytest.mark.parametrize(
    "trellises, architectures",
    [
        ([(1, 1)], [90]),
        pytest.param(TRELLISES, [80, 89, 90, 100], marks=pytest.mark.full),
    ],
)
def test_compiled_without_spills(trellises, architectures, tmp_path):
    pytest.importorskip("triton")
    found = fresh(__name__, "compiled", trellises, architectures, TRITON_CACHE_DIR=str(tmp_path))
    assert len(found) == 2 * len(trellises) * len(architectures)
    for registers, stack, local in found:
        assert 0 < registers <= 255
        assert stack == local == 0
