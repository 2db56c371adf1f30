"""Text from a model, piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import TextIteratorStreamer

from quincunx._errors import ModelError
from quincunx.compression.devices import device_of
from quincunx.compression.huggingface.loading import load

__all__ = ["continue_text", "write"]


def write(
    folder: str | Path, prompt: str, *, device: str | None = None, **settings: Any
) -> Iterator[str]:
    """Load a model, and let it write on from a prompt; settings as for :func:`continue_text`.

    Raises:
        ModelError: the folder has no tokenizer, or the prompt is empty.
    """
    place = device_of(device)
    model, tokenizer = load(folder)
    return continue_text(model.to(place), tokenizer, prompt, **settings)


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
    if tokenizer is None:
        raise ModelError("the model's folder has no tokenizer; text needs one")
    encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=True)
    if not encoded["input_ids"].numel():
        raise ModelError("the prompt is empty; give the beginning of a text")
    longest = getattr(model.config, "max_position_embeddings", None)
    length = encoded["input_ids"].shape[1]
    if longest and length + tokens > longest:
        raise ModelError(
            f"the prompt has {length} tokens, and {tokens} are to follow: more than the model's "
            f"{longest}; ask for fewer (--tokens), or give a shorter prompt"
        )
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    torch.manual_seed(seed)
    drawing = {"temperature": temperature, "top_k": top_k} if temperature > 0 else {}
    ids = encoded["input_ids"].to(model.device)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                do_sample=temperature > 0,
                pad_token_id=tokenizer.eos_token_id or 0,
                streamer=streamer,
                **drawing,
            )
        except BaseException as error:
            errors.append(error)
            streamer.end()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield from streamer
    thread.join()
    if errors:
        raise errors[0]
