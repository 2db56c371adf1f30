"""A model's decoder blocks, run one at a time on what came out of the one before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from quincunx._errors import ModelError

__all__ = [
    "Batches",
    "Stage",
    "captured",
    "is_linear",
    "linears",
    "run_block",
    "stages",
    "watched",
]


@dataclass(slots=True)
class Batches:
    """The hidden states between two blocks, and what the model gives its blocks besides.

    Attributes:
        hidden: of each micro-batch [b, C, d], float32.
        inputs: of each block, and for each size of micro-batch, its further arguments.
    """

    hidden: list[torch.Tensor]
    inputs: list[dict[int, tuple[tuple[Any, ...], dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers of a block that can be rounded at once: none feeds another.

    Attributes:
        groups: names of layers with the same inputs; the first stands for all.
        cold: whether some of the groups had no input on the first micro-batch.
    """

    groups: tuple[tuple[str, ...], ...]
    cold: bool = False


class _Stop(Exception):
    """Nothing after this point of a forward pass is of interest."""


class _Recorder(torch.nn.Module):
    """Stands where a block stood, and notes its arguments."""

    def __init__(self, block: torch.nn.Module, tuples: bool, last: bool) -> None:
        super().__init__()
        self.__dict__["block"] = block
        self.tuples, self.last = tuples, last
        self.seen: Any = None

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["block"], name)

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self.seen = (hidden, args, kwargs)
        if self.last:
            raise _Stop
        return (hidden,) if self.tuples else hidden


def captured(
    model: torch.nn.Module, blocks: torch.nn.ModuleList, ids: Sequence[torch.Tensor]
) -> Batches:
    """Run what comes before the first block.

    Arguments:
        model: whose embeddings are in memory; its blocks need not be.
        blocks: the list within the model.
        ids: token ids of each micro-batch [b, C].
    """
    hidden: list[torch.Tensor] = []
    inputs: list[dict[int, Any]] = [{} for _ in blocks]
    originals = list(blocks)
    try:
        for tuples in (False, True):
            recorders = [_Recorder(b, tuples, b is originals[-1]) for b in originals]
            for place, recorder in enumerate(recorders):
                blocks[place] = recorder
            try:
                hidden = _record(model, recorders, ids, inputs)
                break
            except (RuntimeError, IndexError, ValueError, TypeError):
                if tuples:
                    raise
    finally:
        for place, block in enumerate(originals):
            blocks[place] = block
    return Batches(hidden, inputs)


@torch.no_grad()
def _record(
    model: torch.nn.Module,
    recorders: Sequence[_Recorder],
    ids: Sequence[torch.Tensor],
    inputs: list[dict[int, Any]],
) -> list[torch.Tensor]:
    found = []
    for batch in ids:
        try:
            model(input_ids=batch, use_cache=False)
        except _Stop:
            pass
        shape = recorders[0].seen[0].shape
        for place, recorder in enumerate(recorders):
            if recorder.seen[0].shape != shape:
                raise ValueError("blocks return tuples")
            inputs[place].setdefault(len(batch), recorder.seen[1:])
        found.append(recorders[0].seen[0].to(torch.float32).clone())
    return found


def run_block(block: torch.nn.Module, hidden: torch.Tensor, inputs: dict[int, Any]) -> torch.Tensor:
    """Return what a block makes of a micro-batch [b, C, d]."""
    args, kwargs = inputs[len(hidden)]
    out = block(hidden, *args, **kwargs)
    return out[0] if isinstance(out, tuple) else out


def is_linear(module: torch.nn.Module) -> bool:
    """Say whether a module is ``y = W x + b``, also GPT-2's with its transposed weights."""
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"


