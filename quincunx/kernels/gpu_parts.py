"""How products with coded weights on a GPU are cut up, and what all of them ask of arguments."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quincunx._errors import ModelError
from quincunx.kernels.kept import kept

FEW = 8  # rows of inputs up to which tensor cores would be mostly idle


class Blocks(NamedTuple):
    """How a product is cut up."""

    warps: int
    height: int  # rows of W of a program
    along: int  # columns of W at a time, for tensor cores
    batch: int  # rows of inputs
    programs: int  # at least, where the shape allows: what the sum over n is split for


HOPPER, BLACKWELL = 90, 100  # the architectures sm_90 and sm_100
MANY_ROWS = {  # by rows of inputs, up to; of Hopper, as measured on an H200, but for 32
    16: Blocks(warps=4, height=128, along=64, batch=16, programs=528),
    32: Blocks(warps=4, height=128, along=64, batch=32, programs=528),
    64: Blocks(warps=4, height=128, along=64, batch=64, programs=264),
    128: Blocks(warps=8, height=128, along=64, batch=128, programs=264),
    0: Blocks(warps=4, height=64, along=64, batch=256, programs=264),
}
OTHERS = {  # elsewhere, where larger blocks would spill registers
    16: Blocks(warps=4, height=64, along=64, batch=16, programs=264),
    32: Blocks(warps=4, height=64, along=64, batch=32, programs=264),
    64: Blocks(warps=4, height=64, along=64, batch=64, programs=264),
    0: Blocks(warps=8, height=128, along=64, batch=128, programs=132),
}
# Three products each: larger blocks spill registers, and want more shared memory than sm_89 has.
SINGLE = Blocks(warps=4, height=64, along=32, batch=32, programs=264)


def many(batch: int, dtype: str, architecture: int = HOPPER) -> Blocks:
    """Return how a product with so many rows of inputs is cut up for tensor cores.

    Arguments:
        batch: rows of inputs.
        dtype: theirs.
        architecture: of the GPU, 90 for sm_90.
    """
    if dtype == "float32":
        return SINGLE if architecture < BLACKWELL else SINGLE._replace(batch=16)
    return fitting(MANY_ROWS, batch, architecture)


def fitting(sizes: dict[int, Blocks], batch: int, architecture: int) -> Blocks:
    """Return sizes for so many rows of inputs, of Hopper's by rows up to, or of the others'."""
    sizes = sizes if HOPPER <= architecture < BLACKWELL else OTHERS
    return next((blocks for most, blocks in sizes.items() if batch <= most), sizes[0])


def architecture_of(device: Any) -> int:
    """Return 90 for sm_90; for Triton's interpreter on the processor as well."""
    import torch

    if device.type != "cuda" or torch.version.hip is not None:
        return HOPPER
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * int(major) + int(minor)


def bucket(batch: int) -> int:
    """Return the number of rows that stands for ``batch`` when block sizes are remembered."""
    return min(1 << (batch - 1).bit_length(), 256)


def beside(x: Any) -> AbstractContextManager[Any]:
    """Return what makes a tensor's device the current one, as launches want it."""
    import torch

    if x.device.type != "cuda" or x.device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(x.device)  # type: ignore[no-any-return]


def unscaled(device: str) -> Any:
    """Return a scale of 1 on a device."""
    return kept(_one, (), None, device)


def _one() -> NDArray[np.float32]:
    return np.ones(1, dtype=np.float32)


def narrowed(x: Any) -> Any:
    """Return inputs in a type that kernels take: float64 becomes float32."""
    return x.float() if x.dtype.itemsize == 8 else x


def part_of(length: int, across: int, step: int, programs: int) -> int:
    """Return how much of a sum of some length a program has, whole steps of it.

    Arguments:
        length: of the sum.
        across: programs that are needed anyway.
        step: of a program's loop; a program has four or more where the sum is long enough.
        programs: that are wanted.
    """
    part = -(-length // min(max(1, programs // across), max(1, length // (4 * step))))
    return -(-part // step) * step


def check_inputs(x: Any, scales: Any, shape: tuple[int, int]) -> None:
    """Refuse inputs and scales that do not fit weights of a shape.

    Raises:
        ModelError: says what was given and what is wanted.
    """
    name = str(x.dtype)
    if name not in ("torch.float16", "torch.bfloat16", "torch.float32"):
        raise ModelError(f"x has type {name}; use float16, bfloat16 or float32")
    if x.ndim < 1 or x.shape[-1] != shape[1]:
        raise ModelError(f"x has shape {tuple(x.shape)}; its last size must be n = {shape[1]}")
    if scales.numel() not in (1, shape[0]):
        raise ModelError(f"there are {scales.numel()} scales; use 1 or m = {shape[0]}")


def in_a_row(flat: Any, width: int) -> Any:
    """Inputs [b, n] one after the other from an address of 16 bytes, with zeros up to a width."""
    import torch

    if flat.shape[1] != width:
        return torch.nn.functional.pad(flat, (0, width - flat.shape[1]))
    flat = flat.contiguous()
    return flat if flat.data_ptr() % 16 == 0 else flat.clone()
