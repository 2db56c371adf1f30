"""Quincunx: solvers for probabilistic inference and optimization.

The names below are loaded when first used, so that ``import quincunx`` itself loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quincunx.compression.loading import load
    from quincunx.graphs import (
        PDG,
        Arc,
        BayesianNetwork,
        Beliefs,
        ClusterTree,
        FactorGraph,
        Table,
        Variable,
        cluster_tree,
        read,
        soft_evidence,
        virtual_evidence,
        write,
    )
    from quincunx.solvers import (
        Blame,
        Conic,
        ConvexConcave,
        Descent,
        Inference,
        InteriorPoint,
        Path,
        Plan,
        Removal,
        Sensitivity,
        SumProduct,
        infer,
        path,
        plan,
        smallest_removal,
    )

_ROOMS = {
    "quincunx.graphs": (
        "PDG",
        "Arc",
        "BayesianNetwork",
        "Beliefs",
        "ClusterTree",
        "FactorGraph",
        "Table",
        "Variable",
        "cluster_tree",
        "read",
        "soft_evidence",
        "virtual_evidence",
        "write",
    ),
    "quincunx.solvers": (
        "Blame",
        "Conic",
        "ConvexConcave",
        "Descent",
        "Inference",
        "InteriorPoint",
        "Path",
        "Plan",
        "Removal",
        "Sensitivity",
        "SumProduct",
        "infer",
        "path",
        "plan",
        "smallest_removal",
    ),
    "quincunx.compression.loading": ("load",),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "PDG",
    "Arc",
    "BayesianNetwork",
    "Beliefs",
    "Blame",
    "ClusterTree",
    "Conic",
    "ConvexConcave",
    "Descent",
    "FactorGraph",
    "Inference",
    "InteriorPoint",
    "Path",
    "Plan",
    "Removal",
    "Sensitivity",
    "SumProduct",
    "Table",
    "Variable",
    "cluster_tree",
    "infer",
    "load",
    "path",
    "plan",
    "read",
    "smallest_removal",
    "soft_evidence",
    "virtual_evidence",
    "write",
]


def __getattr__(name: str) -> Any:
    """Load a public name, or the version, at its first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("quincunx")
    if name not in _HOME:
        raise AttributeError(f"module 'quincunx' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
