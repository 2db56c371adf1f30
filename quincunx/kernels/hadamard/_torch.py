"""Gradients through compiled transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["differentiable"]


class _Symmetric(torch.autograd.Function):  # type: ignore[misc]
    """A product with a symmetric matrix, whose gradient is the same product."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, product: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        ctx.product = product
        return product(x.detach().clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Symmetric.apply(gradient, ctx.product), None


def differentiable(
    product: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """Multiply by a symmetric matrix so that gradients pass, also those of gradients.

    Arguments:
        product: works in place, on contiguous memory.
        x: is left as it is.
    """
    return _Symmetric.apply(x, product)
