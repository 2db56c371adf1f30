"""Quantized layers as entries of a file's description, and what was damaged on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch

from quincunx._errors import FileFormatError
from quincunx.nn.quantized_linear import Coding, QuantizedLinear

__all__ = ["FORMAT_VERSION", "check", "digest", "entry_of", "layer_of"]

FORMAT_VERSION = 1
_SIZES = ("in_features", "out_features", "bias", "scales", "sha256")


def digest(layer: QuantizedLinear) -> str:
    """Return a fingerprint of codes, scales and how they are written; the bias is not in it."""
    coding = json.dumps(layer.coding.to_json(), sort_keys=True)
    found = hashlib.sha256(coding.encode())
    for name, tensor in sorted(layer.state_dict().items()):
        if name != "bias":
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:32]


def entry_of(layer: QuantizedLinear) -> dict[str, Any]:
    """Return what a file says of a layer, as JSON knows it."""
    return {
        **layer.coding.to_json(),
        "in_features": layer.in_features,
        "out_features": layer.out_features,
        "bias": layer.bias is not None,
        "scales": layer.scales.numel(),
        "sha256": digest(layer),
    }


def layer_of(entry: Mapping[str, Any], name: str) -> QuantizedLinear:
    """Make a layer, without content, of its entry.

    Raises:
        FileFormatError: the entry is not of this format.
    """
    try:
        coding = Coding(**{k: v for k, v in entry.items() if k not in _SIZES})
        return QuantizedLinear(
            int(entry["in_features"]),
            int(entry["out_features"]),
            coding,
            bias=bool(entry["bias"]),
            scales=int(entry["scales"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"config.json describes the layer {name} in a way that this version cannot read "
            f"({error})"
        ) from None


def check(layer: QuantizedLinear, entry: Mapping[str, Any], name: str) -> None:
    """Compare a layer's content with its fingerprint.

    Raises:
        FileFormatError: they differ.
    """
    if any(t.is_meta for t in layer.state_dict().values()):
        return  # on a disk, from where it is read layer by layer
    finite = torch.isfinite(layer.scales).all()
    if not bool(finite) or digest(layer) != entry["sha256"]:
        raise FileFormatError(
            f"the tensors of {name} are missing or damaged: they do not have the fingerprint that "
            f"config.json gives them. Copy or download the model again"
        )
