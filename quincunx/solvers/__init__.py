"""Solvers: a problem in, a solution with its certificate out."""

from quincunx.solvers.infer import infer
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.blame import Blame
from quincunx.solvers.inference.bounds import Bounds
from quincunx.solvers.inference.conic import Conic
from quincunx.solvers.inference.convex_concave import ConvexConcave
from quincunx.solvers.inference.descent import Descent
from quincunx.solvers.inference.interior_point import InteriorPoint
from quincunx.solvers.inference.sensitivity import Sensitivity
from quincunx.solvers.path import Path, path
from quincunx.solvers.plan import Plan, SumProduct, plan
from quincunx.solvers.removal import Removal, smallest_removal

__all__ = [
    "Blame",
    "Bounds",
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
]
