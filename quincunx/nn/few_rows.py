"""A layer's product straight from its codes, where that is faster than decoding the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quincunx.kernels.e8p_matmul import e8p_matmul
from quincunx.kernels.few_rows import MOST_ROWS
from quincunx.kernels.grid_matmul import grid_matmul
from quincunx.kernels.trellis_matmul import trellis_matmul

if TYPE_CHECKING:
    from quincunx.nn.quantized_linear import QuantizedLinear

__all__ = ["few_rows"]


def few_rows(layer: QuantizedLinear, x: torch.Tensor) -> torch.Tensor | None:
    """Return ``x W~'`` without scales, or None where the weights are to be decoded.

    They are where they are held already, with more than a few rows, not on the processor, or if a
    gradient flows.

    Arguments:
        layer: of codes.
        x: float32 [..., n].
    """
    rows, gradient = x.numel() // layer.in_features, torch.is_grad_enabled() and x.requires_grad
    if layer._held is not None or gradient or not 1 <= rows <= MOST_ROWS or x.device.type != "cpu":
        return None
    coding, packed = layer.coding, layer.qweight.data
    if packed.device.type != "cpu":
        return None
    shape, flat = (layer.out_features, layer.in_features), x.reshape(rows, layer.in_features)
    if coding.codebook == "grid":
        y = grid_matmul(flat, packed, shape, bits=int(coding.bits))
    elif coding.codebook == "e8p":
        stages = coding.points(1.0).stages if coding.bits > 2 else None
        ratio = 1.0 if stages is None else stages.ratio
        y = e8p_matmul(flat, packed, shape, bits=int(coding.bits), ratio=ratio)
    else:
        y = trellis_matmul(
            flat, packed, shape, bits=coding.bits, code=coding.code, tile=coding.tile
        )
    return torch.as_tensor(y).reshape(*x.shape[:-1], layer.out_features)
