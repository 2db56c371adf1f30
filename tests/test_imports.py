"""What an import loads, seen from a fresh process each."""

import json
import subprocess
import sys

# Heavy or optional libraries, none of which a query on a small model may load.
OPTIONAL = [
    "cvxpy",
    "flint",
    "matplotlib",
    "mosek",
    "pandas",
    "peft",
    "pgmpy",
    "pyagrum",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
    "triton",
]
# What the package needs for its work, and loads at the first use of each.
CORE = ["array_api_compat", "clarabel", "networkx", "numba", "numpy", "rich", "scipy", "typer"]

QUERY = """
import quincunx

a = quincunx.Variable("A", ["no", "yes"])
b = quincunx.Variable("B", ["no", "yes"])
pdg = quincunx.PDG(
    [
        quincunx.Arc([], [a], [0.7, 0.3]),
        quincunx.Arc([], [a], [0.4, 0.6]),
        quincunx.Arc([a], [b], [[0.9, 0.1], [0.2, 0.8]]),
    ]
)
answer = quincunx.infer(pdg{arguments})
assert answer.inconsistency > 0
assert abs(answer.query("A").values.sum() - 1) < 1e-9
"""


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running the code."""
    report = "\nimport json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    process = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stdout.splitlines()[-1]))


def test_importing_the_package_loads_no_library():
    before = loaded_by("")
    after = loaded_by("import quincunx")
    assert after.isdisjoint(set(OPTIONAL + CORE) - before)


def test_every_public_name_is_found_without_optional_libraries():
    code = "import quincunx\nfor name in quincunx.__all__: getattr(quincunx, name)"
    assert loaded_by(code).isdisjoint(OPTIONAL)


def test_a_query_loads_no_optional_library():
    assert loaded_by(QUERY.format(arguments="")).isdisjoint(OPTIONAL)


def test_a_query_at_a_given_gamma_loads_no_optional_library():
    assert loaded_by(QUERY.format(arguments=", gamma=0.5")).isdisjoint(OPTIONAL)


def test_the_command_line_starts_without_the_solvers():
    loaded = loaded_by("import quincunx.cli")
    assert loaded.isdisjoint([*OPTIONAL, "clarabel", "networkx", "numba", "scipy"])
