"""Layers of codes whose signs and scales can be trained, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from quincunx.nn.quantized_linear import QuantizedLinear
from quincunx.solvers.linalg.random_bits import signs

__all__ = ["freeze", "loosen", "rated"]

RATE = 2e-3  # of a step, as a fraction of a tensor's root mean square


def loosen(layer: QuantizedLinear, *, scales: bool = False) -> list[torch.nn.Parameter]:
    """Make a layer's signs, and its scales if wanted, parameters in float32; return these.

    Layers whose transform has no signs have none to train.
    """
    found = []
    if layer.coding.transform == "hadamard":
        for side, n, seed in (
            ("input", layer.in_features, layer.coding.input_seed),
            ("output", layer.out_features, layer.coding.output_seed),
        ):
            name = f"{side}_signs"
            if layer.coding.tuned:
                start = getattr(layer, name).to(torch.float32)
                delattr(layer, name)
            else:
                given = torch.tensor(signs(n, seed), dtype=torch.float32)
                start = given.to(layer.qweight.device)
            layer.register_parameter(name, torch.nn.Parameter(start))
            found.append(getattr(layer, name))
        layer.coding = replace(layer.coding, tuned=True)
    if scales:
        start = layer.scales.detach().clone()
        del layer.scales
        layer.register_parameter("scales", torch.nn.Parameter(start))
        found.append(layer.scales)
    return found


def freeze(layer: QuantizedLinear) -> None:
    """Make a layer's parameters buffers again: signs in float16, as they are stored."""
    for name, dtype in (
        ("input_signs", torch.float16),
        ("output_signs", torch.float16),
        ("scales", torch.float32),
    ):
        if name in layer._parameters:
            value = getattr(layer, name).detach().to(dtype)
            delattr(layer, name)
            layer.register_buffer(name, value)


def rated(parameters: Iterable[torch.nn.Parameter], rate: float = 1.0) -> list[dict[str, Any]]:
    """Return what an optimizer takes: tensors, each with a learning rate that suits its size.

    Adam's steps are of the size of the rate whatever the gradients, so that one rate for signs,
    norms and weights would be much for some and nothing for others.

    Arguments:
        parameters: tensors.
        rate: multiplies all rates.
    """
    groups = []
    for parameter in parameters:
        size = float(parameter.detach().square().mean().sqrt()) or 1.0
        groups.append({"params": [parameter], "lr": rate * RATE * size})
    return groups
