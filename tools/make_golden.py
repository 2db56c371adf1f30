"""Make the folders of format version 1 that tests read: tests/compression/golden/.

Run from the repository: python -m tools.make_golden

Tiny random models in every way that weights are written. They show that what was written once is
read for ever, so they are made once for a format's version: folders that are there stay as they
are. A later version gets folders of its own beside them.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

import quincunx
from quincunx.compression import QTIP, QUIP, QUIP_SHARP, QuantizeRecipe, quantize_model
from quincunx.compression.packed import FORMAT_VERSION
from quincunx.nn.quantized_linear import QuantizedLinear
from tests.compression.tiny import tiny, token_ids

GOLDEN = Path(__file__).parents[1] / "tests" / "compression" / "golden"
UNUSED = ("README.md", "quincunx-report.json")
CASES: dict[str, tuple[str, QuantizeRecipe, float]] = {
    "quip-2": ("llama", QUIP, 2),
    "quip-sharp-2": ("llama", QUIP_SHARP, 2),
    "quip-sharp-3": ("qwen2", QUIP_SHARP, 3),
    "quip-sharp-4": ("llama", QUIP_SHARP, 4),
    "qtip-2": ("llama", QTIP, 2),
    "qtip-3-tuned": ("llama", QTIP.with_tuning(1), 3),
    "qtip-2-hyb-16x16": ("llama", replace(QTIP, code="hyb", tile=(16, 16)), 2),
    "qtip-2-experts": ("mixtral", QTIP, 2),
    "grid-5-plain": ("gpt2", QuantizeRecipe(name="grid", codebook="grid", transform="none"), 5),
}
PROMPT = token_ids(1, 12, seed=7)


def points(model: torch.nn.Module) -> dict[str, str]:
    """What each layer's codes stand for, as a hash of float32 numbers."""
    return {
        name: hashlib.sha256(layer.points().contiguous().numpy().tobytes()).hexdigest()[:32]
        for name, layer in model.named_modules()
        if isinstance(layer, QuantizedLinear)
    }


def main() -> None:
    for name, (family, recipe, bits) in CASES.items():
        target = GOLDEN / f"v{FORMAT_VERSION}" / name
        if target.exists():
            print(f"{name} is there")
            continue
        with tempfile.TemporaryDirectory() as temporary:
            original, out = Path(temporary) / "original", Path(temporary) / name
            tiny(family, seed=len(name)).save_pretrained(original)
            quantize_model(original, recipe, token_ids(), bits=bits, output=out)
            model, _ = quincunx.load(out)
            with torch.no_grad():
                logits = model(PROMPT).logits.float()
            save_file({"logits": logits.contiguous()}, out / "expected.safetensors")
            (out / "points.json").write_text(json.dumps(points(model), indent=1) + "\n")
            for file in UNUSED:
                (out / file).unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(out, target)
        print(f"{name}: {sum(file.stat().st_size for file in target.iterdir())} bytes")


if __name__ == "__main__":
    main()
