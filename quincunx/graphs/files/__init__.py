"""Models to and from files: BIF, UAI, JSON and CSV; pgmpy and data frames have their own modules.

Each format is a module with ``loads(text) -> model`` and ``dumps(model) -> text``; opening,
compression and encoding are here, once.
"""

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

from quincunx._atomic import atomic_write
from quincunx._errors import FileFormatError, ModelError
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.factor_graph import FactorGraph
from quincunx.graphs.files._encoding import decoded, workbook_remedy
from quincunx.graphs.pdg import PDG

__all__ = ["read", "write"]

_GZIP = b"\x1f\x8b"


def read(path: str | os.PathLike[str]) -> PDG | BayesianNetwork | FactorGraph:
    """Read a model from a file, in the format that its name ends with.

    Arguments:
        path: a file named ``.bif`` (Bayesian network), ``.uai`` (Bayesian network or factor
            graph), ``.json`` (any model) or ``.csv`` (PDG), in UTF-8; compressed by gzip or not,
            with ``.gz`` after that.

    Returns:
        The model that the file holds.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: the ending is unknown, or the content does not follow the format; the
            message gives the line.
    """
    file = Path(path)
    codec = _codec(file)
    if file.is_dir():
        raise FileFormatError(f"{file} is a folder; give the name of a file in it")
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file} (looked from {Path.cwd()})")
    text = decoded(_unpacked(file.read_bytes(), file), file)
    if not text.strip():
        raise FileFormatError(f"{file} is empty; expected a model in its format")
    model: PDG | BayesianNetwork | FactorGraph = codec.loads(text, str(file))
    return model


def write(model: PDG | BayesianNetwork | FactorGraph, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, in the format that its name ends with; see :func:`read`.

    What is written reads back as the same model: where a format cannot hold a model or a name,
    nothing is written. The file is whole or not there, whatever happens.

    Arguments:
        model: a PDG (``.json``, ``.csv``), a Bayesian network (``.json``, ``.bif``, ``.uai``) or a
            factor graph (``.json``, ``.uai``).
        path: the file; ``.gz`` at its end compresses it.

    Raises:
        ModelError: the format cannot hold this model.
        FileFormatError: the ending is unknown.
    """
    file = Path(path)
    text: str = _codec(file).dumps(model)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ModelError(
            f"{file} was not written: {text[error.start : error.end]!r} in a name is not a "
            "character that UTF-8 can hold; rename the variable or the state"
        ) from None
    if file.suffix.lower() == ".gz":
        data = gzip.compress(data, mtime=0)
    with atomic_write(file, "wb") as out:
        out.write(data)


def _codec(file: Path) -> Any:
    """Return the module of a format, chosen by the file's name."""
    # Here rather than above, so that no import of a module below runs into this one half made.
    from quincunx.graphs.files import bif, csv, json, uai

    codecs = {".bif": bif, ".uai": uai, ".json": json, ".csv": csv}
    name = file.name.lower().removesuffix(".gz")
    for suffix, codec in codecs.items():
        if name.endswith(suffix):
            return codec
    raise FileFormatError(
        f"{file}: unknown kind of file; expected a name that ends with {', '.join(codecs)}, or "
        f"with one of these and .gz{workbook_remedy(file)}"
    )


def _unpacked(data: bytes, file: Path) -> bytes:
    if not data.startswith(_GZIP):
        if data and file.suffix.lower() == ".gz":
            raise FileFormatError(f"{file} is not compressed by gzip; rename it without .gz")
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(
            f"{file} is damaged ({error}): its gzip data end early or are wrong; fetch it again"
        ) from None
