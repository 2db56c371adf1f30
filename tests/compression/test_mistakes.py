"""What goes wrong, and what is left of it: nothing lost, nothing random, nothing unsaid."""

import json
import subprocess
import sys

import pytest
import torch
from filelock import FileLock
from transformers import AutoModel, AutoModelForCausalLM

import quincunx
from quincunx._errors import FileFormatError, ModelError
from quincunx.compression import QTIP, QUIP, quantize_model
from quincunx.compression.devices import device_of
from quincunx.compression.evaluate import evaluate
from quincunx.compression.huggingface.plugin import QuincunxConfig
from quincunx.compression.layer import coding_of, quantize_layer
from quincunx.compression.preview import preview
from tests.compression.tiny import GRID, tiny, token_ids

PLAIN = "import sys; from transformers import AutoModelForCausalLM as A; A.from_pretrained({!r})"


def logits(model, ids=None):
    with torch.no_grad():
        return model(token_ids(4) if ids is None else ids).logits


def saved(model, path):
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("recipe", [GRID, QUIP, QTIP], ids=lambda r: r.name)
def test_training_under_autocast(recipe):
    from peft import LoraConfig, get_peft_model

    model = tiny()
    quantize_model(model, recipe, token_ids(), bits=2)
    before = logits(model)
    model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    with torch.autocast("cpu", torch.bfloat16):
        found = model(input_ids=token_ids(4), labels=token_ids(4))
    found.loss.backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    assert (found.logits.float() - before).abs().max() < 0.05 * before.abs().max()


