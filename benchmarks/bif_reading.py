"""Reading BIF files: Quincunx against pgmpy's BIFReader and, where installed, pyAgrum.

    python benchmarks/bif_reading.py [name ...]

Each reader gets the same uncompressed file, taken from the pgmpy package, and returns its own
model. Times are the best of several runs, in milliseconds, in one process with one thread.
"""

import gzip
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pgmpy
from pgmpy.readwrite import BIFReader

import quincunx

NAMES = [
    "alarm",
    "hailfinder",
    "hepar2",
    "andes",
    "pigs",
    "link",
    "pathfinder",
    "munin",
    "diabetes",
]
SECONDS = 3.0  # at most, for the repeated runs of one reader on one file


def best_time(read: Callable[[], object]) -> float:
    """Seconds of the fastest run: up to seven, as far as the time goes."""
    times: list[float] = []
    while len(times) < 7 and (not times or sum(times) < SECONDS):
        start = time.perf_counter()
        read()
        times.append(time.perf_counter() - start)
    return min(times)


def readers() -> dict[str, Callable[[str], object]]:
    found: dict[str, Callable[[str], object]] = {
        "quincunx": quincunx.read,
        "pgmpy": lambda path: BIFReader(path).get_model(),
    }
    if find_spec("pyagrum"):
        import pyagrum

        found["pyagrum"] = pyagrum.loadBN
    return found


def main(names: list[str]) -> None:
    folder = Path(pgmpy.__file__).parent / "utils" / "example_models"
    peers = readers()
    print(f"Python {platform.python_version()}, {platform.processor() or platform.machine()}")
    print(", ".join(f"{name} {version(name)}" for name in peers))
    columns = [f"{name} ms" for name in peers] + [f"{n} / quincunx" for n in peers][1:]
    print(f"{'network':12}" + "".join(f"{c:>20}" for c in columns))
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            path = Path(scratch) / f"{name}.bif"
            path.write_bytes(gzip.decompress((folder / f"{name}.bif.gz").read_bytes()))
            times = [best_time(lambda: read(str(path))) for read in peers.values()]  # noqa: B023
            cells = [1e3 * t for t in times] + [t / times[0] for t in times[1:]]
            print(f"{name:12}" + "".join(f"{c:20.1f}" for c in cells), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
