"""Every family in the table: from a folder block by block, and in memory."""

import pytest
import torch

from quincunx.compression import quantize_model
from quincunx.compression.huggingface.architectures import FAMILIES
from quincunx.compression.huggingface.loading import load
from quincunx.compression.huggingface.plugin import quantized_layers
from tests.compression.tiny import CONFIGS, GRID, logits, tiny, token_ids


def test_every_family_of_the_table_is_tested():
    assert set(FAMILIES) - {"ministral"} == set(CONFIGS)  # ministral: mistral with other attention


@pytest.mark.parametrize("family", CONFIGS)
def test_folder_and_memory_agree_and_load(family, tmp_path):
    model, ids = tiny(family), token_ids()
    before = logits(model)
    model.save_pretrained(tmp_path / "model")
    report = quantize_model(tmp_path / "model", GRID, ids, bits=8, output=tmp_path / "out")
    loaded, _ = load(tmp_path / "out")
    error = (logits(loaded) - before).abs().mean() / before.abs().mean()
    assert 0 < error < 0.05  # 8 bits; random weights would give about 1.4
    dense = [
        name
        for name, p in loaded.named_parameters()
        if ".layers." in name and p.ndim > 1 and p.is_floating_point() and "gate.weight" not in name
    ]
    assert dense == [] or all("shared_expert_gate" in name for name in dense)
    in_memory = quantize_model(model, GRID, ids, bits=8)
    assert [n.name for n in report.layers] == [n.name for n in in_memory.layers]
    torch.testing.assert_close(logits(model), logits(loaded), rtol=2e-3, atol=2e-3)
    assert set(quantized_layers(loaded)) == {n.name for n in report.layers}


def test_experts_that_saw_no_text_are_rounded_all_the_same(tmp_path):
    model = tiny("mixtral")
    report = quantize_model(model, GRID, token_ids(1, 2), bits=4)
    assert len(report.layers) == 2 * (4 + 3 * 4)
    assert any(layer.tokens == 0 for layer in report.layers)
    assert torch.isfinite(logits(model)).all()


def test_layers_with_the_same_inputs_share_a_transform():
    model = tiny()
    quantize_model(model, GRID, token_ids(), bits=4)
    attention = model.model.layers[0].self_attn
    seeds = [getattr(attention, f"{name}_proj").coding.input_seed for name in "qkvo"]
    assert seeds[0] == seeds[1] == seeds[2] != seeds[3]
