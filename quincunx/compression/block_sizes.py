"""Block sizes of products on a GPU, found by timing and remembered on disk; only where asked for.

How a product is cut up changes its speed, and the order of its sums, so its last bits. Layers
therefore keep to sizes that depend on shapes alone, the same on all machines, unless :func:`tune`
is called for them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from quincunx._atomic import atomic_write
from quincunx._errors import ModelError
from quincunx.kernels import gpu_rows
from quincunx.kernels.gpu_parts import FEW, Blocks, architecture_of, bucket
from quincunx.kernels.gpu_timing import compiler, median_time
from quincunx.kernels.trellis_matmul import _triton as trellis
from quincunx.nn.coded_product import coded_product
from quincunx.nn.fused import joinable, siblings
from quincunx.nn.quantized_linear import Coding, QuantizedLinear

__all__ = ["candidates", "tune"]

WARPS = (1, 2, 4, 8)
PROGRAMS = (132, 264, 528, 1056, 2112)
HEIGHTS = (32, 64, 128)
GAIN = 0.98  # of the usual time: what differs less is noise


def tune(
    model: torch.nn.Module,
    *,
    rows: tuple[int, ...] = (1,),
    file: str | Path | None = None,
    timer: Callable[[Callable[[], Any]], float] | None = None,
    done: Callable[[str], None] = lambda name: None,
) -> dict[str, Blocks]:
    """Time block sizes for the layers of a model, and let the layers use the fastest.

    Times are remembered in a file by device, version of Triton, shape and way of coding, so that
    the next call takes no time. Results then differ from untuned ones in their last bits.

    Arguments:
        model: on a GPU, with compressed layers.
        rows: of inputs to tune for; sizes serve all rows up to the next power of two.
        file: where to remember; None: ``~/.cache/quincunx/block-sizes.json``.
        timer: returns how long a call takes; None: the median of many, with caches emptied.
        done: called with a layer's name after it, or with those of layers that generation
            multiplies at once (:mod:`quincunx.nn.fused`).

    Returns:
        What was chosen, by key.

    Raises:
        ModelError: a number of rows is below 1, or the model is not on a GPU.
    """
    device = next(model.parameters()).device.type
    if device != "cuda" and timer is None:
        raise ModelError(
            f"block sizes are of a GPU's work, and the model is on {device!r}; move it to a GPU, "
            "or do not tune it"
        )
    for count in rows:
        if count < 1:
            raise ModelError(f"rows has {count}; products have 1 row of inputs or more")
    path = Path(file) if file is not None else default_file()
    known, found = _read(path), {}
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    products = [[m] for m in model.modules() if isinstance(m, QuantizedLinear)]
    products += [layers for layers in siblings(model) if joinable(layers)]
    names = {layer: name for name, layer in model.named_modules()}
    for layers in products:
        product = _Product.of(layers)
        for count in sorted({bucket(r) for r in rows}):
            key = _key(product, count, dtype)
            if key not in known:
                known[key] = _fastest(product, count, dtype, timer or median_time)
                _write(path, known)
            found[key] = layers[0].blocks[product.shape[0], count, dtype] = known[key]
        done(", ".join(names[layer] for layer in layers))
    return found


def candidates(usual: Blocks, rows: int) -> Iterator[Blocks]:
    """Yield other ways to cut up a product than the usual one.

    Arguments:
        usual: what is taken without tuning.
        rows: of inputs.
    """
    for warps in WARPS:
        for programs in PROGRAMS:
            for height in (usual.height,) if rows <= FEW else HEIGHTS:
                found = usual._replace(warps=warps, programs=programs, height=height)
                if found != usual:
                    yield found


def default_file() -> Path:
    """Return where sizes are remembered if no file is named."""
    return Path.home() / ".cache" / "quincunx" / "block-sizes.json"


class _Product(NamedTuple):
    """What is timed: a layer's codes, or those of layers that are multiplied at once."""

    codes: torch.Tensor
    coding: Coding
    shape: tuple[int, int]

    @classmethod
    def of(cls, layers: Sequence[QuantizedLinear]) -> _Product:
        codes = [layer.qweight.data for layer in layers]
        shape = sum(layer.out_features for layer in layers), layers[0].in_features
        return cls(codes[0] if len(codes) == 1 else torch.cat(codes), layers[0].coding, shape)


def _fastest(
    product: _Product,
    rows: int,
    dtype: torch.dtype,
    timer: Callable[[Callable[[], Any]], float],
) -> Blocks:
    """Time the usual way and all others that can be compiled."""
    codes, coding, shape = product
    x = torch.randn(rows, shape[1], device=codes.device).to(dtype)

    def seconds(blocks: Blocks) -> float:
        return timer(lambda: coded_product(x, codes, coding, shape, blocks))

    usual = _usual(product, rows, dtype)
    best, least = usual, seconds(usual) * GAIN
    for blocks in candidates(usual, rows):
        try:
            found = seconds(blocks)
        except Exception:  # too many registers or too much shared memory: whatever Triton raises
            continue
        if found < least:
            best, least = blocks, found
    return best


def _usual(product: _Product, rows: int, dtype: torch.dtype) -> Blocks:
    """Return how a product is cut up without tuning."""
    name, architecture = str(dtype).removeprefix("torch."), architecture_of(product.codes.device)
    if product.coding.codebook == "trellis":
        return trellis.chosen(rows, name, product.shape, product.coding.bits, architecture)
    bits = int(product.coding.bits)
    return gpu_rows.chosen(rows, name, bits, product.shape[0], architecture=architecture)


def _key(product: _Product, rows: int, dtype: torch.dtype) -> str:
    """Name all that a product's time depends on."""
    device, coding = product.codes.device, product.coding
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    way = f"{coding.codebook} {coding.bits:g} {coding.code} {coding.tile[0]}x{coding.tile[1]}"
    shape = f"{product.shape[0]}x{product.shape[1]}"
    return f"{name} | {compiler()} | {way} | {shape} | {rows} rows | {dtype}"


def _read(path: Path) -> dict[str, Blocks]:
    """Read what is remembered; a damaged file counts as none."""
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text())
        return {str(key): Blocks(**sizes) for key, sizes in entries.items()}
    except (ValueError, TypeError, AttributeError):
        warnings.warn(f"{path} holds no block sizes; they are found anew", stacklevel=3)
        return {}


def _write(path: Path, known: dict[str, Blocks]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        json.dump({key: blocks._asdict() for key, blocks in known.items()}, file, indent=1)
