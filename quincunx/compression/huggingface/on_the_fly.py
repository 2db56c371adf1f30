"""Quantization of a model's weights while transformers reads them, without text."""

from __future__ import annotations

from typing import Any

import torch
from transformers.core_model_loading import ConversionOps

from quincunx.compression.layer import coding_of, quantize_layer
from quincunx.compression.recipe import QuantizeRecipe

__all__ = ["Quantize"]


class Quantize(ConversionOps):
    """Replaces a linear layer by codes of its weights, rounded as if its inputs were white."""

    def __init__(self, quantizer: Any) -> None:
        """Keep the quantizer, whose settings say how."""
        self.quantizer = quantizer

    def convert(
        self,
        input_dict: dict[str, Any],
        model: Any = None,
        full_layer_name: str | None = None,
        missing_keys: set[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Quantize one tensor, and put the layer into the model."""
        assert full_layer_name is not None
        settings = self.quantizer.quantization_config
        recipe = QuantizeRecipe.from_json(settings.recipe)
        value = next(iter(input_dict.values()))
        weight = value[0] if isinstance(value, list) else value
        name = full_layer_name.removesuffix(".weight")
        old = model.get_submodule(name)
        plain = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        plain.weight = torch.nn.Parameter(weight, requires_grad=False)
        coding = coding_of(recipe, settings.bits, settings.seed, name, name)
        made, _ = quantize_layer(plain, None, recipe, coding, name=name)
        if old.bias is not None:
            made.bias = old.bias  # read by itself
        for tensor in (*made.parameters(recurse=False), *made.buffers(recurse=False)):
            if tensor is not made.bias:
                tensor._is_hf_initialized = True
        made._is_hf_initialized = True
        model.set_submodule(name, made)
        if missing_keys is not None:
            missing_keys.discard(full_layer_name)
        return {}
