"""Peak memory of compressing a model that is ten times the reference model, against a count.

python -m benchmarks.compression_memory [--quick] [--note TEXT]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import environment, options, publish, table

HIDDEN, INNER, LAYERS, VOCABULARY = 768, 2304, 9, 2048
SAMPLES, CONTEXT = 64, 256
MAKE = f"""
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(
    vocab_size={VOCABULARY}, hidden_size={HIDDEN}, intermediate_size={INNER},
    num_hidden_layers=int(sys.argv[2]), num_attention_heads=12, num_key_value_heads=12,
    max_position_embeddings={CONTEXT}, tie_word_embeddings=False,
)).to(torch.float32).save_pretrained(sys.argv[1])
"""
RUN = f"""
import json, sys, threading, time, torch
from pathlib import Path
def now():
    status = open("/proc/self/status").read()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])
import quincunx.compression.huggingface.sources
from quincunx.compression import quantize_model, QuantizeRecipe
recipe = QuantizeRecipe(name="grid", codebook="grid")
torch.manual_seed(0)
ids = torch.randint({VOCABULARY}, ({SAMPLES}, {CONTEXT}))
small = torch.nn.Linear(64, 64, bias=False)
from quincunx.compression.layer import coding_of, quantize_layer
quantize_layer(small, None, recipe, coding_of(recipe, 2, 0, "a", "a"))  # loads what is compiled
imports = now()
peak = [imports]
def watch():
    while True:
        peak[0] = max(peak[0], now())
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
began = time.perf_counter()
quantize_model(sys.argv[1], recipe, ids, bits=2, output=sys.argv[2])
print(json.dumps([imports, peak[0], time.perf_counter() - began]))
"""

TEXT = """
A Llama of {weights:,} weights in float32, {size:.0f} MB on disk, made for the purpose ({layers}
blocks of width {hidden}), compressed from its folder on {samples} x {context} tokens; resident
memory, looked at every 5 ms, above that of a process that has imported everything and rounded a
small layer.

{rows}

*Counted*: embeddings and one block in float32; the block's largest second moments five times in
float64 (sum, mean, and in another basis, with its decomposition); hidden states twice (they are
kept, and copied when they are written); the activations of a micro-batch of four samples. It does
not grow with depth: the second model has twice the blocks.
"""


def count(layers: int) -> int:
    """Bytes that are needed at once."""
    block = 4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER
    embeddings = VOCABULARY * HIDDEN
    moments = 5 * 8 * INNER**2
    hidden = 2 * 4 * SAMPLES * CONTEXT * HIDDEN
    inner = 4 * 4 * CONTEXT * (6 * HIDDEN + 3 * INNER)
    return 4 * (block + embeddings) + moments + hidden + inner


def measure(layers: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        model, out = Path(scratch) / "model", Path(scratch) / "out"
        subprocess.run([sys.executable, "-c", MAKE, str(model), str(layers)], check=True)
        size = sum(f.stat().st_size for f in model.glob("*.safetensors"))
        found = subprocess.run(
            [sys.executable, "-c", RUN, str(model), str(out)],
            check=True,
            capture_output=True,
            text=True,
        )
        imports, peak, seconds = json.loads(found.stdout.splitlines()[-1])
    return {
        "layers": layers,
        "bytes": size,
        "imports": imports,
        "above": peak - imports,
        "counted": count(layers),
        "seconds": seconds,
    }


def main() -> None:
    given = options(__doc__ or "", "a third of the blocks").parse_args()
    where = environment(("torch", "transformers"))
    found = [measure(n) for n in ((3, 6) if given.quick else (LAYERS, 2 * LAYERS))]
    rows = [
        (
            f"{f['layers']} blocks",
            *(f"{f[k] / 1e6:.0f}" for k in ("bytes", "imports", "above", "counted")),
            f"{f['above'] / f['counted']:.2f}",
            f"{f['seconds']:.0f}",
        )
        for f in found
    ]
    head = ("model", "MB on disk", "imports (MB)", "above (MB)", "counted (MB)", "ratio", "seconds")
    text = TEXT.format(
        weights=found[0]["bytes"] // 4,
        size=found[0]["bytes"] / 1e6,
        layers=found[0]["layers"],
        hidden=HIDDEN,
        samples=SAMPLES,
        context=CONTEXT,
        rows=table(head, rows),
    )
    publish("compression_memory", "Memory of a compression", given, where, [text], {"runs": found})


if __name__ == "__main__":
    main()
