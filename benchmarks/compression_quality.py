"""What each recipe costs the reference language model, and one trained on Wikipedia.

    python -m benchmarks.compression_quality [--quick] [--seeds N] [--of NAME]

Cells that ``benchmarks/results/compression-quality.json`` has are not measured again: the job can
be stopped, and gone on with; two processes, each with one model (``--of reference``, ``--of
wikipedia``) and OMP_NUM_THREADS=1, are faster than one on two cores. The second model lies in
``benchmarks/wikipedia``, as ``python -m tools.train_reference benchmarks/wikipedia --float32 --text
$QUINCUNX_DATA/text/wikipedia.txt --steps 1200`` wrote it; it is scored on the test part of
WikiText-2, and left out where QUINCUNX_DATA names no folder with both texts.
"""

import fcntl
import json
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import RESULTS, environment, options, publish, table
from quincunx._atomic import atomic_write
from quincunx.compression import QTIP, QUIP, QUIP_SHARP, quantize_model
from quincunx.compression.blocks import linears
from quincunx.compression.calibrate import moments
from quincunx.compression.evaluate import evaluate
from quincunx.compression.huggingface.loading import load, quiet
from quincunx.compression.huggingface.sources import Memory
from quincunx.compression.huggingface.text import Calibration, calibration, read_texts
from quincunx.compression.job import Job
from quincunx.compression.ranks import Ranks
from quincunx.compression.tuning.distill import distill
from quincunx.nn.quantized_linear import decoded
from quincunx.reference import path, topics
from tools.train_reference import corpus

GROUP = 128
GROUPS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
BITS = (2, 3, 4)
EPOCHS = 4
RECIPES = {"QuIP": QUIP, "QuIP#": QUIP_SHARP, "QTIP": QTIP}
METHODS = (
    "round to nearest",
    "GPTQ",
    "QuIP",
    "QuIP#",
    "QTIP",
    "QTIP tuned",
    "QTIP two-sided",
    "QuIP# tuned",
    "QuIP tuned",
)
FILE = RESULTS / "compression-quality.json"
WIKIPEDIA = Path(__file__).resolve().parent / "wikipedia"

TEXT = """
Perplexity and KL divergence from the original in nats a token, mean over seeds (of calibration text
and transforms) with the standard deviation where there are several; on 128 windows of 256 tokens
that nothing was trained or calibrated on. The reference model: 5.8 million parameters, trained on
documentation of Python packages, scored on Python's language reference. Round to nearest and GPTQ:
groups of 128 weights with an affine grid from least to largest weight (2.25, 3.25 and 4.25 bits a
weight with scales and zeros in 16 bits), written here after the paper. *Tuned*: 4 epochs of
training in each block, then 2 end to end on 512 windows of text. *Bits*: of a compressed weight,
all counted.

{tables}
"""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model's folder, texts to calibrate on (None: the package's), and what it is scored on."""

    folder: Path
    texts: Any
    test: Any


@cache  # the package's text takes longer to read than a model to round to nearest
def words_of(subject: Subject, samples: int, seed: int) -> Calibration:
    tokenizer = load(subject.folder)[1]
    return calibration(subject.texts, tokenizer, samples=samples, context=256, seed=seed)


@cache
def held_out(subject: Subject) -> torch.Tensor:
    return calibration(subject.test, load(subject.folder)[1], samples=128, context=256).ids


def subjects(quick: bool) -> dict[str, Subject]:
    """The models by name, the second if its texts are there."""
    found = {"reference": Subject(path(), None, list(topics()))}
    data = os.environ.get("QUINCUNX_DATA")
    if data and not quick:
        text = Path(data) / "text"
        train = corpus(text / "wikipedia.txt")[0]
        found["wikipedia"] = Subject(WIKIPEDIA, train, read_texts(text / "wikitext2-test.txt"))
    return found


def affine(group: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero of rows, from least to largest."""
    low, high = group.min(1).values.clamp(max=0), group.max(1).values.clamp(min=0)
    scale = ((high - low) / (2**bits - 1)).clamp(min=1e-9)
    return scale, (-low / scale).round()


def snapped(x: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, bits: int) -> torch.Tensor:
    return ((x / scale + zero).round().clamp(0, 2**bits - 1) - zero) * scale


def nearest(weights: torch.Tensor, bits: int) -> torch.Tensor:
    out = weights.clone()
    for start in range(0, weights.shape[1], GROUP):
        part = weights[:, start : start + GROUP]
        scale, zero = affine(part, bits)
        out[:, start : start + GROUP] = snapped(part, scale[:, None], zero[:, None], bits)
    return out


def gptq(weights: torch.Tensor, hessian: torch.Tensor, bits: int) -> torch.Tensor:
    """Frantar and others, "GPTQ", ICLR 2023, algorithm 1, a column at a time."""
    work, out = weights.clone().double(), torch.zeros_like(weights).double()
    damped = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(len(hessian)).double()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    inverse = torch.linalg.cholesky(inverse, upper=True)
    for k in range(work.shape[1]):
        if k % GROUP == 0:
            scale, zero = affine(work[:, k : k + GROUP], bits)
        out[:, k] = snapped(work[:, k], scale, zero, bits)
        error = (work[:, k] - out[:, k]) / inverse[k, k]
        work[:, k + 1 :] -= error[:, None] * inverse[k, k + 1 :]
    return out.to(weights.dtype)


