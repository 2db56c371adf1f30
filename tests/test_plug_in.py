"""The scripts in examples/, and the plugs in their hosts where those are installed."""

import importlib
import runpy
from pathlib import Path

import numpy as np
import pytest

from quincunx.solvers.rounding import Grid, ldlq, proxy_loss, spanning

EXAMPLES = Path(__file__).parents[1] / "examples"
PLUGS = {"plug_gptqmodel": "gptqmodel", "plug_llm_compressor": "llmcompressor"}


@pytest.fixture(autouse=True)
def as_scripts_see_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_it_runs(script, capsys):
    if "import torch" in script.read_text():
        pytest.importorskip("torch")
    if script.stem in PLUGS:
        pytest.importorskip(PLUGS[script.stem])
    runpy.run_path(str(script), run_name="__main__")
    assert script.stem in PLUGS or capsys.readouterr().out


def random_problem(m=24, n=128, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(2 * n, n)) @ rng.normal(size=(n, n))
    return rng.normal(size=(m, n)), inputs.T @ inputs / (2 * n)


@pytest.mark.parametrize("width", [16, 128])
def test_groups_of_one_grid_are_ldlq(width):
    in_groups = importlib.import_module("grouped_scales").in_groups
    weights, hessian = random_problem()
    grid = Grid(3, scale=0.5)
    values, codes = in_groups(weights, hessian, width, lambda group, target: grid, passes=0)
    plain = ldlq(weights, hessian, grid)
    np.testing.assert_array_equal(np.hstack(codes), plain.codes)
    np.testing.assert_array_equal(values, plain.values)


def test_passes_within_groups_lower_the_loss():
    in_groups = importlib.import_module("grouped_scales").in_groups
    weights, hessian = random_problem()
    grids = [spanning(weights[:, start : start + 32], 3) for start in range(0, 128, 32)]

    def loss(passes):
        values, _ = in_groups(weights, hessian, 32, lambda k, target: grids[k], passes=passes)
        return proxy_loss(values - weights, hessian)

    assert loss(2) < 0.97 * loss(0)  # measured 0.92


def test_a_model_keeps_its_outputs():
    torch = pytest.importorskip("torch")
    example = importlib.import_module("quantize_linear")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 48), torch.nn.ReLU(), torch.nn.Linear(48, 8))
    batches = [torch.randn(256, 32) @ torch.randn(32, 32) for _ in range(2)]
    with torch.no_grad():
        before = model(batches[0])
        found = example.quantize(model, batches, Grid(6))
        error = (model(batches[0]) - before).square().mean() / before.square().mean()
    assert sorted(found) == ["0", "2"]
    assert 0 < error < 1e-2  # measured 1e-3: 6 bits
    for name, rounding in found.items():
        layer = model.get_submodule(name)
        assert torch.equal(layer.weight, rounding.values)


CASES = [(4, 64, True), (4, 64, False), (3, 0, False)]


@pytest.mark.parametrize("bits, width, symmetric", CASES)
def test_in_gptqmodel(bits, width, symmetric):
    pytest.importorskip("gptqmodel")
    import torch
    from gptqmodel.quantization import QuantizeConfig
    from gptqmodel.quantization.gptq import GPTQ

    ours = importlib.import_module("plug_gptqmodel").Feedback
    config = QuantizeConfig(
        bits=bits,
        group_size=width or -1,
        sym=symmetric,
        desc_act=False,
        act_group_aware=False,
        offload_to_disk=False,
    )
    torch.manual_seed(0)
    inputs = torch.randn(1, 800, 256) @ torch.randn(256, 256)
    weights, losses = torch.randn(96, 256), []
    for kind in (GPTQ, ours):
        layer = torch.nn.Linear(256, 96, bias=False)
        layer.weight.data.copy_(weights)
        task = kind(layer, config)
        task.quantizer.configure(perchannel=True)
        task.add_batch(inputs, layer(inputs))
        values, scale, zero, group, *_ = task.quantize()
        scale, zero = scale[:, group.long()], zero[:, group.long()]
        codes = torch.round(values / scale + zero)
        assert codes.min() >= 0 and codes.max() <= 2**bits - 1
        torch.testing.assert_close((codes - zero) * scale, values)
        losses.append(float((inputs @ (values - weights).T).square().sum()))
    print(f"GPTQModel, {bits} bits, groups {width}: ratio {losses[1] / losses[0]:.3f}")
    assert losses[1] < losses[0]


@pytest.mark.parametrize("bits, width, symmetric", CASES)
def test_in_llm_compressor(bits, width, symmetric):
    pytest.importorskip("llmcompressor")
    import torch
    from compressed_tensors.quantization import QuantizationArgs, fake_quantize
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight

    ours = importlib.import_module("plug_llm_compressor").quantize_weight
    kind = {"strategy": "group", "group_size": width} if width else {"strategy": "channel"}
    arguments = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, **kind)
    torch.manual_seed(0)
    inputs = torch.randn(2, 800, 256) @ torch.randn(256, 256)
    weights, hessians = torch.randn(2, 96, 256), 2 * inputs.mT @ inputs / 800
    groups = weights.reshape(2, 96, -1, width or 256)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = (2 * torch.maximum(-low, high) if symmetric else high - low) / (2**bits - 1)
    zero = torch.zeros_like(scale) if symmetric else torch.round(-(2 ** (bits - 1)) - low / scale)
    losses = []
    for function in (quantize_weight, ours):
        values, _, failed = function(
            weights=weights.clone(), hessians=hessians.clone(), scale=scale, zero_point=zero,
            global_scale=None, quant_args=arguments,
        )  # fmt: skip
        assert not failed.any()
        for k in range(2):
            again = fake_quantize(values[k], scale[k], zero[k], arguments)
            torch.testing.assert_close(again, values[k])
        losses.append(float((inputs @ (values - weights).mT).square().sum()))
    print(f"llm-compressor, {bits} bits, groups {width}: ratio {losses[1] / losses[0]:.3f}")
    assert losses[1] < losses[0]
