"""Calibrated beliefs: a distribution as the marginals of a cluster tree, ready to be asked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from quincunx._errors import ImpossibleEventError, ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.joining import conditional_rows, joint_across
from quincunx.graphs.max_product import most_probable_world
from quincunx.graphs.messages import normalize_energies
from quincunx.graphs.moments import StateValues, mean_and_variance
from quincunx.graphs.pdg import PDG
from quincunx.graphs.sampling import Samples, draw
from quincunx.graphs.table import (
    Floats,
    Names,
    Table,
    distinct_names,
    members_of,
    require_table,
    xlogx,
)
from quincunx.graphs.variable import State

FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """A distribution that factorises over a cluster tree, given by its cluster marginals.

    ``mu(w) = prod_C mu_C(w) / prod_sepsets mu_S(w)``.

    Attributes:
        tree: the cluster tree.
        clusters: each cluster's marginal, float64 of shape ``tree.shapes[c]``, total 1; neighbours
            agree on their sepset.
    """

    tree: ClusterTree
    clusters: tuple[Floats, ...]

    def __post_init__(self) -> None:
        """Check the shapes, and freeze copies of the tables that are not frozen already."""
        shapes = tuple(np.shape(table) for table in self.clusters)
        if shapes != self.tree.shapes:
            raise ModelError(
                f"beliefs need one table a cluster, of shapes {self.tree.shapes[:5]}...; "
                f"got {shapes[:5]}..."
            )
        object.__setattr__(self, "clusters", tuple(map(_frozen, self.clusters)))

    def marginal(self, targets: Names) -> Table:
        """Return the marginal over ``targets``, axes in the order asked, total 1.

        Targets within one cluster cost one sum; others are joined along the tree, with tables no
        larger than the sepsets and the targets together.

        Raises:
            UnknownNameError: a target is not a variable.
            TooLargeError: the joint table of the targets does not fit into memory.
        """
        members = members_of(targets)
        wanted = [self.tree.find(member) for member in members]
        names = distinct_names(members, ())
        home = self.tree.home(wanted)
        if home >= 0:
            return self._within(home, wanted)
        require_table([self.tree.variables[v] for v in wanted])
        return joint_across(self.tree, self.clusters, wanted).marginal(names)

    def entropy(self) -> float:
        """Return the entropy of the whole distribution, in nats."""
        total = 0.0
        for c, table in enumerate(self.clusters):
            sepset = table.reshape(self.tree.sepset_size(c), -1).sum(axis=1)
            total += float(xlogx(sepset).sum() if self.tree.parents[c] >= 0 else 0.0)
            total -= float(xlogx(table).sum())
        return total

    def probability(self, event: Mapping[str, State]) -> float:
        """Return the probability that all the variables named are in the states named."""
        try:
            return math.exp(self._weigh(event)[1])
        except ImpossibleEventError:
            return 0.0

    def condition(self, given: Mapping[str, State]) -> "Beliefs":
        """Return the beliefs conditioned on an event, in two passes over the tree.

        Raises:
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: the event has probability zero.
        """
        if not given:
            return self
        conditionals, _ = self._weigh(given)
        done: list[Floats] = []
        for c, parent in enumerate(self.tree.parents):
            rows = self._matrix(c, conditionals.get(c, self.clusters[c]))
            sums = rows.sum(axis=1, keepdims=True)
            above = np.ones((1, 1))
            if parent >= 0:
                above = self.tree.sepset_marginal(c, done[parent]).reshape(-1, 1)
            scale = np.divide(above, sums, out=np.zeros_like(sums), where=sums > 0)
            done.append((rows * scale).reshape(self.tree.shapes[c]))
            done[-1].setflags(write=False)
        return Beliefs(self.tree, tuple(done))

    def query(self, targets: Names, given: Mapping[str, State] | None = None) -> Table:
        """Return ``p(targets | given)``, axes in the order asked.

        For many questions with the same ``given``, :meth:`condition` once and ask the result.

        Raises:
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: ``given`` has probability zero.
            TooLargeError: the joint table of the targets does not fit into memory.
        """
        return self.condition(given or {}).marginal(targets)

    def most_probable(
        self, given: Mapping[str, State] | None = None
    ) -> tuple[dict[str, State], float]:
        """Return the most probable joint state of all variables, and its probability.

        Exact, by max-product over the tree (:mod:`quincunx.graphs.max_product`). It need not
        consist of the variables' own most probable states.

        Arguments:
            given: an event; the state and its probability are then those given it.

        Returns:
            A state for every variable, those of ``given`` among them, and ``p(states | given)``,
            which reads 0 where it is below 1e-308. Of several such states the same one is
            returned every time: in each cluster the first of equally good cells.

        Raises:
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: ``given`` has probability zero.

        Example:
            >>> sprinkler = Variable("sprinkler", ["off", "on"])
            >>> grass = Variable("grass", ["dry", "wet"])
            >>> joint = [[0.5, 0.1], [0.0, 0.4]]
            >>> tree = cluster_tree([sprinkler, grass], [["sprinkler", "grass"]])
            >>> Beliefs(tree, (joint,)).most_probable(given={"grass": "wet"})
            ({'sprinkler': 'on', 'grass': 'wet'}, 0.8)
        """
        positions, log_probability = most_probable_world(
            self.tree, self.condition(given or {}).clusters
        )
        pairs = zip(self.tree.variables, positions, strict=True)
        return {v.name: v.states[i] for v, i in pairs}, math.exp(log_probability)

    def sample(self, n: int, seed: int, given: Mapping[str, State] | None = None) -> Samples:
        """Draw ``n`` independent joint states from ``p(. | given)``; the same seed, the same ones.

        Raises:
            ModelError: n or the seed is not a whole number >= 0.
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: ``given`` has probability zero.
            TooLargeError: the samples do not fit into memory.
        """
        return draw(self.tree, self.condition(given or {}).clusters, n, seed)

    def expectation(
        self, targets: Names, values: StateValues, given: Mapping[str, State] | None = None
    ) -> float:
        """Return the expectation of a number that depends on the targets' joint state.

        Arguments:
            targets: the variables it depends on.
            values: an array of shape (states of targets...); or a mapping from a state, or from a
                tuple of states, to a number; or a function of one state a target.
            given: an event to condition on.

        Raises:
            ModelError: the values do not fit, or one of a possible state is not a finite number.
            UnknownNameError: a variable or state does not exist.
            ImpossibleEventError: ``given`` has probability zero.
            TooLargeError: the joint table of the targets does not fit into memory.
        """
        return mean_and_variance(self.query(targets, given), values)[0]

    def variance(
        self, targets: Names, values: StateValues, given: Mapping[str, State] | None = None
    ) -> float:
        """Return the variance of such a number; arguments and errors as :meth:`expectation`."""
        return mean_and_variance(self.query(targets, given), values)[1]

    def to_pdg(self) -> PDG:
        """Return the PDG of these beliefs: one arc a cluster, ``p(cluster | sepset)``.

        All confidences are 1, so that at gamma = 1 its score is ``D(mu || beliefs)``, by the chain
        rule over the tree: the beliefs are its optimum with inconsistency 0, at every gamma > 0
        and in the limit, and at gamma = 1 further arcs are weighed against nothing else. That makes
        yesterday's answer the prior of today's evidence: see :func:`quincunx.soft_evidence`.
        """
        arcs = []
        for c, cluster in enumerate(self.tree.clusters):
            scope = [self.tree.variables[v] for v in cluster]
            n_shared = len(self.tree.parent_axes[c])
            if n_shared < len(scope):
                rows = conditional_rows(self.tree, c, self.clusters[c])
                # Rows that the sepset's zeros exclude may say anything, but must say something.
                rows = np.where(rows.any(axis=1, keepdims=True), rows, 1 / rows.shape[1])
                table = rows.reshape(self.tree.shapes[c])
                arcs.append(Arc(scope[:n_shared], scope[n_shared:], table))
        return PDG(arcs, self.tree.variables)

    def _within(self, c: int, wanted: list[int]) -> Table:
        """Sum cluster ``c``'s table down to some of its variables, axes in the order asked."""
        axes = [self.tree.clusters[c].index(v) for v in wanted]
        rest = tuple(i for i in range(len(self.tree.clusters[c])) if i not in axes)
        values = self.clusters[c].sum(axis=rest).transpose(np.argsort(np.argsort(axes)))
        return Table((self.tree.variables[v] for v in wanted), values)

    def _matrix(self, c: int, values: Floats) -> Floats:
        return values.reshape(self.tree.sepset_size(c), -1)

    def _weigh(self, given: Mapping[str, State]) -> tuple[dict[int, Floats], float]:
        """Multiply evidence into the clusters, leaves to root, in logarithms.

        Returns:
            The conditionals given their sepsets of the clusters on the way from evidence to a
            root, and the log probability of the event.
        """
        tree = self.tree
        energies: dict[int, Floats] = {}
        if not isinstance(given, Mapping):
            raise ModelError(f"an event is a mapping of names to states, not {given!r}")
        for name, state in given.items():
            v = tree.find(name)
            variable = tree.variables[v]
            c = tree.containing[v][0]
            penalty = np.full(len(variable), np.inf)
            penalty[variable.index(state)] = 0.0
            axis = tree.clusters[c].index(v)
            shape = [len(variable) if i == axis else 1 for i in range(len(tree.clusters[c]))]
            energies[c] = self._energies(c, energies) + penalty.reshape(shape)
        log_probability = 0.0
        for c in reversed(range(len(tree.clusters))):
            if c not in energies:
                continue
            log_mass = normalize_energies(self._matrix(c, energies[c]))
            before = self._matrix(c, self.clusters[c]).sum(axis=1)
            message = np.full(len(before), np.inf)
            possible = (before > 0) & np.isfinite(log_mass)
            message[possible] = np.log(before[possible]) - log_mass[possible]
            if not possible.any():
                names = [f"{n}={s}" for n, s in given.items()]
                shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                raise ImpossibleEventError(
                    f"the event {shown} has probability zero under these beliefs, so nothing can "
                    "be said given it; to ask what would follow if it were certain, solve again "
                    "with assume="
                )
            parent = tree.parents[c]
            if parent >= 0:
                message = message.reshape(tree.message_shape(c))
                energies[parent] = self._energies(parent, energies) + message
            else:
                log_probability -= float(message[0])
        return energies, log_probability

    def _energies(self, c: int, energies: Mapping[int, Floats]) -> Floats:
        if c in energies:
            return energies[c]
        table = self.clusters[c]
        return -np.log(table, out=np.full(table.shape, -np.inf), where=table > 0)


def _frozen(table: ArrayLike) -> Floats:
    """Return a read-only array: the table itself where it is one, else a copy."""
    table = np.asarray(table)
    if table.flags.writeable or table.dtype != FLOAT64:
        table = np.array(table, dtype=np.float64)
        table.setflags(write=False)
    return table
