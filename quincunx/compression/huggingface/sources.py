"""Where a model's blocks come from and go to: a folder, or memory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from quincunx._atomic import atomic_write
from quincunx._errors import ModelError
from quincunx.compression.blocks import Batches, captured
from quincunx.compression.calibrate import MICRO, Stream, check_ids
from quincunx.compression.fisher import output_moments
from quincunx.compression.huggingface import plugin, text
from quincunx.compression.huggingface.architectures import family_of
from quincunx.compression.huggingface.card import card
from quincunx.compression.huggingface.checkpoint import (
    INDEX,
    Checkpoint,
    open_checkpoint,
    separate_experts,
)
from quincunx.compression.job import Job, start_streams
from quincunx.compression.journal import Journal, check_output, write_tensors
from quincunx.compression.packed import entry_of
from quincunx.compression.recipe import QuantizeRecipe
from quincunx.compression.report import FILE, LayerReport, Report
from quincunx.nn.experts import Experts

__all__ = ["Folder", "Memory", "calibrated", "open_source"]

Work = Callable[..., list[LayerReport]]


def open_source(
    model: Any, output: str | Path | None, tokenizer: Any, device: torch.device
) -> Folder | Memory:
    """Return where a model is.

    Raises:
        ModelError: the arguments do not fit together.
    """
    if isinstance(model, torch.nn.Module):
        if output is not None:
            raise ModelError(
                "a model in memory is changed in place: leave output out, and save it with "
                "model.save_pretrained(...)"
            )
        return Memory(model, tokenizer, device)
    if output is None:
        raise ModelError(f"a model in a folder ({model}) needs output=..., the folder to write")
    return Folder(open_checkpoint(model), Path(output), device)


class Memory:
    """A model of transformers, changed in place."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        """Look at the model.

        Raises:
            ModelError: the model is quantized, of an unknown family, or none with a head.
        """
        if plugin.quantized_layers(model) or getattr(model, "is_quantized", False):
            raise ModelError("the model is quantized already; give the original")
        self.model, self.tokenizer, self.device = model, tokenizer, device
        self.family = family_of(model.config.model_type)
        if any(hasattr(module, "lora_A") for module in model.modules()):
            raise ModelError("the model has adapters; give model.merge_and_unload(), or the base")
        try:
            self.blocks = model.get_submodule(self.family.blocks)
        except AttributeError:
            raise ModelError(
                f"{type(model).__name__} has no {self.family.blocks}; give the model with its "
                f"head, as AutoModelForCausalLM loads it"
            ) from None

    @contextmanager
    def restored(self, recipe: QuantizeRecipe) -> Iterator[None]:
        """Cut experts apart; after an error, put back all that was replaced or trained."""
        modules = [
            (parent, name, child)
            for parent in list(self.model.modules())
            for name, child in parent.named_children()
        ]
        parameters = list(self.model.parameters())
        kinds = [(p.dtype, p.requires_grad) for p in parameters]
        values = [p.detach().clone() for p in parameters] if recipe.tune else None
        try:
            separate_experts(self.model, self.family, Experts.of)
            yield
        except BaseException:
            for parent, name, child in modules:
                parent._modules[name] = child
            for place, parameter in enumerate(parameters):
                dtype, trainable = kinds[place]
                parameter.data = parameter.data.to(dtype)
                parameter.requires_grad_(trainable).grad = None
                if values is not None:
                    parameter.data.copy_(values[place])
            raise

    def calibrate(
        self, texts: Any, samples: int | None, context: int | None, seed: int
    ) -> text.Calibration:
        """Return the tokens to calibrate on."""
        if self.tokenizer is None and not isinstance(texts, torch.Tensor):
            raise ModelError("a model in memory needs tokenizer=..., or token ids for texts")
        return calibrated(texts, self.tokenizer, self.model.config, samples, context, seed)

    def walk(self, job: Job, ids: torch.Tensor, work: Work) -> list[LayerReport]:
        """Call ``work`` with each block in float32, and the hidden states before it."""
        training, home = self.model.training, next(self.model.parameters()).device
        types = {name: p.dtype for name, p in self.model.named_parameters()}
        found: list[LayerReport] = []
        try:
            self.model.eval().to(job.device)
            stream, inputs = start_streams(self.model, self.blocks, ids, job)
            streams = _streams(stream, job)
            for number, block in enumerate(self.blocks):
                prefix = f"{job.prefix}{number}."
                block.to(torch.float32)
                try:
                    found += work(number, block, streams, _wide(inputs[number]))
                finally:
                    for name, parameter in block.named_parameters():
                        if parameter.is_floating_point():
                            parameter.data = parameter.data.to(types[prefix + name])
        finally:
            self.model.to(home).train(training)
        return found

    def run(self, job: Job, words: text.Calibration, work: Work) -> list[LayerReport]:
        """Round all blocks."""
        return self.walk(job, words.ids, work)

    def output_moments(self, job: Job, ids: torch.Tensor) -> Any:
        """Return output Hessians; the model is in float32 for that long."""
        types = {name: p.dtype for name, p in self.model.named_parameters()}
        training, home = self.model.training, next(self.model.parameters()).device
        self.model.eval().to(job.device, torch.float32)
        try:
            return _outer(
                self.model, self.blocks, job, ids, self.blocks.__getitem__, lambda _: None
            )
        finally:
            self.model.to(home).train(training)
            for name, parameter in self.model.named_parameters():
                parameter.data = parameter.data.to(types[name])

    def finish(self, job: Job, report: Report) -> None:
        """Tell the model what it is now."""
        plugin.fuse_experts(self.model)
        settings = plugin.QuincunxConfig(
            bits=_mean(job, report),
            recipe=report.recipe,
            modules={
                n: entry_of(layer) for n, layer in plugin.quantized_layers(self.model).items()
            },
            modules_to_not_convert=sorted(
                n for n, m in self.model.named_modules() if isinstance(m, torch.nn.Linear)
            ),
            seed=job.seed,
        )
        plugin.attach(self.model, settings)


class Folder:
    """A model in a folder, read block by block, and the folder that is written."""

    def __init__(self, checkpoint: Checkpoint, output: Path, device: torch.device) -> None:
        """Refuse an output that holds something.

        Raises:
            ModelError: it does.
        """
        check_output(output)
        self.checkpoint, self.output, self.device = checkpoint, output, device
        self.family = checkpoint.family
        self.model = checkpoint.skeleton()
        self.blocks = self.model.get_submodule(self.family.blocks)
        self.journal: Journal | None = None

    @contextmanager
    def restored(self, _: QuantizeRecipe) -> Iterator[None]:
        """Change nothing: a folder's model is only read. Let go of the journal in the end."""
        try:
            yield
        finally:
            if self.journal is not None:
                self.journal.close()

    def calibrate(
        self, texts: Any, samples: int | None, context: int | None, seed: int
    ) -> text.Calibration:
        """Return the tokens to calibrate on."""
        tokenizer = None if isinstance(texts, torch.Tensor) else self.checkpoint.tokenizer()
        return calibrated(texts, tokenizer, self.checkpoint.config, samples, context, seed)

    def _fill_outer(self) -> None:
        """Read what comes before the blocks."""
        for name, parameter in list(self.model.named_parameters()):
            outer = not name.startswith(self.family.blocks + ".")
            if outer and parameter.is_meta and self.checkpoint.find(name) is not None:
                owner, _, leaf = name.rpartition(".")
                if "head" not in owner:
                    value = self.checkpoint.tensor(name).to(self.device, torch.float32)
                    self.model.get_submodule(owner)._parameters[leaf] = torch.nn.Parameter(
                        value, requires_grad=False
                    )
        for name, buffer in list(self.model.named_buffers()):
            owner, _, leaf = name.rpartition(".")
            self.model.get_submodule(owner)._buffers[leaf] = buffer.to(self.device)

    def _load(self, job: Job, number: int) -> torch.nn.Module:
        block = self.blocks[number]
        self.checkpoint.fill(block, f"{job.prefix}{number}.")
        return block.to(job.device)

    def walk(self, job: Job, ids: torch.Tensor, work: Work) -> list[LayerReport]:
        """Call ``work`` with each original block, and the hidden states before it."""
        self._fill_outer()
        stream, inputs = start_streams(self.model, self.blocks, ids, job)
        found: list[LayerReport] = []
        for number in range(len(self.blocks)):
            block = self._load(job, number)
            found += work(number, block, {"quantized": stream}, _wide(inputs[number]))
            block.to("meta")
        return found

    def output_moments(self, job: Job, ids: torch.Tensor) -> Any:
        """Return output Hessians; embeddings, norm and head are in memory for that long."""
        self._fill_outer()
        heads = [
            name
            for name, p in self.model.named_parameters()
            if p.is_meta and not name.startswith(job.prefix)
        ]
        for name in heads:
            owner, _, leaf = name.rpartition(".")
            tied = self.checkpoint.find(name) is None
            value = (
                self.model.get_input_embeddings().weight
                if tied
                else torch.nn.Parameter(
                    self.checkpoint.tensor(name).to(job.device, torch.float32), False
                )
            )
            self.model.get_submodule(owner)._parameters[leaf] = value
        found = _outer(
            self.model,
            self.blocks,
            job,
            ids,
            lambda number: self._load(job, number),
            lambda number: self.blocks[number].to("meta"),
        )
        for name in heads:
            owner, _, leaf = name.rpartition(".")
            holder = self.model.get_submodule(owner)
            holder._parameters[leaf] = torch.nn.Parameter(
                holder._parameters[leaf].to("meta"), False
            )
        return found

    def run(self, job: Job, words: text.Calibration, work: Work) -> list[LayerReport]:
        """Round all blocks, from the first that is not done."""
        count = len(self.blocks)
        journal = Journal.open(self.output, count, self._fingerprint(job, words), job.ranks)
        self.journal = journal
        self._fill_outer()
        stream, inputs = start_streams(self.model, self.blocks, words.ids, job)
        streams = _streams(stream, job)
        begin = journal.done()
        found: list[LayerReport] = []
        if begin:
            for number in range(begin):
                found += [_note(entry) for entry in journal.notes(number)]
            job.finished = sum(layer.weights for layer in found)
            job.say(f"going on with block {begin}")
            streams = journal.load_streams(
                begin, tuple(streams), stream.count, job.ranks, job.device
            )
        for number in range(begin, count):
            block = self._load(job, number)
            made = work(number, block, streams, _wide(inputs[number]))
            if job.ranks.first:
                self._write_block(job, number, block, made)
            if number + 1 < count:
                journal.save_streams(number + 1, streams, job.ranks)
            block.to("meta")
            found += made
        job.ranks.wait()
        return found

    def _write_block(
        self, job: Job, number: int, block: torch.nn.Module, made: list[LayerReport]
    ) -> None:
        """Write codes, and what stays as it is in its own type."""
        assert self.journal is not None
        prefix = f"{job.prefix}{number}."
        layers = plugin.quantized_layers(block)
        tensors: dict[str, torch.Tensor] = {}
        for name, tensor in block.state_dict().items():
            codes = name.rpartition(".")[0] in layers
            if codes and not name.endswith(".bias"):
                tensors[prefix + name] = tensor
                continue
            original = self.checkpoint.tensor(prefix + name)
            # Experts that stay as they are keep their names in files, which transformers fuses.
            kept = self.checkpoint.find(prefix + name) if ".experts." in name else None
            tensors[kept or prefix + name] = (
                tensor.to(original.dtype) if job.recipe.tune else original
            )
        tensors |= {prefix + name: t for name, t in plugin.guards(layers).items()}
        notes = [
            {**_plain(note), "entry": entry_of(layers[note.name.removeprefix(prefix)])}
            for note in made
        ]
        self.journal.write_block(number, tensors, notes)

    def finish(self, job: Job, report: Report) -> None:
        """Write all else, and give the folder its name."""
        assert self.journal is not None
        if job.ranks.first:
            self._write_rest(job, report, self.journal)
            self.journal.finish(self.output)
        job.ranks.wait()

    def _write_rest(self, job: Job, report: Report, journal: Journal) -> None:
        entries: dict[str, Any] = {}
        index: dict[str, str] = {}
        size = 0
        rest = {
            name: self.checkpoint.tensor(name)
            for name, _ in self.model.named_parameters()
            if not name.startswith(job.prefix) and self.checkpoint.find(name) is not None
        }
        write_tensors(journal.shard(journal.blocks), rest)
        for number in range(journal.blocks + 1):
            path = journal.shard(number)
            if number < journal.blocks:
                entries |= {note["name"]: note["entry"] for note in journal.notes(number)}
            with safe_open(path, "pt") as file:
                index |= dict.fromkeys(file.keys(), path.name)
            size += path.stat().st_size
        linear = {n for n, m in self.model.named_modules() if isinstance(m, torch.nn.Linear)}
        settings = plugin.QuincunxConfig(
            bits=_mean(job, report),
            recipe=report.recipe,
            modules=entries,
            modules_to_not_convert=sorted(linear - set(entries)),
            seed=job.seed,
        )
        config = json.loads((self.checkpoint.folder / "config.json").read_text(encoding="utf-8"))
        config |= {
            "quantization_config": settings.to_dict(),
            "transformers_weights": plugin.NEEDS,
        }
        self.checkpoint.copy_extras(journal.folder)
        index_file = {"metadata": {"total_size": size}, "weight_map": dict(sorted(index.items()))}
        for name, content in (
            (INDEX, json.dumps(index_file, indent=1)),
            ("config.json", json.dumps(config, indent=1)),
            (FILE, json.dumps(report.to_json(), indent=1)),
            ("README.md", card(self.checkpoint, report)),
        ):
            with atomic_write(journal.folder / name) as file:
                file.write(content + "\n")

    def _fingerprint(self, job: Job, words: text.Calibration) -> dict[str, Any]:
        """Return all that the result depends on."""
        return {
            "model": _model_fingerprint(self.checkpoint),
            "recipe": job.recipe.to_json(),
            "bits": job.bits,
            "seed": job.seed,
            "include": list(job.include),
            "skip": list(job.skip),
            "text": words.sha256,
            "device": job.device.type,
            "threads": torch.get_num_threads(),
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("quincunx", "torch", "numpy", "numba", "transformers")
            },
        }


