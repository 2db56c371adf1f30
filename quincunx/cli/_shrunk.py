"""The demonstration's last part: a language model in 2 bits a weight."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from quincunx.cli._console import bytes_of, print_prose

INSTALL = "To see a language model compressed: pip install 'quincunx[compression]'."
PAGE = "quincunx-demo.html"
PROMPT = "A list of"


def show_compression(console: Console, folder: str, *, bits: float = 2, samples: int = 128) -> None:
    """Compress the reference model, then evaluate it and let it write, each in a fresh process.

    Arguments:
        console: where to.
        folder: where the page is written.
        bits: a weight.
        samples: of calibration text.
    """
    if find_spec("transformers") is None or find_spec("torch") is None:
        print_prose(console, INSTALL)
        return
    from quincunx.reference import path

    size = (path() / "model.safetensors").stat().st_size
    print_prose(
        console,
        f"The package carries a small language model, {bytes_of(size)} of weights in 16 bits, "
        f"trained on documentation of Python packages. Its linear layers are now written in "
        f"{bits:g} bits a weight: each layer is rounded so that its outputs change least on "
        f"{samples} samples of text, by a search through a trellis (QTIP). Two minutes or three.",
    )
    console.print(f"$ quincunx quantize reference OUT --recipe qtip --bits {bits:g}")
    page = Path(folder) / PAGE
    with tempfile.TemporaryDirectory() as scratch:
        out = str(Path(scratch) / "OUT")
        _run("quantize", "reference", out, "--bits", str(bits), "--samples", str(samples))
        console.print()
        print_prose(
            console,
            "Another process loads it through transformers, and compares it with the original on "
            "text that neither has seen, Python's language reference.",
        )
        console.print("$ quincunx evaluate OUT --original reference --report " + PAGE)
        _run("evaluate", out, "--original", "reference", "--report", str(page), "--speed")
        console.print()
        print_prose(console, "And it still writes, in the manner of what it was trained on:")
        console.print(f'$ quincunx generate OUT "{PROMPT}"')
        _run("generate", out, PROMPT, "--tokens", "40")
        console.print()


def _run(*arguments: str) -> None:
    """Run one of our commands in a process of its own.

    Raises:
        OSError: it failed; its message is above.
    """
    sys.stdout.flush()
    command = [sys.executable, "-m", "quincunx", *arguments]
    ended = subprocess.run(command, env={**os.environ}, check=False)
    if ended.returncode:
        raise OSError(f"quincunx {arguments[0]} ended with code {ended.returncode}")
