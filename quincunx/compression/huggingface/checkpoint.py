"""Model folders: read tensor by tensor, and written as quantized models."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from quincunx._errors import FileFormatError, ModelError
from quincunx.compression.huggingface.architectures import Family, family_of
from quincunx.nn.experts import Experts

__all__ = ["Checkpoint", "local", "open_checkpoint", "separate_experts"]

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
TRAVEL = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "LICENSE",
    "LICENSE.txt",
    "USE_POLICY.md",
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model folder with weights in safetensors.

    Attributes:
        folder: where.
        config: of transformers.
        family: where blocks are.
        files: of each tensor, the file that holds it.
    """

    folder: Path
    config: Any
    family: Family
    files: Mapping[str, Path]

    def tokenizer(self) -> Any:
        """Load the tokenizer.

        Raises:
            FileFormatError: there is none.
        """
        try:
            return AutoTokenizer.from_pretrained(self.folder)
        except (OSError, ValueError) as error:
            raise FileFormatError(
                f"{self.folder} has no tokenizer that transformers can load ({_first(error)}); "
                f"add its files, or give token ids in the place of texts"
            ) from None

    def skeleton(self) -> torch.nn.Module:
        """Make the model with parameters on the meta device, experts cut apart."""
        with _no_parameters():
            model = AutoModelForCausalLM.from_config(self.config, dtype=torch.float32)
        separate_experts(model, self.family, Experts.like)
        self._check_complete(model)
        return model.eval()

    def _check_complete(self, model: torch.nn.Module) -> None:
        """Refuse a folder that lacks tensors of the model.

        Raises:
            FileFormatError: it does.
        """
        names: dict[int, list[str]] = {}  # of one parameter; tied ones have several
        for name, parameter in model.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        lost = [some[0] for some in names.values() if all(self.find(n) is None for n in some)]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise FileFormatError(
                f"{self.folder} has no tensor {lost[0]}{more}; the checkpoint is not complete, or "
                f"does not fit its config.json"
            )

    def names_in_file(self, name: str) -> Iterator[str]:
        """Return what a tensor of the model may be called in files, likeliest first."""
        yield name
        prefix, _, rest = name.partition(self.family.blocks + ".")
        if rest and not prefix:
            number, _, inner = rest.partition(".")
            for ours, theirs in self.family.renamed:
                start, _, end = ours.partition("{e}")
                if inner.startswith(start) and (not end or end in inner[len(start) :]):
                    expert = inner[len(start) :].partition(".")[0]
                    new = inner.replace(
                        ours.replace("{e}", expert), theirs.replace("{e}", expert), 1
                    )
                    yield f"{self.family.blocks}.{number}.{new}"
        base = self.family.blocks.partition(".")[0] + "."
        if name.startswith(base):
            yield name[len(base) :]

    def find(self, name: str) -> str | None:
        """Return the name in the files of a tensor of the model, or None."""
        return next((n for n in self.names_in_file(name) if n in self.files), None)

    def tensor(self, name: str) -> torch.Tensor:
        """Read a tensor of the model.

        Raises:
            FileFormatError: it is missing, or its file is damaged.
        """
        stored = self.find(name)
        if stored is None:
            raise FileFormatError(
                f"{self.folder} has no tensor {name}; the checkpoint is not complete, or does "
                f"not fit its config.json"
            )
        try:
            with safe_open(self.files[stored], "pt") as file:
                return file.get_tensor(stored).clone()  # in memory of its own, not the file's
        except (SafetensorError, OSError) as error:
            raise FileFormatError(
                f"{self.files[stored]} cannot be read ({_first(error)}); download it again"
            ) from None

    def fill(self, module: torch.nn.Module, prefix: str) -> None:
        """Read all tensors of a module that are not there, as float32.

        Arguments:
            module: with parameters on the meta device.
            prefix: its name in the model, with the point at the end, or "".
        """
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_meta:
                owner, _, leaf = name.rpartition(".")
                found = self.tensor(prefix + name)
                if found.shape != tensor.shape:
                    raise FileFormatError(
                        f"{self.folder}: {prefix + name} has shape {tuple(found.shape)}, and "
                        f"config.json asks for {tuple(tensor.shape)}"
                    )
                if found.is_floating_point():
                    found = found.to(torch.float32)
                holder = module.get_submodule(owner)
                if leaf in holder._parameters:
                    holder._parameters[leaf] = torch.nn.Parameter(found, requires_grad=False)
                else:
                    holder._buffers[leaf] = found

    def copy_extras(self, folder: Path) -> None:
        """Copy tokenizer, chat template, generation settings and licence."""
        for name in TRAVEL:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, folder / name)


