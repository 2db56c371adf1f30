"""Loading, saving and training compressed models through transformers and peft."""

import json
import os
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import quincunx
import quincunx.compression.huggingface
from quincunx._errors import FileFormatError, ModelError
from quincunx.compression import quantize_model
from quincunx.compression.huggingface import QuincunxConfig
from tests.compression.tiny import GRID, logits, tiny, token_ids


@pytest.fixture
def model(compressed):
    return quincunx.load(compressed)[0]


def same(model, other) -> bool:
    return torch.equal(logits(model), logits(other))


def elsewhere(code: str) -> subprocess.CompletedProcess:
    """Run code in a process without this one's imports."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd="/"
    )


@pytest.mark.parametrize("name", ["AutoModelForCausalLM", "LlamaForCausalLM"])
def test_without_us_transformers_stops_and_names_the_package(compressed, name):
    ended = elsewhere(
        f"from transformers import {name} as M; M.from_pretrained({str(compressed)!r})"
    )
    assert ended.returncode
    assert "pip install 'quincunx[compression]'" in ended.stderr.strip().splitlines()[-1]


def test_without_us_a_folder_saved_again_stops_too(model, tmp_path):
    model.save_pretrained(tmp_path)
    ended = elsewhere(
        f"from transformers import LlamaForCausalLM as M; M.from_pretrained({str(tmp_path)!r})"
    )
    assert ended.returncode and "Error" in ended.stderr and "quincunx" in ended.stderr


def test_with_us_a_fresh_process_has_the_same_answers(compressed, model):
    ended = elsewhere(
        "import torch, transformers, quincunx.compression.huggingface\n"
        f"m = transformers.AutoModelForCausalLM.from_pretrained({str(compressed)!r})\n"
        "print(m(torch.tensor([[1, 2, 3]])).logits.double().sum().item())"
    )
    assert ended.returncode == 0, ended.stderr
    here = model(torch.tensor([[1, 2, 3]])).logits.double().sum().item()
    assert float(ended.stdout) == pytest.approx(here, rel=1e-6)


@pytest.mark.parametrize("size", ["1GB", "10KB"])
def test_saved_again_it_is_the_same(model, tmp_path, size):
    model.save_pretrained(tmp_path, max_shard_size=size)
    assert len(list(tmp_path.glob("*.safetensors"))) > (size == "10KB")
    assert same(quincunx.load(tmp_path)[0], model)


def test_types_leave_scales_alone(compressed, model):
    half = quincunx.load(compressed, dtype=torch.bfloat16)[0]
    assert half.dtype == torch.bfloat16
    assert half.model.layers[0].mlp.up_proj.scales.dtype == torch.float32
    assert (logits(half) - logits(model)).abs().mean() < 0.02 * logits(model).abs().mean()
    assert same(quincunx.load(compressed, dtype="auto")[0], model)
    model.to(torch.float16)
    assert model.model.layers[0].mlp.up_proj.scales.dtype == torch.float32


@pytest.mark.parametrize("place", ["auto", {"": "cpu"}])
def test_device_maps(compressed, model, place):
    pytest.importorskip("accelerate")
    assert same(quincunx.load(compressed, device_map=place)[0], model)


def test_a_part_may_lie_on_disk(compressed, model, tmp_path):
    pytest.importorskip("accelerate")
    places = {name: "cpu" for name in ("model.embed_tokens", "model.norm", "model.rotary_emb")}
    places |= {"lm_head": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    loaded, _ = quincunx.load(compressed, device_map=places, offload_folder=tmp_path)
    assert loaded.model.layers[1].mlp.up_proj.qweight.is_meta
    assert same(loaded, model)


def test_it_writes(model):
    found = model.generate(token_ids(1, 4), max_new_tokens=5, do_sample=False)
    assert found.shape == (1, 9)


def test_it_writes_the_same_with_decoded_weights(model, monkeypatch):
    prompt = token_ids(1, 4)
    straight = model.generate(prompt, max_new_tokens=12, do_sample=False)
    monkeypatch.setattr("quincunx.nn.quantized_linear.coded_product", lambda *given: None)
    assert torch.equal(model.generate(prompt, max_new_tokens=12, do_sample=False), straight)


def test_dequantized_it_is_a_plain_model(model, tmp_path):
    before = logits(model)
    plain = model.dequantize()
    assert type(plain.model.layers[0].mlp.up_proj) is torch.nn.Linear
    plain.save_pretrained(tmp_path)
    assert "quantization_config" not in json.loads((tmp_path / "config.json").read_text())
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(again), before, rtol=1e-4, atol=1e-5)


def test_compiled_it_is_the_same(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(model, backend="eager")
        torch.testing.assert_close(logits(compiled), logits(model), rtol=1e-5, atol=1e-5)


def test_a_model_in_memory_is_saved(tmp_path):
    model = tiny()
    quantize_model(model, GRID, token_ids(), bits=4)
    model.save_pretrained(tmp_path)
    assert same(quincunx.load(tmp_path)[0], model)


@pytest.mark.parametrize("family", ["llama", "qwen2", "opt"])
def test_on_the_fly_without_text(family, tmp_path):
    original = tiny(family)
    original.save_pretrained(tmp_path / "model")
    settings = QuincunxConfig(bits=8, recipe=GRID)
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "model", quantization_config=settings)
    error = (logits(found) - logits(original)).abs().mean() / logits(original).abs().mean()
    assert 0 < error < 0.05
    found.save_pretrained(tmp_path / "saved")
    assert same(quincunx.load(tmp_path / "saved")[0], found)


@pytest.mark.parametrize("family", ["gpt2", "mixtral"])
def test_on_the_fly_little_is_not_taken_for_all(family, tmp_path):
    tiny(family).save_pretrained(tmp_path)
    settings = QuincunxConfig(bits=8, recipe=GRID)
    with pytest.raises(ModelError, match="use quincunx quantize"):
        AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=settings)


def changed_entry(path, **fields):
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"]["modules"]["model.layers.0.mlp.up_proj"].update(fields)
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input_seed": 3}, "missing or damaged"),
        ({"colour": 1}, "cannot read"),
        ({"bits": 3}, "ignore_mismatched_sizes|missing or damaged"),
    ],
)
def test_a_changed_description_is_noticed(compressed, tmp_path, fields, words):
    path = tmp_path / "changed"
    shutil.copytree(compressed, path)
    changed_entry(path, **fields)
    with pytest.raises((FileFormatError, RuntimeError), match=words):
        quincunx.load(path)


def test_mixtures_saved_again(tmp_path):
    model = tiny("mixtral")
    quantize_model(model, GRID, token_ids(), bits=4)
    model.save_pretrained(tmp_path)
    assert same(quincunx.load(tmp_path)[0], model)


def change_tensor(path, name, change):
    file = next(f for f in sorted(path.glob("*.safetensors")) if name in load_file(f))
    tensors = load_file(file)
    changed = change(tensors.pop(name))
    if changed is not None:
        tensors[name] = changed
    save_file(tensors, file, metadata={"format": "pt"})


def flipped(tensor):
    tensor[0, 0] ^= 1
    return tensor


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: None, "missing or damaged"),
        (flipped, "missing or damaged"),
        (lambda t: t[:-1], "size mismatch|ignore_mismatched_sizes|missing or damaged"),
    ],
)
def test_damaged_codes_are_noticed(compressed, tmp_path, change, words):
    path = tmp_path / "damaged"
    shutil.copytree(compressed, path)
    change_tensor(path, "model.layers.1.mlp.up_proj.qweight", change)
    with pytest.raises((FileFormatError, RuntimeError), match=words):
        quincunx.load(path)


def test_a_truncated_shard_is_noticed(compressed, tmp_path):
    path = tmp_path / "damaged"
    shutil.copytree(compressed, path)
    shard = sorted(path.glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(Exception, match=r"incomplete|Incomplete|invalid|damaged"):
        quincunx.load(path)


def test_a_later_format_is_refused(compressed, tmp_path):
    path = tmp_path / "later"
    shutil.copytree(compressed, path)
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"]["format_version"] = 2
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileFormatError, match="install a newer one"):
        quincunx.load(path)


def test_settings_are_checked():
    with pytest.raises(ModelError, match="bits is 9"):
        QuincunxConfig(bits=9)
    with pytest.raises(ModelError, match="no recipe"):
        QuincunxConfig(recipe="none")


def test_no_pickle_and_no_code_travels(compressed):
    endings = {path.suffix for path in compressed.iterdir()}
    assert endings <= {".json", ".safetensors", ".md", ".jinja"}
    assert "auto_map" not in json.loads((compressed / "config.json").read_text())


def with_adapter(model):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"])
    found = peft.get_peft_model(model, settings)
    for name, parameter in found.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return found


def test_adapters_train_save_load_and_merge(compressed, model, tmp_path):
    peft = pytest.importorskip("peft")
    found = with_adapter(model)
    trained = [name for name, p in found.named_parameters() if p.requires_grad]
    assert trained and all("lora" in name for name in trained)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that transformers is about to change
        found.base_model.model.gradient_checkpointing_enable()
        found.enable_input_require_grads()
        found.train()
        found(input_ids=token_ids(2), labels=token_ids(2), use_cache=False).loss.backward()
    assert all(p.grad is not None for n, p in found.named_parameters() if n in trained)
    found.eval()
    answers = logits(found)
    assert not torch.allclose(answers, logits(quincunx.load(compressed)[0]), atol=1e-3)
    found.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(quincunx.load(compressed)[0], tmp_path)
    assert torch.equal(logits(again), answers)
    merged = again.merge_and_unload()
    torch.testing.assert_close(logits(merged), answers, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_importing_again_is_no_error():
    ended = elsewhere(
        "import importlib, quincunx.compression.huggingface.plugin as p\nimportlib.reload(p)"
    )
    assert ended.returncode == 0, ended.stderr
