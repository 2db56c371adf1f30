"""Second moments of what layers are given, from calibration text in fixed shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from quincunx._errors import ModelError
from quincunx.compression.blocks import run_block, watched
from quincunx.compression.memory import give_back
from quincunx.compression.ranks import SHARDS, OrderedSum, Ranks
from quincunx.nn.quantized_linear import decoded

__all__ = ["MICRO", "Stream", "check_ids", "moments", "shard_of"]

MICRO = 4  # samples of a micro-batch


def check_ids(ids: torch.Tensor, config: Any) -> None:
    """Refuse token ids that a model does not have.

    Raises:
        ModelError: there are such.
    """
    size = int(config.vocab_size)
    least, most = int(ids.min()), int(ids.max())
    if least < 0 or most >= size:
        raise ModelError(
            f"token ids go from {least} to {most}; the model's are 0 to {size - 1}. Take the "
            f"model's own tokenizer"
        )


def shard_of(number: int, count: int) -> int:
    """Return the shard of a micro-batch: neighbours share one, whatever the number of ranks."""
    return number * SHARDS // count


@dataclass(slots=True)
class Stream:
    """One process's part of the hidden states between two blocks.

    Attributes:
        hidden: by the number of the micro-batch, [b, C, d].
        count: micro-batches of all processes.
    """

    hidden: dict[int, torch.Tensor]
    count: int

    def shards(self) -> dict[int, list[int]]:
        """Return the numbers of this process's micro-batches by shard."""
        found: dict[int, list[int]] = {}
        for number in sorted(self.hidden):
            found.setdefault(shard_of(number, self.count), []).append(number)
        return found

    @torch.no_grad()
    def advance(self, block: torch.nn.Module, inputs: dict[int, Any]) -> None:
        """Replace hidden states by what a block makes of them."""
        with decoded(block):
            for number in sorted(self.hidden):
                found = run_block(block, self.hidden[number], inputs)
                self.hidden[number] = found.to(torch.float32)


def moments(
    block: torch.nn.Module,
    firsts: Sequence[str],
    stream: Stream,
    inputs: dict[int, Any],
    ranks: Ranks,
) -> dict[str, tuple[torch.Tensor, int]]:
    """Return the mean second moments ``E[x x']`` [n, n] of layers' inputs, and the tokens seen.

    Added up in float64, each shard by itself and the shards in their order, so that the number of
    processes changes no bit.

    Arguments:
        block: in memory.
        firsts: names of layers in it.
        stream: inputs of the block.
        inputs: its further arguments.
        ranks: who shares the work.
    """
    widths = {name: _width(block.get_submodule(name)) for name in firsts}
    device = next(iter(stream.hidden.values())).device if stream.hidden else torch.device("cpu")
    # The last entry counts tokens.
    sums = {name: OrderedSum(ranks, n * n + 1, device) for name, n in widths.items()}
    with decoded(block):
        for shard, numbers in stream.shards().items():
            parts = {name: torch.zeros_like(each.zeros) for name, each in sums.items()}

            def see(name: str, x: torch.Tensor, parts: dict[str, torch.Tensor] = parts) -> None:
                wide, n = x.to(torch.float64), widths[name]
                parts[name][:-1].view(n, n).addmm_(wide.T, wide)
                parts[name][-1] += len(wide)

            for number in numbers:
                watched(block, firsts, stream.hidden[number], inputs, see)
            for name in firsts:
                sums[name].add(shard, parts.pop(name))
            give_back()
    found = {}
    for name, n in widths.items():
        total = sums.pop(name).total()
        tokens = int(total[-1])
        found[name] = (total[:-1].view(n, n).div_(max(tokens, 1)), tokens)
    return found


def _width(layer: torch.nn.Module) -> int:
    """Return how many inputs a linear layer has."""
    if type(layer).__name__ == "Conv1D":
        return int(layer.weight.shape[0])
    return int(layer.in_features)
