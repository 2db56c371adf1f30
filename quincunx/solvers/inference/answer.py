"""The answer to an inference problem: beliefs, what they cost, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from quincunx._errors import ModelError, SolveError
from quincunx._types import Solution
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.html import ROWS, html_table
from quincunx.graphs.pdg import PDG
from quincunx.graphs.sampling import Samples
from quincunx.graphs.table import Floats, Names, Table
from quincunx.graphs.variable import State
from quincunx.solvers.inference.blame import Blame, attribute
from quincunx.solvers.inference.bounds import Bounds, optimal_bounds
from quincunx.solvers.inference.sensitivity import Sensitivity, derivatives


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
            in the limit; at gamma = 0 found numerically, None when unknown, as it is outside the
            convex regime. At gamma = 0 a query across clusters can be undetermined even so.
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
        divergence, and Pinsker's inequality turns that into total variation. For a network at a
        gamma beyond ``min beta/alpha``, that bound takes gamma's place. At gamma = 0 and in
        the limit the gap bounds no distance, nor does it outside the convex regime, and this is 1.
        Hard arcs hold within ``residual`` only, which this bound leaves out.
        """
        if not (self.gamma and self.unique):
            return 1.0
        arcs = self.pdg.arcs if self.pdg else ()
        end = min((a.beta / a.alpha for a in arcs if a.alpha > 0), default=math.inf)
        strength = min(self.gamma, end)
        return min(1.0, math.sqrt(max(self.gap, 0.0) / (2 * strength))) if strength > 0 else 1.0

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

    def most_probable(
        self, given: Mapping[str, State] | None = None
    ) -> tuple[dict[str, State], float]:
        """Return the most probable joint state and its probability: :meth:`Beliefs.most_probable`.

        Raises:
            SolveError: there is no answer to ask.
        """
        return self._solved("query")[1].most_probable(given)

    def sample(self, n: int, seed: int, given: Mapping[str, State] | None = None) -> Samples:
        """Draw ``n`` independent joint states: :meth:`Beliefs.sample`.

        Raises:
            SolveError: there is no answer to draw from.
        """
        return self._solved("draw from")[1].sample(n, seed, given)

    def bounds(self, targets: Names, given: Mapping[str, State] | None = None) -> Bounds:
        """Bound ``p(targets | given)`` over all distributions that fit the tables best.

        At gamma = 0 many distributions can be optimal, and :meth:`query` shows one of them. Bounds
        show what all of them have in common, also for an answer in the limit 0+, which is one of
        them too. They cost two linear programs for each joint state of the targets.

        Arguments:
            targets: the variables asked about; one cluster must hold them and ``given`` together.
            given: an event to condition on. Distributions that give it no mass do not count.

        Raises:
            SolveError: there is no answer.
            ModelError: gamma is positive, so that the optimum is one distribution; no target, or
                one named twice.
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: ``given`` has probability zero in all of them.
            TooLargeError: the cluster of the targets and ``given`` does not fit into memory.
            EngineError: the linear program solver failed.

        Example:
            Two marginals leave the joint distribution between its Frechet bounds.

            >>> rain, wind = Variable("rain", ["no", "yes"]), Variable("wind", ["no", "yes"])
            >>> pdg = PDG([Arc([], rain, [0.7, 0.3]), Arc([], wind, [0.6, 0.4])])
            >>> infer(pdg, gamma=0).bounds(["rain", "wind"])
            Bounds(rain, wind)
              no, no: 0.3 to 0.6
              no, yes: 0.1 to 0.4
              yes, no: 0 to 0.3
              yes, yes: 0 to 0.3
        """
        pdg, beliefs = self._solved("bound")
        if self.gamma:
            raise ModelError(
                f"at gamma = {self.gamma:g} one distribution is optimal, so there is nothing to "
                "bound; solve with gamma=0, or query this answer"
            )
        return optimal_bounds(pdg, beliefs, targets, given)

    def blame(self) -> Blame:
        """Split the inconsistency into the arcs' shares, in nats, the largest first.

        Raises:
            SolveError: there is no answer to split.

        Example:
            >>> rain = Variable("rain", ["no", "yes"])
            >>> radio = Arc([], rain, [0.7, 0.3], label="radio")
            >>> sky = Arc([], rain, [0.4, 0.6], beta=3, label="sky")
            >>> blame = infer(PDG([radio, sky])).blame()
            >>> {name: round(nats, 4) for name, nats in blame.by_name.items()}
            {'radio': 0.1078, 'sky': 0.0364}
        """
        pdg, beliefs = self._solved("split")
        return attribute(pdg, beliefs, self.gamma, self.multipliers)

    def sensitivity(self) -> Sensitivity:
        """Differentiate the inconsistency in every confidence, in gamma and in every table entry.

        Derivatives come from the beliefs, so they are off by about the square root of ``gap``; ask
        :func:`infer` for a smaller tolerance where their digits matter. Wanted is a gamma > 0, or
        gamma = 0 with beliefs found unique: elsewhere several distributions can be optimal, and the
        inconsistency has directional derivatives only. In the limit it is the inconsistency at
        gamma = 0, where the beliefs that the limit picks say nothing of the others.

        Raises:
            SolveError: there is no answer, it is that of the limit, or it is not known to be the
                only optimum.
        """
        pdg, beliefs = self._solved("differentiate")
        if self.gamma is None or self.unique is not True:
            at = "in the limit gamma -> 0+" if self.gamma is None else f"at gamma = {self.gamma:g}"
            raise SolveError(
                f"the inconsistency {at} need not be differentiable, as other distributions can be "
                "optimal too; solve with a gamma > 0 in the convex regime, such as gamma=1e-3"
            )
        return derivatives(pdg, beliefs, self.gamma, self.multipliers)

    def _solved(self, verb: str) -> tuple[PDG, Beliefs]:
        """Return the graph and the beliefs, or raise where there is no answer."""
        if self.pdg is None or self.beliefs is None:
            raise SolveError(f"there is no answer to {verb}. {self.status.value} {self.message}")
        return self.pdg, self.beliefs

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