@pytest.mark.parametrize(
    "name", ["lm_head.weight", "model.norm.weight", "model.embed_tokens.weight"]
)
def test_a_checkpoint_that_lacks_a_tensor_is_refused(name, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = saved(tiny(tie_word_embeddings=False), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FileFormatError, match=f"no tensor {name}"):
        quantize_model(folder, GRID, token_ids(), output=tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("family", ["gpt2", "mixtral", "qwen2_moe", "llama"])
def test_dequantized_models_are_saved_as_plain_ones(family, tmp_path):
    model = tiny(family)
    quantize_model(model, GRID, token_ids(), bits=4)
    expected = logits(model)
    saved(model, tmp_path / "codes")  # which leaves the type as a string in the configuration
    plain = model.dequantize()
    again = AutoModelForCausalLM.from_pretrained(saved(plain, tmp_path / "plain"))
    torch.testing.assert_close(logits(again), expected, rtol=1e-4, atol=1e-4)


def test_a_merged_conv1d_is_saved_with_the_rest(tmp_path):
    from peft import LoraConfig, get_peft_model

    model = tiny("gpt2")
    quantize_model(model, GRID, token_ids(), bits=4)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["c_fc"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    merged = adapted.merge_and_unload()
    expected = logits(merged)
    again, _ = quincunx.load(saved(merged, tmp_path / "merged"))
    torch.testing.assert_close(logits(again), expected, rtol=1e-4, atol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(saved(merged.dequantize(), tmp_path / "plain"))
    torch.testing.assert_close(logits(plain), expected, rtol=1e-4, atol=1e-4)


def test_one_pattern_may_stand_by_itself():
    report = quantize_model(tiny(), GRID, token_ids(), skip="*.down_proj", partial=True)
    assert report.layers and not any("down_proj" in layer.name for layer in report.layers)
    report = quantize_model(tiny(), GRID, token_ids(), include="q_proj", partial=True)
    assert {layer.name.rpartition(".")[2] for layer in report.layers} == {"q_proj"}
    with pytest.raises(ModelError, match="patterns"):
        quantize_model(tiny(), GRID, token_ids(), skip=[3])


@pytest.mark.parametrize("family", ["llama", "mixtral"])
@pytest.mark.parametrize("tune", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_after_an_error_a_model_in_memory_is_as_it_was(family, tune, dtype, monkeypatch):
    from dataclasses import replace

    from quincunx.compression import quantize

    model = tiny(family).to(dtype).train()
    model.requires_grad_(True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    calls = []

    def fails(*args, **kwargs):
        calls.append(kwargs["name"])
        if len(calls) == 9:
            raise KeyboardInterrupt
        return quantize_layer(*args, **kwargs)

    monkeypatch.setattr(quantize, "quantize_layer", fails)
    with pytest.raises(KeyboardInterrupt):
        quantize_model(model, replace(GRID, tune=tune), token_ids(), bits=2)
    with pytest.raises(ModelError, match="tokenizer"):  # a mistake before any work
        quantize_model(model, GRID, ["text"])
    after = dict(model.named_parameters())
    assert list(after) == list(before) and model.training
    assert all(torch.equal(before[n], p) and p.dtype == dtype for n, p in after.items())
    assert all(p.requires_grad and p.grad is None for p in after.values())
    monkeypatch.undo()
    assert quantize_model(model, GRID, token_ids(), bits=2).layers  # and can be tried again


def test_two_sided_rounding_with_experts_that_nothing_reaches():
    from dataclasses import replace

    model = tiny("qwen2_moe")
    model.train()
    ids = torch.full((2, 8), 5)  # one token, so that the router chooses the same experts always
    report = quantize_model(model, replace(GRID, rounding="two-sided"), ids, bits=2)
    assert any(not layer.tokens for layer in report.layers)
    assert model.training and torch.isfinite(logits(model)).all()


def test_an_output_that_cannot_be_renamed_is_refused_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for out in (tmp_path / "link", ".", "..", "/"):
        with pytest.raises(ModelError, match=r"new folder|not empty"):
            quantize_model(folder, GRID, token_ids(), output=out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize("family", ["qwen2_moe", "mixtral"])
def test_only_experts_or_none(family, tmp_path):
    folder = saved(tiny(family), tmp_path / "model")
    ids = token_ids()
    for number, chosen in enumerate(({"include": "*.experts.*"}, {"skip": "*.experts.*"})):
        out = tmp_path / f"out{number}"
        quantize_model(folder, GRID, ids, bits=4, output=out, partial=True, **chosen)
        model, _ = quincunx.load(out)
        memory = tiny(family)
        quantize_model(memory, GRID, ids, bits=4, partial=True, **chosen)
        torch.testing.assert_close(logits(model), logits(memory), rtol=0, atol=0)
        again = saved(model, tmp_path / f"again{number}")
        torch.testing.assert_close(logits(quincunx.load(again)[0]), logits(model), rtol=0, atol=0)
        found = subprocess.run(
            [sys.executable, "-c", PLAIN.format(str(again))], capture_output=True, text=True
        )
        assert found.returncode == 1
        assert "shape" in found.stderr or "mismatch" in found.stderr
    with pytest.raises(ModelError, match="all as codes, or none"):
        quantize_model(
            folder, GRID, ids, output=tmp_path / "no", skip="*.experts.1.*", partial=True
        )


def test_descriptions_that_lack_something(tmp_path):
    for modules in ([1], {"a": 1}, {"a": {"codebook": "grid"}}):
        with pytest.raises(FileFormatError, match="sha256"):
            QuincunxConfig(modules=modules)
    model = tiny("qwen2_moe")
    quantize_model(model, GRID, token_ids(), bits=4)
    out = saved(model, tmp_path / "out")
    config = json.loads((out / "config.json").read_text())
    modules = config["quantization_config"]["modules"]
    del modules["model.layers.0.mlp.experts.1.up_proj"]
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileFormatError, match=r"experts\.1\.up_proj"):
        quincunx.load(out)


@pytest.fixture
def stopped(folder, tmp_path, monkeypatch):
    """The journal of a job that ended after its first block."""
    from quincunx.compression import quantize

    def fails(*args, **kwargs):
        if ".1." in kwargs["name"]:
            raise OSError("the machine is switched off")
        return quantize_layer(*args, **kwargs)

    monkeypatch.setattr(quantize, "quantize_layer", fails)
    with pytest.raises(OSError, match="switched off"):
        quantize_model(folder, GRID, token_ids(), output=tmp_path / "out")
    monkeypatch.undo()
    return tmp_path / "out.partial"


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


DAMAGE = {
    "inputs flipped": lambda f: flip(next(f.glob("inputs-00001-3*"))),
    "inputs empty": lambda f: next(f.glob("inputs-00001-3*")).write_bytes(b""),
    "shard flipped": lambda f: flip(f / "model-00001-of-00003.safetensors"),
    "shard cut": lambda f: (f / "model-00001-of-00003.safetensors").write_bytes(b"12"),
    "shard lost": lambda f: (f / "model-00001-of-00003.safetensors").unlink(),
    "notes empty": lambda f: (f / "notes-00000.json").write_text("[]"),
    "notes odd": lambda f: (f / "notes-00000.json").write_text("[{}]"),
    "journal a list": lambda f: (f / "quincunx-journal.json").write_text("[]"),
    "journal cut": lambda f: (f / "quincunx-journal.json").write_text('{"a'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_journal_is_noticed(stopped, folder, damage):
    out = stopped.with_name("out")
    DAMAGE[damage](stopped)
    with pytest.raises(FileFormatError, match=r"damaged .*start anew"):
        quantize_model(folder, GRID, token_ids(), output=out)
    assert not out.exists()


def test_a_good_journal_is_gone_on_with(stopped, folder):
    out = stopped.with_name("out")
    quantize_model(folder, GRID, token_ids(), output=out)
    assert not list(out.glob("*journal*")) and not stopped.exists()
    quantize_model(folder, GRID, token_ids(), output=out.with_name("unbroken"))
    for path in out.glob("*.safetensors"):
        assert path.read_bytes() == (out.with_name("unbroken") / path.name).read_bytes()


def test_what_differs_from_a_begun_job_is_said(stopped, folder, monkeypatch):
    out = stopped.with_name("out")
    with pytest.raises(ModelError, match=r"seed was 0, and is 1"):
        quantize_model(folder, GRID, token_ids(), output=out, seed=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    with pytest.raises(ModelError, match=r"now there are 77 \(OMP_NUM_THREADS"):
        quantize_model(folder, GRID, token_ids(), output=out)


def test_two_processes_do_not_share_a_folder(stopped, folder):
    with FileLock(stopped / "quincunx-journal.lock"):
        with pytest.raises(ModelError, match="another process is at work"):
            quantize_model(folder, GRID, token_ids(), output=stopped.with_name("out"))


def test_devices_that_are_not_there(folder, tmp_path):
    for name in ("nope", "cuda:99"):
        with pytest.raises(ModelError, match="does not have"):
            device_of(name)
        with pytest.raises(ModelError, match="does not have"):
            quantize_model(folder, GRID, token_ids(), output=tmp_path / "out", device=name)
    assert not list(tmp_path.iterdir())


def test_tokens_of_another_vocabulary(folder, tmp_path):
    with pytest.raises(ModelError, match="0 to 63"):
        quantize_model(folder, GRID, token_ids() + 60, output=tmp_path / "out")
    with pytest.raises(ModelError, match="0 to 63"):
        evaluate(tiny(), token_ids() + 60)
    with pytest.raises(ModelError, match="vocabulary"):
        evaluate(tiny(), token_ids(), tiny(vocab_size=48))


def test_a_model_without_its_head(compressed, tmp_path):
    whole, _ = quincunx.load(compressed)
    base = AutoModel.from_pretrained(compressed)
    ids = token_ids(2)
    with torch.no_grad():
        torch.testing.assert_close(
            base(ids).last_hidden_state, whole.model(ids).last_hidden_state, rtol=0, atol=0
        )
    with pytest.raises(ModelError, match="with its head"):
        quantize_model(tiny().model, GRID, ids)
    from peft import LoraConfig, get_peft_model

    with pytest.raises(ModelError, match="adapters"):
        quantize_model(get_peft_model(tiny(), LoraConfig(target_modules=["q_proj"])), GRID, ids)


def test_a_preview_refuses_what_the_job_would(folder, compressed, tmp_path):
    with pytest.raises(FileNotFoundError):
        preview(folder, GRID, texts=tmp_path / "none.txt")
    with pytest.raises(ModelError, match="takes 64 tokens"):
        preview(folder, GRID, context=65)
    with pytest.raises(ModelError, match="not empty"):
        preview(folder, GRID, output=compressed)


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_weights_of_any_size(size):
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(32, 64, generator=generator)
    notes = []
    for unit in (1.0, size):
        layer = torch.nn.Linear(64, 32, bias=False)
        layer.weight.data = plain * unit
        coding = coding_of(QTIP, 2, 0, "a", "b")
        made, note = quantize_layer(layer, None, QTIP, coding)
        notes.append(note)
        assert (made.dequantize() / unit - plain).square().mean() < 0.15
    assert notes[1].relative_loss == pytest.approx(notes[0].relative_loss, rel=0.05)


def test_names_of_the_hub_are_looked_up(tmp_path, monkeypatch, folder):
    import huggingface_hub

    asked = []

    def download(name, allow_patterns):
        asked.append(name)
        if name == "no/model":
            raise OSError("no such model")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    quantize_model("someone/tiny", GRID, token_ids(), output=tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"cannot be had from the hub \(no such model"):
        quantize_model("no/model", GRID, token_ids(), output=tmp_path / "out2")
    with pytest.raises(FileNotFoundError, match="no folder"):
        quantize_model(tmp_path / "none", GRID, token_ids(), output=tmp_path / "out2")
    assert asked == ["someone/tiny", "no/model"]