def _streams(stream: Stream, job: Job) -> dict[str, Stream]:
    """Return hidden states of rounded layers; the original's too where layers are tuned."""
    if not job.recipe.tune:
        return {"quantized": stream}
    return {"quantized": stream, "original": Stream(dict(stream.hidden), stream.count)}


def _outer(
    model: Any, blocks: torch.nn.ModuleList, job: Job, ids: torch.Tensor, load: Any, release: Any
) -> Any:
    """Return output Hessians of all layers that are to be rounded."""
    names = {number: job.names(number, block) for number, block in enumerate(blocks)}
    found = captured(model, blocks, [batch.to(job.device) for batch in ids.split(MICRO)])
    found = Batches(found.hidden, [_wide(inputs) for inputs in found.inputs])
    return output_moments(model, blocks, found, names, load, release, seed=job.seed)


def calibrated(
    texts: Any, tokenizer: Any, config: Any, samples: int | None, context: int | None, seed: int
) -> text.Calibration:
    """Return tokens of whatever was given: strings, a path, token ids, or None.

    Raises:
        ModelError: there are too few, or the model does not have them.
    """
    if isinstance(texts, torch.Tensor):
        given = text.given_ids(texts)
        check_ids(given.ids, config)
        return given
    context = text.longest_of(config, context)
    source = "texts given"
    if isinstance(texts, (str, Path)):
        source, texts = Path(texts).name, text.read_texts(texts)
    found = text.calibration(
        texts,
        tokenizer,
        samples=samples,
        context=context,
        seed=seed,
        source=source,
    )
    check_ids(found.ids, config)
    return found


