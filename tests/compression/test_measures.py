"""Evaluation, allocation, text, recipes, tuning."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from quincunx._errors import ModelError
from quincunx.compression import QTIP, QUIP, QUIP_SHARP, QuantizeRecipe, quantize_model
from quincunx.compression.allocate import allocate
from quincunx.compression.blocks import captured
from quincunx.compression.evaluate import evaluate, size_of
from quincunx.compression.fisher import output_moments
from quincunx.compression.huggingface.text import calibration, read_texts
from quincunx.compression.page import page
from quincunx.compression.tuning.distill import distill
from tests.compression.tiny import GRID, logits, tiny, token_ids


class Letters:
    """A tokenizer of letters."""

    eos_token_id = 0

    def __call__(self, text, **_):
        return {"input_ids": [1 + ord(c) % 63 for c in text]}


def test_a_model_is_not_far_from_itself():
    model, ids = tiny(), token_ids()
    found = evaluate(model, ids, model)
    assert found.divergence == pytest.approx(0, abs=1e-7) and found.agreement == 1
    assert found.perplexity == pytest.approx(found.original_perplexity)


def test_the_figures_are_those_of_the_definitions():
    model, other, ids = tiny(seed=0), tiny(seed=1), token_ids(6)
    found = evaluate(model, ids, other, batch=4)
    ours = torch.log_softmax(logits(model, ids)[:, :-1].double(), -1)
    theirs = torch.log_softmax(logits(other, ids)[:, :-1].double(), -1)
    loss = -ours.gather(-1, ids[:, 1:, None]).mean()
    assert found.perplexity == pytest.approx(math.exp(loss), rel=1e-5)
    divergence = (theirs.exp() * (theirs - ours)).sum(-1).mean()
    assert found.divergence == pytest.approx(divergence.item(), rel=1e-4)
    assert found.tokens == 6 * 23


def test_other_vocabularies_are_refused():
    with pytest.raises(ModelError, match="vocabulary"):
        evaluate(tiny(), token_ids(), tiny(vocab_size=80))
    with pytest.raises(ModelError, match="token ids have shape"):
        evaluate(tiny(), torch.zeros(3))


def test_size_counts_everything():
    model = tiny()
    plain = size_of(model)
    assert plain.quantized_weights == 0 and plain.bits == pytest.approx(32, rel=0.01)
    quantize_model(model, GRID, token_ids(), bits=4)
    found = size_of(model)
    assert found.weights == plain.weights
    assert 4 < found.quantized_bits < 4.1
    assert found.bytes < plain.bytes


@pytest.mark.parametrize("seed", range(5))
def test_allocation_is_the_best_of_all(seed):
    """Layers of one size: the greedy way is exact."""
    generator = torch.Generator().manual_seed(seed)
    losses = {str(k): float(torch.rand(1, generator=generator) ** 3) for k in range(5)}
    found = allocate(losses, dict.fromkeys(losses, 7), 2.4, (1, 2, 3, 4))
    assert sum(found.values()) == 12

    def loss(bits):
        return sum(losses[name] * 4.0**-b for name, b in bits.items())

    least = min(
        loss(dict(zip(losses, bits, strict=True)))
        for bits in product((1, 2, 3, 4), repeat=5)
        if sum(bits) <= 12
    )
    assert loss(found) == pytest.approx(least)


def test_text_is_cut_into_windows_that_the_seed_chooses(tmp_path):
    texts = ["a quick brown fox " * 40, "jumps over the lazy dog " * 40]
    first = calibration(texts, Letters(), samples=10, context=16, seed=0)
    again = calibration(texts, Letters(), samples=10, context=16, seed=0)
    other = calibration(texts, Letters(), samples=10, context=16, seed=1)
    assert first.ids.shape == (10, 16) and first.sha256 == again.sha256 != other.sha256
    with pytest.raises(ModelError, match="ask for fewer or shorter"):
        calibration(texts, Letters(), samples=1000, context=16)
    with pytest.raises(ModelError, match="0 windows"):
        calibration([""], Letters(), context=16)
    with pytest.raises(ModelError, match="texts hold a int"):
        calibration([3], Letters(), context=16)
    (tmp_path / "a.txt").write_text("words")
    assert read_texts(tmp_path) == ["words"]
    (tmp_path / "a.txt").write_text(" ")
    with pytest.raises(ModelError, match="holds no text"):
        read_texts(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_texts(tmp_path / "none")


def test_recipes_go_to_json_and_back():
    for recipe in (QUIP, QUIP_SHARP, QTIP, GRID):
        assert QuantizeRecipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(ModelError, match="no field colour"):
        QuantizeRecipe.from_json({"colour": 1})
    with pytest.raises(ModelError, match="has a name and a codebook"):
        QuantizeRecipe.from_json({"name": "x"})
    with pytest.raises(ModelError, match="rounding is 'up'"):
        replace(QTIP, rounding="up")
    with pytest.raises(ModelError, match="damping is -1"):
        replace(QTIP, damping=-1)


@pytest.mark.parametrize("recipe", [QUIP, QUIP_SHARP, QTIP], ids=lambda r: r.name)
def test_recipes_lose_less_than_the_grid_does_by_itself(recipe):
    plain = QuantizeRecipe(name="rtn", codebook="grid", transform="none", rounding="nearest")
    ids = token_ids(32)
    base = quantize_model(tiny(), plain, ids, bits=2)
    assert quantize_model(tiny(), recipe, ids, bits=2).relative_loss < 0.7 * base.relative_loss


def test_output_moments_are_those_of_autograd():
    """One token a sequence: the sum over tokens is the whole gradient's square."""
    model, ids = tiny(), token_ids(4, 8)
    blocks = model.model.layers
    names = {0: ["mlp.up_proj"], 1: ["self_attn.o_proj"]}
    found = output_moments(
        model, blocks, captured(model, blocks, [ids]), names, blocks.__getitem__,
        lambda _: None, seed=3,
    )  # fmt: skip
    kept = {}

    def keep(key):
        return lambda module, args, out: (out.retain_grad(), kept.__setitem__(key, out))[0]

    for number, layers in names.items():
        for name in layers:
            blocks[number].get_submodule(name).register_forward_hook(keep((number, name)))
    flat = model(ids).logits.reshape(-1, 64)
    drawn = torch.multinomial(
        flat.detach().softmax(-1), 1, generator=torch.Generator().manual_seed(3)
    )[:, 0]
    torch.nn.functional.cross_entropy(flat, drawn, reduction="sum").backward()
    for key, out in kept.items():
        g = out.grad.reshape(32, -1)
        torch.testing.assert_close(found[key], g.T @ g / 32, rtol=1e-4, atol=1e-7)


