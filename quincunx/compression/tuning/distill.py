"""Training end to end: a quantized model learns to predict as its original does."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch

from quincunx._errors import ModelError
from quincunx.compression.packed import entry_of
from quincunx.compression.tuning.trainable import freeze, loosen, rated
from quincunx.nn.quantized_linear import QuantizedLinear, decoded

__all__ = ["distill"]

HELD_OUT = 8  # one batch of so many is not trained on


def distill(
    model: Any,
    original: Any,
    ids: torch.Tensor,
    *,
    epochs: int = 2,
    batch: int = 4,
    rate: float = 1.0,
    seed: int = 0,
    report: Callable[[int, int, float], None] | None = None,
) -> float:
    """Train signs, scales, norms and the head so that predictions are those of the original.

    The loss is the KL divergence of the next token's distribution, by Adam. What the original
    predicts is computed batch by batch and never kept. The best state on the held-out part, one
    batch of eight, is kept. Decoded weights are in memory meanwhile, as the original's are.

    Arguments:
        model: quantized; trained in place.
        original: what it was made of, or another with the same vocabulary.
        ids: token ids [sequences, context].
        epochs: passes over them.
        batch: sequences at once.
        rate: multiplies the learning rates, which are 0.002 of each tensor's size.
        seed: of the order.
        report: called with batches done, all batches, and the last held-out loss.

    Returns:
        The held-out loss in nats a token.

    Raises:
        ModelError: the model has no layers of codes, or there is too little text.

    Reference:
        Tseng and others, "QuIP#", 2024, section 5, "inter-layer" fine-tuning.
    """
    layers = [m for m in model.modules() if isinstance(m, QuantizedLinear)]
    if not layers:
        raise ModelError("the model has no quantized layers; there is nothing to train")
    batches = list(ids.to(model.device).split(batch))
    held_out = batches[HELD_OUT - 1 :: HELD_OUT]
    learned = [b for n, b in enumerate(batches) if n % HELD_OUT != HELD_OUT - 1]
    if not held_out or not learned:
        least_many = HELD_OUT * batch
        raise ModelError(f"{len(ids)} sequences are too few to train on; give {least_many} or more")
    optimizer, parameters = _prepared(model, layers, rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epochs * len(learned), 1))

    def score() -> float:
        with torch.no_grad():
            return sum(float(_loss(model, original, some)) for some in held_out) / len(held_out)

    best = [p.detach().clone() for p in parameters]
    order, done = random.Random(seed), 0
    with decoded(model), torch.enable_grad():
        least = score()
        if report is not None:
            report(0, epochs * len(learned), least)
        for _ in range(epochs):
            order.shuffle(learned)
            for some in learned:
                optimizer.zero_grad()
                _loss(model, original, some).backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                schedule.step()
                done += 1
                if report is not None:
                    report(done, epochs * len(learned), least)
            now = score()
            if now < least:
                least, best = now, [p.detach().clone() for p in parameters]
    for parameter, value in zip(parameters, best, strict=True):
        parameter.data.copy_(value)
        parameter.requires_grad_(False)
        parameter.grad = None
    for layer in layers:
        freeze(layer)
    _noted(model)
    return least


def _prepared(
    model: Any, layers: list[QuantizedLinear], rate: float
) -> tuple[torch.optim.Optimizer, list[torch.nn.Parameter]]:
    """Let what is trained be trained, and nothing else."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    loose = [p for layer in layers for p in loosen(layer, scales=True)]
    aside = {id(p) for p in (*loose, *model.get_input_embeddings().parameters())}
    others = [p for p in model.parameters() if p.is_floating_point() and id(p) not in aside]
    parameters = [*loose, *others]
    for parameter in parameters:
        parameter.requires_grad_(True)
    return torch.optim.Adam(rated(parameters, rate)), parameters


def _loss(model: Any, original: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the mean divergence of the model's predictions from the original's."""
    with torch.no_grad():
        goal = original(input_ids=ids.to(original.device), use_cache=False).logits
        goal = torch.log_softmax(goal.to(torch.float32), -1).to(ids.device)
    ours = torch.log_softmax(model(input_ids=ids, use_cache=False).logits.to(torch.float32), -1)
    return (goal.exp() * (goal - ours)).sum(-1).mean()


def _noted(model: Any) -> None:
    """Write the layers' new fingerprints into the model's settings."""
    settings = getattr(model.config, "quantization_config", None)
    if settings is not None and hasattr(settings, "modules"):
        settings.modules = {
            name: entry_of(layer)
            for name, layer in model.named_modules()
            if isinstance(layer, QuantizedLinear)
        }