def _wide(inputs: dict[int, Any]) -> dict[int, Any]:
    """Return a block's further arguments with numbers in float32, as hidden states are."""

    def widen(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value.to(torch.float32)
        if isinstance(value, tuple):
            return tuple(widen(v) for v in value)
        return value

    return {
        size: (
            tuple(widen(a) for a in args),
            {key: widen(value) for key, value in kwargs.items()},
        )
        for size, (args, kwargs) in inputs.items()
    }


def _plain(note: LayerReport) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(note)


def _note(entry: Mapping[str, Any]) -> LayerReport:
    fields = {k: v for k, v in entry.items() if k != "entry"}
    return LayerReport(**{**fields, "shape": tuple(fields["shape"])})


def _mean(job: Job, report: Report) -> float:
    """Return the bits of a weight: as asked for, or the mean of what layers got."""
    if isinstance(job.bits, (int, float)):
        return job.bits
    return sum(n.bits * n.weights for n in report.layers) / report.weights


def _model_fingerprint(checkpoint: Checkpoint) -> str:
    """Return a hash of config.json, and of the ends of all files of weights."""
    found = hashlib.sha256((checkpoint.folder / "config.json").read_bytes())
    for path in sorted(set(checkpoint.files.values())):
        size = path.stat().st_size
        found.update(f"{path.name} {size}".encode())
        with open(path, "rb") as file:
            found.update(file.read(1 << 20))
            file.seek(max(size - (1 << 20), 0))
            found.update(file.read())
    return found.hexdigest()
