"""Tokens a second of a model with random codes, beside the same model in bfloat16.

    python -m benchmarks.gpu_generate [--layers N] [--tokens N] [--quick] [--note TEXT]

Writes ``benchmarks/results/gpu-generate.md`` and ``.json``. The model has the shape of Llama 2 7B
and random weights; the layers of its blocks are then replaced by random codes, made where the model
is, without quantising. Logits that are not finite end it with code 1. Needs torch and transformers;
without a GPU only ``--quick``, a tiny model on the processor, makes sense.
"""

import gc
import sys
from pathlib import Path
from typing import Any

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import environment, in_processes, options, publish, table

LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
TINY = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
CODINGS = {
    "trellis, mul1": {"codebook": "trellis", "bits": 2, "code": "mul1"},
    "e8p": {"codebook": "e8p", "bits": 2},
}
SPREAD = 0.02  # of weights, as at the start of a training
PROMPT = 64

TEXT = """
On {device}. A random Llama with {layers} blocks of {hidden} x {inner}, heads and embeddings in
bfloat16: {prompt} tokens are read at once, then {tokens} are written one at a time, the likeliest
always; medians of {runs} runs after one that does not count. Codes are random, 2 bits a weight,
with Hadamard transforms on both sides. *steps* says whether a step is a replay of a CUDA graph.
Logits of all models were finite.

{table}
"""


def main() -> int:
    parser = options(__doc__.splitlines()[0], "a tiny model, on the processor if need be")
    parser.add_argument("--layers", type=int, default=0, help="blocks; 0: 32, or 2 with --quick")
    parser.add_argument("--tokens", type=int, default=0, help="to write; 0: 128, or 8")
    given = parser.parse_args()
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"This benchmark needs torch and transformers: {error}.", file=sys.stderr)
        return 2
    place = "cuda" if torch.cuda.is_available() else "cpu"
    if place == "cpu" and not given.quick:
        print("This benchmark needs a GPU; without one use --quick.", file=sys.stderr)
        return 2
    where = environment(("quincunx", "torch", "transformers", "triton"))
    shape = dict(TINY if given.quick else LLAMA)
    shape["num_hidden_layers"] = given.layers or shape["num_hidden_layers"]
    tokens, runs = given.tokens or (8 if given.quick else 128), 2 if given.quick else 5
    if place == "cuda":
        in_processes(compile_timed, [(shape, name) for name in CODINGS])
    torch.manual_seed(0)
    model = made(shape, place)
    ids = prompt(shape, place)
    found = {}
    for name, coding in {"bfloat16": None, **CODINGS}.items():
        if coding is not None:
            encode(model, coding)
        speed = timed(model, ids, tokens, runs, name)
        if speed is None:
            print(f"{name}: logits are not finite; nothing is written.", file=sys.stderr)
            return 1
        found[name] = speed
    text = TEXT.format(
        device=found["bfloat16"].device, layers=shape["num_hidden_layers"], runs=runs,
        hidden=shape["hidden_size"], inner=shape["intermediate_size"], prompt=ids.shape[1],
        tokens=tokens, table=rows(found),
    )  # fmt: skip
    data = {
        "shape": shape,
        "speeds": {
            name: {key: getattr(speed, key) for key in speed.__slots__}
            for name, speed in found.items()
        },
    }
    publish("gpu_generate", "Writing with coded weights", given, where, [text], data)
    return 0


def made(shape: dict[str, int], place: str) -> Any:
    """Return a random Llama in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape, dtype="bfloat16", tie_word_embeddings=False)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(place):
            model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    return model.requires_grad_(False)


def compile_timed(case: tuple[dict[str, int], str]) -> None:
    """Compile what a coded model needs, for Triton's cache on disk."""
    shape, name = case
    model = made(shape | {"num_hidden_layers": 1}, "cuda")
    encode(model, CODINGS[name])
    timed(model, prompt(shape, "cuda"), 2, 1, name)


def prompt(shape: dict[str, int], place: str) -> Any:
    """Return random tokens to read: more than a few rows, for a model that is not tiny."""
    import torch

    return torch.randint(
        1, shape["vocab_size"], (1, min(PROMPT, shape["hidden_size"] // 8)), device=place
    )


def encode(model: Any, coding: dict[str, Any]) -> None:
    """Replace the linear layers of a model's blocks by random codes, one at a time."""
    import torch

    from quincunx.nn.quantized_linear import Coding, QuantizedLinear

    for number, block in enumerate(model.model.layers):
        inputs: dict[str, int] = {"q_proj": 0, "k_proj": 0, "v_proj": 0, "o_proj": 1}
        inputs |= {"gate_proj": 2, "up_proj": 2, "down_proj": 3}
        for place, (name, group) in enumerate(inputs.items()):
            name = f"{'self_attn' if place < 4 else 'mlp'}.{name}"
            layer = block.get_submodule(name)
            how = Coding(
                **coding, transform="hadamard", input_seed=8 * number + group,
                output_seed=8 * number + place,
            )  # fmt: skip
            n, m = layer.in_features, layer.out_features
            device = model.device
            block.set_submodule(name, torch.nn.Identity())  # lets go of what was there
            del layer
            with torch.device(device):
                layer = QuantizedLinear(n, m, how, bias=False)
                layer.qweight.random_(0, 256)
            layer.scales.fill_(SPREAD / spread_of(layer))
            block.set_submodule(name, layer)
    gc.collect()
    if model.device.type == "cuda":
        torch.cuda.empty_cache()


def spread_of(layer: Any) -> float:
    """Return the standard deviation of a layer's points, from a few rows of tiles."""
    from quincunx.kernels.packing import unpack_rows
    from quincunx.solvers.rounding import decode

    codes = unpack_rows(
        layer.qweight[:4], layer.coding.tiles((1, layer.in_features))[1], layer.coding.widths
    )
    rows = layer.coding.points(1.0).tile[0] * len(codes)
    return float(decode(layer.coding.points(1.0), codes, (rows, layer.in_features)).std())


def timed(model: Any, ids: Any, tokens: int, runs: int, name: str) -> Any:
    """Return the speed of a model, or None where its logits are not finite."""
    import torch

    from quincunx.compression.huggingface.generation import Decoder
    from quincunx.compression.huggingface.speed import speed_of

    decoder = Decoder(model, ids.shape[1] + 2)
    logits = [decoder.read(ids).clone()]
    logits.append(decoder.step(logits[0].argmax(-1)))
    if not all(bool(torch.isfinite(each).all()) for each in logits):
        return None
    del decoder, logits
    speed = speed_of(model, ids, tokens=tokens, repetitions=runs)
    print(f"{name}: {speed.reading:.1f} tokens read and {speed.writing:.1f} written a second")
    sys.stdout.flush()
    return speed


def rows(found: dict[str, Any]) -> str:
    """Write the table, ratios to bfloat16 in it."""
    plain = found["bfloat16"]
    head = ("weights", "GiB", "read / s", "ratio", "written / s", "ratio", "steps")
    return table(head, [
        (
            name, f"{speed.bytes / 2**30:.3f}", f"{speed.reading:.1f}",
            f"{speed.reading / plain.reading:.2f}", f"{speed.writing:.1f}",
            f"{speed.writing / plain.writing:.2f}", "replayed" if speed.recorded else "plain",
        )
        for name, speed in found.items()
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