def peers(model: Any, words: Calibration, method: str, bits: int) -> None:
    """Round in place as the peers do, in the same order of work."""
    source = Memory(model, None, torch.device("cpu"))
    job = Job(QTIP, bits, 0, (), (), "model.layers.", (), torch.device("cpu"), Ranks())

    def work(number: int, block: Any, streams: Any, inputs: Any) -> list[Any]:
        layers = linears(block)
        for group in GROUPS:
            names = [name for name in layers if name.endswith(group)]
            seen = {}
            if method == "GPTQ":
                seen = moments(block, names[:1], streams["quantized"], inputs, Ranks())
            for name in names:
                weight = layers[name].weight.data
                found = (
                    gptq(weight, seen[names[0]][0], bits)
                    if method == "GPTQ"
                    else nearest(weight, bits)
                )
                weight.copy_(found)
        streams["quantized"].advance(block, inputs)
        return []

    with torch.no_grad():
        source.walk(job, words.ids, work)


def measured(subject: Subject, method: str, bits: int, seed: int) -> dict[str, Any]:
    """One cell."""
    model = load(subject.folder, dtype=torch.float32)[0]
    original = load(subject.folder, dtype=torch.float32)[0]
    words, tuned = words_of(subject, 128, seed), method.endswith("tuned")
    more = words_of(subject, 512, seed) if tuned else words
    began = time.perf_counter()
    stored = bits + 32 / GROUP
    if method in ("round to nearest", "GPTQ"):
        peers(model, words, method, bits)
    else:
        recipe = RECIPES[method.split()[0]]
        if method.endswith("two-sided"):
            recipe = replace(recipe, rounding="two-sided")
        if tuned:
            recipe = replace(recipe, tune=EPOCHS)
        report = quantize_model(model, recipe, words.ids, bits=bits, seed=seed)
        stored = report.bits_per_weight
        if tuned:
            distill(model, original, more.ids, epochs=2, rate=2, seed=seed)
    seconds = time.perf_counter() - began
    with decoded(model):
        found = evaluate(model, held_out(subject), original)
    return {
        "perplexity": found.perplexity,
        "KL": found.divergence,
        "error": found.divergence_error,
        "agreement": found.agreement,
        "original": found.original_perplexity,
        "bits": stored,
        "seconds": seconds,
    }


def recorded(found: dict[str, Any]) -> dict[str, Any]:
    """Add to the cells in the file, which other processes add to as well; return all."""
    with open(FILE.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cells = json.loads(FILE.read_text())["cells"] if FILE.is_file() else {}
        if found:
            cells |= found
            with atomic_write(FILE) as file:
                json.dump({"cells": cells}, file, indent=1)
    return cells


def spread(values: list[float], digits: int) -> str:
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def shown(cells: dict[str, Any], model: str) -> str:
    rows = []
    for method in METHODS:
        row: list[Any] = [method]
        for bits in BITS:
            some = [v for k, v in cells.items() if k.startswith(f"{model}|{method}|{bits}|")]
            row += (
                [
                    spread([c["perplexity"] for c in some], 2),
                    spread([c["KL"] for c in some], 4),
                    f"{statistics.fmean([c['bits'] for c in some]):.2f}",
                    str(len(some)),
                ]
                if some
                else ["", "", "", ""]
            )
        rows.append(row)
    head = ["method"]
    for bits in BITS:
        head += [f"perplexity, {bits} bits", "KL", "bits", "seeds"]
    originals = {round(v["original"], 3) for k, v in cells.items() if k.startswith(model + "|")}
    return f"### {model}, originally {', '.join(map(str, originals))}\n\n{table(head, rows)}"


def main() -> None:
    parser = options(__doc__ or "", "one seed, 2 bits, the reference model only")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--of", help="only cells of this model: reference or wikipedia")
    parser.add_argument("--budget", type=float, default=math.inf, help="seconds to begin cells in")
    choice = parser.parse_args()
    quiet()
    models = subjects(choice.quick)
    where = environment(("torch", "transformers", "numpy"))
    cells = recorded({})
    begun = time.perf_counter()
    for seed in range(1 if choice.quick else choice.seeds):
        for method in sorted(METHODS, key=lambda m: m.startswith("QuIP#")):  # the slowest last
            for name, subject in models.items():
                for bits in BITS[:1] if choice.quick else BITS:
                    key = f"{name}|{method}|{bits}|{seed}"
                    late = time.perf_counter() - begun > choice.budget
                    other = choice.of not in (None, name)
                    if key in cells or late or other or (method == METHODS[0] and seed):
                        continue
                    found = measured(subject, method, bits, seed)
                    print(key, found, flush=True)
                    cells = recorded({key: found})
    names = [name for name in ("reference", "wikipedia") if any(k.startswith(name) for k in cells)]
    text = TEXT.format(tables="\n\n".join(shown(cells, name) for name in names))
    publish("compression_quality", "What recipes cost", choice, where, [text], {"cells": cells})


if __name__ == "__main__":
    main()
