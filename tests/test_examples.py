"""The examples that people read: in docstrings, in README.md and in docs/."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import quincunx

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
    text = page.read_text()
    # One namespace for the page, so that a later block can use what an earlier one made.
    names: dict[str, object] = {}
    for block in re.finditer(r"(?<=^```python\n).*?(?=^```$)", text, re.DOTALL | re.MULTILINE):
        if "import torch" in block.group():
            pytest.importorskip("torch")
        above = "\n" * text.count("\n", 0, block.start())  # so that an error shows its line
        exec(compile(above + block.group(), str(page), "exec"), names)
