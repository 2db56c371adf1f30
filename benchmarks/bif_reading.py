"""Reading BIF files: ours against pgmpy's reader and, where it is installed, pyAgrum's.

    python -m benchmarks.bif_reading [NETWORK ...]

Without names, the largest of the networks that the pgmpy package carries are read, and
``benchmarks/results/bif-reading.md`` and ``.json`` are written. Needs the extra pgmpy.
"""

import gzip
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pgmpy
from pgmpy.readwrite import BIFReader

import quincunx
from benchmarks._harness import describe, environment, interleave, median, table, write_results

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
ROUNDS, SECONDS = 7, 20.0  # rounds in which the readers take turns, and when no further one begins

TEXT = """
# Reading BIF files

{where}

Medians of up to {rounds} rounds in which the readers take turns on the uncompressed file. pyAgrum
reads numbers in single precision and neither checks nor rescales rows.

{table}
"""


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
    where = environment(("quincunx", "numpy", "pgmpy", "pyagrum"))
    folder = Path(pgmpy.__file__).parent / "utils" / "example_models"
    peers = readers()
    rows, data = [], {}
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names or NAMES:
            path = Path(scratch) / f"{name}.bif"
            path.write_bytes(gzip.decompress((folder / f"{name}.bif.gz").read_bytes()))
            works = {peer: partial(read, str(path)) for peer, read in peers.items()}
            times = {k: median(v) for k, v in interleave(works, ROUNDS, SECONDS).items()}
            data[name] = times
            ratios = [f"**{t / times['quincunx']:.1f}x**" for t in list(times.values())[1:]]
            rows.append((name, *(f"{1e3 * t:.1f}" for t in times.values()), *ratios))
            print(*rows[-1], flush=True)
    head = ("network", *(f"{p} (ms)" for p in peers), *(f"{p} / quincunx" for p in [*peers][1:]))
    text = TEXT.format(where=describe(where), rounds=ROUNDS, table=table(head, rows))
    print(text)
    if not names:
        write_results("bif-reading", text, {"where": where, "seconds": data})


if __name__ == "__main__":
    main(sys.argv[1:])
