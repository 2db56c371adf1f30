"""The answer to an inference problem: beliefs, what they cost, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from quincunx._errors import SolveError
from quincunx._types import Solution
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.html import ROWS, html_table
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Floats, Names, Table
from quincunx.graphs.variable import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference(Solution):
    """What :func:`quincunx.infer` returns.

    Attributes:
        gamma: the trade-off solved for; None: the limit gamma -> 0+.
        method: what computed the answer, and why it was chosen.
        inconsistency: the score of the beliefs in nats, with an allowance for rounding and for
            ``residual``, an upper bound on the optimum: Inc at gamma = 0 and in the limit, else
            ``Inc + gamma IDef``. Infinite on a contradiction.
        gap: certified distance in nats: the optimum lies in
            ``[inconsistency - gap, inconsistency]``. In the limit it speaks of Inc.
        beliefs: the distribution as calibrated clusters; None when there is no answer.
        idef: information deficiency of the beliefs, in nats.
        idef_lower: in the limit, a certified lower bound on the optimal information deficiency
            (``idef`` itself can be a little below, as the beliefs meet the least Inc within
            ``gap`` only); else -inf. With hard arcs it holds only as far as ``residual`` is 0.
        residual: largest violation ``|mu(s,t) - p(t|s) mu(s)|`` of a hard arc by the beliefs.
        unique: whether the clusters' marginals are the only optimal ones: True for gamma > 0 and
            in the limit; at gamma = 0 found numerically, None when unknown. At gamma = 0 a query
            across clusters can be undetermined even so.
        pdg: the graph that was solved, with what was assumed.
        multipliers: for each hard arc that zeros alone do not settle, by its name, float64 [source
            states, target states]: the price y(s, t) in nats of the equation ``mu(s,t) - p(t|s)
            mu(s) = 0``, with which beliefs minimise ``score + sum y (mu(s,t) - p mu(s))``.
    """

    gamma: float | None
    method: str = ""
    inconsistency: float = math.nan
    gap: float = math.inf
    beliefs: Beliefs | None = None
    idef: float = math.nan
    idef_lower: float = -math.inf
    residual: float = 0.0
    unique: bool | None = None
    pdg: PDG | None = None
    multipliers: Mapping[str, Floats] = field(default_factory=dict, repr=False)

    @property
    def belief_error(self) -> float:
        """Bound on the total variation distance to the optimal joint distribution, in [0, 1].

        ``sqrt(gap / (2 gamma))``: the score is gamma-strongly convex in the Kullback-Leibler
        divergence, and Pinsker's inequality turns that into total variation. At gamma = 0 and in
        the limit the gap bounds no distance, and this is 1. Hard arcs hold within ``residual``
        only, which this bound leaves out.
        """
        if not self.gamma:
            return 1.0
        return min(1.0, math.sqrt(max(self.gap, 0.0) / (2 * self.gamma)))

    def query(self, targets: Names, given: Mapping[str, State] | None = None) -> Table:
        """Return ``p(targets | given)`` under the beliefs, axes in the order asked.

        ``given`` conditions the optimal distribution. To solve the problem in which an event is
        certain, a different question, use ``infer(..., assume=...)``.

        Raises:
            SolveError: there is no answer to ask.
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: ``given`` has probability zero.
            TooLargeError: the joint table of the targets does not fit into memory.
        """
        if self.beliefs is None:
            raise SolveError(f"there is no answer to query. {self.status.value} {self.message}")
        return self.beliefs.query(targets, given)

    def __repr__(self) -> str:
        """Write the answer in three lines."""
        where = "0+" if self.gamma is None else f"{self.gamma:g}"
        lines = [
            f"Inference at gamma = {where} by {self.method or 'no method'}: {self.status.name}",
            f"  inconsistency {self.inconsistency:.10g} nats, gap {self.gap:.2g}",
        ]
        if self.message:
            lines.append(f"  {self.message}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Write the answer and every variable's most probable state for a notebook."""
        if self.beliefs is None:
            return f"<pre>{escape(repr(self))}</pre>"
        variables = self.beliefs.tree.variables
        rows = []
        for variable in variables[:ROWS]:
            values = self.beliefs.marginal(variable.name).values
            likeliest = int(values.argmax())
            rows.append((variable.name, variable.states[likeliest], f"{values[likeliest]:.6g}"))
        head = ("variable", "most probable state", "probability")
        table = html_table("", head, rows, len(variables))
        return f"<pre>{escape(repr(self))}</pre>{table}"