def linears(block: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Return the linear layers of a block by name, in the order of definition."""
    return {name: module for name, module in block.named_modules() if is_linear(module)}


@contextmanager
def _hooks(
    layers: dict[str, torch.nn.Module], see: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: see(name, args[0]))
        for name, module in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def stages(
    block: torch.nn.Module, names: Sequence[str], hidden: torch.Tensor, inputs: dict[int, Any]
) -> list[Stage]:
    """Find out which layers share their inputs, and in which order layers run.

    Arguments:
        block: in memory.
        names: of the layers that are to be rounded.
        hidden: a micro-batch.
        inputs: further arguments of the block.
    """
    layers = {name: block.get_submodule(name) for name in names}
    seen: list[tuple[str, torch.Tensor]] = []
    with _hooks(layers, lambda name, x: seen.append((name, x))):
        run_block(block, hidden, inputs)
    groups: list[list[str]] = []
    places: dict[tuple[int, int, torch.Size], int] = {}
    for name, x in seen:
        key = (x.data_ptr(), x.storage_offset(), x.shape)
        if any(name in group for group in groups):
            raise ModelError(f"the layer {name} runs twice in a block; leave it out with --skip")
        if key in places and x.numel():
            groups[places[key]].append(name)
        else:
            places[key] = len(groups)
            groups.append([name])
    never = [name for name in names if all(name not in group for group in groups)]
    # Experts are alike but for their number, and rounded together.
    merged: dict[str, list[tuple[str, ...]]] = {}
    for group in [*groups, *([name] for name in never)]:
        pattern = re.sub(r"(?<=\.)\d+(?=\.)", "*", group[0])
        if never and group[0] in never and "up_proj" in pattern:
            twin = pattern.replace("up_proj", "gate_proj")
            partner = (group[0].replace("up_proj", "gate_proj"),)
            if partner in merged.get(twin, []):
                merged[twin][merged[twin].index(partner)] = (*partner, group[0])
                continue
        merged.setdefault(pattern, []).append(tuple(group))
    return [
        Stage(tuple(same), cold=any(group[0] in never for group in same))
        for same in merged.values()
    ]


@torch.no_grad()
def watched(
    block: torch.nn.Module,
    firsts: Sequence[str],
    hidden: torch.Tensor,
    inputs: dict[int, Any],
    see: Callable[[str, torch.Tensor], None],
) -> None:
    """Run a block on a micro-batch as far as the inputs of some layers, and show these.

    Arguments:
        block: in memory.
        firsts: names of layers.
        hidden: [b, C, d].
        inputs: further arguments of the block.
        see: takes a name and inputs [tokens, n].
    """
    left = set(firsts)

    def note(name: str, x: torch.Tensor) -> None:
        see(name, x.reshape(-1, x.shape[-1]))
        left.discard(name)
        if not left:
            raise _Stop

    with _hooks({name: block.get_submodule(name) for name in firsts}, note):
        try:
            run_block(block, hidden, inputs)
        except _Stop:
            pass


class _Given(torch.nn.Module):
    """Stands where a block stood, and returns what it was told to."""

    def __init__(self, block: torch.nn.Module, hidden: torch.Tensor, tuples: bool) -> None:
        super().__init__()
        self.__dict__["block"] = block
        self.hidden, self.tuples = hidden, tuples

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["block"], name)

    def forward(self, *_: Any, **__: Any) -> Any:
        return (self.hidden,) if self.tuples else self.hidden


def tail_of(
    model: torch.nn.Module, blocks: torch.nn.ModuleList, hidden: torch.Tensor
) -> torch.Tensor:
    """Return the logits that a model makes of the last block's outputs [b, C, d]."""
    originals = list(blocks)
    ids = torch.zeros(hidden.shape[:2], dtype=torch.int64, device=hidden.device)
    try:
        for tuples in (False, True):
            for place, block in enumerate(originals):
                blocks[place] = _Given(block, hidden, tuples)
            try:
                logits = model(input_ids=ids, use_cache=False).logits
                if logits.shape[:2] == hidden.shape[:2]:
                    return logits
            except (RuntimeError, IndexError, ValueError, TypeError):
                if tuples:
                    raise
    finally:
        for place, block in enumerate(originals):
            blocks[place] = block
    raise ModelError("the model's blocks return neither hidden states nor a tuple of them")
