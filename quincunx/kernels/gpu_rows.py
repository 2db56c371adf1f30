"""Products with rows of codes on a GPU, grids and E8P, straight from the bytes that are stored.

Up to 8 rows of inputs are multiplied without tensor cores, in single precision; more with them, in
the inputs' type, single-precision inputs split so that little is lost. Sums are taken in a fixed
order: equal calls give equal bits.
"""

from functools import cache
from typing import Any

import numpy as np

from quincunx._errors import ModelError
from quincunx.kernels.e8.reference import SIGN_BIT, absolute_rows, short_points
from quincunx.kernels.gpu_parts import (
    FEW,
    HOPPER,
    Blocks,
    architecture_of,
    beside,
    check_inputs,
    fitting,
    in_a_row,
    part_of,
)
from quincunx.kernels.packing import row_size

UNIT = 32  # weights that are whole words at any width
FOLDED_ROWS = 2  # of inputs: with more, weights cost less than inputs scaled for them
FOLDED_BITS = 4  # of grids: with more, a field's middle is too far from the weights
# For tensor cores, by rows of inputs, up to; a thread decodes whole units. On an H200 only those
# for more than 128 were compared with others.
MANY_ROWS = {
    16: Blocks(warps=4, height=64, along=64, batch=16, programs=264),
    32: Blocks(warps=4, height=64, along=64, batch=32, programs=264),
    64: Blocks(warps=4, height=64, along=64, batch=64, programs=264),
    128: Blocks(warps=8, height=128, along=64, batch=128, programs=264),
    0: Blocks(warps=4, height=64, along=64, batch=256, programs=264),
}
SINGLE = Blocks(warps=4, height=64, along=64, batch=16, programs=264)


