"""The examples that people read: in docstrings, in README.md and in docs/."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import quincunx
from quincunx.cli import app

ROOT = Path(__file__).parents[1]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(quincunx.__path__, "quincunx.")
    if not module.name.endswith("__main__")
]
PAGES = [
    path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if path.is_file() and "```python\n" in path.read_text()
]
BLOCK = re.compile(r"^```(python|text|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    if name.startswith("quincunx.nn"):
        pytest.importorskip("torch")
    public = {public_name: getattr(quincunx, public_name) for public_name in quincunx.__all__}
    result = doctest.testmod(importlib.import_module(name), extraglobs=public)
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_on_a_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    text = page.read_text()
    # One namespace for the page, so that a later block can use what an earlier one made.
    names: dict[str, object] = {}
    printed, end = "", 0
    for block in BLOCK.finditer(text):
        kind, content = block.groups()
        above = "\n" * text.count("\n", 0, block.start(2))  # so that an error shows its line
        if kind == "python":
            if "import torch" in content:
                pytest.importorskip("torch")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(above + content, str(page), "exec"), names)
            printed, end = out.getvalue(), block.end()
        elif kind == "console":
            for call in content.split("$ quincunx ")[1:]:
                command, _, shown = call.partition("\n")
                result = CliRunner().invoke(app, shlex.split(command))
                assert result.exit_code == 0, result.output
                assert_shows(shown, result.stdout)
        elif not text[end : block.start()].strip():
            assert_shows(content, printed)


def assert_shows(shown: str, printed: str) -> None:
    """Compare words, and numbers to four digits: the fifth may depend on the machine."""
    # The seconds that a command took are its reader's own.
    shown, printed = (re.sub(r"^time .* s$", "time", text, flags=re.M) for text in (shown, printed))
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", printed).split()
    numbers = ([float(number) for number in NUMBER.findall(text)] for text in (shown, printed))
    # Bounds of beliefs in conflict are known to about 1e-6.
    np.testing.assert_allclose(*numbers, rtol=0, atol=2e-5)


def test_an_output_that_is_not_printed_is_found():
    assert_shows("gap 2e-12\ntime   0.2 s", "gap 3e-12\ntime   0.1 s")
    for shown in ("rain 0.3 nats", "rain 0.31", "0.3"):
        with pytest.raises(AssertionError):
            assert_shows(shown, "rain 0.3")


def test_the_example_of_compression_runs():
    pytest.importorskip("transformers")
    script = ROOT / "examples" / "compress_model.py"
    found = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=600
    )
    assert found.returncode == 0, found.stderr
    assert "4,718,592 weights at 3.50 bits" in found.stdout


@pytest.mark.parametrize(
    "script", sorted(path.name for path in (ROOT / "examples" / "dynamics").glob("*.py"))
)
def test_the_claims_about_gradient_descent_are_reproduced(script, tmp_path):
    pytest.importorskip("flint")
    command = [sys.executable, str(ROOT / "examples" / "dynamics" / script), str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    # The scripts themselves assert what they claim; here that they left what they promise.
    names = [path.name for path in tmp_path.iterdir()]
    assert any(name.endswith(".json") for name in names), names
    assert any(name.endswith(".png") for name in names), names
