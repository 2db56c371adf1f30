"""A job's folder of work: what is done, for which job, and where the next block starts."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from quincunx._atomic import atomic_write
from quincunx._errors import FileFormatError, ModelError
from quincunx.compression.calibrate import Stream, shard_of
from quincunx.compression.ranks import SHARDS, Ranks

__all__ = ["Journal", "check_output", "write_tensors"]

NAME = "quincunx-journal.json"
LOCK = "quincunx-journal.lock"
FORMAT = 2
FROM_TORCH = MappingProxyType({"format": "pt"})


def check_output(output: Path) -> None:
    """Refuse a folder that holds something, or cannot be replaced by another.

    Raises:
        ModelError: it does, or is a file, a link, a mount or the working directory.
    """
    if output.name in ("", "..") or output.is_symlink() or os.path.ismount(output):
        raise ModelError(
            f"the output {str(output)!r} is a link, a mount or has no name of its own; give the "
            f"name of a new folder, as the work is done beside it and renamed in the end"
        )
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ModelError(
            f"{output} is there already and not empty; nothing was changed. Give another name, or "
            f"remove it first"
        )


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] = FROM_TORCH
) -> None:
    """Write a safetensors file, whole or not at all.

    Arguments:
        path: of the file.
        tensors: by name.
        metadata: one entry of the header; with more, their order would be left to chance.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        save_file(ready, aside, metadata=dict(metadata))  # straight from the tensors' memory
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a hash of tensors and their names."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{name} {tuple(plain.shape)} {plain.dtype}".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def _digest_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Journal:
    """The folder ``OUT.partial``, which becomes OUT.

    All that is read again when a job goes on has a hash: a file that changed meanwhile is refused.

    Attributes:
        folder: where.
        blocks: how many the model has.
        lock: held by the process that writes.
    """

    folder: Path
    blocks: int
    lock: FileLock

    @classmethod
    def open(
        cls, output: Path, blocks: int, fingerprint: Mapping[str, Any], ranks: Ranks
    ) -> Journal:
        """Begin a job, or go on with it.

        Raises:
            ModelError: the folder belongs to another job, or another process works in it.
            FileFormatError: its description is damaged.
        """
        folder = output.with_name(output.name + ".partial")
        journal = cls(folder, blocks, FileLock(folder / LOCK))
        if ranks.first:
            journal._begin(fingerprint)
        ranks.wait()
        return journal

    def close(self) -> None:
        """Let others work in the folder."""
        self.lock.release(force=True)

    def _begin(self, fingerprint: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps({"format": FORMAT, **fingerprint}))
        path = self.folder / NAME
        content = {p.name for p in self.folder.iterdir()} if self.folder.is_dir() else set()
        if content - {LOCK} and NAME not in content:
            raise ModelError(
                f"{self.folder} is there and holds no journal of ours; remove it, or give another "
                f"name for the output"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise ModelError(
                f"another process is at work in {self.folder}; wait for it, or give another name "
                f"for the output"
            ) from None
        for left in self.folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            left.unlink()
        if path.is_file():
            found = self._read(path, dict)
            other = [k for k in {**wanted, **found} if found.get(k) != wanted.get(k)]
            if other:
                raise ModelError(
                    f"{self.folder} holds the beginning of another job: "
                    f"{', '.join(_difference(k, found.get(k), wanted.get(k)) for k in other)}. "
                    f"Repeat that job's command to end it, or remove the folder to start anew"
                )
            return
        with atomic_write(path) as file:
            json.dump(wanted, file, indent=1)

    def _damaged(self, path: Path, why: object) -> FileFormatError:
        return FileFormatError(f"{path} is damaged ({why}); remove {self.folder} and start anew")

    def _read(self, path: Path, kind: type) -> Any:
        """Read JSON of a kind."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._damaged(path, error) from None
        if not isinstance(found, kind):
            raise self._damaged(path, f"it holds a {type(found).__name__}")
        return found

    def shard(self, number: int) -> Path:
        """Return the file of a block; the last is that of all other tensors."""
        return self.folder / f"model-{number + 1:05}-of-{self.blocks + 1:05}.safetensors"

    def state(self, block: int, shard: int) -> Path:
        """Return the file of a block's inputs."""
        return self.folder / f"inputs-{block:05}-{shard}.safetensors"

    def done(self) -> int:
        """Return how many blocks need not be done again, their files as they were written.

        Raises:
            FileFormatError: a file is damaged.
        """
        for block in range(self.blocks, 0, -1):
            states = all(self.state(block, shard).is_file() for shard in range(SHARDS))
            if states and all(self._notes(i).is_file() for i in range(block)):
                for done in range(block):
                    self.notes(done)
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
                written = {"sha256": _digest(tensors)}
                write_tensors(self.state(block, shard), tensors, written)
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
                path = self.state(block, shard)
                try:
                    with safe_open(path, "pt") as file:
                        # In memory of its own: products round differently where rows begin oddly.
                        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}
                        written = (file.metadata() or {}).get("sha256")
                except (SafetensorError, OSError) as error:
                    raise self._damaged(path, error) from None
                if written != _digest(tensors):
                    raise self._damaged(path, "its content does not have its hash")
                for key, hidden in tensors.items():
                    name, _, number = key.partition(".")
                    streams[name].hidden[int(number)] = hidden.to(device)
        return streams

    def _notes(self, block: int) -> Path:
        return self.folder / f"notes-{block:05}.json"

    def write_block(
        self, block: int, tensors: Mapping[str, torch.Tensor], notes: list[dict[str, Any]]
    ) -> None:
        """Keep a block's tensors, and notes of its layers."""
        write_tensors(self.shard(block), tensors)
        with atomic_write(self._notes(block)) as file:
            json.dump({"sha256": _digest_of_file(self.shard(block)), "layers": notes}, file)

    def notes(self, block: int) -> list[dict[str, Any]]:
        """Return what was noted of the layers of a block that is done.

        Raises:
            FileFormatError: its file is damaged, or that of the block's tensors.
        """
        path = self.shard(block)
        found = self._read(self._notes(block), dict)
        if set(found) != {"sha256", "layers"}:
            raise self._damaged(self._notes(block), "it lacks an entry")
        try:
            same = _digest_of_file(path) == found["sha256"]
        except OSError as error:
            raise self._damaged(path, error) from None
        if not same:
            raise self._damaged(path, "its content does not have its hash")
        return list(found["layers"])

    def finish(self, output: Path) -> None:
        """Give the folder its name, and remove what is of no use to others."""
        if output.is_dir():
            output.rmdir()
        os.replace(self.folder, output)
        for path in [*output.glob("inputs-*.safetensors"), *output.glob("notes-*.json")]:
            path.unlink()
        (output / NAME).unlink()
        self.close()
        (output / LOCK).unlink(missing_ok=True)


def _difference(name: str, found: Any, wanted: Any) -> str:
    """Say what differs, and how where that is short."""
    if name == "threads":
        return f"it ran with {found} threads, now there are {wanted} (OMP_NUM_THREADS sets them)"
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [k for k in {**found, **wanted} if found.get(k) != wanted.get(k)]
        return ", ".join(_difference(f"{name}: {k}", found.get(k), wanted.get(k)) for k in keys)
    if max(len(str(found)), len(str(wanted))) > 32:
        return f"{name} differs"
    return f"{name} was {found}, and is {wanted}"
