"""A job's folder of work: what is done, for which job, and where the next block starts."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from quincunx._atomic import atomic_write
from quincunx._errors import FileFormatError, ModelError
from quincunx.compression.calibrate import Stream, shard_of
from quincunx.compression.ranks import SHARDS, Ranks

__all__ = ["Journal", "check_output", "write_tensors"]

NAME = "quincunx-journal.json"
FORMAT = 1


def check_output(output: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        ModelError: it does, or is a file.
    """
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ModelError(
            f"{output} is there already and not empty; nothing was changed. Give another name, or "
            f"remove it first"
        )


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a safetensors file, whole or not at all.

    Its header has one entry besides tensors: with more, their order would be left to chance.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        save_file(ready, aside, metadata={"format": "pt"})  # straight from the tensors' memory
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, slots=True)
class Journal:
    """The folder ``OUT.partial``, which becomes OUT.

    Attributes:
        folder: where.
        blocks: how many the model has.
    """

    folder: Path
    blocks: int

    @classmethod
    def open(
        cls, output: Path, blocks: int, fingerprint: Mapping[str, Any], ranks: Ranks
    ) -> Journal:
        """Begin a job, or go on with it.

        Raises:
            ModelError: the folder belongs to another job.
        """
        journal = cls(output.with_name(output.name + ".partial"), blocks)
        if ranks.first:
            journal._begin(fingerprint)
        ranks.wait()
        return journal

    def _begin(self, fingerprint: Mapping[str, Any]) -> None:
        wanted = {"format": FORMAT, **fingerprint}
        path = self.folder / NAME
        for left in self.folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            left.unlink()
        if path.is_file():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                found = {}
            wanted = json.loads(json.dumps(wanted))
            other = [k for k in {**wanted, **found} if found.get(k) != wanted.get(k)]
            if other:
                raise ModelError(
                    f"{self.folder} holds the beginning of another job: {', '.join(other)} differ. "
                    f"Repeat that job's command to end it, or remove the folder to start anew"
                )
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ModelError(
                f"{self.folder} is there and holds no journal of ours; remove it, or give another "
                f"name for the output"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            json.dump(wanted, file, indent=1)

    def shard(self, number: int) -> Path:
        """Return the file of a block; the last is that of all other tensors."""
        return self.folder / f"model-{number + 1:05}-of-{self.blocks + 1:05}.safetensors"

    def state(self, block: int, shard: int) -> Path:
        """Return the file of a block's inputs."""
        return self.folder / f"inputs-{block:05}-{shard}.safetensors"

    def done(self) -> int:
        """Return how many blocks need not be done again."""
        for block in range(self.blocks, 0, -1):
            states = all(self.state(block, shard).is_file() for shard in range(SHARDS))
            if states and all(self.shard(i).is_file() for i in range(block)):
                return block
        return 0

    def save_streams(self, block: int, streams: Mapping[str, Stream], ranks: Ranks) -> None:
        """Keep the inputs of a block, and forget those of the one before."""
        for shard in range(SHARDS):
            if ranks.owns(shard):
                tensors = {
                    f"{name}.{number}": hidden
                    for name, stream in streams.items()
                    for number, hidden in stream.hidden.items()
                    if shard_of(number, stream.count) == shard
                }
                write_tensors(self.state(block, shard), tensors)
        ranks.wait()
        if ranks.first and block:
            for shard in range(SHARDS):
                self.state(block - 1, shard).unlink(missing_ok=True)

    def load_streams(
        self, block: int, names: tuple[str, ...], count: int, ranks: Ranks, device: torch.device
    ) -> dict[str, Stream]:
        """Return the inputs of a block, as far as they are this process's.

        Raises:
            FileFormatError: a file is damaged.
        """
        streams = {name: Stream({}, count) for name in names}
        for shard in range(SHARDS):
            if ranks.owns(shard):
                try:
                    tensors = load_file(self.state(block, shard), device=str(device))
                except (SafetensorError, OSError) as error:
                    raise FileFormatError(
                        f"{self.state(block, shard)} is damaged ({error}); remove {self.folder} "
                        f"and start anew"
                    ) from None
                for key, hidden in tensors.items():
                    name, _, number = key.partition(".")
                    # In memory of its own: products round differently where rows begin oddly.
                    streams[name].hidden[int(number)] = hidden.clone()
        return streams

    def _notes(self, block: int) -> Path:
        return self.folder / f"notes-{block:05}.json"

    def write_block(
        self, block: int, tensors: Mapping[str, torch.Tensor], notes: list[dict[str, Any]]
    ) -> None:
        """Keep a block's tensors, and notes of its layers."""
        with atomic_write(self._notes(block)) as file:
            json.dump(notes, file)
        write_tensors(self.shard(block), tensors)

    def notes(self, block: int) -> list[dict[str, Any]]:
        """Return what was noted of the layers of a block that is done.

        Raises:
            FileFormatError: its file is damaged.
        """
        try:
            return list(json.loads(self._notes(block).read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{self._notes(block)} is damaged ({error}); remove {self.folder} and start anew"
            ) from None

    def finish(self, output: Path) -> None:
        """Give the folder its name, and remove what is of no use to others."""
        if output.is_dir():
            output.rmdir()
        os.replace(self.folder, output)
        for path in [*output.glob("inputs-*.safetensors"), *output.glob("notes-*.json")]:
            path.unlink()
        (output / NAME).unlink()
