"""Tail-biting paths for many sequences on a GPU: one program a sequence, as a kernel of Triton.

Costs are half-precision numbers. A step takes the least cost so far off them, so that what is left
is small where it matters; a difference is rounded to half precision, its square is added without
rounding in between, and only then is the sum rounded. The place of a way is written into the low
bits of the sum, widened to 32 bits, so that one minimum of whole numbers finds cost and way, the
lowest way among equals. Values and numbers are scaled so that the largest value is 8: squares then
neither vanish nor overflow.

The nodes of a step are kept in the order [c, m], node ``m 2^b + c``: neighbours in m come from
neighbouring nodes, whatever the bits that leave, so that all reads are of long runs.
"""

from __future__ import annotations  # Triton is not there yet when annotations would be read

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import triton.language as tl

LARGEST = 8.0  # what the largest value is scaled to; numbers beyond twice that are drawn in
MOST_BITS = 16  # of a state: registers hold 2^16 costs of one program
MOST_WAYS = 8


def fits(length: int, shift: int) -> bool:
    """Say whether the kernel serves states of ``length`` bits, ``shift`` of them a step."""
    return shift <= MOST_WAYS and 2 * shift <= length <= MOST_BITS and length - shift >= 3


def search(x: Any, values: Values, shift: int, window: int, turns: Sequence[int]) -> Any:
    """Find tail-biting paths as :func:`quincunx.kernels.viterbi.reference.tail_biting` does.

    Arguments:
        x: torch tensor [N, n, V], floating, on a GPU.
        values: what each state stands for, on the same GPU.
        shift: b; L and b fit.
        window: steps on either side of the joint in the first path, 1 to n / 2.
        turns: steps at which further paths start.

    Returns:
        States, int32 [N, n].
    """
    import torch

    count, steps, width = x.shape
    length = (values.table.numel() // width).bit_length() - 1
    scaled = scaled_numbers(x, values)
    states = torch.empty((count, steps), dtype=torch.int32, device=x.device)
    programs = min(count, _programs(x.device, length))
    row = (1 << (length - shift)) * shift // 8
    back = torch.empty(programs * steps * row, dtype=torch.uint8, device=x.device)
    shape = {"LENGTH": length, "SHIFT": shift, "WIDTH": width}

    def path(offset: int, part: int, pinned: bool) -> None:
        _kernel()[(programs,)](
            scaled, values.table, states, back, count, steps, offset, part, **shape, PINNED=pinned,
            num_warps=warps(length, shift, width), enable_fp_fusion=False,
        )  # fmt: skip

    path(steps - window, 2 * window, False)
    for offset in (0, *turns):
        path(offset, steps, True)
    return states


class Values(NamedTuple):
    """What states stand for, as the kernel reads it.

    Attributes:
        table: float16 [V, 2^b, 2^b, 2^(L - 2b)], on a GPU.
        unit: what values and numbers are multiplied with.
    """

    table: Any
    unit: float


@lru_cache(maxsize=8)
def on_device(trellis: Any, where: str) -> tuple[Any, Values]:
    """Return a trellis' values on a GPU, [2^L, V] as they are, and as the kernel reads them.

    They are kept: a rounding asks for them hundreds of times, and each copy would be waited for.

    Arguments:
        trellis: of :mod:`quincunx.solvers.trellis`.
        where: the device, in torch's words.
    """
    import torch

    with torch.inference_mode(False):
        table = torch.tensor(trellis.values, device=where)
        return table, values_of(table.T, trellis.shift)


def values_of(values: Any, shift: int) -> Values:
    """Return values [V, 2^L], a floating torch tensor on a GPU, as the kernel reads them."""
    import torch

    unit = LARGEST / (float(values.abs().max()) or 1.0)
    width, ways = values.shape[0], 1 << shift
    table = (values.to(torch.float32) * unit).to(torch.float16)
    return Values(table.reshape(width, ways, -1, ways).transpose(2, 3).contiguous(), unit)


def scaled_numbers(x: Any, values: Values) -> Any:
    """Return numbers as the kernel reads them, float16."""
    import torch

    scaled = (x.to(torch.float32) * values.unit).clamp(-2 * LARGEST, 2 * LARGEST)
    return scaled.to(torch.float16).contiguous()


def warps(length: int, shift: int, width: int) -> int:
    """Return how many warps a program has: as many as registers allow without spilling them."""
    most = 16 if shift > 1 and width == 1 else 8
    return max(1, most >> max(MOST_BITS - length, 0))


def _programs(device: Any, length: int) -> int:
    """As many as run at a time, about: a multiprocessor's registers hold 2^16 costs."""
    import torch

    if device.type != "cuda":  # interpreted
        return 2
    multiprocessors = torch.cuda.get_device_properties(device).multi_processor_count
    return int(multiprocessors) << (MOST_BITS - length)


@cache
def _kernel() -> Any:
    global tl
    import triton
    import triton.language as tl

    return triton.jit(_path)


def _path(
    x_ptr: tl.tensor, table_ptr: tl.tensor, states_ptr: tl.tensor, back_ptr: tl.tensor,
    count: tl.tensor, total: tl.tensor, offset: tl.tensor, steps: tl.tensor,
    LENGTH: tl.constexpr, SHIFT: tl.constexpr, WIDTH: tl.constexpr, PINNED: tl.constexpr,
) -> None:  # fmt: skip
    """Search ``steps`` steps from ``offset`` on, round the joint.

    Arguments, the first four addresses:
        x_ptr: float16 [count, total, V].
        table_ptr: float16 [V, 2^b, 2^b, 2^(L - 2b)], values in the order way, c, m.
        states_ptr: int32 [count, total], written.
        back_ptr: uint8 [programs, steps, b 2^(L - b) / 8], room for back pointers. Those of a step
            are split into parts of 1, 2, 4 or 8 bits, the low ones first; so that they are b bits.
        count: sequences.
        total: steps of a sequence.
        offset: where the path starts.
        steps: of the path.
        LENGTH: L.
        SHIFT: b.
        WIDTH: V.
        PINNED: the path starts and ends in the node that the written states have at ``offset``.
    """
    NODES: tl.constexpr = 2 ** (LENGTH - SHIFT)
    WAYS: tl.constexpr = 2**SHIFT
    GROUPS: tl.constexpr = NODES // WAYS
    ROW: tl.constexpr = NODES * SHIFT // 8
    way = tl.arange(0, WAYS)[:, None, None]
    c, m = tl.arange(0, WAYS)[:, None], tl.arange(0, GROUPS)[None, :]
    node = m * WAYS + c
    table = table_ptr + tl.arange(0, WAYS)[:, None] * NODES + tl.arange(0, NODES)[None, :]
    back = back_ptr + tl.program_id(0).to(tl.int64) * steps * ROW
    for s in range(tl.program_id(0), count, tl.num_programs(0)):
        x = x_ptr + s * total.to(tl.int64) * WIDTH
        states = states_ptr + s * total.to(tl.int64)
        here = 0
        costs = tl.zeros([WAYS, GROUPS], tl.float16)
        if PINNED:
            here = tl.load(states + offset) >> SHIFT
            costs = tl.where(node == here, 0.0, float("inf")).to(tl.float16)
        for i in range(steps):
            at = x + (offset + i) % total * WIDTH
            before = tl.reshape(tl.trans(costs), [WAYS, 1, GROUPS])
            ways = tl.broadcast_to(before, [WAYS, WAYS, GROUPS])
            # Read in two dimensions: given three, Triton 3.6 spreads warps over the ways.
            for v in tl.static_range(WIDTH):
                gap = tl.load(table + v * WAYS * NODES) - tl.load(at + v)
                gap = tl.reshape(gap, [WAYS, WAYS, GROUPS])
                ways = tl.fma(gap, gap, ways)
            # A half-precision number has 13 zeros at the end of its single-precision form.
            key = tl.min(ways.to(tl.float32).to(tl.int32, bitcast=True) | way, 0)
            least = tl.min(tl.min(key, 1), 0)
            best = (key & -8192).to(tl.float32, bitcast=True)
            costs = (best - (least & -8192).to(tl.float32, bitcast=True)).to(tl.float16)
            row = back + i * ROW
            for p in tl.static_range(4):
                if SHIFT & 2**p:
                    word_type = tl.uint8 if p == 0 else tl.uint16 if p == 1 else tl.uint32
                    part = (key >> (SHIFT & (2**p - 1))) & (2 ** (2**p) - 1)
                    part = tl.reshape(part, [NODES // min(8, 32 >> p), min(8, 32 >> p)])
                    place = tl.arange(0, min(8, 32 >> p))[None, :] * 2**p
                    to = (row + (SHIFT & (2**p - 1)) * (NODES // 8)).to(tl.pointer_type(word_type))
                    to += tl.arange(0, NODES // min(8, 32 >> p))
                    tl.store(to, tl.sum(part << place, 1).to(word_type))
        if not PINNED:
            bits = costs.to(tl.int16, bitcast=True).to(tl.int32)
            first = tl.where(bits == tl.min(tl.min(bits, 1), 0), node, NODES)
            here = tl.min(tl.min(first, 1), 0)
        tl.debug_barrier()  # back pointers are written by one thread and read by all
        for j in range(steps):
            i = steps - 1 - j
            row = back + i * ROW
            cell = here % WAYS * GROUPS + here // WAYS
            taken = 0
            for p in tl.static_range(4):
                if SHIFT & 2**p:
                    word_type = tl.uint8 if p == 0 else tl.uint16 if p == 1 else tl.uint32
                    to = (row + (SHIFT & (2**p - 1)) * (NODES // 8)).to(tl.pointer_type(word_type))
                    word = tl.load(to + cell // min(8, 32 >> p)).to(tl.int32)
                    part = (word >> (cell % min(8, 32 >> p) * 2**p)) & (2 ** (2**p) - 1)
                    taken |= part << (SHIFT & (2**p - 1))
            state = taken * NODES + here
            tl.store(states + (offset + i) % total, state)
            here = state >> SHIFT
        tl.debug_barrier()  # the next sequence writes over the back pointers
