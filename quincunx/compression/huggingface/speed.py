"""How fast a model reads and writes, and what it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from quincunx._errors import ModelError
from quincunx.compression.evaluate import size_of
from quincunx.compression.huggingface.generation import Decoder

__all__ = ["Speed", "speed_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a model did in a second.

    Attributes:
        reading: tokens of the prompt a second, all at once; the median of the repetitions.
        writing: tokens a second, one at a time, likewise.
        prompt: tokens of the prompt.
        tokens: that were written.
        seconds: of each repetition, of reading and of writing.
        bytes: of all parameters and buffers.
        bits: a weight of the whole model.
        dtype: of what is no codes.
        device: where it ran.
        recorded: whether steps were replays of a CUDA graph.
    """

    reading: float
    writing: float
    prompt: int
    tokens: int
    seconds: tuple[tuple[float, float], ...]
    bytes: int
    bits: float
    dtype: str
    device: str
    recorded: bool


def speed_of(
    model: Any,
    ids: torch.Tensor,
    *,
    tokens: int = 64,
    repetitions: int = 5,
    report: Callable[[int, int], None] | None = None,
) -> Speed:
    """Time a model as :func:`quincunx.compression.huggingface.generation.generate` runs it.

    The likeliest token is taken always, ends of sequence do not end it, and each token reaches the
    processor before the next step, as text has to. One run before the first that counts compiles
    what is to be compiled.

    Arguments:
        model: of transformers, in evaluation mode.
        ids: [1, P], the prompt's tokens.
        tokens: to write, at least 2: the first comes from reading.
        repetitions: that count.
        report: called with runs done, and all.

    Raises:
        ModelError: there are too few tokens or repetitions, or the ids are no row of tokens.
    """
    if tokens < 2 or repetitions < 1:
        raise ModelError(
            f"tokens is {tokens} and repetitions {repetitions}; use at least 2 tokens and 1 "
            f"repetition"
        )
    decoder = Decoder(model, ids.shape[-1] + tokens)
    ids = ids.to(decoder.device)
    seconds = []
    for run in range(repetitions + 1):
        seconds.append(_run(decoder, ids, tokens))
        if report is not None:
            report(run + 1, repetitions + 1)
    reading, writing = zip(*seconds[1:], strict=True)
    size = size_of(model)
    device = str(decoder.device)
    if decoder.device.type == "cuda":
        device = torch.cuda.get_device_name(decoder.device)
    return Speed(
        reading=ids.shape[1] / statistics.median(reading),
        writing=(tokens - 1) / statistics.median(writing),
        prompt=ids.shape[1],
        tokens=tokens,
        seconds=tuple(seconds[1:]),
        bytes=size.bytes,
        bits=size.bits,
        dtype=str(model.dtype).removeprefix("torch."),
        device=device,
        recorded=decoder.recorded,
    )


def _run(decoder: Decoder, ids: torch.Tensor, tokens: int) -> tuple[float, float]:
    """Return the seconds of reading a prompt, and of writing after it."""
    if decoder.device.type == "cuda":
        torch.cuda.synchronize(decoder.device)
    times = [time.perf_counter()]
    logits = decoder.read(ids)
    for left in range(tokens - 1, -1, -1):
        token = torch.argmax(logits, dim=-1)
        int(token)  # waits for the device
        if left == tokens - 1:
            times.append(time.perf_counter())
        if left:
            logits = decoder.step(token)
    times.append(time.perf_counter())
    return times[1] - times[0], times[2] - times[1]
