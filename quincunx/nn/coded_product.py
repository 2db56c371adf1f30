"""A product straight from codes, where that is faster than decoding the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quincunx.kernels.e8p_matmul import e8p_matmul
from quincunx.kernels.few_rows import MOST_ROWS
from quincunx.kernels.gpu_parts import Blocks
from quincunx.kernels.grid_matmul import grid_matmul
from quincunx.kernels.select import launches
from quincunx.kernels.trellis_matmul import trellis_matmul

if TYPE_CHECKING:
    from quincunx.nn.quantized_linear import Coding

__all__ = ["coded_product"]


def coded_product(
    x: torch.Tensor,
    qweight: torch.Tensor,
    coding: Coding,
    shape: tuple[int, int],
    blocks: Blocks | None = None,
) -> torch.Tensor | None:
    """Return ``x W~'`` without scales, or None where the weights are to be decoded.

    They are on a processor if there are more than a few rows of inputs, and where there is neither
    a processor's memory nor a GPU that Triton serves.

    Arguments:
        x: [..., n]; float32, or on a GPU also of 16 bits.
        qweight: uint8 [rows of tiles, bytes].
        coding: how the codes are written.
        shape: (m, n).
        blocks: how a GPU's work is cut up; None: by the shape.

    Returns:
        float32 [..., m].
    """
    rows = x.numel() // shape[1]
    few = x.device.type == "cpu" and 1 <= rows <= MOST_ROWS
    if x.device != qweight.device or not (few or launches(x)):
        return None
    flat = x.reshape(rows, shape[1])
    if coding.codebook == "grid":
        y = grid_matmul(flat, qweight, shape, bits=int(coding.bits), blocks=blocks)
    elif coding.codebook == "e8p":
        stages = coding.points(1.0).stages if coding.bits > 2 else None
        ratio = 1.0 if stages is None else stages.ratio
        y = e8p_matmul(flat, qweight, shape, bits=int(coding.bits), ratio=ratio, blocks=blocks)
    else:
        y = trellis_matmul(
            flat, qweight, shape, bits=coding.bits, code=coding.code, tile=coding.tile,
            blocks=blocks,
        )  # fmt: skip
    return torch.as_tensor(y).reshape(*x.shape[:-1], shape[0])
