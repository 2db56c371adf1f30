"""Decoding gives what ``model.generate`` gives, with static caches and recorded steps, too."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, Gemma2Config, MistralConfig

import quincunx
from quincunx._errors import ModelError
from quincunx.compression.huggingface import generation
from quincunx.compression.huggingface.generation import Decoder, checked_prompt, generate
from quincunx.compression.huggingface.writing import continue_text
from quincunx.nn.fused import fuse, unfuse
from quincunx.reference import language_model
from tests.compression.tiny import CONFIGS, SIZES, VOCABULARY, logits, tiny, token_ids

PROMPT, TOKENS = 10, 24


def endless(model):
    """Take its end of sequence from a model, which would stop random ones anywhere."""
    model.generation_config.eos_token_id = None
    return model


def theirs(model, ids, tokens=TOKENS, **settings):
    """What transformers goes on with."""
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
        **settings,
    )
    return found[0, ids.shape[1] :].tolist()


def windowed(family):
    """A model some or all of whose layers see the last six tokens only."""
    config = {"mistral": MistralConfig, "gemma2": Gemma2Config}[family]
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config(**SIZES, head_dim=8, sliding_window=6)).eval()


class Recording(TorchDispatchMode):
    """Does what a CUDA graph does: notes operations with their tensors, and repeats them.

    Numbers that Python computed in between stay as they were, and reading a tensor's value is
    refused.
    """

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        found = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, found))
        return found

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, before in self.calls:
            inside = {
                t.untyped_storage().data_ptr()
                for t in torch.utils._pytree.tree_leaves((args, kwargs))
                if isinstance(t, torch.Tensor)
            }
            now = torch.utils._pytree.tree_leaves(func(*args, **kwargs))
            for old, new in zip(torch.utils._pytree.tree_leaves(before), now, strict=True):
                # Not for views and work in place, which write where they did before.
                if isinstance(old, torch.Tensor) and old.untyped_storage().data_ptr() not in inside:
                    old.copy_(new)


@pytest.fixture
def recorded(monkeypatch):
    """Recordings in the place of CUDA graphs; how many calls each has."""
    sizes = []

    def record(step):
        for _ in range(2):
            step()
        with Recording() as recording:
            logits = step()
        sizes.append(len(recording.calls))
        return lambda: recording.replay() or logits

    monkeypatch.setattr(generation, "_recorder", lambda model: record)
    return sizes


@pytest.mark.parametrize("family", CONFIGS)
def test_the_likeliest_tokens_are_those_of_transformers(family):
    model, ids = endless(tiny(family)), token_ids(1, PROMPT)
    expected = theirs(model, ids)
    assert list(generate(model, ids, tokens=TOKENS)) == expected
    decoder = Decoder(model, PROMPT + TOKENS, static=True)
    for _ in range(2):  # the second time with what the first left behind
        assert list(generate(model, ids, tokens=TOKENS, decoder=decoder)) == expected
    assert decoder.static and not decoder.recorded


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_windows_are_kept_in_static_caches(family, recorded):
    model, ids = endless(windowed(family)), token_ids(1, PROMPT)
    decoder = Decoder(model, PROMPT + TOKENS, static=True)
    found = list(generate(model, ids, tokens=TOKENS, decoder=decoder))
    assert found == theirs(model, ids) and decoder.recorded


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text", "gpt2"])
def test_recorded_steps_go_on_rightly(family, recorded):
    model, ids = endless(tiny(family)), token_ids(1, PROMPT)
    decoder = Decoder(model, PROMPT + TOKENS, static=True)
    assert list(generate(model, ids, tokens=TOKENS, decoder=decoder)) == theirs(model, ids)
    assert decoder.recorded and len(recorded) == 1
    shorter = ids[:, :4]  # another prompt, the same recording
    found = list(generate(model, shorter, tokens=TOKENS, decoder=decoder))
    assert found == theirs(model, shorter) and len(recorded) == 1


def test_recorded_logits_are_those_of_plain_steps(recorded):
    model, ids = tiny(), token_ids(1, PROMPT + TOKENS)
    decoder = Decoder(model, PROMPT + TOKENS, static=True)
    decoder.read(ids[:, :PROMPT])
    for end in range(PROMPT, PROMPT + TOKENS):
        found = decoder.step(ids[:, end])
        expected = logits(model, ids[:, : end + 1])[:, -1]
        # measured 3e-6: sums over masked places, too
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert decoder.recorded


def test_what_cannot_be_recorded_goes_on_with_plain_steps(recorded):
    # Experts are chosen by reading a tensor.
    model, ids = endless(tiny("mixtral")), token_ids(1, PROMPT)
    model.set_experts_implementation("eager")
    decoder = Decoder(model, PROMPT + TOKENS, static=True)
    assert list(generate(model, ids, tokens=TOKENS, decoder=decoder)) == theirs(model, ids)
    assert not decoder.recorded and not recorded


def test_a_recording_that_stands_still_is_noticed(compressed, recorded):
    # Compiled loops of ours are no operations of torch: replays would not run them.
    model = endless(quincunx.load(compressed)[0].to(torch.float32))
    ids = token_ids(1, PROMPT)
    decoder = Decoder(model, PROMPT + TOKENS, static=True)
    found = list(generate(model, ids, tokens=TOKENS, decoder=decoder))
    assert recorded and not decoder.recorded
    assert found == theirs(model, ids)


def test_a_place_that_stands_still_is_noticed(monkeypatch):
    def record(step):
        def replay():
            for layer in decoder._layers:
                layer.cumulative_length.fill_(PROMPT)
            return step()

        return replay

    monkeypatch.setattr(generation, "_recorder", lambda model: record)
    model, ids = endless(tiny()), token_ids(1, PROMPT)
    decoder = Decoder(model, PROMPT + TOKENS, static=True)
    assert list(generate(model, ids, tokens=TOKENS, decoder=decoder)) == theirs(model, ids)
    assert not decoder.recorded


@pytest.mark.parametrize("static", [False, True])
def test_compressed_models_are_fused_and_give_the_same(compressed, static):
    model = endless(quincunx.load(compressed)[0])
    ids = token_ids(1, PROMPT)
    expected = theirs(model, ids)
    decoder = Decoder(model, PROMPT + TOKENS, static=static)
    assert model.model.layers[0].self_attn.q_proj._group is not None
    found = list(generate(model, ids, tokens=TOKENS, decoder=decoder))
    if not static:  # in 16 bits, sums over masked places may choose another token
        assert found == expected
    assert len(found) == TOKENS


def test_fused_models_are_saved_and_adapted_as_ever(compressed, tmp_path):
    from peft import LoraConfig, get_peft_model

    model, _ = quincunx.load(compressed)
    expected = logits(model, token_ids(1, 3))
    assert fuse(model) == 10
    assert torch.equal(logits(model, token_ids(1, 3)), expected)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(quincunx.load(tmp_path)[0], token_ids(1, 3)), expected)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    assert torch.equal(logits(adapted, token_ids(1, 3)), expected)
    unfuse(adapted)
    assert fuse(adapted) == 10
    assert torch.equal(logits(adapted, token_ids(1, 3)), expected)


def test_draws_come_from_their_seed_alone():
    model, ids = endless(tiny()), token_ids(1, PROMPT)
    settings = {"tokens": TOKENS, "temperature": 1.5, "top_k": 20}
    first = list(generate(model, ids, seed=3, **settings))
    state = torch.get_rng_state()
    torch.rand(5)
    assert list(generate(model, ids, seed=3, **settings)) == first
    torch.set_rng_state(state)
    list(generate(model, ids, seed=3, **settings))
    assert torch.equal(torch.get_rng_state(), state)
    assert list(generate(model, ids, seed=4, **settings)) != first


def test_draws_have_the_chances_of_transformers():
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    model = tiny()
    model.generation_config.top_p = 0.8
    seen = token_ids(1, PROMPT)
    scores = logits(model, seen)[:, -1]
    expected = scores
    for change in (TemperatureLogitsWarper(0.7), TopKLogitsWarper(12), TopPLogitsWarper(0.8)):
        expected = change(seen, expected)
    expected = torch.softmax(expected, -1)[0]
    choose = generation._chooser(model, 0.7, 12, 0)
    count = 4000
    drawn = torch.stack([choose(seen, scores) for _ in range(count)])
    found = torch.bincount(drawn.flatten(), minlength=VOCABULARY) / count
    assert (found[expected == 0] == 0).all()
    # five standard errors of a share
    assert ((found - expected).abs() <= 5 * (expected * (1 - expected) / count).sqrt()).all()


@pytest.mark.parametrize(
    "settings", [{"repetition_penalty": 1.7}, {"no_repeat_ngram_size": 1}], ids=str
)
def test_settings_of_the_model_are_kept(settings):
    model, ids = endless(tiny()), token_ids(1, PROMPT)
    plain = theirs(model, ids)
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    found = list(generate(model, ids, tokens=TOKENS))
    assert found == theirs(model, ids) and found != plain


@pytest.mark.parametrize("many", [False, True])
def test_an_end_of_sequence_is_the_last_token(many):
    model, ids = endless(tiny()), token_ids(1, PROMPT)
    whole = theirs(model, ids)
    end = whole[5]
    model.generation_config.eos_token_id = [end, VOCABULARY - 1] if many else end
    found = list(generate(model, ids, tokens=TOKENS))
    assert found == whole[: whole.index(end) + 1] == theirs(model, ids)


def test_nothing_runs_before_it_is_asked_for_or_after_the_last_token():
    model, calls = endless(tiny()), []
    model.register_forward_hook(lambda *_: calls.append(1))
    tokens = generate(model, token_ids(1, PROMPT), tokens=5)
    assert not calls
    next(tokens)
    assert len(calls) == 1 and torch.is_grad_enabled()
    assert len(list(tokens)) == 4 and len(calls) == 5
    assert list(generate(model, token_ids(1, PROMPT), tokens=0)) == [] and len(calls) == 5


def test_mistakes_are_named():
    model = tiny()
    decoder = Decoder(model, 12)
    with pytest.raises(ModelError, match=r"\(2, 10\); give one row of 1 to 12"):
        decoder.read(token_ids(2, 10))
    with pytest.raises(ModelError, match="one row of 1 to 12"):
        decoder.read(token_ids(1, 13))
    with pytest.raises(ModelError, match="read a prompt first"):
        decoder.step(torch.tensor([1]))
    decoder.read(token_ids(1, 12))
    with pytest.raises(ModelError, match="12 tokens were read of 12"):
        decoder.step(torch.tensor([1]))
    model.config.num_kv_shared_layers = 1
    assert not Decoder(model, 12).static
    with pytest.raises(ModelError, match="leave static out"):
        Decoder(model, 12, static=True)


def test_text_is_what_the_tokenizer_makes_of_all_tokens():
    model, tokenizer = language_model()
    prompt = "The value of the argument is"
    pieces = list(continue_text(model, tokenizer, prompt, tokens=40, temperature=0))
    ids = checked_prompt(model, tokenizer, prompt, 40)
    expected = tokenizer.decode(theirs(model, ids, 40), skip_special_tokens=True)
    assert "".join(pieces) == expected and len(pieces) > 5 and all(pieces)
    drawn = ["".join(continue_text(model, tokenizer, prompt, tokens=20, seed=s)) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    for wrong, words in (("", "prompt is empty"), (prompt, "more than the model's 256")):
        with pytest.raises(ModelError, match=words):
            list(continue_text(model, tokenizer, wrong, tokens=300))
    with pytest.raises(ModelError, match="no tokenizer"):
        list(continue_text(model, None, prompt))
