"""LoRA on layers of codes, for peft: what it makes, saves, loads and merges is as for others."""

from __future__ import annotations

import warnings
from typing import Any

from peft.tuners.lora import layer as lora_layer
from peft.tuners.lora import model as lora_model

from quincunx.nn.quantized_linear import QuantizedLinear, dense_linear

__all__ = ["LoraQuantizedLinear", "teach_peft"]


class LoraQuantizedLinear(lora_layer.Linear):
    """Low-rank matrices beside a layer of codes. Merging makes the layer's weights plain first."""

    base_layer: Any

    def __init__(self, base_layer: Any, adapter_name: str, **kwargs: Any) -> None:
        """Add an adapter."""
        with warnings.catch_warnings():
            # peft warns of every class that it does not know.
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
            super().__init__(base_layer, adapter_name, **kwargs)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the adapter to the weights, which are numbers then, no longer codes."""
        if isinstance(self.base_layer, QuantizedLinear):
            self.base_layer = dense_linear(self.base_layer)
        super().merge(safe_merge=safe_merge, adapter_names=adapter_names)


def _dispatch(target: Any, adapter_name: str, config: Any, **kwargs: Any) -> Any:
    base = target.get_base_layer() if isinstance(target, lora_layer.LoraLayer) else target
    if isinstance(base, QuantizedLinear) and kwargs.get("parameter_name") is None:
        kwargs.pop("parameter_name", None)
        return LoraQuantizedLinear(target, adapter_name, config=config, **kwargs)
    return _original(target, adapter_name, config=config, **kwargs)


_original = lora_model.dispatch_default


def teach_peft() -> None:
    """Let peft put adapters on layers of codes, in this process."""
    lora_model.dispatch_default = _dispatch