def multiplied(
    x: Any,
    qweight: Any,
    scales: Any,
    *,
    kind: str,
    shape: tuple[int, int],
    bits: int,
    widths: tuple[int, ...],
    ratio: float = 1.0,
    blocks: Blocks | None = None,
    dtype: Any = None,
) -> Any:
    """Return ``y[.., i] = sum_j x[.., j] W[i, j] scales[i]``.

    Arguments:
        x: torch tensor [.., n], float16, bfloat16 or float32, on a GPU.
        qweight: uint8 [m, bytes], format version 1.
        scales: [1] or [m].
        kind: "grid" or "e8p".
        shape: (m, n).
        bits: a weight.
        widths: of the codes of one weight, or of eight.
        ratio: what points of a second stage are divided by.
        blocks: how the product is cut up, without tensor cores where ``along`` is 0; None: chosen
            by the shape.
        dtype: of the results; None: that of x.

    Returns:
        [.., m].

    Raises:
        ModelError: an argument has another shape or type.
    """
    import torch

    from quincunx.kernels import gpu_row_kernels
    from quincunx.kernels.gpu_functions import finish

    m, n = shape
    check_inputs(x, scales, shape)
    wanted = (m, row_size(n if kind == "grid" else -(-n // 8), widths))
    if str(qweight.dtype) != "torch.uint8" or tuple(qweight.shape) != wanted:
        raise ModelError(
            f"qweight is {qweight.dtype} {tuple(qweight.shape)}; weights {shape} of {bits} bits, "
            f"{kind}, are uint8 {wanted}"
        )
    flat = x.reshape(-1, n)
    batch = len(flat)
    y = torch.empty((batch, m), dtype=dtype or x.dtype, device=x.device)
    if batch == 0 or m == 0:
        return y.reshape(*x.shape[:-1], m)
    units = -(-n // UNIT)
    flat, qweight = in_a_row(flat, units * UNIT), qweight.contiguous()
    load = loads(qweight.data_ptr(), wanted[1], n, bits)
    words = qweight if load == "bytes" else qweight.view(torch.int32)
    numbers = str(x.dtype).removeprefix("torch.")
    blocks = blocks or chosen(batch, numbers, bits, m, load, architecture_of(x.device))
    few = blocks.along == 0
    if few and batch > FEW:
        raise ModelError(f"there are {batch} rows of inputs; without tensor cores use up to {FEW}")
    step = 32 * blocks.warps if few else blocks.along // UNIT
    across = -(-m // blocks.height) * (1 if few else -(-batch // blocks.batch))
    part = part_of(units, across, step, blocks.programs)
    parts = -(-units // part)
    options = constants(batch, kind, bits, numbers, blocks, load=load)
    options |= {"LAST": parts == 1, "EACH": scales.numel() > 1}
    options["ASM"] = x.device.type == "cuda" and torch.version.hip is None
    if not few:
        even = units % (blocks.along // UNIT) == 0
        options |= {"WIDEN": x.device.type == "cpu", "EVEN": even}
    scales = scales.reshape(-1).to(torch.float32).contiguous()
    room = y
    if parts > 1:
        room = torch.empty((parts, batch, m), dtype=torch.float32, device=x.device)
    fused = {"num_warps": blocks.warps, "enable_fp_fusion": True}
    grid: tuple[int, ...] = (-(-m // blocks.height), parts)
    kernel = gpu_row_kernels.vector
    if not few:
        grid = (grid[0], -(-batch // blocks.batch), parts)
        kernel = gpu_row_kernels.matrix
    with beside(x):
        kernel[grid](
            flat, words, _table(kind, str(x.device)), scales, room, 1.0 / float(ratio),
            batch, m, units, words.shape[1], part, **options, **fused,
        )  # fmt: skip
        if parts > 1:
            finish[(batch, -(-m // 256))](
                room, scales, y, parts, batch, m, m,
                EACH=options["EACH"], BLOCK=256, num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip
    return y.reshape(*x.shape[:-1], m)


def chosen(
    batch: int,
    dtype: str,
    bits: int,
    m: int = 1 << 14,
    load: str = "units",
    architecture: int = HOPPER,
) -> Blocks:
    """Return how a product is cut up.

    Arguments:
        batch: rows of inputs.
        dtype: theirs.
        bits: a weight.
        m: outputs.
        load: as :func:`loads` says.
        architecture: of the GPU, 90 for sm_90.
    """
    if batch > FEW:
        return SINGLE if dtype == "float32" else fitting(MANY_ROWS, batch, architecture)
    # Rows of W share inputs and what is made of them, but each has a sum for every row of inputs
    # and its words, for which registers must do; and a GPU wants many programs.
    height = 8 if batch <= FOLDED_ROWS and bits <= FOLDED_BITS and m > 1 << 12 else 4
    height = 2 if load == "bytes" else height
    return Blocks(warps=2, height=height, along=0, batch=batch, programs=256)


def loads(address: int, size: int, n: int, bits: int) -> str:
    """Return how rows of bytes can be read: whole units, words, or single bytes."""
    if address % 4 or size % 4:
        return "bytes"
    return "units" if size == 4 * bits * (n // UNIT) and n % UNIT == 0 else "words"


def constants(
    batch: int, kind: str, bits: int, dtype: str, blocks: Blocks, *, load: str = "units"
) -> dict[str, Any]:
    """Return what a kernel is compiled for, on a GPU of NVIDIA, with one part, a scale a row.

    Arguments:
        batch: rows of inputs.
        kind: "grid" or "e8p".
        bits: a weight.
        dtype: of inputs.
        blocks: how the product is cut up.
        load: as :func:`loads` says.
    """
    shared = {
        "KIND": kind, "BITS": bits, "LOAD": load, "ASM": True, "LAST": True, "EACH": True,
    }  # fmt: skip
    if blocks.along:
        return shared | {
            "WIDEN": False,
            "EVEN": True,
            "BATCH": blocks.batch,
            "HEIGHT": blocks.height,
            "ALONG": blocks.along,
        }
    fold = dtype != "float32" and batch <= FOLDED_ROWS
    return shared | {
        "FOLD": fold and (kind == "e8p" or bits <= FOLDED_BITS),
        "BATCH": 1 << (batch - 1).bit_length(),
        "ROWS": blocks.height,
        "THREADS": 32 * blocks.warps,
    }


@cache
def _table(kind: str, device: str) -> Any:
    """Words of fields: of the rows of E8P, then of the points of E81B; for grids nothing."""
    import torch

    if kind == "grid":
        return torch.zeros(1, dtype=torch.int32, device=device)
    return torch.tensor(fields().view(np.int32), device=device)


def fields() -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the table's words, uint32 [512].

    A coordinate's field has three bits and begins where the copy of a byte of signs, each eight
    bits further than the one before, has its sign: see :mod:`quincunx.kernels.gpu_row_fields`.
    """
    at = np.array([24 - 8 * (i // 2) + SIGN_BIT[i] for i in range(8)])
    rows = np.array(absolute_rows())
    rows[:, 7] *= 1 - 2 * (rows.sum(axis=1) % 2)  # so that an even number of signs is turned over
    short = np.array(short_points())
    halves = short[:, 0] % 1 != 0
    first = (rows + 3.5).astype(np.int64) << at
    second = (short + 2 - 0.5 * halves[:, None]).astype(np.int64) << at
    words = np.concatenate([first.sum(axis=1), second.sum(axis=1) + halves])
    return words.astype(np.uint32)
