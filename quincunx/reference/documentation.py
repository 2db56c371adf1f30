"""English that is on every machine: the documentation inside Python and installed packages.

The reference language model is trained on it, and calibration takes it where no text is given.
Modules are parsed, never imported.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from quincunx._errors import QuincunxError

__all__ = ["docstrings", "folder_of", "standard_library", "topics"]

_NO_PROSE = {"test", "tests", "testing", "idle_test", "site-packages", "dist-packages"}
_ADDED = {"add_newdoc", "add_docstr", "_add_newdoc_ufunc"}
_SHORTEST = 20  # characters of a docstring worth keeping
_TELLING = 60  # characters from which a repeated line is a copy, not a phrase


def standard_library() -> Path:
    """The folder of the standard library's modules."""
    return Path(sysconfig.get_paths()["stdlib"])


def folder_of(package: str) -> Path:
    """The folder of an installed package, which is not imported.

    Raises:
        QuincunxError: it is not installed, or is a single file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise QuincunxError(
            f"The package {package!r} is not installed in this environment, or has no folder. "
            f"Install it (pip install {package}) or leave it out."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def docstrings(folders: Iterable[Path]) -> Iterator[str]:
    """The docstrings of the modules in ``folders``: one text a module, in the order of paths.

    Examples at the prompt, rows of numbers, docstrings of less than 20 characters and long lines
    that came before are left out; so are tests and modules that do not parse.
    """
    seen: set[str] = set()
    for folder in folders:
        for path in sorted(folder.rglob("*.py"), key=lambda path: path.as_posix()):
            if not _NO_PROSE & set(path.relative_to(folder).parts[:-1]):
                text = "\n\n".join(_unseen(_docstrings_in(path), seen))
                if text:
                    yield text


def topics() -> Iterator[str]:
    """The chapters of the language reference that ``help()`` shows, by name."""
    from pydoc_data.topics import topics as chapters

    for name in sorted(chapters):
        yield _prose(chapters[name])


def _docstrings_in(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield _prose(text)
        elif isinstance(node, ast.Call) and _name(node.func) in _ADDED:
            for argument in ast.walk(node):
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield _prose(inspect.cleandoc(argument.value))


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _unseen(texts: Iterable[str], seen: set[str]) -> Iterator[str]:
    """Texts and long lines that did not come before."""
    for text in texts:
        if text in seen:
            continue
        seen.add(text)
        lines = []
        for line in text.splitlines():
            if len(line) >= _TELLING:
                if line in seen:
                    continue
                seen.add(line)
            lines.append(line)
        kept = "\n".join(lines).strip()
        if len(kept) >= _SHORTEST:
            yield kept


def _prose(text: str) -> str:
    """``text`` without examples at the prompt, rows of numbers and runs of empty lines."""
    lines: list[str] = []
    at_prompt = False
    for line in text.expandtabs().splitlines():
        line = line.rstrip()
        at_prompt = line.lstrip().startswith(">>>") or (at_prompt and bool(line))
        if not at_prompt and not _numbers(line):
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _numbers(line: str) -> bool:
    digits = sum(character.isdigit() for character in line)
    return digits > sum(character.isalpha() for character in line)
