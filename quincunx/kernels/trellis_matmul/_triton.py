"""Products with trellis-coded weights on a GPU, straight from the bytes that are stored.

Up to 8 rows of inputs are multiplied without tensor cores, in single precision; more with them, in
the inputs' type, single-precision inputs split so that little is lost. Sums are taken in a fixed
order: equal calls give equal bits.

Where up to 8 rows of inputs have 16 bits, mul1's values are not rounded to half precision: byte
sums are multiplied as they are, and the sums of inputs correct the result. For more rows in
bfloat16 values are rounded to that alone.
"""

import math
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from quincunx._errors import ModelError
from quincunx.kernels import trellis_codes
from quincunx.kernels.gpu_parts import (
    BLACKWELL,
    FEW,
    HOPPER,
    Blocks,
    architecture_of,
    beside,
    check_inputs,
    in_a_row,
    many,
    part_of,
)

STATE_BITS = 16
TILES = ((32, 8), (16, 16))
AFFINE = ("1mad", "2mad", "mul1")


FEW_ROWS = Blocks(warps=4, height=32, along=256, batch=8, programs=1024)
# With one or two rows of inputs, on Hopper, one program for half a row of tiles: no second launch
# adds up parts, and there are enough of them to keep all multiprocessors busy to the end.
HALVES = Blocks(warps=8, height=16, along=256, batch=8, programs=1)
WIDE, LONG = 8192, 8192  # more outputs, of sums no longer: four warps are faster