def test_tuning_and_distillation_bring_a_model_nearer():
    ids, held_out = token_ids(64, seed=4), token_ids(32, seed=5)
    original = tiny()
    found = {}
    for epochs in (0, 3):
        model = tiny()
        quantize_model(model, replace(GRID, tune=epochs), ids, bits=2, seed=1)
        found[epochs] = evaluate(model, held_out, original).divergence
    assert found[3] < found[0]
    assert model.model.layers[0].mlp.up_proj.coding.tuned
    distill(model, original, ids, epochs=2)
    assert evaluate(model, held_out, original).divergence < found[3]


def test_a_tuned_model_is_saved_and_resumed_alike(folder, tmp_path):
    from quincunx.compression.huggingface.loading import load

    quantize_model(folder, replace(GRID, tune=1), token_ids(), bits=3, output=tmp_path / "out")
    model = tiny()
    quantize_model(model, replace(GRID, tune=1), token_ids(), bits=3)
    torch.testing.assert_close(logits(load(tmp_path / "out")[0]), logits(model))


def test_two_sided_rounding_helps_predictions():
    ids, held_out = token_ids(64, seed=4), token_ids(32, seed=5)
    original, found = tiny(), {}
    for rounding in ("ldlq", "two-sided"):
        model = tiny()
        quantize_model(model, replace(GRID, rounding=rounding), ids, bits=2)
        found[rounding] = evaluate(model, held_out, original).divergence
    assert found["two-sided"] < found["ldlq"]


def test_the_page_is_one_file():
    report = quantize_model(tiny(), GRID, token_ids(), bits=4)
    text = page("<title>", [("a", "b & c")], report.to_json())
    assert "&lt;title&gt;" in text and "b &amp; c" in text and text.count("<rect") == 14
    assert "http" not in text and "src=" not in text
