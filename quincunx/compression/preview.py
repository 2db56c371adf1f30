"""What a compression would do, and take, before it is done."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from quincunx._errors import need_extra
from quincunx.compression.blocks import linears
from quincunx.compression.devices import device_of
from quincunx.compression.layer import coding_of, quantize_layer, weights_of
from quincunx.compression.ranks import Ranks
from quincunx.compression.recipe import QTIP, QuantizeRecipe, recipe_of

__all__ = ["Preview", "Row", "preview"]

TRIAL = 256  # rows and columns of the layer that is tried
PASSES = 5  # of the text through each block: four stages, and the way to the next block


@dataclass(frozen=True, slots=True)
class Row:
    """Layers of one shape and place.

    Attributes:
        pattern: their name, with * for the number of the block.
        count: how many.
        shape: (out, in).
        weights: of all.
    """

    pattern: str
    count: int
    shape: tuple[int, int]
    weights: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would be done.

    Attributes:
        rows: layers that would be rounded.
        weights: of these.
        whole: of the whole model.
        bytes_before: of the files of weights.
        bytes_after: about.
        memory: bytes above those of an empty process: embeddings, a block in float32, the moments
            and factors of its widest layer in float64, and the hidden states.
        disk: bytes of hidden states, while it runs.
        seconds: about; by rounding a layer of 256 x 256, and the products of a pass.
    """

    rows: tuple[Row, ...]
    weights: int
    whole: int
    bytes_before: int
    bytes_after: int
    memory: int
    disk: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return asdict(self)


def preview(
    model: str | Path,
    recipe: QuantizeRecipe | str = QTIP,
    *,
    bits: float = 2,
    samples: int | None = None,
    context: int | None = None,
    include: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    partial: bool = False,
    device: str | None = None,
    texts: str | Path | None = None,
    output: str | Path | None = None,
    **_: Any,
) -> Preview:
    """Look at a model folder, and try one small layer.

    Arguments:
        model: its folder.
        recipe: as for :func:`quantize_model`; so are all others.
        bits: a weight.
        samples: of text.
        context: tokens of each.
        include: patterns of names.
        skip: patterns of names.
        partial: allow less than 90 % of the weights.
        device: where the work would be done.
        texts: file or folder; None: the built-in text.
        output: the folder that would be written.

    Raises:
        ModelError: what quantize_model would raise before its work.
        FileFormatError: the folder is no model's.
    """
    need_extra("transformers", "compression", "Looking at a language model")
    from quincunx.compression.huggingface.checkpoint import open_checkpoint
    from quincunx.compression.huggingface.text import SAMPLES, longest_of
    from quincunx.compression.job import Job, patterns
    from quincunx.compression.quantize import check_bits, check_coverage

    recipe = recipe_of(recipe) if isinstance(recipe, str) else recipe
    check_bits(recipe, bits)
    _check_paths(texts, output)
    checkpoint = open_checkpoint(model)
    skeleton = checkpoint.skeleton()
    family, place = checkpoint.family, device_of(device)
    blocks = skeleton.get_submodule(family.blocks)
    job = Job(
        recipe=recipe,
        bits=bits,
        seed=0,
        include=patterns(include),
        skip=patterns(skip),
        prefix=family.blocks + ".",
        kept=family.kept,
        device=place,
        ranks=Ranks(),
    )
    check_coverage(blocks, job, partial)
    listed = _rows(blocks, job)
    widest = max(max(row.shape) for row in listed)
    block_weights = max(sum(p.numel() for p in block.parameters()) for block in blocks)
    weights = sum(row.weights for row in listed)
    whole = sum(p.numel() for p in skeleton.parameters())
    before = sum(path.stat().st_size for path in set(checkpoint.files.values()))
    tokens = (samples or SAMPLES) * longest_of(checkpoint.config, context)
    hidden = 4 * tokens * int(checkpoint.config.hidden_size)
    outer = sum(p.numel() for n, p in skeleton.named_parameters() if not n.startswith(job.prefix))
    rate, speed = _trial(recipe, bits, place)
    products = 2 * tokens * (PASSES * weights + sum(r.shape[1] ** 2 * r.count for r in listed))
    return Preview(
        rows=listed,
        weights=weights,
        whole=whole,
        bytes_before=before,
        bytes_after=int(before * (1 - weights / whole) + weights * bits / 8),
        memory=4 * (outer + 2 * block_weights) + 5 * 8 * widest**2 + 2 * hidden,
        disk=2 * hidden,
        seconds=weights / rate + products / speed,
    )


def _check_paths(texts: str | Path | None, output: str | Path | None) -> None:
    """Refuse what the job would refuse later."""
    from quincunx.compression.huggingface.text import read_texts
    from quincunx.compression.journal import check_output

    if output is not None:
        check_output(Path(output))
    if texts is not None:
        read_texts(texts)


def _rows(blocks: torch.nn.ModuleList, job: Any) -> tuple[Row, ...]:
    """Count the layers that would be rounded, by name and shape."""
    rows: dict[tuple[str, tuple[int, int]], int] = {}
    for number, block in enumerate(blocks):
        names = set(job.names(number, block))
        for name, layer in linears(block).items():
            if name in names:
                m, n = weights_of(layer).shape
                pattern = re.sub(r"(?<=\.)\d+(?=\.)", "*", f"{job.prefix}*.{name}")
                rows[pattern, (m, n)] = rows.get((pattern, (m, n)), 0) + 1
    return tuple(
        Row(pattern, count, shape, count * shape[0] * shape[1])
        for (pattern, shape), count in rows.items()
    )


def _trial(recipe: QuantizeRecipe, bits: float, device: torch.device) -> tuple[float, float]:
    """Return weights rounded, and operations of products done, a second."""
    layer = torch.nn.Linear(TRIAL, TRIAL, bias=False, device=device)
    coding = coding_of(recipe, int(bits), 0, "trial", "trial")
    quantize_layer(layer, None, recipe, coding)  # compiles
    began = time.perf_counter()
    quantize_layer(layer, None, recipe, coding)
    rate = TRIAL**2 / (time.perf_counter() - began)
    square = torch.rand(1024, 1024, device=device)
    began = time.perf_counter()
    float((square @ square).sum())
    return rate, 2 * 1024**3 / (time.perf_counter() - began)
