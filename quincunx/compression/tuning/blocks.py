"""Training within a block while it is rounded: what is left makes up for what was lost."""

from __future__ import annotations

import random
from typing import Any

import torch

from quincunx.compression.blocks import run_block
from quincunx.compression.calibrate import Stream
from quincunx.compression.tuning.trainable import freeze, loosen, rated
from quincunx.nn.quantized_linear import QuantizedLinear, decoded

__all__ = ["tune_block"]

HELD_OUT = 8  # one micro-batch of so many is not trained on
PATIENCE = 2  # epochs without gain


def tune_block(
    block: torch.nn.Module,
    stream: Stream,
    targets: dict[int, torch.Tensor],
    inputs: dict[int, Any],
    *,
    epochs: int,
    seed: int,
) -> float:
    """Bring a half-rounded block's outputs nearer to the original's.

    Trained are signs of the layers that are codes, and all weights that are not yet, by Adam on the
    mean squared error; those of the epoch with the least error on the held-out part are kept.

    Arguments:
        block: in memory, float32.
        stream: what it is given.
        targets: what the original block made of what it was given.
        inputs: the block's further arguments.
        epochs: at most.
        seed: of the order of the text.

    Returns:
        The held-out error, as a fraction of what it was.

    Reference:
        Tseng and others, "QuIP#", 2024, section 5 and appendix.
    """
    layers = [m for m in block.modules() if isinstance(m, QuantizedLinear)]
    trained = [p for layer in layers for p in loosen(layer)]
    mine = {id(p) for p in trained}
    others = [
        p
        for layer in block.modules()
        for p in layer.parameters(recurse=False)
        if p.is_floating_point() and id(p) not in mine
    ]
    for parameter in others:
        parameter.requires_grad_(True)
    parameters = [*trained, *others]
    optimizer = torch.optim.Adam(rated(parameters))
    numbers = sorted(stream.hidden)
    held_out = numbers[HELD_OUT - 1 :: HELD_OUT] or numbers[-1:]
    learned = [n for n in numbers if n not in held_out] or numbers
    order = random.Random(seed)

    def error(number: int) -> torch.Tensor:
        out = run_block(block, stream.hidden[number], inputs)
        return torch.nn.functional.mse_loss(out.to(torch.float32), targets[number])

    def score() -> float:
        with torch.no_grad():
            return sum(float(error(number)) for number in held_out)

    best = [p.detach().clone() for p in parameters]
    waited = 0
    with decoded(block), torch.enable_grad():
        first = least = score()
        for _ in range(epochs):
            order.shuffle(learned)
            for number in learned:
                optimizer.zero_grad()
                error(number).backward()
                optimizer.step()
            now = score()
            waited = 0 if now < least else waited + 1
            if now < least:
                least, best = now, [p.detach().clone() for p in parameters]
            if waited >= PATIENCE:
                break
    for parameter, value in zip(parameters, best, strict=True):
        parameter.data.copy_(value)
        parameter.requires_grad_(False)
        parameter.grad = None
    for layer in layers:
        freeze(layer)
    return least / first if first > 0 else 1.0
