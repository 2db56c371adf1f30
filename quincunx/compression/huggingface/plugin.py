"""Quincunx's models in transformers: ``from_pretrained``, ``save_pretrained``, ``dequantize``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from transformers.quantizers import (
    HfQuantizer,
    register_quantization_config,
    register_quantizer,
)
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING
from transformers.utils.quantization_config import QuantizationConfigMixin

from quincunx._errors import FileFormatError, ModelError
from quincunx.compression.allocate import choices
from quincunx.compression.huggingface.architectures import FAMILIES, family_of
from quincunx.compression.packed import FORMAT_VERSION, check, entry_of, layer_of
from quincunx.compression.recipe import QuantizeRecipe, recipe_of
from quincunx.nn.experts import Experts
from quincunx.nn.quantized_linear import QuantizedLinear, dense_linear

__all__ = ["NEEDS", "QuincunxConfig", "QuincunxQuantizer", "attach", "quantized_layers"]

METHOD = "quincunx"
NEEDS = (
    "this model is compressed with the package quincunx: pip install 'quincunx[compression]' and "
    "import quincunx.compression.huggingface before loading it"
)
"""Where transformers looks for weights without our plug-in: its error quotes this sentence."""


class QuincunxConfig(QuantizationConfigMixin):
    """What config.json says of the quantization, or what is wanted when a model is loaded.

    Without ``modules`` a model is quantized while it is loaded. No text is seen then: errors of all
    inputs count alike, which loses much below 4 bits. ``quincunx quantize`` does better.

    Attributes:
        bits: a weight; the mean over all layers where they differ.
        recipe: a name, fields of a recipe, or a recipe.
        modules: of each quantized layer, how it is written.
        modules_to_not_convert: layers that are left as they are.
        seed: of the transforms.
        format_version: of the files.
    """

    def __init__(
        self,
        bits: float = 4,
        recipe: str | Mapping[str, Any] | QuantizeRecipe = "qtip",
        modules: Mapping[str, Mapping[str, Any]] | None = None,
        modules_to_not_convert: list[str] | None = None,
        seed: int = 0,
        format_version: int = FORMAT_VERSION,
        **_: Any,
    ) -> None:
        """Check the fields.

        Raises:
            FileFormatError: the files are of a later format.
            ModelError: a field is out of range.
        """
        if format_version != FORMAT_VERSION:
            raise FileFormatError(
                f"the model's files have format {format_version}, and this version of quincunx "
                f"reads format {FORMAT_VERSION}; install a newer one: pip install -U quincunx"
            )
        if isinstance(recipe, str):
            recipe = recipe_of(recipe)
        elif isinstance(recipe, Mapping):
            recipe = QuantizeRecipe.from_json(recipe)
        self.quant_method = METHOD
        self.bits = bits
        self.recipe = recipe.to_json()
        self.modules = {name: dict(entry) for name, entry in (modules or {}).items()}
        self.modules_to_not_convert = modules_to_not_convert
        self.seed = seed
        self.format_version = format_version
        if not self.modules and bits not in choices(recipe.codebook):
            raise ModelError(f"bits is {bits}; {recipe.name} has {choices(recipe.codebook)}")


class QuincunxQuantizer(HfQuantizer):
    """Puts layers of codes in the place of linear layers."""

    requires_calibration = False

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is needed that is not installed."""

    def update_attn_implementation(self, config: Any) -> Any:
        """Let transformers find the weights, as it has found us."""
        if getattr(config, "transformers_weights", None) == NEEDS:
            config.transformers_weights = None
        return config

    def _process_model_before_weight_loading(self, model: Any, **kwargs: Any) -> None:
        settings = self.quantization_config
        if self.pre_quantized:
            _expect_guards(model)
        else:
            _check_on_the_fly(model)
            self._left_out = _left_out(model, settings)
            return
        family = FAMILIES.get(model.config.model_type)
        if family is not None and any(".experts." in name for name in settings.modules):
            from quincunx.compression.huggingface.checkpoint import separate_experts

            separate_experts(model, family, Experts.like)
        for name, entry in settings.modules.items():
            try:
                model.get_submodule(name)
            except AttributeError:
                raise FileFormatError(
                    f"config.json describes the layer {name}, which this model does not have"
                ) from None
            model.set_submodule(name, layer_of(entry, name))
            # Some families draw a layer's first weights from the module around it, by name.
            model.get_submodule(name.rpartition(".")[0])._is_hf_initialized = True

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> None:
        settings = self.quantization_config
        for name, layer in quantized_layers(model).items():
            layer.qweight.requires_grad_(False)
            if self.pre_quantized:
                check(layer, settings.modules[name], name)
        if not self.pre_quantized:
            found = quantized_layers(model)
            settings.modules = {name: entry_of(layer) for name, layer in found.items()}
            settings.modules_to_not_convert = sorted(
                name
                for name, module in model.named_modules()
                if isinstance(module, torch.nn.Linear)
            )

    def param_needs_quantization(self, model: Any, param_name: str, **kwargs: Any) -> bool:
        """Say whether a tensor is the weight of a layer to be quantized on the way."""
        if self.pre_quantized:
            return False
        name, _, leaf = param_name.rpartition(".")
        return leaf == "weight" and name in self._layers(model)

    def _layers(self, model: Any) -> set[str]:
        return {
            name
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and not _fits(name, self._left_out)
        }

    def get_quantize_ops(self) -> Any:
        """Return what quantizes a tensor on the way."""
        from quincunx.compression.huggingface.on_the_fly import Quantize

        return Quantize(self)

    def get_state_dict_and_metadata(self, model: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what is saved: also empty weights, on whose shape loading without us fails."""
        self.quantization_config.modules = {
            name: entry_of(layer) for name, layer in quantized_layers(model).items()
        }
        return {**model.state_dict(), **guards(self.quantization_config.modules)}, {}

    def _dequantize(self, model: Any, dtype: torch.dtype | None = None) -> Any:
        for name, layer in quantized_layers(model).items():
            model.set_submodule(name, dense_linear(layer, dtype or model.dtype))
        return model

    def is_serializable(self) -> bool:
        """Say that the model can be saved."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Adapters can be trained on it."""
        return True

    @property
    def is_compileable(self) -> bool:
        """``torch.compile`` takes it."""
        return True


def quantized_layers(model: torch.nn.Module) -> dict[str, QuantizedLinear]:
    """Return the layers of codes in a model, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, QuantizedLinear)
    }


def guards(modules: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return empty tensors by the names of weights that are codes now."""
    return {f"{name}.weight": torch.empty(0) for name in modules if ".experts." not in name}


def attach(model: Any, settings: QuincunxConfig) -> None:
    """Tell a model in memory that it is quantized, so that it can be saved and the like."""
    quantizer = QuincunxQuantizer(settings, pre_quantized=True)
    model.config.quantization_config = settings
    model.hf_quantizer = quantizer
    model.is_quantized = True
    model.quantization_method = METHOD
    _expect_guards(model)


def _expect_guards(model: Any) -> None:
    """Let a model overlook the empty weights."""
    ignored = set(model._keys_to_ignore_on_load_unexpected or ())
    model._keys_to_ignore_on_load_unexpected = ignored | {r"\.weight$"}


def _check_on_the_fly(model: Any) -> None:
    """Refuse models of which little would be quantized.

    Raises:
        ModelError: their blocks' weights are not in linear layers of torch.
    """
    blocks = model.get_submodule(family_of(model.config.model_type).blocks)
    inside = sum(m.weight.numel() for m in blocks.modules() if isinstance(m, torch.nn.Linear))
    whole = sum(p.numel() for p in blocks.parameters() if p.ndim > 1)
    if inside < 0.9 * whole:
        raise ModelError(
            f"only {inside / whole:.0%} of the weights in the blocks of {model.config.model_type} "
            f"are in layers that can be quantized while they are loaded; use quincunx quantize, "
            f"or quantize_model on the loaded model"
        )


def _left_out(model: Any, settings: QuincunxConfig) -> list[str]:
    """Return the layers that are not quantized on the way: all outside the decoder blocks."""
    inside = family_of(model.config.model_type).blocks + "."
    outside = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.startswith(inside)
    ]
    return [*outside, *(settings.modules_to_not_convert or [])]


def _fits(name: str, patterns: list[str]) -> bool:
    return any(name == p or name.endswith("." + p) or re.fullmatch(p, name) for p in patterns)


if METHOD not in AUTO_QUANTIZATION_CONFIG_MAPPING:  # a module may be loaded again
    register_quantization_config(METHOD)(QuincunxConfig)
    register_quantizer(METHOD)(QuincunxQuantizer)
