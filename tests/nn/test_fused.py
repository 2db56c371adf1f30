"""Layers that share their inputs give what they give alone, bit by bit, and do less for it."""

import copy
import gc
import io
import threading
import weakref
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from quincunx.compression.tuning.trainable import loosen
from quincunx.nn.fused import fuse, unfuse
from quincunx.nn.quantized_linear import Coding, QuantizedLinear, decoded

CODINGS = {
    "trellis": Coding(codebook="trellis", bits=2, transform="hadamard", input_seed=3),
    "square": Coding(codebook="trellis", bits=3, code="hyb", tile=(16, 16), transform="hadamard"),
    "e8p": Coding(codebook="e8p", bits=3, transform="hadamard", channel_scale=True),
    "tuned": Coding(codebook="e8p", bits=2, transform="hadamard", tuned=True),
    "kronecker": Coding(codebook="grid", bits=3, transform="kronecker", channel_scale=True),
    "plain": Coding(codebook="grid", bits=2),
}
SIZES = {"q": 64, "k": 32, "v": 45}


class Attention(torch.nn.Module):
    """Three layers with the same inputs, and one with others."""

    def __init__(self, coding, sizes=SIZES, n=96):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for number, (name, m) in enumerate({**sizes, "o": 96}.items()):
            seed = coding.input_seed if name != "o" else 77
            layer = QuantizedLinear(
                n, m, replace(coding, input_seed=seed, output_seed=number), bias=name == "k"
            )
            layer.qweight.data.random_(0, 256, generator=generator)
            layer.scales.fill_(0.1 + number)
            for part, buffer in layer.named_buffers():
                if part != "scales":
                    shared = torch.Generator().manual_seed(len(buffer) + 1000 * (name == "o"))
                    buffer.copy_(torch.rand(buffer.shape, generator=shared) + 0.5)
            self.add_module(name, layer)

    def forward(self, x):
        return [self.q(x), self.k(x), self.v(x), self.o(x + 1)]


@pytest.fixture(params=CODINGS)
def attention(request):
    return Attention(CODINGS[request.param])


def inputs(rows=1, kind=torch.float32, n=96):
    return torch.randn(rows, n, generator=torch.Generator().manual_seed(rows)).to(kind)


@pytest.fixture
def turns(monkeypatch):
    """How often inputs were transformed."""
    seen = []
    plain = QuantizedLinear._turned
    monkeypatch.setattr(
        QuantizedLinear, "_turned", lambda layer, x: seen.append(layer) or plain(layer, x)
    )
    return seen


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 8, 9])
@torch.no_grad()
def test_results_are_the_same_bits(attention, rows, kind):
    x = inputs(rows, kind)
    expected = attention(x)
    assert fuse(attention) == 3
    assert same(attention(x), expected)
    assert same(attention(x[:, None]), [y[:, None] for y in expected])
    unfuse(attention)
    assert attention.q._group is None and same(attention(x), expected)


@torch.no_grad()
def test_inputs_are_transformed_once_and_multiplied_once(turns, monkeypatch):
    import quincunx.nn.fused as fused
    import quincunx.nn.quantized_linear as layers

    products = []
    for module in (fused, layers):
        monkeypatch.setattr(
            module,
            "coded_product",
            lambda *given, f=module.coded_product: products.append(1) or f(*given),
        )
    attention = Attention(CODINGS["trellis"])
    fuse(attention)
    attention(inputs())
    assert turns == [attention.q, attention.o] and len(products) == 2
    products.clear()
    attention(inputs(20))
    assert len(turns) == 4


@torch.no_grad()
def test_layers_of_broken_tiles_share_the_transform_only(turns):
    attention = Attention(CODINGS["trellis"], {"q": 45, "k": 64, "v": 32})
    expected = attention(inputs())
    turns.clear()
    assert fuse(attention) == 3
    assert same(attention(inputs()), expected) and len(turns) == 2
    assert attention.q.qweight.untyped_storage().nbytes() == attention.q.qweight.numel()


def test_layers_with_other_numbers_on_the_way_of_their_inputs_do_not_share():
    attention = Attention(CODINGS["e8p"])
    attention.v.channel_scale[5] += 1
    assert fuse(attention) == 2 and attention.v._group is None
    attention.k.coding = replace(attention.k.coding, input_seed=9)
    assert fuse(attention) == 0


