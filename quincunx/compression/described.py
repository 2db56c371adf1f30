"""What a compressed model's folder says of itself; no tensor is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quincunx._errors import FileFormatError
from quincunx.compression.report import FILE

__all__ = ["Described", "described"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A folder.

    Attributes:
        model_type: of transformers.
        recipe: its name.
        bits: as asked for.
        weights: compressed.
        bytes: of the files of weights.
        kept: linear layers outside the blocks, as they were.
        stored_bits: a weight, with all overheads; None, as are all that follow, in a folder
            without ``quincunx-report.json``, such as transformers writes.
        text: of the calibration.
        relative_loss: mean of layers.
        layers: the entries of the report.
    """

    model_type: str
    recipe: str
    bits: float
    weights: int
    bytes: int
    kept: tuple[str, ...]
    stored_bits: float | None = None
    text: str | None = None
    relative_loss: float | None = None
    layers: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return asdict(self)


def described(folder: str | Path) -> Described:
    """Read a folder's descriptions.

    Raises:
        FileNotFoundError: there is no such folder.
        FileFormatError: it is no folder of ours.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}; give one that quantize wrote")
    config = _read(path / "config.json")
    settings = config.get("quantization_config") or {}
    if settings.get("quant_method") != "quincunx":
        raise FileFormatError(
            f"{path} is not compressed by quincunx: its config.json has quant_method "
            f"{settings.get('quant_method')!r}"
        )
    try:
        modules = settings["modules"].values()
        common = {
            "model_type": str(config.get("model_type")),
            "recipe": str(settings["recipe"]["name"]),
            "bits": float(settings["bits"]),
            "weights": sum(e["in_features"] * e["out_features"] for e in modules),
            "bytes": sum(file.stat().st_size for file in path.glob("*.safetensors")),
            "kept": tuple(settings.get("modules_to_not_convert") or ()),
        }
        if not (path / FILE).is_file():
            return Described(**common)
        report = _read(path / FILE)
        layers, text = report["layers"], report["calibration"]
        return Described(
            **common,
            stored_bits=float(report["bits per weight"]),
            text=f"{text['source']}, {text['samples']} x {text['context']} tokens",
            relative_loss=sum(n["relative_loss"] for n in layers) / max(len(layers), 1),
            layers=tuple(layers),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path} holds descriptions that are not as quincunx writes them: "
            f"{type(error).__name__} {error}"
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise FileFormatError(f"{path.parent} has no {path.name}") from None
    except ValueError as error:
        raise FileFormatError(f"{path} is damaged: {error}") from None
