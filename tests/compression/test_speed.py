"""What is timed is what is written."""

import json

import pytest
import torch

import quincunx
from benchmarks import _harness, gpu_generate
from quincunx._errors import ModelError
from quincunx.compression.evaluate import size_of
from quincunx.compression.huggingface import speed
from quincunx.compression.huggingface.speed import speed_of
from tests.compression.tiny import tiny, token_ids


@pytest.fixture
def clock(monkeypatch):
    """A clock that a model's step moves by a second for each token."""
    now = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    return now


def test_rates_are_tokens_by_seconds(clock):
    model, seen, runs = tiny(), [], []

    def hook(_, args, kwargs):
        count = kwargs["input_ids"].shape[1]
        # The first run, which does not count, is slow.
        clock[0] += (2.0 if count > 1 else 0.5) * (100 if len(seen) < 6 else 1)
        seen.append(count)

    model.register_forward_pre_hook(hook, with_kwargs=True)
    found = speed_of(
        model, token_ids(1, 8), tokens=6, repetitions=2, report=lambda *run: runs.append(run)
    )
    assert seen == [8, 1, 1, 1, 1, 1] * 3 and runs == [(1, 3), (2, 3), (3, 3)]
    assert found.seconds == ((2.0, 2.5), (2.0, 2.5))
    assert found.reading == 4 and found.writing == 2
    assert (found.prompt, found.tokens, found.device) == (8, 6, "cpu")
    assert found.dtype == "float32" and not found.recorded
    assert found.bits == pytest.approx(32, abs=0.02)  # rotations have buffers


def test_compressed_weights_are_counted_as_they_are(compressed):
    model, _ = quincunx.load(compressed)
    found = speed_of(model, token_ids(1, 4), tokens=3, repetitions=1)
    size = size_of(model)
    assert (found.bytes, found.bits) == (size.bytes, size.bits) and found.writing > 0


def test_mistakes_are_named():
    for wrong in ({"tokens": 1}, {"repetitions": 0}):
        with pytest.raises(ModelError, match="at least 2 tokens and 1"):
            speed_of(tiny(), token_ids(1, 4), **wrong)
    with pytest.raises(ModelError, match="one row"):
        speed_of(tiny(), torch.ones(2, 4, dtype=torch.int64))


def test_the_benchmark_of_large_models_runs_on_small_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_harness, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["gpu_generate", "--quick", "--tokens", "3", "--layers", "1"])
    assert gpu_generate.main() == 0
    found = json.loads((tmp_path / "gpu-generate-quick.json").read_text())
    assert list(found["speeds"]) == ["bfloat16", "trellis, mul1", "e8p"]
    plain, *ours = (speed["bytes"] for speed in found["speeds"].values())
    assert max(ours) < plain and "plain" in (tmp_path / "gpu-generate-quick.md").read_text()
    # What is not finite is not timed.
    monkeypatch.setattr(gpu_generate, "SPREAD", float("inf"))
    assert gpu_generate.main() == 1 and "not finite" in capsys.readouterr().err


@pytest.mark.parametrize("coding", gpu_generate.CODINGS.values(), ids=gpu_generate.CODINGS)
def test_random_codes_have_the_spread_of_weights(coding):
    model = gpu_generate.made(gpu_generate.TINY, "cpu")
    gpu_generate.encode(model, coding)
    layers = model.model.layers[0].self_attn
    # 4096 weights, and as many that the scale came from: 2 % each, at five standard errors
    assert layers.q_proj.dequantize().std() == pytest.approx(gpu_generate.SPREAD, rel=0.1)
    seeds = [getattr(layers, f"{n}_proj").coding.input_seed for n in "qkvo"]
    assert seeds[0] == seeds[1] == seeds[2] != seeds[3]
