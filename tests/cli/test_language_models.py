"""The commands on language models: quantize, evaluate, inspect, generate."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from quincunx.cli import app
from quincunx.reference import path


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The reference model at 4 bits in a grid, which takes seconds."""
    folder = tmp_path_factory.mktemp("commands") / "out"
    result = run("quantize", "reference", folder, "--recipe", "quip", "--bits", 4, "--samples", 8)
    assert result.exit_code == 0, result.output
    assert "4,718,592 weights" in result.output and "quincunx evaluate" in result.output
    return folder


def test_what_travels_along(out):
    names = {file.name for file in out.iterdir()}
    assert {"tokenizer.json", "generation_config.json", "README.md", "config.json"} <= names
    assert "import quincunx" in (out / "README.md").read_text()


def test_evaluate_prints_and_writes_a_page(out, tmp_path):
    page = tmp_path / "page.html"
    result = run(
        "evaluate", out, "--original", "reference", "--samples", 8, "--report", page, "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert 0 < found["divergence"] < 0.05 and found["agreement"] > 0.9
    assert found["perplexity"] == pytest.approx(found["original_perplexity"], rel=0.05)
    assert 4 < found["size"]["quantized_bits"] < 5
    assert "<svg" in page.read_text()
    assert "perplexity" in run("evaluate", out, "--samples", 8).output


def test_evaluate_predicts_in_float32_and_counts_what_is_stored():
    import torch

    import quincunx
    from quincunx.compression.evaluate import evaluate
    from quincunx.compression.huggingface.text import calibration
    from quincunx.reference import topics

    asked = ("evaluate", "reference", "--samples", 8, "--context", 64, "--json")
    found = json.loads(run(*asked).output)
    assert found["size"]["bits"] == pytest.approx(16, abs=0.01)
    model, tokenizer = quincunx.load(path(), dtype=torch.float32)
    ids = calibration(topics(), tokenizer, samples=8, context=64).ids
    assert found["perplexity"] == pytest.approx(evaluate(model, ids).perplexity, rel=1e-5)


def test_inspect_describes(out):
    result = run("inspect", out, "--layers")
    assert result.exit_code == 0 and "quip, 4 bits" in result.output
    assert result.output.count("self_attn.q_proj") == 6
    assert json.loads(run("inspect", out, "--json").output)["weights"] == 4_718_592


def test_inspect_describes_what_transformers_wrote(out, tmp_path):
    import quincunx

    quincunx.load(out)[0].save_pretrained(tmp_path)
    result = run("inspect", tmp_path)
    assert result.exit_code == 0 and "4,718,592 weights" in result.output, result.output
    (tmp_path / "quincunx-report.json").write_text('{"layers": 3}')
    result = run("inspect", tmp_path)
    assert result.exit_code == 2 and "not as quincunx writes" in result.output


def test_distill_writes_a_better_model(out, tmp_path):
    better, text = tmp_path / "better", tmp_path / "text.txt"
    text.write_text("The module returns the value of its argument.\n" * 2000)
    options = ("--original", "reference", "--text", text, "--samples", 40, "--context", 32)
    result = run("distill", out, better, *options, "--epochs", 1, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["after"] < found["before"]
    assert "calibrated on" in run("inspect", better).output
    assert "quincunx[compression]" in (better / "config.json").read_text()
    measured = [
        json.loads(
            run("evaluate", folder, *options[:4], "--samples", 8, "--context", 32, "--json").output
        )["divergence"]
        for folder in (out, better)
    ]
    assert measured[1] < measured[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["better", "text.txt"]
    result = run("distill", "reference", tmp_path / "no", "--original", "reference")
    assert result.exit_code == 2 and "not compressed" in result.output


def test_generate_writes(out):
    first = run("generate", out, "Return the", "--tokens", 8, "--seed", 1)
    again = run("generate", out, "Return the", "--tokens", 8, "--seed", 1)
    assert first.exit_code == 0, first.output
    assert first.output.startswith("Return the") and first.output == again.output
    assert run("generate", out, "Return", "--tokens", 4, "--temperature", 0).exit_code == 0


def test_generate_measures_its_speed(out):
    result = run("generate", out, "Return the", "--bench", "--against", "reference", "--tokens", 4)
    assert result.exit_code == 0, result.output
    heading, ours, theirs, ratio, note = result.output.splitlines()
    assert (
        heading.split()
        == "model in memory bits a weight tokens read / s tokens written / s".split()
    )
    assert ours.startswith(str(out)) and theirs.startswith("reference") and "Return" not in note
    figures = [[float(x) for x in line.split()[-3:]] for line in (ours, theirs, ratio)]
    assert 4 < figures[0][0] < figures[1][0] and min(figures[2]) > 0
    for column in range(3):
        found = figures[0][column] / figures[1][column]
        assert figures[2][column] == pytest.approx(found, rel=0.05, abs=0.01)
    assert "4 written by plain steps; medians of 5 runs, bfloat16, on cpu" in note
    alone = run("generate", "reference", "Return the", "--bench", "--tokens", 3)
    assert alone.exit_code == 0 and len(alone.output.splitlines()) == 3
    result = run("generate", "reference", "Return the", "--bench", "--tokens", 1)
    assert result.exit_code == 2 and "at least 2 tokens" in result.output


def test_a_dry_run_writes_nothing(tmp_path):
    result = run("quantize", "reference", tmp_path / "out", "--recipe", "quip", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "model.layers.*.mlp.up_proj" in result.output and "memory" in result.output
    assert not list(tmp_path.iterdir())
    found = json.loads(
        run("quantize", "reference", "x", "--recipe", "quip", "--dry-run", "--json").output
    )
    assert found["weights"] == 4_718_592 and found["seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quantize", "nowhere", "out"], "there is no folder nowhere"),
        (["quantize", "reference", "out", "--recipe", "awq"], "there is no recipe 'awq'"),
        (["quantize", "reference", "out", "--bits", "9"], "has 1 to 8"),
        (["quantize", "reference", "out", "--text", "nowhere"], "no file or folder nowhere"),
        (["quantize", "reference", "out", "--context", "999"], "the model takes 256 tokens"),
        (["evaluate", "nowhere"], "there is no folder nowhere"),
        (["inspect", "nowhere"], "there is no folder nowhere"),
        (["generate", "nowhere", "x"], "there is no folder nowhere"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2 and words in result.output, result.output
    assert not list(tmp_path.iterdir())


def test_other_folders_are_no_compressed_models(tmp_path):
    assert "is not compressed by quincunx" in run("inspect", path()).output
    shutil.copy(path() / "config.json", tmp_path)
    assert "no model folder" in run("evaluate", tmp_path.parent).output


def test_every_command_explains_itself():
    for name in ("quantize", "evaluate", "inspect", "generate"):
        assert len(run(name, "--help").output.splitlines()) > 12
