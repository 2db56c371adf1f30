"""What holds for a whole compression, and how far it is."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from quincunx._errors import ModelError
from quincunx.compression.blocks import captured, linears
from quincunx.compression.calibrate import MICRO, Stream, shard_of
from quincunx.compression.layer import weights_of
from quincunx.compression.ranks import Ranks
from quincunx.compression.recipe import QuantizeRecipe

__all__ = ["Job", "Progress", "matches", "patterns", "start_streams"]

NARROW = 16  # a layer with fewer outputs, such as a gate, stays as it is


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        weights: rounded so far.
        total: to be rounded.
        doing: in a few words.
    """

    weights: int
    total: int
    doing: str


@dataclass(slots=True)
class Job:
    """What holds for all blocks.

    Attributes:
        recipe: how.
        bits: by the name of a layer, or a number for all.
        seed: of transforms.
        include: patterns of names of layers; none: all.
        skip: patterns of names that are left as they are.
        prefix: the path of the blocks, with a point.
        kept: endings of matrices that stay as they are.
        device: where the work is done.
        ranks: who shares it.
        report: takes the progress.
        total: weights to be rounded.
        finished: weights rounded.
        outer: output Hessians by the number of the block and the layer's name in it.
        seconds: that parts of the work took.
    """

    recipe: QuantizeRecipe
    bits: float | Mapping[str, float]
    seed: int
    include: tuple[str, ...]
    skip: tuple[str, ...]
    prefix: str
    kept: tuple[str, ...]
    device: torch.device
    ranks: Ranks
    report: Callable[[Progress], None] | None = None
    total: int = 0
    finished: int = 0
    outer: Mapping[tuple[int, str], torch.Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def bits_of(self, name: str) -> float:
        """Return the bits of a layer."""
        return self.bits if isinstance(self.bits, (int, float)) else self.bits[name]

    def wanted(self, name: str, layer: torch.nn.Module) -> bool:
        """Say whether a layer is to be rounded."""
        if any(matches(name, pattern) for pattern in self.skip):
            return False
        if self.include and not any(matches(name, pattern) for pattern in self.include):
            return False
        return weights_of(layer).shape[0] >= NARROW and not any(
            (name + ".weight").endswith(ending) for ending in self.kept
        )

    def names(self, number: int, block: torch.nn.Module) -> list[str]:
        """Return the layers of a block that are to be rounded, by their names in the block."""
        start = f"{self.prefix}{number}."
        return [name for name, layer in linears(block).items() if self.wanted(start + name, layer)]

    def say(self, doing: str) -> None:
        """Report progress."""
        if self.report is not None and self.ranks.first:
            self.report(Progress(self.finished, self.total, doing))

    def clock(self, what: str, began: float) -> None:
        """Add to the time that something took."""
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - began


def matches(name: str, pattern: str) -> bool:
    """Say whether a pattern is the name, the end of it after a point, or fits it."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, "*." + pattern)


def patterns(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return patterns; one may be given by itself.

    Raises:
        ModelError: they are no strings.
    """
    found = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(pattern, str) for pattern in found):
        raise ModelError(f"include and skip are patterns of layers' names, not {given!r}")
    return found


def start_streams(
    model: torch.nn.Module, blocks: torch.nn.ModuleList, ids: torch.Tensor, job: Job
) -> tuple[Stream, list[dict[int, Any]]]:
    """Run the embeddings on this process's part of the text."""
    batches = list(ids.split(MICRO))
    mine = [n for n in range(len(batches)) if job.ranks.owns(shard_of(n, len(batches)))]
    # Every process needs the blocks' further arguments, also for a size that only others have.
    sizes = {len(batches[n]): n for n in [*range(len(batches)), *mine]}
    extra = [n for n in sizes.values() if n not in mine]
    found = captured(model, blocks, [batches[n].to(job.device) for n in [*mine, *extra]])
    return Stream(dict(zip(mine, found.hidden, strict=False)), len(batches)), found.inputs