def separate_experts(model: torch.nn.Module, family: Family, make: Any) -> None:
    """Replace fused experts in all blocks by layers of their own, made by ``make``."""
    if family.experts is None:
        return
    for block in model.get_submodule(family.blocks):
        try:
            fused = block.get_submodule(family.experts)
        except AttributeError:
            continue  # a dense block among others
        if not isinstance(fused, Experts):
            block.set_submodule(family.experts, make(fused))


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a model folder, or one of the hub, which is downloaded first.

    Raises:
        FileNotFoundError: there is no such folder, nor a model of that name on the hub.
        FileFormatError: it is no model folder, or has no weights in safetensors.
        ModelError: it is quantized already, or of an unknown family.
    """
    folder = local(path)
    if not (folder / "config.json").is_file():
        raise FileFormatError(f"{folder} is no model folder: it has no config.json")
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "quantization_config" in raw:
            method = (raw["quantization_config"] or {}).get("quant_method", "an unknown method")
            raise ModelError(
                f"{folder} is quantized already (by {method}); give the original model"
            )
        config = AutoConfig.from_pretrained(folder)
    except (ValueError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        raise FileFormatError(f"{folder}/config.json cannot be read: {_first(error)}") from None
    return Checkpoint(folder, config, family_of(config.model_type), _files(folder))


def local(path: str | Path) -> Path:
    """Return a model's folder; a name such as ``owner/model`` is looked up on the hub.

    Raises:
        FileNotFoundError: there is neither.
    """
    folder = Path(path)
    if folder.exists():
        return folder
    where = f"there is no folder {folder}"
    if not HUB_NAME.fullmatch(str(path)):
        raise FileNotFoundError(f"{where}; give one with config.json and model.safetensors")
    from huggingface_hub import snapshot_download

    try:
        wanted = [*TRAVEL, "*.json", "*.safetensors"]
        return Path(snapshot_download(str(path), allow_patterns=wanted))
    except Exception as error:  # of many kinds: no network, no such model, no permission
        raise FileNotFoundError(
            f"{where}, and it cannot be had from the hub ({_first(error)}); give a folder with "
            f"config.json and model.safetensors"
        ) from None


def _files(folder: Path) -> dict[str, Path]:
    """Say which file holds each tensor."""
    if (folder / INDEX).is_file():
        try:
            names = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError):
            raise FileFormatError(f"{folder / INDEX} is damaged; download it again") from None
        files = {name: folder / file for name, file in names.items()}
        for file in set(files.values()):
            if file.parent != folder or not file.is_file():
                raise FileFormatError(f"{folder} lacks the shard {file.name}; download it again")
        return files
    if not (folder / WEIGHTS).is_file():
        raise FileFormatError(
            f"{folder} has no {WEIGHTS}, nor an index of shards; save the model with "
            f"save_pretrained, which writes safetensors (files of pickle are not read)"
        )
    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            return dict.fromkeys(file.keys(), folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise FileFormatError(
            f"{folder / WEIGHTS} cannot be read ({_first(error)}); download it again"
        ) from None


@contextmanager
def _no_parameters() -> Iterator[None]:
    """Let modules register parameters on the meta device; small buffers stay real."""
    register = torch.nn.Module.register_parameter

    def on_meta(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = torch.nn.Parameter(
                torch.empty_like(parameter, device="meta"), requires_grad=False
            )
        register(module, name, parameter)

    torch.nn.Module.register_parameter = on_meta
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


def _first(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
