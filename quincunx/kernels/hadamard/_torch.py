"""Gradients through compiled transforms, and through those on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from quincunx._errors import ModelError
from quincunx.kernels.hadamard._triton import product
from quincunx.kernels.hadamard.kronecker import Kronecker

__all__ = ["differentiable", "fused"]

TYPES = (torch.float16, torch.bfloat16, torch.float32)


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


class _Call(NamedTuple):
    """What :func:`fused` is called with, but for the inputs."""

    matrix: Kronecker
    transposed: bool
    before: Any
    divisor: Any
    after: Any
    bias: Any
    dtype: torch.dtype

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """The results for ``x`` [rows, n]."""
        return product(x, **self._asdict())

    def back(self, dtype: torch.dtype) -> _Call:
        """What takes gradients of the results to those of the inputs, in the inputs' type."""
        after = self.before
        if after is not None and len(after) != self.matrix.n:
            after = after.expand(self.matrix.n)
        if self.divisor is not None:
            after = (1 if after is None else after.to(torch.float32)) / self.divisor
        return _Call(self.matrix, not self.transposed, self.after, None, after, None, dtype)


class _Fused(torch.autograd.Function):  # type: ignore[misc]
    """A product whose gradient is that with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, call: _Call) -> torch.Tensor:
        ctx.call = call.back(x.dtype)
        return call.of(x.detach())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Fused.apply(gradient, ctx.call), None


def fused(
    x: torch.Tensor,
    matrix: Kronecker,
    transposed: bool,
    vectors: tuple[torch.Tensor | None, ...],
    dtype: torch.dtype | None,
) -> torch.Tensor:
    """Do what :func:`quincunx.kernels.hadamard.random_hadamard` says."""
    n, dtype = matrix.n, dtype or x.dtype
    if x.ndim < 1 or x.shape[-1] != n:
        raise ModelError(f"a transform of size {n} needs [..., {n}], not {tuple(x.shape)}")
    for given in (x.dtype, dtype):
        if given not in TYPES:
            raise ModelError(f"a fused transform has float16, bfloat16 or float32, not {given}")
    for place, vector in enumerate(vectors):
        if vector is None or (vector.shape == (n,) and vector.device == x.device):
            continue
        if place or vector.shape != (1,) or vector.device != x.device:
            raise ModelError(
                f"a vector has shape {tuple(vector.shape)} and lies on {vector.device}; a "
                f"transform of size {n} on {x.device} needs {(n,)} there"
            )
    rows = x if x.ndim == 2 else x.reshape(-1, n)
    graph = x.requires_grad and torch.is_grad_enabled()
    before, divisor, after, bias = (v.detach() if graph and v is not None else v for v in vectors)
    call = _Call(matrix, transposed, before, divisor, after, bias, dtype)
    y = _Fused.apply(rows, call) if graph else call.of(rows)
    return y if x.ndim == 2 else y.reshape(x.shape)