@pytest.mark.parametrize("name", ["e8p", "tuned"])
@torch.no_grad()
def test_numbers_that_change_later_are_noticed(name):
    attention = Attention(CODINGS[name])
    fuse(attention)
    (attention.k.channel_scale if name == "e8p" else attention.k.input_signs)[3] = 2.5
    found = attention(inputs())
    unfuse(attention)
    assert same(found, attention(inputs()))


@torch.no_grad()
def test_codes_that_change_in_between_are_noticed(attention):
    fuse(attention)
    x = inputs()
    attention.q(x)
    attention.k.qweight.zero_()
    found = attention.k(x)
    unfuse(attention)
    assert torch.equal(found, attention.k(x))


@torch.no_grad()
def test_codes_are_stored_once_and_saved_as_ever(tmp_path):
    attention = Attention(CODINGS["trellis"])
    before = {name: tensor.clone() for name, tensor in attention.state_dict().items()}
    fuse(attention)
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in (
        attention.q.qweight, attention.k.qweight, attention.v.qweight
    )}  # fmt: skip
    codes = sum(getattr(attention, name).qweight.numel() for name in SIZES)
    assert list(storages.values()) == [codes]
    save_file(attention.state_dict(), tmp_path / "x.safetensors")
    found = load_file(tmp_path / "x.safetensors")
    assert found.keys() == before.keys()
    assert all(torch.equal(found[name], before[name]) for name in before)
    # Loading writes into the views, so that products see it.
    other = Attention(CODINGS["trellis"])
    other.q.qweight.data.random_(0, 256)
    expected = other(inputs())
    attention.load_state_dict(other.state_dict())
    assert same(attention(inputs()), expected)


@torch.no_grad()
def test_fusing_again_moves_nothing():
    attention = Attention(CODINGS["trellis"])
    fuse(attention)
    place = attention.q.qweight.data_ptr()
    assert fuse(attention) == 3 and attention.q.qweight.data_ptr() == place


@pytest.mark.parametrize("move", ["deepcopy", "pickle", "half", "to", "assign"])
@torch.no_grad()
def test_copies_and_moved_layers_work(attention, move):
    x, expected = inputs(3), attention(inputs(3))
    fuse(attention)
    attention(x)
    if move == "deepcopy":
        other = copy.deepcopy(attention)
        other.k.qweight.zero_()  # is not the first one's
    elif move == "pickle":
        file = io.BytesIO()
        torch.save(attention, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
        assert other.q._group is None and same(other(x), expected)
    elif move == "half":
        bias = attention.k.bias
        bias.data = bias.data.half().float()
        expected = attention(x)
        attention.half()
    elif move == "to":
        attention.to("meta").to_empty(device="cpu")
        again = Attention(attention.q.coding)
        attention.load_state_dict(again.state_dict())
    else:
        attention.load_state_dict(Attention(attention.q.coding).state_dict(), assign=True)
    assert same(attention(x), expected)
    fuse(attention)
    assert same(attention(x), expected)


def test_gradients_flow_as_without(attention, turns):
    for name in (*SIZES, "o"):
        getattr(attention, name).scales.requires_grad_(True)
    trained = [getattr(attention, name).scales for name in SIZES]

    def pulled(x):
        loss = sum((y**2).sum() for y in attention(x))
        return torch.autograd.grad(loss, [*trained, *([x] if x.requires_grad else [])])

    for leaf in (False, True):
        x = inputs(3).requires_grad_(leaf)
        unfuse(attention)
        expected = pulled(x)
        fuse(attention)
        turns.clear()
        assert same(pulled(x), expected)
        assert len(turns) == (4 if leaf else 2)


def test_trained_signs_get_their_gradients():
    attention = Attention(CODINGS["tuned"])
    signs = [loosen(getattr(attention, name), scales=False)[0] for name in SIZES]
    x = inputs(3)
    expected = torch.autograd.grad(sum(y.sum() for y in attention(x)), signs)
    fuse(attention)
    assert same(torch.autograd.grad(sum(y.sum() for y in attention(x)), signs), expected)


@torch.no_grad()
def test_changed_tensors_are_other_inputs(attention):
    x = inputs()
    first, second = attention(x), attention(x * 2)
    fuse(attention)
    found = [attention.q(x)]
    x *= 2
    found += [attention.k(x), attention.v(x)]
    assert same(found, [first[0], second[1], second[2]])


@torch.no_grad()
def test_equal_tensors_that_are_not_the_same_are_other_inputs(turns):
    attention = Attention(CODINGS["trellis"])
    x = inputs()
    expected = attention(x)
    fuse(attention)
    turns.clear()
    assert torch.equal(attention.q(x), expected[0])
    assert torch.equal(attention.k(x.clone()), expected[1])
    assert len(turns) == 2


def test_inference_mode_shares_nothing_and_is_right(attention):
    x = inputs()
    expected = attention(x)
    fuse(attention)
    with torch.inference_mode():
        y = inputs()
        found = [attention.q(y)]
        y *= 2  # is not counted
        found.append(attention.k(y))
        attention.q(x)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], attention.k(2 * x))
    attention.v.scales.requires_grad_(True)
    attention.v(x).sum().backward()  # not by what was made in inference mode


