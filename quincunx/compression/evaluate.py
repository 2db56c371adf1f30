"""What compression cost: perplexity, divergence from the original, agreement, size and speed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from quincunx._errors import ModelError
from quincunx.compression.calibrate import check_ids
from quincunx.nn.quantized_linear import QuantizedLinear

__all__ = ["Evaluation", "Size", "evaluate", "size_of", "tokens_per_second", "widen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How a model predicts a text, and how like another.

    Attributes:
        perplexity: exponential of the mean cross-entropy of a token in nats.
        nats: of each sequence, the mean cross-entropy.
        tokens: predicted.
        divergence: mean KL divergence of the next token's distribution from the original's, in
            nats a token; None without an original.
        divergence_error: its standard error over sequences.
        agreement: fraction of tokens for which both have the same likeliest; None likewise.
        original_perplexity: of the original on the same tokens; None likewise.
    """

    perplexity: float
    nats: tuple[float, ...]
    tokens: int
    divergence: float | None = None
    divergence_error: float | None = None
    agreement: float | None = None
    original_perplexity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a model takes.

    Attributes:
        bytes: of all parameters and buffers.
        quantized_weights: weights that are codes.
        quantized_bits: bits a quantized weight, with scales, signs and the like.
        bits: bits a weight of the whole model.
        weights: of the whole model.
    """

    bytes: int
    quantized_weights: int
    quantized_bits: float
    bits: float
    weights: int


@torch.no_grad()
def evaluate(
    model: Any,
    ids: torch.Tensor,
    original: Any = None,
    *,
    batch: int = 4,
    report: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare a model's predictions with a text, and with the original's.

    Arguments:
        model: of transformers.
        ids: token ids [sequences, context]; all tokens but the first of each are predicted.
        original: the model before compression.
        batch: sequences at once.
        report: called with sequences done, and all.

    Raises:
        ModelError: the ids are no table of at least two columns of the model's tokens, or the
            vocabularies differ.
    """
    if ids.ndim != 2 or ids.shape[1] < 2 or not len(ids):
        raise ModelError(f"token ids have shape {tuple(ids.shape)}; use [sequences, context >= 2]")
    if original is not None and original.config.vocab_size != model.config.vocab_size:
        raise ModelError(
            f"the original has {original.config.vocab_size} tokens in its vocabulary, and the "
            f"model {model.config.vocab_size}; compare a model with what it was made of"
        )
    check_ids(ids, model.config)
    nats: list[float] = []
    originals: list[float] = []
    divergences: list[float] = []
    same = 0
    for start in range(0, len(ids), batch):
        some = ids[start : start + batch]
        ours = _log_probabilities(model, some)
        goal = some[:, 1:].to(ours.device)
        nats += _cross_entropy(ours, goal)
        if original is not None:
            theirs = _log_probabilities(original, some).to(ours.device)
            originals += _cross_entropy(theirs, goal)
            divergence = (theirs.exp() * (theirs - ours)).sum(-1)
            divergences += divergence.mean(1).double().tolist()
            same += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
        if report is not None:
            report(min(start + batch, len(ids)), len(ids))
    tokens = len(ids) * (ids.shape[1] - 1)
    found = Evaluation(perplexity=_perplexity(nats), nats=tuple(nats), tokens=tokens)
    if original is None:
        return found
    mean = sum(divergences) / len(divergences)
    spread = sum((d - mean) ** 2 for d in divergences) / max(len(divergences) - 1, 1)
    return Evaluation(
        perplexity=found.perplexity,
        nats=found.nats,
        tokens=tokens,
        divergence=mean,
        divergence_error=math.sqrt(spread / len(divergences)),
        agreement=same / tokens,
        original_perplexity=_perplexity(originals),
    )


def _log_probabilities(model: Any, ids: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids.to(model.device), use_cache=False).logits[:, :-1]
    return torch.log_softmax(logits.to(torch.float32), dim=-1)


def _cross_entropy(log_probabilities: torch.Tensor, goal: torch.Tensor) -> list[float]:
    picked = log_probabilities.gather(-1, goal[..., None])[..., 0]
    return list((-picked).mean(1).double().tolist())


def _perplexity(nats: list[float]) -> float:
    return math.exp(min(sum(nats) / len(nats), 700.0))


def widen(model: torch.nn.Module) -> None:
    """Let a model compute in float32, in place; compressed layers keep what their codes need."""
    torch.nn.Module.float(model)  # transformers' own method refuses all quantized models


def size_of(model: torch.nn.Module) -> Size:
    """Count bytes and bits of a model as it is in memory."""
    total = sum(t.numel() * t.element_size() for t in _tensors(model))
    layers = [m for m in model.modules() if isinstance(m, QuantizedLinear)]
    coded = sum(layer.in_features * layer.out_features for layer in layers)
    stored = sum(
        t.numel() * t.element_size()
        for layer in layers
        for name, t in layer.state_dict().items()
        if name != "bias"
    )
    codes = sum(layer.qweight.numel() for layer in layers)
    others = sum(p.numel() for p in {id(p): p for p in model.parameters()}.values()) - codes
    return Size(
        bytes=total,
        quantized_weights=coded,
        quantized_bits=8 * stored / coded if coded else 0.0,
        bits=8 * total / (coded + others),
        weights=coded + others,
    )


def _tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    """Return all tensors of a model, each once."""
    return list({id(t): t for t in (*model.parameters(), *model.buffers())}.values())


@torch.no_grad()
def tokens_per_second(model: Any, tokens: int = 32) -> float:
    """Return how fast a model writes, one token at a time."""
    start = torch.ones(1, 4, dtype=torch.int64, device=model.device)
    settings = {"do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(start)}
    model.generate(start, min_new_tokens=2, max_new_tokens=2, **settings)
    began = time.perf_counter()
    model.generate(start, min_new_tokens=tokens, max_new_tokens=tokens, **settings)
    return tokens / (time.perf_counter() - began)
