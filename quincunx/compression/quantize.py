"""The verb: a language model to fewer bits, one decoder block at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from quincunx._errors import ModelError, need_extra
from quincunx.compression.allocate import allocate, choices
from quincunx.compression.blocks import linears, stages
from quincunx.compression.calibrate import Stream, moments
from quincunx.compression.devices import device_of
from quincunx.compression.job import Job, Progress, matches, patterns
from quincunx.compression.layer import coding_of, quantize_layer, seed_of, weights_of
from quincunx.compression.memory import give_back
from quincunx.compression.ranks import ranks
from quincunx.compression.recipe import QTIP, QuantizeRecipe, recipe_of
from quincunx.compression.report import LayerReport, Report
from quincunx.compression.tuning.blocks import tune_block
from quincunx.nn.quantized_linear import Coding, QuantizedLinear
from quincunx.solvers.linalg import RandomHadamard, random_kronecker
from quincunx.solvers.linalg.ldl import block_ldl
from quincunx.solvers.rounding import proxy_loss
from quincunx.solvers.rounding.incoherence import incoherent

__all__ = ["check_bits", "check_coverage", "quantize_model"]

LEAST = 0.9  # of the blocks' linear weights that must be rounded, unless told

log = logging.getLogger("quincunx")


def quantize_model(
    model: Any,
    recipe: QuantizeRecipe | str = QTIP,
    texts: Iterable[str] | torch.Tensor | str | Path | None = None,
    *,
    bits: float = 2,
    output: str | Path | None = None,
    tokenizer: Any = None,
    device: str | torch.device | None = None,
    seed: int = 0,
    samples: int | None = None,
    context: int | None = None,
    include: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    partial: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> Report:
    """Round the linear layers of a language model's decoder blocks.

    Each layer is calibrated on what the already rounded layers before it make of the text. Of a
    folder one block is in memory at a time, with the moments of its inputs and the text's hidden
    states. A job that was stopped goes on when the same call is made again.

    Arguments:
        model: a folder with config.json and safetensors, or a model of transformers, which is
            changed in place.
        recipe: QUIP, QUIP_SHARP, QTIP, one of your own, or the name of one.
        texts: strings; or the path of a text file or folder; or token ids [samples, context]; None:
            documentation of Python's standard library.
        bits: a weight. Fractions are shared out: layers that need more get more.
        output: the folder to write, for a model in a folder.
        tokenizer: for a model in memory, unless token ids are given.
        device: where to work; by default a GPU if there is one.
        seed: of transforms, and of the places of samples in the text.
        samples: of text; by default 128.
        context: tokens of a sample; by default what the model takes, at most 2,048.
        include: patterns of layers' names, as in shells, to round only these.
        skip: patterns of names to leave as they are.
        partial: allow less than 90 % of the blocks' weights to be rounded.
        report: called with the progress.

    Returns:
        What was done, layer by layer. After an error the model is as it was.

    Raises:
        ModelError: an argument does not fit, weights are not finite, the text is too short, or the
            output folder holds something else.
        FileFormatError: a file of the model is missing or damaged.
        MissingExtraError: transformers is not installed.

    Reference:
        The order of work is that of GPTQ (Frantar and others, ICLR 2023) and QuIP (Chee and
        others, NeurIPS 2023).
    """
    need_extra("transformers", "compression", "Quantizing a language model")
    from quincunx.compression.huggingface import sources

    recipe = recipe_of(recipe) if isinstance(recipe, str) else recipe
    check_bits(recipe, bits)
    place = device_of(device)
    source = sources.open_source(model, output, tokenizer, place)
    job = Job(
        recipe=recipe,
        bits=float(bits),
        seed=seed,
        include=patterns(include),
        skip=patterns(skip),
        prefix=source.family.blocks + ".",
        kept=source.family.kept,
        device=place,
        ranks=ranks(),
        report=report,
    )
    with source.restored(recipe):
        text = source.calibrate(texts, samples, context, seed)
        kept = check_coverage(source.blocks, job, partial)
        return _done(job, source, text, kept, str(output or ""))


def _done(job: Job, source: Any, text: Any, kept: dict[str, int], output: str) -> Report:
    """Do the work, and tell of it."""
    together = job.recipe.tune or job.recipe.rounding == "two-sided"
    if job.ranks.size > 1 and together:
        raise ModelError(
            f"{job.ranks.size} processes share the work, and tuning and two-sided rounding run in "
            f"one; start without torchrun"
        )
    began = time.perf_counter()
    with torch.no_grad():
        if job.bits != int(job.bits):  # type: ignore[arg-type]
            job.bits = _allocated(source, job, text.ids)
        if job.recipe.rounding == "two-sided":
            job.say("output Hessians")
            job.outer = source.output_moments(job, text.ids)
            job.clock("output Hessians", began)
        layers = source.run(job, text, lambda *given: _quantize_block(job, *given))
    report = Report(
        layers=tuple(layers),
        kept=kept,
        recipe=job.recipe.to_json(),
        calibration=text.describe(),
        output=output,
        stats={"seconds": time.perf_counter() - began, **job.seconds},
    )
    source.finish(job, report)
    return report


def check_bits(recipe: QuantizeRecipe, bits: float) -> None:
    """Refuse bits that the codebook does not have.

    Raises:
        ModelError: it does not.
    """
    allowed = choices(recipe.codebook)
    if not allowed[0] <= bits <= allowed[-1]:
        raise ModelError(
            f"bits is {bits}; the recipe {recipe.name!r} has {allowed[0]} to {allowed[-1]}"
        )


def check_coverage(blocks: torch.nn.ModuleList, job: Job, partial: bool) -> dict[str, int]:
    """Return the matrices of blocks that stay as they are, and their sizes.

    Raises:
        ModelError: a layer is of an unknown kind, or too few weights would be rounded.
    """
    kept: dict[str, int] = {}
    rounded = 0
    for number, block in enumerate(blocks):
        start = f"{job.prefix}{number}."
        names = set(job.names(number, block))
        experts = {name for name in linears(block) if ".experts." in name}
        if experts & names and not experts <= names:
            raise ModelError(
                f"the experts of {start[:-1]} have {len(experts)} layers, of which the patterns "
                f"leave out {len(experts - names)}; a file holds all as codes, or none"
            )
        known = {f"{name}.weight" for name in linears(block)}
        for name, parameter in block.named_parameters():
            if parameter.ndim < 2:
                continue
            if name.rpartition(".")[0] in names:
                rounded += parameter.numel()
                continue
            told = any(matches(start + name.removesuffix(".weight"), p) for p in job.skip)
            if name not in known and not told and not name.endswith(tuple(job.kept) or ("\0",)):
                raise ModelError(
                    f"{start}{name} of shape {tuple(parameter.shape)} is no linear layer that can "
                    f"be rounded; leave it as it is with skip=[{start + name!r}] (--skip)"
                )
            kept[start + name] = parameter.numel()
    whole = rounded + sum(kept.values())
    if not rounded:
        raise ModelError("no layer fits the patterns; nothing would be rounded")
    if rounded < LEAST * whole and not partial:
        raise ModelError(
            f"only {rounded / whole:.0%} of the blocks' weights would be rounded; left out are "
            f"{', '.join(list(kept)[:4])} and {max(len(kept) - 4, 0)} more. Ask for it with "
            f"partial=True (--partial)"
        )
    job.total = rounded
    return kept


def _plan(job: Job, block: torch.nn.Module, names: list[str], stream: Stream, inputs: Any) -> Any:
    """Return the stages of a block: the first process finds them for all."""
    found: list[Any] = [None]
    if job.ranks.first:
        found = [stages(block, names, stream.hidden[min(stream.hidden)], inputs)]
    if job.ranks.size > 1:
        import torch.distributed as dist

        dist.broadcast_object_list(found, src=0)
    return found[0]


def _quantize_block(
    job: Job,
    number: int,
    block: torch.nn.Module,
    streams: Mapping[str, Stream],
    inputs: dict[int, Any],
) -> list[LayerReport]:
    """Round the layers of a block in place, and bring the streams to the next."""
    start = f"{job.prefix}{number}."
    stream = streams["quantized"]
    layers: dict[str, LayerReport] = {}
    names = job.names(number, block)
    targets: dict[int, torch.Tensor] = {}
    if job.recipe.tune:
        streams["original"].advance(block, inputs)
        targets = streams["original"].hidden
    for stage in _plan(job, block, names, stream, inputs) if names else ():
        job.say(f"block {number}: {stage.groups[0][0]}")
        began = time.perf_counter()
        firsts = [group[0] for group in stage.groups]
        seen = moments(block, firsts, stream, inputs, job.ranks)
        job.clock("moments", began)
        began = time.perf_counter()
        work = [(name, group[0]) for group in stage.groups for name in group]
        for place, (name, first) in enumerate(work):
            hessian, tokens = seen[first]
            outer = job.outer.get((number, name))
            made, note = _shared(job, place, start, name, first, block, hessian, tokens, outer)
            block.set_submodule(name, made)
            layers[name] = note
            job.finished += note.weights
            give_back()
            job.say(f"block {number}: {name}")
        job.clock("rounding", began)
        if job.recipe.tune:
            began = time.perf_counter()
            epochs, seed = job.recipe.tune, seed_of(job.seed, "tune", start, firsts[0])
            tune_block(block, stream, targets, inputs, epochs=epochs, seed=seed)
            job.clock("tuning", began)
    began = time.perf_counter()
    stream.advance(block, inputs)
    give_back()
    job.clock("forward", began)
    log.info("block %d: %d layers", number, len(layers))
    return [layers[name] for name in names]


def _shared(
    job: Job,
    place: int,
    start: str,
    name: str,
    first: str,
    block: torch.nn.Module,
    hessian: torch.Tensor,
    tokens: int,
    outer: torch.Tensor | None,
) -> tuple[QuantizedLinear, LayerReport]:
    """Round a layer in the process whose turn it is, and send it to the others."""
    layer = block.get_submodule(name)
    coding = coding_of(job.recipe, job.bits_of(start + name), job.seed, start + first, start + name)
    owner = place % job.ranks.size
    made: QuantizedLinear | None = None
    note: LayerReport | None = None
    if job.ranks.rank == owner:
        made, note = quantize_layer(
            layer,
            hessian if tokens else None,
            job.recipe,
            coding,
            name=start + name,
            tokens=tokens,
            output_hessian=outer,
        )
    if job.ranks.size > 1:
        import torch.distributed as dist

        box: list[Any] = [None]
        if made is not None:
            box = [({k: v.cpu() for k, v in made.state_dict().items()}, note)]
        dist.broadcast_object_list(box, src=owner)
        state, note = box[0]
        if made is None:
            made = _from_state(coding, weights_of(layer).shape, state).to(job.device)
    assert made is not None and note is not None
    return made, note


def _from_state(
    coding: Coding, shape: Sequence[int], state: Mapping[str, torch.Tensor]
) -> QuantizedLinear:
    layer = QuantizedLinear(
        shape[1], shape[0], coding, bias="bias" in state, scales=state["scales"].numel()
    )
    layer.load_state_dict(dict(state))
    return layer


def _allocated(source: Any, job: Job, ids: torch.Tensor) -> dict[str, float]:
    """Share bits among layers by their losses on the original model."""
    losses: dict[str, float] = {}
    sizes: dict[str, int] = {}
    mean = job.bits
    assert isinstance(mean, (int, float))

    def measure(
        number: int,
        block: torch.nn.Module,
        streams: Mapping[str, Stream],
        inputs: dict[int, Any],
    ) -> list[LayerReport]:
        start, stream = f"{job.prefix}{number}.", streams["quantized"]
        names = job.names(number, block)
        job.say(f"block {number}: measured for its share of the bits")
        groups = [g for s in _plan(job, block, names, stream, inputs) for g in s.groups]
        seen = moments(block, [group[0] for group in groups], stream, inputs, job.ranks)
        for group in groups:
            for name in group:
                hessian, tokens = seen[group[0]]
                weights = weights_of(block.get_submodule(name)).to(torch.float64)
                sizes[start + name] = weights.numel()
                seeds = seed_of(job.seed, start + name), seed_of(job.seed, start + group[0])
                losses[start + name] = (
                    _loss_at_no_bits(weights, hessian, job.recipe, *seeds) if tokens else 0.0
                )
        stream.advance(block, inputs)
        return []

    source.walk(job, ids, measure)
    shared = allocate(losses, sizes, mean, choices(job.recipe.codebook))
    return {name: float(b) for name, b in shared.items()}


def _loss_at_no_bits(
    weights: torch.Tensor, hessian: torch.Tensor, recipe: QuantizeRecipe, left: int, right: int
) -> float:
    """Return the loss of feedback for unit errors of the weights' size, over that of no weights.

    Feedback's loss is ``tr(D)`` times the error of a weight, which is ``4^-bits`` of its square.
    """
    whole = proxy_loss(weights, hessian)
    if not whole > 0:
        return 0.0
    turned, moments_ = weights, hessian
    if recipe.transform != "none":
        make: Any = RandomHadamard if recipe.transform == "hadamard" else random_kronecker
        problem = incoherent(
            weights,
            hessian,
            left=make(weights.shape[0], left),
            right=make(weights.shape[1], right),
            rescale=recipe.channel_scale,
        )
        turned, moments_ = problem.weights, problem.hessian
    ldl = block_ldl(moments_, 1, damping=recipe.damping)
    return float(ldl.blocks.sum() * (turned**2).mean() * weights.shape[0]) / whole
