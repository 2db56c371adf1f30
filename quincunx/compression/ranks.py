"""Processes that share a job; one process is a job of one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["SHARDS", "Ranks", "ranks"]

SHARDS = 8  # parts of the calibration text, however many processes there are


@dataclass(frozen=True, slots=True)
class Ranks:
    """The number of this process, and how many there are.

    Sums are the same whatever the number: each shard of the text is added up by itself, and the
    sums of shards are added in their order.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Whether a shard or a layer is this process's work."""
        return number % self.size == self.rank

    def sum_in_order(self, shards: list[torch.Tensor | None]) -> torch.Tensor:
        """Add up shards, of which this process has its own; all of one shape and type."""
        total: torch.Tensor | None = None
        for number, shard in enumerate(shards):
            part = self.share(shard, number % self.size)
            total = part.clone() if total is None else total.add_(part)
        assert total is not None
        return total

    def share(self, tensor: torch.Tensor | None, owner: int) -> torch.Tensor:
        """Send a tensor from its owner to all; others need not know its shape."""
        if self.size == 1:
            assert tensor is not None
            return tensor
        import torch.distributed as dist

        facts: list[Any] = [None]
        if tensor is not None:
            facts = [(tuple(tensor.shape), tensor.dtype, tensor.device.type)]
        dist.broadcast_object_list(facts, src=owner)
        assert facts[0] is not None
        shape, dtype, place = facts[0]
        if self.rank == owner:
            assert tensor is not None
            sent = tensor.contiguous()
        else:
            device = "cpu" if place == "cpu" else torch.cuda.current_device()
            sent = torch.empty(shape, dtype=dtype, device=device)
        dist.broadcast(sent, src=owner)
        return sent

    def wait(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            import torch.distributed as dist

            dist.barrier()


def ranks() -> Ranks:
    """Join the processes that ``torchrun`` started, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks()
    import torch.distributed as dist

    if not dist.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if backend == "nccl":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group(backend)
    return Ranks(dist.get_rank(), dist.get_world_size())