def trellis_matmul(
    x: Any,
    qweight: Any,
    scales: Any,
    *,
    shape: tuple[int, int],
    bits: float,
    code: str = "mul1",
    tile: tuple[int, int] = (32, 8),
    blocks: Blocks | None = None,
    dtype: Any = None,
) -> Any:
    """Return ``y[.., i] = sum_j x[.., j] W[i, j] scales[i]``.

    Arguments:
        x: torch tensor [.., n], float16, bfloat16 or float32, on a GPU.
        qweight: uint8 [rows of tiles, bytes], paths with states of 16 bits, format version 1.
        scales: [1] or [m].
        shape: (m, n).
        bits: a weight, 1 to 8; of HYB multiples of 1/2, up to 8.
        code: one of :data:`quincunx.kernels.trellis_codes.NAMES`.
        tile: (32, 8) or (16, 16).
        blocks: how the product is cut up; None: chosen by the shape.
        dtype: of the results; None: that of x.

    Returns:
        [.., m].

    Raises:
        ModelError: an argument has another shape or type.
    """
    import torch

    from quincunx.kernels.gpu_functions import finish
    from quincunx.kernels.trellis_matmul import _kernels

    check_inputs(x, scales, shape)
    batch = x.numel() // shape[1] if shape[1] else 0
    y = torch.empty((batch, shape[0]), dtype=dtype or x.dtype, device=x.device)
    if batch == 0 or shape[0] == 0:
        _tiles(shape, bits, code, tile)
        return y.reshape(*x.shape[:-1], shape[0])
    shape = shape[0], shape[1]
    how = planned(batch, x.dtype, shape, bits, code, tile, blocks, scales.numel() > 1, x.device)
    if str(qweight.dtype) != "torch.uint8" or tuple(qweight.shape) != how.bytes:
        raise ModelError(
            f"qweight is {qweight.dtype} {tuple(qweight.shape)}; weights {shape} of {bits:g} bits "
            f"in tiles {tile} are uint8 {how.bytes}"
        )
    flat = in_a_row(x.reshape(batch, shape[1]), how.width)
    if how.padded != batch:
        flat = torch.nn.functional.pad(flat, (0, 0, 0, how.padded - batch))
    words = qweight.contiguous().view(torch.int32)
    scales = scales.reshape(-1).to(torch.float32).contiguous()
    parts, room = how.grid[-1], y
    if how.sums:
        room = torch.empty((parts, how.padded, how.height), dtype=torch.float32, device=x.device)
    given = (flat, words, how.table, *((scales,) if how.few else ()), room)
    kernel = _kernels.vector if how.few else _kernels.matrix
    with beside(x):
        kernel[how.grid](*given, *how.numbers, **how.options)
        if how.sums:
            finish[(batch, -(-shape[0] // 256))](
                room, scales, y, parts, how.padded, how.height, shape[0],
                EACH=len(scales) > 1, BLOCK=256, num_warps=4, enable_fp_fusion=True,
            )  # fmt: skip
    return y.reshape(*x.shape[:-1], shape[0])


class Launch(NamedTuple):
    """How a product is done.

    Attributes:
        bytes: shape of the packed codes.
        height: m, whole tiles.
        width: n, whole tiles.
        padded: rows of inputs that the kernel reads.
        few: whether there are few of them, for :func:`_kernels.vector`.
        sums: whether parts are added up by a second launch.
        grid: of programs, parts last.
        table: what the kernel looks values up in.
        numbers: its arguments.
        options: what it is compiled for, and how it is launched.
    """

    bytes: tuple[int, int]
    height: int
    width: int
    padded: int
    few: bool
    sums: bool
    grid: tuple[int, ...]
    table: Any
    numbers: tuple[int, ...]
    options: dict[str, Any]


@lru_cache(maxsize=1024)
def planned(
    batch: int, dtype: Any, shape: tuple[int, int], bits: float, code: str, tile: tuple[int, int],
    blocks: Blocks | None, scaled: bool, device: Any,
) -> Launch:  # fmt: skip
    """Plan a product; plans are kept, since one takes longer than a small product.

    Arguments:
        batch: rows of inputs.
        dtype: theirs, of torch.
        shape: (m, n).
        bits: a weight.
        code: what states stand for.
        tile: (32, 8) or (16, 16).
        blocks: how the product is cut up; None: chosen by the shape.
        scaled: there is a scale an output.
        device: of torch; under Triton's interpreter the processor.

    Raises:
        ModelError: there is no such code, tile, or number of bits.
    """
    import torch

    rows, columns = _tiles(shape, bits, code, tile)
    few = batch <= FEW
    kind = str(dtype).removeprefix("torch.")
    blocks = blocks or chosen(batch, kind, shape, bits, architecture_of(device))
    options = constants(batch, bits, code, tile, kind, blocks)
    options["ASM"] = device.type == "cuda" and torch.version.hip is None
    apart = options["EACH"] if options.get("APART") else 1
    units = options["EACH"] // apart if few else 1  # of a tile, of a program
    step = 32 * blocks.warps // units if few else options["ALONG_TILES"]
    grid = [rows * apart] if few else [-(-rows // options["DOWN_TILES"]), -(-batch // blocks.batch)]
    part = part_of(columns, math.prod(grid), step, blocks.programs)
    parts = -(-columns // part)
    numbers: tuple[int, ...] = (batch, rows, columns, part)
    if few:
        numbers = (units * columns, units * part, columns * tile[1], batch, shape[0])
        options |= {"LAST": parts == 1, "SCALES": scaled}
    else:
        options |= {
            "WIDEN": device.type == "cpu", "EVEN": columns % options["ALONG_TILES"] == 0
        }  # fmt: skip
    return Launch(
        bytes=(rows, int(columns * 32 * bits)),
        height=rows * tile[0],
        width=columns * tile[1],
        padded=options["BATCH"] if few else batch,
        few=few,
        sums=not few or parts > 1,
        grid=(*grid, parts),
        table=_table(code, kind, few, str(device)),
        numbers=numbers,
        options=options | launching(kind, blocks),
    )


def chosen(
    batch: int,
    dtype: str,
    shape: tuple[int, int] = (4096, 4096),
    bits: float = 2,
    architecture: int = HOPPER,
) -> Blocks:
    """Return how a product is cut up.

    Arguments:
        batch: rows of inputs.
        dtype: theirs.
        shape: (m, n).
        bits: a weight; above 4, some codes would spill registers without the usual sizes.
        architecture: of the GPU, 90 for sm_90.
    """
    if batch > FEW:
        return many(batch, dtype, architecture)
    if batch > 2 or bits > 4 or not HOPPER <= architecture < BLACKWELL:
        return FEW_ROWS
    four = shape[0] > WIDE and shape[1] <= LONG
    return HALVES._replace(warps=4) if four else HALVES


def launching(dtype: str, blocks: Blocks) -> dict[str, Any]:
    """Return how programs are launched.

    Loads of single precision are one step ahead, not two: registers for a second step are spilled
    on sm_100.
    """
    stages = 2 if dtype == "float32" else 3
    return {"num_warps": blocks.warps, "num_stages": stages, "enable_fp_fusion": True}


def constants(
    batch: int, bits: float, code: str, tile: tuple[int, int], dtype: str, blocks: Blocks
) -> dict[str, Any]:
    """Return what a kernel is compiled for, ``ASM`` as on a GPU of NVIDIA."""
    shift = int(bits * trellis_codes.width(code))
    shared = {"SHIFT": shift, "COLUMNS": tile[1], "CODE": code, "ASM": True}
    narrow = dtype != "float32"
    if batch <= FEW:
        # More weights a thread save loads; sums take registers. HYB's of 1 bit are spilled.
        each = 2 if batch <= 2 and (code, bits) != ("hyb", 1) else 4
        return shared | {
            "BATCH": 1 << (batch - 1).bit_length(),
            "COUNT": int(8 * bits) // each,
            "EACH": each,
            "FOLD": code in AFFINE and (narrow or code != "mul1"),
            "NARROW": narrow,
            "THREADS": 32 * blocks.warps,
            "APART": blocks.height < tile[0],
            "LAST": True,
            "SCALES": True,
        }
    return shared | {
        "WORDS": int(8 * bits),
        "ROWS": tile[0],
        "RUN": _run(shift, trellis_codes.width(code)),
        "WIDEN": False,
        "EVEN": True,
        "DOWN_TILES": blocks.height // tile[0],
        "ALONG_TILES": blocks.along // tile[1],
        "BATCH": blocks.batch,
    }


def _run(shift: int, width: int) -> int:
    """Return how many weights can be cut from the two words that end with their last bit."""
    for run in (8, 4):
        states = run // width
        needed = (states - 1) * shift + STATE_BITS
        ends = ((i * states * shift - 1) % 32 + 1 for i in range(1, 256 // run + 1))
        if all(needed - end <= 32 for end in ends):
            return run
    return 2


def _tiles(
    shape: tuple[int, int], bits: float, code: str, tile: tuple[int, int]
) -> tuple[int, int]:
    """Return rows and columns of tiles; refuse what weights cannot be coded with."""
    if code not in trellis_codes.NAMES:
        names = ", ".join(trellis_codes.NAMES)
        raise ModelError(f"there is no trellis code {code!r}; use one of {names}")
    if tile not in TILES:
        raise ModelError(f"tile is {tile}; this product takes {' and '.join(map(str, TILES))}")
    if not 1 <= bits <= 8 or bits * trellis_codes.width(code) % 1:
        raise ModelError(
            f"bits is {bits}; use 1 to 8, whole, or of 'hyb' multiples of 1/2 a weight"
        )
    return -(-shape[0] // tile[0]), -(-shape[1] // tile[1])


@cache
def _table(code: str, dtype: str, few: bool, device: str) -> Any:
    """What the kernels look values up in."""
    import torch

    if code == "lookup":
        return torch.tensor(trellis_codes.values(code).reshape(-1), device=device)
    if code != "hyb":
        return torch.zeros(1, dtype=torch.float32, device=device)
    pairs = trellis_codes.table()
    signed = np.concatenate([pairs, pairs * np.array([-1, 1], dtype=np.float32)])
    values = torch.tensor(signed)
    if few or dtype == "float32":
        return values.view(torch.int64).reshape(-1).to(device)
    return values.to(getattr(torch, dtype)).view(torch.int32).reshape(-1).to(device)
