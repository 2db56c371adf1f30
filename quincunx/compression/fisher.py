"""How errors of layers' outputs count for the whole model's predictions: output Hessians."""

from __future__ import annotations

from typing import Any

import torch

from quincunx.compression.blocks import Batches, run_block, tail_of

__all__ = ["output_moments"]


def output_moments(
    model: torch.nn.Module,
    blocks: torch.nn.ModuleList,
    found: Batches,
    names: dict[int, list[str]],
    load: Any,
    release: Any,
    *,
    seed: int,
) -> dict[tuple[int, str], torch.Tensor]:
    """Return the mean second moments ``E[g g']`` of the gradients at layers' outputs.

    The gradient is that of the log-likelihood of tokens drawn from the model's own predictions, so
    that its moments are the Hessian of the KL divergence, tokens taken as independent. One pass
    forward, which keeps what each block is given, and one backward, block by block, each run again.

    A layer that nothing went through has none.

    Memory: the hidden states before every block, and a matrix [m, m] in float32 for each layer.

    Arguments:
        model: with embeddings, last norm and head in memory.
        blocks: of it.
        found: hidden states before the first block, and the blocks' further arguments.
        names: of the layers, for each block.
        load: makes a block ready, by its number.
        release: the opposite.
        seed: of the tokens drawn.

    Reference:
        Tseng, Sun, De Sa, "Model-Preserving Adaptive Rounding", 2025, arXiv:2505.22988, section 3.
    """
    before: list[list[torch.Tensor]] = []
    hidden = found.hidden
    with torch.no_grad():
        for number in range(len(blocks)):
            block = load(number)
            before.append(hidden)
            hidden = [run_block(block, h, found.inputs[number]).to(torch.float32) for h in hidden]
            release(number)
    generator = torch.Generator().manual_seed(seed)
    gradients = [_at_the_end(model, blocks, h, generator) for h in hidden]
    moments: dict[tuple[int, str], torch.Tensor] = {}
    for number in reversed(range(len(blocks))):
        block = load(number)
        sums = {name: torch.zeros(1) for name in names[number]}
        tokens = 0
        for place, start in enumerate(before[number]):
            gradients[place] = _through(block, start, gradients[place], found.inputs[number], sums)
            tokens += start.shape[0] * start.shape[1]
        before[number] = []
        for name, total in sums.items():
            if total.numel() > 1:  # otherwise an expert that no token went through
                moments[number, name] = (total / tokens).to(torch.float32)
        release(number)
    return moments


def _at_the_end(
    model: torch.nn.Module,
    blocks: torch.nn.ModuleList,
    hidden: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the gradient at the last block's outputs, for tokens drawn from the predictions."""
    leaf = hidden.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        logits = tail_of(model, blocks, leaf).to(torch.float32)
        flat = logits.reshape(-1, logits.shape[-1])
        with torch.no_grad():
            drawn = torch.multinomial(flat.softmax(-1).cpu(), 1, generator=generator)[:, 0]
        loss = torch.nn.functional.cross_entropy(flat, drawn.to(flat.device), reduction="sum")
        loss.backward()
    assert leaf.grad is not None
    return leaf.grad


def _through(
    block: torch.nn.Module,
    start: torch.Tensor,
    gradient: torch.Tensor,
    inputs: dict[int, Any],
    sums: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Return the gradient before a block; add up the moments of those at its layers' outputs."""

    def note(name: str, g: torch.Tensor) -> None:
        wide = g.reshape(-1, g.shape[-1]).to(torch.float64)
        product = wide.T @ wide
        sums[name] = product if sums[name].numel() == 1 else sums[name] + product

    def watch(name: str) -> Any:
        def hook(_: Any, __: Any, out: torch.Tensor) -> None:
            if out.requires_grad:
                out.register_hook(lambda g: note(name, g))

        return hook

    handles = [block.get_submodule(name).register_forward_hook(watch(name)) for name in sums]
    leaf = start.detach().clone().requires_grad_(True)
    try:
        with torch.enable_grad():
            run_block(block, leaf, inputs).backward(gradient)
    finally:
        for handle in handles:
            handle.remove()
    assert leaf.grad is not None
    return leaf.grad
