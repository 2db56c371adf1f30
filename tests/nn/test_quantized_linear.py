"""A layer of codes gives what the rounding's values give, forwards and backwards."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quincunx._errors import ModelError
from quincunx.compression.tuning.trainable import loosen
from quincunx.kernels.packing import pack_rows, row_size, unpack_rows
from quincunx.nn.quantized_linear import Coding, QuantizedLinear, decoded, dense_linear
from quincunx.solvers.linalg import RandomHadamard, random_kronecker
from quincunx.solvers.rounding import ldlq
from quincunx.solvers.rounding.incoherence import incoherent

CASES = [
    ("grid", 3, "none", (40, 50)),
    ("grid", 2, "kronecker", (48, 60)),
    ("grid", 8, "hadamard", (33, 17)),
    ("e8p", 2, "hadamard", (64, 96)),
    ("e8p", 3, "hadamard", (20, 30)),
    ("e8p", 4, "hadamard", (24, 40)),
    ("trellis", 2, "hadamard", (64, 48)),
    ("trellis", 3, "hadamard", (50, 60)),
]


def made(codebook, bits, transform, shape):
    """A layer, and the weights that it should have."""
    m, n = shape
    generator = torch.Generator().manual_seed(m)
    weights = torch.randn(m, n, generator=generator, dtype=torch.float64)
    half = torch.randn(n, 2 * n, generator=generator, dtype=torch.float64)
    hessian = half @ half.T / (2 * n)
    coding = Coding(codebook=codebook, bits=bits, transform=transform, input_seed=5, output_seed=9)
    more, problem = {}, None
    if transform != "none":
        make = RandomHadamard if transform == "hadamard" else random_kronecker
        problem = incoherent(weights, hessian, left=make(m, 9), right=make(n, 5))
        if transform == "kronecker":
            for side, matrix in (("input", problem.right), ("output", problem.left)):
                more[f"{side}_left"] = torch.from_numpy(matrix.left)
                more[f"{side}_right"] = torch.from_numpy(matrix.right)
    turned = weights if problem is None else problem.weights
    found = ldlq(turned, hessian if problem is None else problem.hessian, coding.points())
    values = found.values if problem is None else problem.undo(found.values)
    scale = torch.tensor([float(found.codebook.scale)])
    bias = torch.randn(m, generator=generator)
    return QuantizedLinear.of(coding, found.codes, scale, shape, bias=bias, **more), values.float()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_outputs_and_gradients(case):
    layer, values = made(*case)
    torch.testing.assert_close(layer.dequantize(), values, rtol=1e-4, atol=1e-4)
    x = torch.randn(3, 5, case[3][1], requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, x @ values.T + layer.bias, rtol=1e-3, atol=1e-3)
    y.sum().backward()
    expected = values.sum(0).expand_as(x)
    torch.testing.assert_close(x.grad, expected, rtol=1e-3, atol=1e-3)
    assert layer.qweight.grad is None
    plain = dense_linear(layer)
    torch.testing.assert_close(plain(x), y, rtol=1e-3, atol=1e-3)
    with decoded(layer):
        torch.testing.assert_close(layer(x), y, rtol=1e-4, atol=1e-4)
    assert layer._held is None


def pulled(layer, x):
    """Outputs, and the gradients of what can be trained."""
    trained = [x, *(p for p in layer.parameters() if p.requires_grad)]
    y = layer(x)
    return [y.detach(), *torch.autograd.grad((y**2).sum(), trained)]


@pytest.mark.parametrize("rows", [False, True], ids=["one scale", "scales of rows"])
@pytest.mark.parametrize("trained", ["", "signs", "scales", "signs, scales"])
@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[4], CASES[7]], ids=str)
def test_decoded_layers_have_the_gradients_of_those_that_are_not(case, trained, rows):
    layer, _ = made(*case)
    m, n = case[3]
    generator = torch.Generator().manual_seed(1)
    layer.coding = replace(layer.coding, channel_scale=True)
    layer.register_buffer("channel_scale", torch.rand(n, generator=generator) + 0.5)
    if rows:
        layer.scales = layer.scales * (torch.rand(m, generator=generator) + 0.5)
    for parameter in loosen(layer, scales="scales" in trained):
        # Away from the start, where signs are their own inverses.
        parameter.data *= torch.rand(len(parameter), generator=generator) + 0.5
        parameter.requires_grad_("signs" in trained or parameter is layer.scales)
    x = torch.randn(3, 7, n, generator=generator, requires_grad=True)
    plain = pulled(layer, x)
    with decoded(layer):
        held = pulled(layer, x)
    for mine, other in zip(held, plain, strict=True):
        # measured 5e-7 of the largest; both are sums in float32, in other orders
        assert (mine - other).abs().max() < 1e-5 * other.abs().max()


def test_what_is_trained_may_change_while_a_layer_is_decoded():
    layer, _ = made(*CASES[7])
    found = loosen(layer, scales=True)
    x = torch.randn(4, layer.in_features)
    with decoded(layer):
        for parameter in found:
            parameter.data *= 1.25
        held = layer(x)
    torch.testing.assert_close(held, layer(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_few_rows_are_multiplied_straight_from_the_codes(case, kind, monkeypatch):
    layer, _ = made(*case)
    x = torch.randn(2, 3, case[3][1], generator=torch.Generator().manual_seed(1)).to(kind)
    with torch.no_grad():
        decoded_first = layer(x.repeat(2, 1, 1))[:2]
        monkeypatch.setattr(layer, "points", None)  # it would be called
        found = layer(x)
    assert found.dtype == kind
    # measured 2e-6 in float32: other orders of additions
    tolerance = 1e-5 if kind == torch.float32 else 2e-2
    torch.testing.assert_close(found, decoded_first, rtol=tolerance, atol=tolerance)


def test_scales_have_the_gradients_of_autograd():
    layer, _ = made(*CASES[0])
    layer.scales.requires_grad_(True)
    x = torch.randn(4, 50)
    (layer(x) ** 2).sum().backward()
    scale = layer.scales.detach().clone().requires_grad_(True)
    ((x @ (layer.points() * scale[:, None]).T + layer.bias) ** 2).sum().backward()
    torch.testing.assert_close(layer.scales.grad, scale.grad, rtol=1e-4, atol=1e-4)


def test_state_goes_to_another_layer():
    layer, _ = made(*CASES[1])
    other = QuantizedLinear(60, 48, layer.coding, bias=True)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 60)
    assert torch.equal(other(x), layer(x))


def test_codings_are_checked_and_go_to_json():
    coding = Coding(codebook="trellis", bits=2, transform="hadamard", tile=(16, 16))
    assert Coding(**coding.to_json()) == coding
    with pytest.raises(ModelError, match="codebook is 'nf4'"):
        Coding(codebook="nf4", bits=4)
    with pytest.raises(ModelError, match="whole bits"):
        Coding(codebook="grid", bits=2.5)
    with pytest.raises(ModelError, match="transform is"):
        Coding(codebook="grid", bits=2, transform="fourier")


@given(
    st.lists(st.integers(1, 16), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_rows_of_codes_come_back(widths, count, seed):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(1 << w, size=(3, count)) for w in widths], axis=2)
    packed = pack_rows(codes, widths)
    assert packed.shape == (3, row_size(count, widths)) and packed.dtype == np.uint8
    np.testing.assert_array_equal(unpack_rows(packed, count, widths), codes)


def test_rows_are_written_highest_bit_first():
    codes = np.array([[[1, 0x1FF], [0, 0x001]]])
    assert pack_rows(codes, (2, 9)).tolist() == [[0b01111111, 0b11100000, 0b00000100]]
    with pytest.raises(ModelError, match="have 3 bytes a row"):
        unpack_rows(np.zeros((1, 4), np.uint8), 2, (2, 9))
