"""Text from a model, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import TextIteratorStreamer

from quincunx.compression.block_sizes import tune as tuned
from quincunx.compression.devices import device_of
from quincunx.compression.huggingface.generation import checked_prompt, generate
from quincunx.compression.huggingface.loading import load

__all__ = ["continue_text", "write"]


def write(
    folder: str | Path,
    prompt: str,
    *,
    device: str | None = None,
    tune: bool = False,
    **settings: Any,
) -> Iterator[str]:
    """Load a model, and let it write on from a prompt; settings as for :func:`continue_text`.

    Arguments:
        folder: of the model.
        prompt: how the text begins.
        device: where to work; None: a GPU if there is one.
        tune: choose block sizes for the GPU first (:mod:`quincunx.compression.block_sizes`).
        settings: others.

    Raises:
        ModelError: the folder has no tokenizer, the prompt is empty, or there is no GPU to tune.
    """
    place = device_of(device)
    model, tokenizer = load(folder)
    model.to(place)
    if tune:
        tuned(model)
    return continue_text(model, tokenizer, prompt, **settings)


def continue_text(
    model: Any,
    tokenizer: Any,
    prompt: str,
    *,
    tokens: int = 60,
    temperature: float = 0.8,
    top_k: int = 40,
    seed: int = 0,
) -> Iterator[str]:
    """Write on from a prompt, piece by piece.

    Arguments:
        model: of transformers.
        tokenizer: its own.
        prompt: how the text begins.
        tokens: to write at most.
        temperature: 0: the likeliest token always.
        top_k: draw from so many likeliest tokens.
        seed: of the draws.

    Raises:
        ModelError: there is no tokenizer, the prompt is empty, or the text longer than the model's.
    """
    ids = checked_prompt(model, tokenizer, prompt, tokens)
    found = generate(model, ids, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed)
    yield from _pieces(tokenizer, found)


def _pieces(tokenizer: Any, tokens: Iterable[int]) -> Iterator[str]:
    """Yield text as soon as the tokens to come cannot change it."""
    streamer = TextIteratorStreamer(tokenizer, skip_special_tokens=True)
    for token in tokens:
        streamer.put(torch.tensor([token]))
        yield from _ready(streamer)
    streamer.end()
    yield from _ready(streamer)


def _ready(streamer: Any) -> Iterator[str]:
    """Yield what lies in a streamer's queue; its own iterator would wait for another thread."""
    while not streamer.text_queue.empty():
        piece = streamer.text_queue.get()
        if piece and piece != streamer.stop_signal:
            yield piece
