"""What holds for the repository as a whole: versions, extras, sizes, cycles and contracts."""

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import networkx as nx

import quincunx

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "quincunx"
FILE_LINES = 500
FUNCTION_LINES = 80
# A kernel is one loop with its special cases: cutting it up would cost speed.
KERNEL_LINES = 150


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_one_version_everywhere():
    version = project()["project"]["version"]
    assert quincunx.__version__ == version
    assert importlib.metadata.version("quincunx") == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()


def test_every_extra_named_anywhere_exists():
    extras = set(project()["project"]["optional-dependencies"])
    texts = [*sources("quincunx"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for path in [*texts, ROOT / "pyproject.toml"]:
        for names in re.findall(r"quincunx\[([\w, -]+)\]", path.read_text()):
            unknown = {name.strip() for name in names.split(",")} - extras
            assert not unknown, f"{path.relative_to(ROOT)} names unknown extras: {unknown}"


def test_every_extra_that_an_error_asks_for_exists():
    extras = set(project()["project"]["optional-dependencies"])
    for path in sources("quincunx"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("need_extra"):
                named = {keyword.arg: keyword.value for keyword in node.keywords}
                extra = named["extra"] if "extra" in named else node.args[1]
                assert ast.literal_eval(extra) in extras, f"{path}:{node.lineno}"


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


def test_no_file_is_too_long():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources("quincunx", "tests", "benchmarks", "examples")
        if (lines := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert not long


def test_no_function_is_too_long():
    long = {}
    for path in sources("quincunx"):
        limit = KERNEL_LINES if PACKAGE / "kernels" in path.parents else FUNCTION_LINES
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > limit:
                    long[f"{path.relative_to(ROOT)}::{node.name}"] = lines
    assert not long


@cache
def imports() -> grimp.ImportGraph:
    """Every import of the package, inside functions too, but for those under `TYPE_CHECKING`."""
    return grimp.build_graph("quincunx", exclude_type_checking_imports=True, cache_dir=None)


def test_no_module_is_imported_in_a_circle():
    graph = nx.DiGraph(
        (module, other)
        for module in imports().modules
        for other in imports().find_modules_directly_imported_by(module)
    )
    circles = [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]
    assert not circles


def test_every_room_has_its_row_in_the_table_of_imports():
    contracts = project()["tool"]["importlinter"]["contracts"]
    rooms = {contract["room"] for contract in contracts if contract["type"] == "room"}
    children = {module for module in imports().modules if module.count(".") == 1}
    assert children <= rooms
