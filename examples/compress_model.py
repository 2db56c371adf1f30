"""Compress the reference language model, load it, and compare it with the original.

Needs the extra `compression`. A plain grid and little text, so that it takes seconds; the recipe
"qtip" loses half as much, and takes minutes.
"""

import tempfile
from pathlib import Path

import quincunx
from quincunx.compression import QUIP, quantize_model
from quincunx.compression.evaluate import evaluate
from quincunx.compression.huggingface.text import calibration
from quincunx.reference import language_model, path, topics

with tempfile.TemporaryDirectory() as scratch:
    out = Path(scratch) / "out"
    report = quantize_model(path(), QUIP, bits=3, samples=16, output=out)
    print(f"{report.weights:,} weights at {report.bits_per_weight:.2f} bits")
    worst = max(report.layers, key=lambda layer: layer.relative_loss)
    print(f"the worst layer is {worst.name}, its outputs are off by {worst.relative_loss:.1%}")

    model, tokenizer = quincunx.load(out)
    original, _ = language_model()
    unseen = calibration(topics(), tokenizer, samples=16, context=256).ids
    found = evaluate(model, unseen, original)
    print(f"perplexity {found.original_perplexity:.2f} before, {found.perplexity:.2f} now")
    print(f"KL to the original {found.divergence:.4f} nats a token")

    # The model is one of transformers, so that lm-eval takes it as it is:
    #   lm_eval.models.huggingface.HFLM(pretrained=model, tokenizer=tokenizer)
