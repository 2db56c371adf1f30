"""Quincunx's models in transformers: ``from_pretrained``, ``save_pretrained``, ``dequantize``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D
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

__all__ = [
    "NEEDS",
    "QuincunxConfig",
    "QuincunxQuantizer",
    "attach",
    "fuse_experts",
    "quantized_layers",
]

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
        self.modules = _entries(modules or {})
        self.modules_to_not_convert = modules_to_not_convert
        self.seed = seed
        self.format_version = format_version
        if not self.modules and bits not in choices(recipe.codebook):
            raise ModelError(f"bits is {bits}; {recipe.name} has {choices(recipe.codebook)}")


def _entries(modules: Any) -> dict[str, dict[str, Any]]:
    """Return the descriptions of layers.

    Raises:
        FileFormatError: they are none.
    """
    if not isinstance(modules, Mapping) or not all(
        isinstance(entry, Mapping) and "sha256" in entry for entry in modules.values()
    ):
        raise FileFormatError(
            "config.json does not describe the quantized layers: modules has to hold, for each "
            "name, what quincunx wrote, with its sha256. Copy or download the model again"
        )
    return {str(name): dict(entry) for name, entry in modules.items()}


def _here(model: Any, name: str) -> str:
    """Return what a layer is called in a model with or without its head.

    Raises:
        FileFormatError: the model has no such layer.
    """
    prefix = f"{model.base_model_prefix}."
    for found in (name, name.removeprefix(prefix), prefix + name):
        try:
            model.get_submodule(found)
            return found
        except AttributeError:
            continue
    raise FileFormatError(f"config.json describes the layer {name}, which this model does not have")


class QuincunxQuantizer(HfQuantizer):
    """Puts layers of codes in the place of linear layers."""

    requires_calibration = False

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is needed that is not installed."""

    def update_attn_implementation(self, config: Any) -> Any:
        """Let transformers find the weights, as it has found us."""
        return _found(config)

    def update_tp_plan(self, config: Any) -> Any:
        """Do the same where transformers, up to 5.17, asks for this before it looks for weights."""
        return _found(config)

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
        settings.modules = {_here(model, n): entry for n, entry in settings.modules.items()}
        for name, entry in settings.modules.items():
            model.set_submodule(name, layer_of(entry, name))
            # Some families draw a layer's first weights from the module around it, by name.
            model.get_submodule(name.rpartition(".")[0])._is_hf_initialized = True
        _check_experts(model)

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
        tensors = model.state_dict()
        for name in _transposed(model):  # layers that an adapter was merged into
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"].T.contiguous()
        return {**tensors, **guards(self.quantization_config.modules)}, {}

    def _dequantize(self, model: Any, dtype: torch.dtype | str | None = None) -> Any:
        if isinstance(dtype, str):  # so transformers leaves it in the configuration when it saves
            dtype = getattr(torch, dtype.removeprefix("torch."))
        for name, layer in quantized_layers(model).items():
            model.set_submodule(name, dense_linear(layer, dtype or model.dtype))
        for name in _transposed(model):
            model.set_submodule(name, _conv1d(model.get_submodule(name)))
        fuse_experts(model)
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


def _found(config: Any) -> Any:
    """Take away the name of a file that is not there, which stops who does not know us."""
    if getattr(config, "transformers_weights", None) == NEEDS:
        config.transformers_weights = None
    return config


def quantized_layers(model: torch.nn.Module) -> dict[str, QuantizedLinear]:
    """Return the layers of codes in a model, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, QuantizedLinear)
    }


def fuse_experts(model: Any) -> None:
    """Give experts that hold no codes the form that transformers has for them."""
    for name, module in list(model.named_modules()):
        if isinstance(module, Experts) and not quantized_layers(module):
            model.set_submodule(name, module.fused(model.config))


def guards(modules: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return empty tensors by the names of weights that are codes now."""
    fused = {name.partition(".experts.")[0] for name in modules if ".experts." in name}
    found = {f"{name}.weight": torch.empty(0) for name in modules if ".experts." not in name}
    # Of three dimensions, because transformers cuts it apart when it saves.
    return found | {f"{name}.experts.gate_up_proj": torch.zeros(1, 2, 1) for name in sorted(fused)}


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
    model._keys_to_ignore_on_load_unexpected = ignored | {r"\.weight$", r"\.gate_up_proj$"}


def _check_experts(model: Any) -> None:
    """Refuse blocks of which only some experts are described: files cannot hold the others.

    Raises:
        FileFormatError: there are such.
    """
    for name, module in model.named_modules():
        if isinstance(module, Experts):
            lost = [n for n, m in module.named_modules() if isinstance(m, torch.nn.Linear)]
            if lost and quantized_layers(module):
                raise FileFormatError(
                    f"config.json does not describe the layer {name}.{lost[0]}, and describes "
                    f"other experts of its block. Copy or download the model again"
                )


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


def _transposed(model: Any) -> list[str]:
    """Return the plain linear layers that stand where transformers has ``Conv1D``."""
    family = FAMILIES.get(model.config.model_type)
    if family is None or not family.transposed:
        return []
    inside = family.blocks.rpartition(".")[2] + "."
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and inside in f".{name}"
    ]


def _conv1d(layer: torch.nn.Linear) -> Conv1D:
    """Return the layer as GPT-2 has it."""
    with torch.device("meta"):
        found = Conv1D(layer.out_features, layer.in_features)
    found.weight = torch.nn.Parameter(layer.weight.detach().T.contiguous())
    found.bias = layer.bias
    return found


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
