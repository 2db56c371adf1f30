"""Functions of a test file in a process of their own: Triton's interpreter is chosen at import."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def fresh(module: str, function: str, *arguments: Any, **environment: str) -> Any:
    """Return what a function returns, as JSON has it.

    Arguments:
        module: where the function is.
        function: its name.
        arguments: what it is given: anything that ``repr`` writes in the module's names.
        environment: variables of the process; Triton compiles unless told to interpret.
    """
    call = f"{function}(*{arguments!r})"
    code = f"import json, pytest; from {module} import *; print(json.dumps({call}))"
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0", **environment},
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])
