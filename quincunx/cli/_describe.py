"""What ``--describe`` tells: how large a model is, and what solving it would take."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from quincunx.cli._report import kind_of

if TYPE_CHECKING:
    from quincunx.cli._report import Model
    from quincunx.graphs import PDG
    from quincunx.solvers import Plan

COMPILED_CELLS = 100_000  # compiling more takes a second or so, and this shall be quick


@dataclass(frozen=True)
class Description:
    """A model and the plan to solve it.

    Attributes:
        file: the model's file, as it was named.
        model: the model.
        plan: what ``infer`` would do.
        own: whether gamma was left to the model.
    """

    file: str
    model: "Model"
    plan: "Plan"
    own: bool

    @cached_property
    def largest_gamma(self) -> float:
        """The end of the convex regime, row by row where the model is small enough for that."""
        from quincunx._errors import ContradictionError, TooLargeError
        from quincunx.solvers.inference.objective import largest_gamma
        from quincunx.solvers.inference.problem import compile_problem

        if sum(self.plan.tree.sizes) <= COMPILED_CELLS and not self.hard:
            try:
                return largest_gamma(compile_problem(self.plan.pdg, self.plan.tree))
            except (ContradictionError, TooLargeError):
                pass
        return bound_gamma(self.plan.pdg)

    @property
    def hard(self) -> int:
        """Number of hard arcs."""
        return sum(math.isinf(a.beta) for a in self.plan.pdg.arcs)

    @property
    def method(self) -> str:
        """The method in words."""
        from quincunx.solvers import Conic, ConvexConcave, InteriorPoint
        from quincunx.solvers.inference.convex import method_name

        solver = self.plan.solver
        if isinstance(solver, ConvexConcave):
            return f"convex-concave procedure ({method_name(solver.convex)})"
        return method_name(solver) if isinstance(solver, Conic | InteriorPoint) else "sum-product"

    @property
    def machine(self) -> int:
        """Memory of this machine, in bytes."""
        from quincunx.graphs.memory import physical_memory

        return physical_memory()

    def notes(self) -> list[str]:
        """Sentences on why the model would be refused, or what its answer would lack."""
        from quincunx.graphs.memory import FRACTION
        from quincunx.solvers import ConvexConcave

        notes = []
        if self.plan.memory > FRACTION * self.machine:
            notes.append("The clusters do not fit into this machine; the model would be refused.")
        gamma = self.plan.gamma
        beyond = gamma is not None and gamma > self.largest_gamma * (1 + 1e-9)
        if self.method != "sum-product" and (beyond or (gamma is None and not self.largest_gamma)):
            local = isinstance(self.plan.solver, ConvexConcave)
            notes.append(
                f"This gamma is outside the convex regime, which ends at {self.largest_gamma:.6g}; "
                + ("a local optimum would be found." if local else "the model would be refused.")
            )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return the description under the names that programs read."""
        tree, pdg = self.plan.tree, self.plan.pdg
        return {
            "file": self.file,
            "kind": kind_of(self.model),
            "variables": len(pdg.variables),
            "states": [len(v) for v in pdg.variables],
            "arcs": len(pdg.arcs),
            "hard_arcs": self.hard,
            "arcs_without_table": sum(a.table is None for a in pdg.arcs),
            "treewidth": tree.treewidth,
            "clusters": len(tree.clusters),
            "cells": sum(tree.sizes),
            "largest_cluster": max(tree.sizes, default=0),
            "memory_bytes": self.plan.memory,
            "machine_bytes": self.machine,
            "gamma": "0+" if self.plan.gamma is None else self.plan.gamma,
            "largest_gamma": self.largest_gamma,
            "method": self.method,
            "reason": self.plan.reason,
            "message": " ".join(self.notes()),
        }


def bound_gamma(pdg: "PDG") -> float:
    """Bound the convex regime from the arcs alone: the least beta/alpha, 0 where a row is bare."""
    bounds = []
    for arc in pdg.arcs:
        if arc.alpha > 0 and math.prod(len(v) for v in arc.scope[len(arc.sources) :]) > 1:
            bare = arc.table is None or bool((arc.table != arc.table).any())  # NaN: a bare row
            bounds.append(0.0 if bare else arc.beta / arc.alpha)
    return min(bounds, default=math.inf)
