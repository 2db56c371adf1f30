"""Products with trellis-coded weights on a GPU, straight from the bytes that are stored.

Up to 8 rows of inputs are multiplied without tensor cores, in single precision; more with them, in
the inputs' type, single-precision inputs split so that little is lost. Sums are taken in a fixed
order: equal calls give equal bits.

Where the inputs have 16 bits, mul1's values are not rounded to half precision: byte sums are
multiplied as they are, and the sums of inputs correct the result.
"""

from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from quincunx._errors import ModelError
from quincunx.kernels import trellis_codes

STATE_BITS = 16
TILES = ((32, 8), (16, 16))
FEW = 8  # rows of inputs up to which tensor cores would be mostly idle
AFFINE = ("1mad", "2mad", "mul1")


class Blocks(NamedTuple):
    """How a product is cut up."""

    warps: int
    height: int  # rows of W of a program, for tensor cores
    along: int  # columns of W at a time
    batch: int  # rows of inputs
    programs: int  # at least, where the shape allows: what the sum over n is split for


FEW_ROWS = Blocks(warps=4, height=32, along=256, batch=8, programs=1024)
MANY_ROWS = {  # by rows of inputs, up to
    16: Blocks(warps=4, height=64, along=64, batch=16, programs=264),
    32: Blocks(warps=4, height=64, along=64, batch=32, programs=264),
    64: Blocks(warps=4, height=64, along=64, batch=64, programs=264),
    128: Blocks(warps=8, height=128, along=64, batch=128, programs=132),
    0: Blocks(warps=8, height=64, along=64, batch=256, programs=132),
}
# Three products each: larger blocks spill registers, and want more shared memory than sm_89 has.
SINGLE = Blocks(warps=4, height=64, along=32, batch=32, programs=264)


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
) -> Any:
    """Return ``y[.., i] = sum_j x[.., j] W[i, j] scales[i]``, in the type of x.

    Arguments:
        x: torch tensor [.., n], float16, bfloat16 or float32, on a GPU.
        qweight: uint8 [rows of tiles, bytes], paths with states of 16 bits, format version 1.
        scales: [1] or [m].
        shape: (m, n).
        bits: a weight, 1 to 8; of HYB multiples of 1/2, up to 8.
        code: one of :data:`quincunx.kernels.trellis_codes.NAMES`.
        tile: (32, 8) or (16, 16).
        blocks: how the product is cut up; None: chosen by the shape.

    Returns:
        [.., m].

    Raises:
        ModelError: an argument has another shape or type.
    """
    import torch

    from quincunx.kernels.trellis_matmul import _kernels

    height, width = _checked(x, qweight, scales, shape, bits, code, tile)
    flat = x.reshape(-1, shape[1])
    batch = len(flat)
    y = torch.empty((batch, shape[0]), dtype=x.dtype, device=x.device)
    if batch == 0 or shape[0] == 0:
        return y.reshape(*x.shape[:-1], shape[0])
    flat = _whole_tiles(flat, width)
    words = qweight.contiguous().view(torch.int32)
    few = batch <= FEW
    dtype = str(x.dtype).removeprefix("torch.")
    blocks = blocks or chosen(batch, dtype)
    options = constants(batch, bits, code, tile, dtype, blocks)
    options["ASM"] = x.device.type == "cuda" and torch.version.hip is None
    if not few:
        options["WIDEN"] = x.device.type == "cpu"
    table = _table(code, dtype, few, str(x.device))
    rows, columns = height // tile[0], width // tile[1]
    step = 32 * blocks.warps // options["EACH"] if few else options["ALONG_TILES"]
    across = rows if few else -(-rows // options["DOWN_TILES"]) * -(-batch // blocks.batch)
    part = -(-columns // min(max(1, blocks.programs // across), max(1, columns // (4 * step))))
    part = -(-part // step) * step
    parts = -(-columns // part)
    padded = options["BATCH"] if few else batch
    if few and padded != batch:
        flat = torch.nn.functional.pad(flat, (0, 0, 0, padded - batch))
    room = torch.empty((parts, padded, height), dtype=torch.float32, device=x.device)
    scales = scales.reshape(-1).to(torch.float32).contiguous()
    fused = {"num_warps": blocks.warps, "enable_fp_fusion": True}
    with torch.cuda.device(x.device) if x.device.type == "cuda" else nullcontext():
        if few:
            each = options["EACH"]
            _kernels.vector[(rows, parts)](
                flat, words, table, room, each * columns, each * part, width, **options, **fused
            )
        else:
            grid = (-(-rows // options["DOWN_TILES"]), -(-batch // blocks.batch), parts)
            _kernels.matrix[grid](
                flat, words, table, room, batch, rows, columns, part, **options, **fused
            )
        _kernels.finish[(-(-shape[0] // 256), batch)](
            room, scales, y, parts, padded, height, shape[0],
            EACH=len(scales) > 1, BLOCK=256, num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip
    return y.reshape(*x.shape[:-1], shape[0])


def chosen(batch: int, dtype: str) -> Blocks:
    """Return how a product with so many rows of inputs of a type is cut up."""
    if batch <= FEW:
        return FEW_ROWS
    if dtype == "float32":
        return SINGLE
    return next((blocks for most, blocks in MANY_ROWS.items() if batch <= most), MANY_ROWS[0])


def constants(
    batch: int, bits: float, code: str, tile: tuple[int, int], dtype: str, blocks: Blocks
) -> dict[str, Any]:
    """Return what a kernel is compiled for, ``ASM`` as on a GPU of NVIDIA."""
    shift = int(bits * trellis_codes.width(code))
    shared = {"SHIFT": shift, "COLUMNS": tile[1], "CODE": code, "ASM": True}
    narrow = dtype != "float32"
    if batch <= FEW:
        each = 2 if batch <= 2 else 4  # more weights a thread save loads; sums take registers
        return shared | {
            "BATCH": 1 << (batch - 1).bit_length(),
            "COUNT": int(8 * bits) // each,
            "EACH": each,
            "FOLD": code in AFFINE and (narrow or code != "mul1"),
            "NARROW": narrow,
            "THREADS": 32 * blocks.warps,
        }
    return shared | {
        "WORDS": int(8 * bits),
        "ROWS": tile[0],
        "RUN": _run(shift, trellis_codes.width(code)),
        "FOLD": code in AFFINE and dtype == "float16",
        "WIDEN": False,
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


def _checked(
    x: Any, qweight: Any, scales: Any, shape: tuple[int, int], bits: float, code: str,
    tile: tuple[int, int],
) -> tuple[int, int]:  # fmt: skip
    """Refuse what does not fit together; return the sizes of W with its padding."""
    if code not in trellis_codes.NAMES:
        names = ", ".join(trellis_codes.NAMES)
        raise ModelError(f"there is no trellis code {code!r}; use one of {names}")
    if tile not in TILES:
        raise ModelError(f"tile is {tile}; this product takes {' and '.join(map(str, TILES))}")
    if not 1 <= bits <= 8 or bits * trellis_codes.width(code) % 1:
        raise ModelError(
            f"bits is {bits}; use 1 to 8, whole, or of 'hyb' multiples of 1/2 a weight"
        )
    name = str(x.dtype)
    if name not in ("torch.float16", "torch.bfloat16", "torch.float32"):
        raise ModelError(f"x has type {name}; use float16, bfloat16 or float32")
    if x.ndim < 1 or x.shape[-1] != shape[1]:
        raise ModelError(f"x has shape {tuple(x.shape)}; its last size must be n = {shape[1]}")
    rows, columns = -(-shape[0] // tile[0]), -(-shape[1] // tile[1])
    wanted = (rows, int(columns * 32 * bits))
    if str(qweight.dtype) != "torch.uint8" or tuple(qweight.shape) != wanted:
        raise ModelError(
            f"qweight is {qweight.dtype} {tuple(qweight.shape)}; weights {shape} of {bits:g} bits "
            f"in tiles {tile} are uint8 {wanted}"
        )
    if scales.numel() not in (1, shape[0]):
        raise ModelError(f"there are {scales.numel()} scales; use 1 or m = {shape[0]}")
    return rows * tile[0], columns * tile[1]


def _whole_tiles(flat: Any, width: int) -> Any:
    """Inputs in a row, zeros behind them to the end of the last tile."""
    import torch

    if flat.shape[1] != width:
        return torch.nn.functional.pad(flat, (0, width - flat.shape[1]))
    flat = flat.contiguous()
    return flat if flat.data_ptr() % 16 == 0 else flat.clone()


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