@torch.no_grad()
def test_a_layer_may_run_twice_or_never(attention):
    x = inputs()
    expected = attention(x)
    fuse(attention)
    for name, y in (("q", 0), ("q", 0), ("k", 1), ("q", 0), ("v", 2)):
        assert torch.equal(getattr(attention, name)(x), expected[y])
    assert same(attention(x), expected)


@torch.no_grad()
def test_who_never_comes_is_left_out(turns):
    attention = Attention(CODINGS["trellis"])
    fuse(attention)
    for _ in range(2):
        x = inputs()
        found = attention.q(x), attention.k(x)
        del x
    assert len(turns) == 2
    members = [member.layer() for member in attention.q._group._members]
    assert members == [attention.q, attention.k]
    x = inputs()
    assert torch.equal(attention.v(x), Attention(CODINGS["trellis"]).v(x)) and len(found) == 2


@torch.no_grad()
def test_nothing_is_kept_alive():
    attention = Attention(CODINGS["trellis"])
    fuse(attention)
    gc.disable()
    try:
        x = inputs(20)
        attention(x)
        assert attention.q._group._here.use is None
        attention.q(x)
        use = attention.q._group._here.use
        assert len(use.left) == 2
        here = weakref.ref(x)
        del x
        assert here() is None and not use.left
        layer = weakref.ref(attention.q)
        group = attention.k._group
        attention.q = torch.nn.Linear(96, 64)
        del use
        assert layer() is None
        del attention
        assert [member.layer() for member in group._members] in ([], [None] * 3)
    finally:
        gc.enable()


@torch.no_grad()
def test_decoded_layers_do_not_share(attention):
    x = inputs(3)
    with decoded(attention):
        expected = attention(x)
    fuse(attention)
    with decoded(attention):
        assert same(attention(x), expected)
    with decoded(attention.k):
        found = attention(x)
        assert torch.equal(found[1], expected[1])
        attention(inputs(2))
    assert len(attention.q._group._members) == 3
    unfuse(attention)
    assert torch.equal(found[0], attention(x)[0])


@torch.no_grad()
def test_hooks_see_and_change_what_is_theirs(attention):
    attention.k.register_forward_pre_hook(lambda _, args: (args[0] * 3,))
    attention.q.register_forward_hook(lambda _, __, y: y.add_(1))  # in place
    x = inputs()
    expected = attention(x)
    fuse(attention)
    assert same(attention(x), expected)


@torch.no_grad()
def test_threads_do_not_take_from_each_other():
    attention = Attention(CODINGS["trellis"])
    problems = [inputs(rows) for rows in range(1, 7)]
    expected = [attention(x) for x in problems]
    fuse(attention)
    wrong = []

    def work(number):
        with torch.no_grad():  # holds in one thread only
            for _ in range(20):
                if not same(attention(problems[number]), expected[number]):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    # Nobody ended another's work, after which layers would be left out.
    assert len(attention.q._group._members) == 3


def test_layers_on_the_meta_device_are_left_where_they_are():
    with torch.device("meta"):
        attention = Attention.__new__(Attention)
        torch.nn.Module.__init__(attention)
        for name in ("q", "k"):
            layer = QuantizedLinear(96, 64, CODINGS["e8p"], bias=False)
            attention.add_module(name, layer)
    assert fuse(attention) == 0
    assert fuse(torch.nn.Linear(2, 2)) == 0
