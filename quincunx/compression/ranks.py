"""Processes that share a job; one process is a job of one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["SHARDS", "OrderedSum", "Ranks", "ranks"]

SHARDS = 8  # parts of the calibration text, however many processes there are


@dataclass(frozen=True, slots=True)
class Ranks:
    """The number of this process, and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def owns(self, number: int) -> bool:
        """Whether a shard or a layer is this process's work."""
        return number % self.size == self.rank

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


class OrderedSum:
    """A sum over shards in their order, whoever has them: the same bits for any number of ranks.

    Attributes:
        zeros: float64 [size], to begin with; where there is one process, the sum so far.
    """

    def __init__(self, ranks: Ranks, size: int, device: torch.device) -> None:
        """Begin with zero.

        Arguments:
            ranks: who shares the work.
            size: of the shards' sums.
            device: of them.
        """
        self.zeros = torch.zeros(size, dtype=torch.float64, device=device)
        self._ranks = ranks
        self._parts: dict[int, torch.Tensor] = {}

    def add(self, shard: int, part: torch.Tensor) -> None:
        """Add a shard's sum; a process adds its shards in their order."""
        if self._ranks.size == 1:
            self.zeros += part  # nothing else need be kept
        else:
            self._parts[shard] = part

    def total(self) -> torch.Tensor:
        """Return the sum, to all processes."""
        if self._ranks.size == 1:
            return self.zeros
        found = torch.zeros_like(self.zeros)
        for shard in range(SHARDS):
            mine = self._parts.pop(shard, self.zeros) if self._ranks.owns(shard) else None
            found += self._ranks.share(mine, shard % self._ranks.size)
        return found


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
