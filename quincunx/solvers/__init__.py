"""Solvers: a problem in, a solution with its certificate out."""

from quincunx.solvers.infer import Plan, SumProduct, infer, plan
from quincunx.solvers.inference.answer import Inference
from quincunx.solvers.inference.stage import Conic

__all__ = ["Conic", "Inference", "Plan", "SumProduct", "infer", "plan"]
