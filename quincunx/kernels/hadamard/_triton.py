"""Kronecker products with Sylvester's matrix on a GPU: how rows are cut up, and the launch.

There is one launch. A tile has at most 2^14 numbers, so that one program makes a row's outputs of
powers of two up to 16384 and, say, of 256 x 20 and 512 x 28. Else the outputs are cut into blocks
along the last matrix, a program each, which read the same row at the same time, so that all but
the first find it in cache: 64 x 172 takes two, 8 x 12 x 12 x 12 three, with the last two matrices
made one of order 144, and 1024 x 28 two, as 512 x 56, a stage of Sylvester's matrix with the last.

The last matrix may have an order up to 512. What does not fit so has no plan, and goes by plain
steps: odd factors above 512, by FFT, several wide matrices, and sizes of hundreds of thousands; of
the multiples of 64 up to 65536 that is a quarter, the least 12864. A few sizes with several
matrices, 17920 and 29568 among them, have tiles taller than 512, with which inputs in single
precision, or divided, spill a few registers.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quincunx.kernels.gpu_parts import beside
from quincunx.kernels.hadamard.kronecker import Kronecker

MOST = 1 << 14  # numbers in a tile: more take too much shared memory on some devices
LEAST = 1 << 10  # smaller rows share a program
MOST_ORDER = 512
TALL = 512  # rows of a tile: with more, operands take too many registers
LEAST_SIDE = 16  # of operands of tensor cores
SPREAD = 64  # programs that few rows are spread over, where blocks can be cut: as many as help


class Plan(NamedTuple):
    """How a product is cut up.

    Attributes:
        power: of two, Sylvester's matrix by butterflies.
        small: how many factors are multiplied in registers, 0 to 2.
        raised: of the last matrix, a Sylvester matrix of this order among its factors.
        order: of the last matrix, the product of all other factors; 1: there is none.
        block: columns of it that a program makes.
        chunk: rows of it at a time.
        rows: of inputs that share a program.
        warps: of a program.
        stages: of the loop over chunks, whose loads run ahead.
    """

    power: int
    small: int
    raised: int
    order: int
    block: int
    chunk: int
    rows: int
    warps: int
    stages: int


def width(order: int) -> int:
    """Return the power of two that an axis takes in a tile."""
    return max(LEAST_SIDE, 1 << (order - 1).bit_length())


@cache
def plan(power: int, orders: tuple[int, ...]) -> Plan | None:
    """Choose the way with the fewest multiplications that fits; None: there is none.

    Arguments:
        power: of two.
        orders: of the other factors.
    """
    if not orders and power <= MOST:
        rows = max(1, LEAST // power)
        return Plan(power, 0, 1, 1, 1, 1, rows, warps(rows * power), 1)
    ways = [_way(power, orders, small, 1) for small in range(min(3, len(orders)))]
    raised = 2
    while raised <= min(power, MOST_ORDER):
        ways.append(_way(power, orders, 0, raised))
        raised *= 2
    found = [way for way in ways if way is not None]
    return min(found)[1] if found else None


def _way(
    power: int, orders: tuple[int, ...], small: int, raised: int
) -> tuple[tuple[bool, int], Plan] | None:
    """Return a plan and what it costs, if it fits."""
    order = raised * math.prod(orders[small:])
    tall = power // raised * math.prod(width(k) for k in orders[:small])
    block = min(width(order), MOST // tall, 128 if tall <= 64 else 64)
    if order > MOST_ORDER or block < LEAST_SIDE:
        return None
    rows = max(1, LEAST_SIDE // tall, LEAST // (tall * block))
    narrow = order <= LEAST_SIDE or (tall > TALL // 2 and (order > 2 * LEAST_SIDE or small))
    chunk = LEAST_SIDE if narrow else 2 * LEAST_SIDE
    whole = -(-order // block) * block
    cost = tall * whole * (-(-order // chunk) * chunk + sum(width(k) for k in orders[:small]))
    # Warps beside each other would cut up the same inputs; 16 of them have few registers each.
    share = min(16, max(2, rows * tall // 16), max(4, rows * tall * block // 1024))
    stages = 3 if tall <= 64 else 1  # what is loaded ahead takes registers and shared memory
    way = Plan(power // raised, small, raised, order, block, chunk, rows, share, stages)
    return (tall > TALL, cost), way


def spread(way: Plan, rows: int) -> Plan:
    """Cut blocks where there are few rows, which a few programs would take long for.

    Arguments:
        way: the plan for many rows.
        rows: of inputs.
    """
    block, across = way.block, -(-rows // way.rows)
    while block > LEAST_SIDE and across * -(-way.order // block) < SPREAD:
        block //= 2
    if block == way.block:
        return way
    return way._replace(block=block, warps=min(way.warps, max(4, way.warps * block // way.block)))


def warps(size: int) -> int:
    """Return how many warps share a tile: where it can be, 16 numbers a thread."""
    return min(16, max(4, size // 512))


def product(
    x: Any, matrix: Kronecker, *, transposed: bool, before: Any, divisor: Any, after: Any,
    bias: Any, dtype: Any,
) -> Any:  # fmt: skip
    """Return what :func:`quincunx.kernels.hadamard.random_hadamard` does, without gradients.

    Arguments:
        x: torch tensor [rows, n], float16, bfloat16 or float32, on a GPU; or, under Triton's
            interpreter, on the processor.
        matrix: there is a plan for it.
        transposed: multiply by the transposed matrix.
        before: [n], [1] or None.
        divisor: [n], or None.
        after: likewise.
        bias: likewise.
        dtype: of the outputs.
    """
    import torch

    from quincunx.kernels.hadamard import _kernels

    rows, n = x.shape
    if n > 1 and x.stride(1) != 1:
        x = x.contiguous()
    y = torch.empty((rows, n), dtype=dtype, device=x.device)
    if not rows:
        return y
    vectors = [None if v is None else v.contiguous() for v in (before, divisor, after, bias)]
    kinds = tuple(None if v is None else v.dtype for v in vectors)
    one = before is not None and before.shape[0] != n
    how = planned(matrix, transposed, rows, x.dtype, kinds, one, x.device)
    pointers = [x if v is None else v for v in vectors]
    kernel = _kernels.product if how.tables else _kernels.power
    with beside(x):
        kernel[how.grid](
            x, y, *pointers, *how.tables, rows, x.stride(0), matrix.scale, **how.options
        )
    return y


class Launch(NamedTuple):
    """How a product is done: programs, matrices, what the kernel is compiled for and launched."""

    grid: tuple[int, int]
    tables: tuple[Any, ...]
    options: dict[str, Any]


@lru_cache(maxsize=1024)
def planned(
    matrix: Kronecker, transposed: bool, rows: int, dtype: Any, vectors: tuple[Any, ...],
    one: bool, device: Any,
) -> Launch:  # fmt: skip
    """Plan a product; plans are kept, since one takes longer than a small product.

    Arguments:
        matrix: there is a plan for it.
        transposed: multiply by the transposed matrix.
        rows: of inputs.
        dtype: theirs, of torch.
        vectors: the types of before, divisor, after and bias, None where there is none.
        one: ``before`` is one number.
        device: of torch; under Triton's interpreter the processor.
    """
    whole = plan(matrix.power, matrix.orders)
    assert whole is not None
    way = spread(whole, rows)
    options = constants(way, matrix, str(dtype), [None if v is None else str(v) for v in vectors])
    if one:
        options["BEFORE"] = "one"
    tables = () if way.order == 1 else _tables(matrix, transposed, str(device))
    if tables and device.type == "cpu":
        options["WIDEN"] = True
    options |= {"num_warps": way.warps, "num_stages": way.stages, "enable_fp_fusion": True}
    return Launch((-(-rows // way.rows), -(-way.order // way.block)), tables, options)


def constants(
    way: Plan, matrix: Kronecker, dtype: str, vectors: list[str | None]
) -> dict[str, Any]:
    """Return what a kernel is compiled for.

    Arguments:
        way: the plan.
        matrix: the product.
        dtype: of the inputs, with ``torch.`` or without.
        vectors: the types of before, divisor, after and bias, None where there is none.
    """
    stages = way.power.bit_length() - 1
    before, divisor, after, bias = (v is not None for v in vectors)
    shared = {
        "ROWS": way.rows, "POWER": way.power, "STAGES": stages, "DIVISOR": divisor,
        "BEFORE": "all" if before else "none", "AFTER": after, "BIAS": bias,
    }  # fmt: skip
    if way.order == 1:
        return shared
    exact = [m.dtype.kind == "i" for m in matrix.matrices]
    small = [*zip(matrix.orders, exact, strict=True)][: way.small]
    small = [(1, True)] * (2 - way.small) + small
    options: dict[str, Any] = {}
    for name, (order, signs) in zip(("FIRST", "SECOND"), small, strict=True):
        options |= {
            name: order, f"{name}_WIDTH": width(order) if order > 1 else 1, f"{name}_EXACT": signs
        }  # fmt: skip
    signs_before = vectors[0] is None or vectors[0].endswith("int8")
    return shared | options | {
        "ORDER": way.order,
        "WIDTH": columns(matrix),
        "EXACT": all(exact[way.small :]),
        "WHOLE": not dtype.endswith("float32") and signs_before and vectors[1] is None,
        "CHUNK": way.chunk,
        "BLOCK": way.block,
        "WIDEN": False,
    }  # fmt: skip


@cache
def columns(matrix: Kronecker) -> int:
    """Return how wide the last matrix lies in memory: whole blocks, also where they are cut."""
    way = plan(matrix.power, matrix.orders)
    assert way is not None
    return -(-way.order // way.block) * way.block


@cache
def _tables(matrix: Kronecker, transposed: bool, device: str) -> tuple[Any, Any, Any]:
    """Return the last matrix, and the first and second, with zeros around, on a device.

    They are kept: graphs of CUDA that were captured hold their addresses.
    """
    way = plan(matrix.power, matrix.orders)
    assert way is not None
    last: NDArray[Any] = np.ones((1, 1), dtype=np.int8)
    for _ in range(way.raised.bit_length() - 1):
        last = np.kron(last, np.array([[1, 1], [1, -1]], dtype=np.int8))
    for factor in matrix.matrices[way.small :]:
        last = np.kron(last, factor)
    down = -(-way.order // way.chunk) * way.chunk
    dense = _placed(last, transposed, down, columns(matrix), device)
    small = [
        _placed(m, transposed, width(len(m)), width(len(m)), device)
        for m in matrix.matrices[: way.small]
    ]
    first, second = [dense] * (2 - way.small) + small
    return dense, first, second


def _placed(matrix: NDArray[Any], transposed: bool, down: int, across: int, device: str) -> Any:
    """Put what rows are multiplied with on a device: signs as bytes, all else in float32."""
    import torch

    signs = matrix.dtype.kind == "i"
    room = np.zeros((down, across), dtype=np.int8 if signs else np.float32)
    room[: len(matrix), : len(matrix)] = matrix if transposed else matrix.T
    with torch.inference_mode(False):
        return torch.tensor(room, device=device)
