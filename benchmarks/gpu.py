"""All that waits for a GPU, in one call: products, transforms, then a whole model.

    python -m benchmarks.gpu [--quick] [--note TEXT]

Runs ``benchmarks.gpu_matmul``, ``gpu_hadamard`` and ``gpu_generate`` one after the other. Each
checks its results before it times them, and writes its own files; one that fails does not keep the
others from running. Without a GPU it ends with code 2.
"""

import importlib
import sys
import traceback
from pathlib import Path

# Also when run as a file, from a package that is installed without its repository.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import lacks_gpu, options

PARTS = ("gpu_matmul", "gpu_hadamard", "gpu_generate")


def main() -> int:
    options(__doc__.splitlines()[0], "the least of each").parse_args()
    if lacks_gpu():
        return 2
    codes = []
    for part in PARTS:
        print(f"== {part}", flush=True)
        try:
            codes.append(importlib.import_module(f"benchmarks.{part}").main() or 0)
        except Exception:
            traceback.print_exc()
            codes.append(1)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
