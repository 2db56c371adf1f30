"""Layers as on a GPU, their programs run by Triton's interpreter, against a processor's."""

from itertools import product

import pytest

torch = pytest.importorskip("torch")

from quincunx.nn.quantized_linear import Coding, QuantizedLinear  # noqa: E402
from tests.fresh import fresh  # noqa: E402

CASES = [
    (Coding(codebook="trellis", bits=2, transform="hadamard"), (64, 48)),
    (Coding(codebook="trellis", bits=3, code="hyb", tile=(16, 16), tuned=True,
            transform="hadamard"), (33, 40)),
    (Coding(codebook="e8p", bits=2, transform="hadamard", channel_scale=True), (20, 24)),
    (Coding(codebook="e8p", bits=4), (20, 32)),
    (Coding(codebook="grid", bits=4, transform="hadamard"), (12, 64)),
]  # fmt: skip
ALL = list(product(range(len(CASES)), (1, 3, 9), ("float32", "float16", "bfloat16")))
QUICK = [(0, 1, "float32"), *((n, rows, "bfloat16") for n in range(len(CASES)) for rows in (1, 9))]
REST = [case for case in ALL if case not in QUICK]


def made(number):
    """A layer of random codes, with everything that its coding knows."""
    coding, (m, n) = CASES[number]
    generator = torch.Generator().manual_seed(number)
    layer = QuantizedLinear(n, m, coding, bias=True, scales=m if number % 2 else 1)
    size = layer.qweight.shape
    layer.qweight.data = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    layer.scales.copy_(torch.rand(layer.scales.shape, generator=generator) + 0.5)
    layer.bias.data.copy_(torch.randn(m, generator=generator))
    for name in ("channel_scale", "input_signs", "output_signs"):
        if hasattr(layer, name):
            buffer = getattr(layer, name)
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return layer


def inputs(number, rows, kind):
    generator = torch.Generator().manual_seed(10 * number + rows)
    return torch.randn(rows, 1, CASES[number][1][1], generator=generator).to(getattr(torch, kind))


def as_on_a_gpu():
    """Let every choice be made as on a GPU."""
    import quincunx.kernels.e8p_matmul as e8p
    import quincunx.kernels.grid_matmul as grid
    import quincunx.kernels.hadamard as hadamard
    import quincunx.kernels.trellis_matmul as trellis
    import quincunx.nn.coded_product as coded
    import quincunx.nn.quantized_linear as layers
    import quincunx.solvers.linalg.flat as flat
    import quincunx.solvers.linalg.orthogonal as orthogonal

    for module in (e8p, grid, trellis, coded, layers, hadamard):
        module.launches = lambda array: True
    for module in (flat, orthogonal):
        module.on_gpu = lambda array: isinstance(array, torch.Tensor)


def outputs(cases):
    """What layers return, with nothing decoded on the way."""
    as_on_a_gpu()
    found = []
    for number, rows, kind in cases:
        layer = made(number)
        layer.points = None
        with torch.no_grad():
            y = layer(inputs(number, rows, kind))
        assert str(y.dtype) == f"torch.{kind}"
        found.append(y.double().tolist())
    return found


def gradient(number, rows, kind):
    """Of the sum of squares, by the inputs."""
    x = inputs(number, rows, kind).requires_grad_(True)
    (made(number)(x).double() ** 2).sum().backward()
    assert x.grad.dtype == x.dtype
    return x.grad.double().tolist()


def gradient_on_a_gpu(*case):
    as_on_a_gpu()
    return gradient(*case)


@pytest.fixture(scope="module")
def quick():
    pytest.importorskip("triton")
    return fresh(__name__, "outputs", QUICK, TRITON_INTERPRET="1")


@pytest.fixture(scope="module")
def rest():
    pytest.importorskip("triton")
    return fresh(__name__, "outputs", REST, TRITON_INTERPRET="1")


def agree(case, y):
    number, rows, kind = case
    with torch.no_grad():
        expected = made(number)(inputs(number, rows, kind).float()).double()
    # In 16 bits transformed inputs, and operands of tensor cores, are rounded to 11 or 8 bits, some
    # dozens of them by random amounts; measured up to 5.3e-4 and
    # 6.3e-3 of the largest, and 2.9e-7 in float32.
    bound = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[kind]
    difference = (torch.tensor(y, dtype=torch.float64) - expected).abs().max()
    assert difference <= bound * expected.abs().max()


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_a_layer_is_the_same_on_a_gpu(case, quick):
    agree(case, quick[QUICK.index(case)])


@pytest.mark.full
@pytest.mark.parametrize("case", REST, ids=str)
def test_layers_in_every_type(case, rest):
    agree(case, rest[REST.index(case)])


def test_gradients_are_the_same_on_a_gpu():
    pytest.importorskip("triton")
    case = (0, 3, "float32")
    found = torch.tensor(
        fresh(__name__, "gradient_on_a_gpu", *case, TRITON_INTERPRET="1"), dtype=torch.float64
    )
    expected = torch.tensor(gradient(*case), dtype=torch.float64)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()  # measured 2.5e-7
