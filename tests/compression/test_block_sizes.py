"""Block sizes are timed once, remembered, and used by the layers they are for."""

import json

import pytest
import torch

from quincunx._errors import ModelError
from quincunx.compression.block_sizes import candidates, tune
from quincunx.kernels.gpu_parts import bucket
from quincunx.kernels.trellis_matmul import _triton as trellis
from quincunx.nn.fused import fuse
from quincunx.nn.quantized_linear import Coding, QuantizedLinear

pytest.importorskip("triton")


def model():
    coding = Coding(codebook="trellis", bits=2)
    layers = [QuantizedLinear(16, 64, coding, bias=False) for _ in range(2)]
    return torch.nn.ModuleList([*layers, QuantizedLinear(24, 64, coding, bias=True)])


class Clock:
    """Says that the third way of each layer is the fastest, and that the fourth cannot be made."""

    def __init__(self):
        self.calls = 0

    def __call__(self, call):
        self.calls += 1
        way = (self.calls - 1) % (1 + len(list(candidates(trellis.chosen(1, "float32"), 1))))
        if way == 3:
            raise RuntimeError("out of resource: shared memory")
        return 0.5 if way == 2 else 1.0


def test_the_fastest_is_used_and_remembered(tmp_path):
    file, clock, layers, seen = tmp_path / "cache" / "sizes.json", Clock(), model(), []
    found = tune(layers, file=file, timer=clock, done=seen.append)
    usual = trellis.chosen(1, "float32")
    third = list(candidates(usual, 1))[1]
    assert third != usual
    mine, joined = (64, 1, torch.float32), (128, 1, torch.float32)
    assert layers[0].blocks == {mine: third, joined: third}  # with the second at once, too
    assert layers[1].blocks == layers[2].blocks == {mine: third}
    assert len(found) == 3 and seen == ["0", "1", "2", "0, 1"]  # two layers have one shape
    assert clock.calls == 3 * (1 + len(list(candidates(usual, 1))))
    again = model()
    assert tune(again, file=file, timer=clock) == found
    assert clock.calls == 3 * (1 + len(list(candidates(usual, 1))))  # nothing is timed
    assert again[0].blocks == layers[0].blocks and again[2].blocks == layers[2].blocks


def test_what_is_not_clearly_faster_is_left(tmp_path):
    layers = model()
    tune(layers, file=tmp_path / "sizes.json", timer=lambda call: 1.0)
    assert layers[2].blocks == {(64, 1, torch.float32): trellis.chosen(1, "float32")}


def test_a_damaged_file_is_made_anew(tmp_path):
    file = tmp_path / "sizes.json"
    for content in ("{", "[1]", '{"a": {"warps": 3}}'):
        file.write_text(content)
        with pytest.warns(UserWarning, match="holds no block sizes"):
            tune(model(), file=file, timer=lambda call: 1.0)
        assert len(json.loads(file.read_text())) == 3


def test_rows_are_checked_and_put_together():
    with pytest.raises(ModelError, match="the model is on 'cpu'"):
        tune(model())
    with pytest.raises(ModelError, match="rows has 0"):
        tune(model(), rows=(1, 0), timer=lambda call: 1.0)
    assert [bucket(b) for b in (1, 2, 3, 8, 9, 100, 256, 1000)] == [1, 2, 4, 8, 16, 128, 256, 256]


def test_a_layer_hands_its_sizes_on(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "quincunx.nn.quantized_linear.coded_product", lambda *given: seen.append(given[4])
    )
    layer = model()[0]
    layer(torch.zeros(1, 16))
    sizes = layer.blocks[64, 1, torch.float32] = trellis.chosen(1, "float32")._replace(warps=2)
    layer(torch.zeros(1, 16))
    layer(torch.zeros(3, 16))
    assert seen == [None, sizes, None]


def test_layers_at_once_have_sizes_of_their_own(tmp_path, monkeypatch):
    layers, seen = model(), []
    tune(layers, file=tmp_path / "sizes.json", timer=Clock())
    fuse(layers)
    monkeypatch.setattr("quincunx.nn.fused.coded_product", lambda *given: seen.append(given[3:]))
    layers[0](torch.zeros(1, 16))
    third = list(candidates(trellis.chosen(1, "float32"), 1))[1]
    assert seen == [((128, 16), third)]


def test_layers_whose_tiles_do_not_fit_together_are_not_timed_at_once(tmp_path):
    coding = Coding(codebook="trellis", bits=2)
    layers = torch.nn.ModuleList(QuantizedLinear(16, m, coding, bias=False) for m in (63, 64))
    seen = []
    tune(layers, file=tmp_path / "sizes.json", timer=lambda call: 1.0, done=seen.append)
    assert seen == ["0", "1"]
