"""Calibrated beliefs: a distribution as the marginals of a cluster tree, ready to be asked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quincunx._errors import ImpossibleEventError
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.table import Floats, Names, Table, names_of, require_table, xlogx
from quincunx.graphs.variable import State


@dataclass(frozen=True, slots=True, eq=False)
class Beliefs:
    """A distribution that factorises over a cluster tree, given by its cluster marginals.

    ``mu(w) = prod_C mu_C(w) / prod_sepsets mu_S(w)``.

    Attributes:
        tree: the cluster tree.
        clusters: each cluster's marginal, float64 of shape ``tree.shape(c)``, total 1; neighbours
            agree on their sepset.
    """

    tree: ClusterTree
    clusters: tuple[Floats, ...]

    def marginal(self, targets: Names) -> Table:
        """Return the marginal over ``targets``, axes in the order asked, total 1.

        Targets within one cluster cost one sum; others are joined along the tree, with tables no
        larger than the sepsets and the targets together.

        Raises:
            UnknownNameError: a target is not a variable.
            TooLargeError: the joint table of the targets does not fit into memory.
        """
        names = names_of(targets)
        wanted = [self.tree.find(n) for n in names]
        home = self.tree.home(wanted)
        if home >= 0:
            return self._table(home).marginal(names)
        require_table([self.tree.variables[v] for v in wanted])
        joint = Table((), 1.0)
        for root, members in self._by_root(wanted).items():
            joint = joint * self._join(root, set(members))
        return joint.marginal(names)

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
        weighted, _ = self._weigh(given)
        done: list[Floats] = []
        for c, parent in enumerate(self.tree.parents):
            rows = self._matrix(c, weighted.get(c, self.clusters[c]))
            if parent < 0:
                done.append((rows / rows.sum()).reshape(self.tree.shape(c)))
                continue
            sepset = done[parent].sum(axis=self.tree.summed_axes(c)).reshape(-1, 1)
            mass = rows.sum(axis=1, keepdims=True)
            scale = np.divide(sepset, mass, out=np.zeros_like(mass), where=mass > 0)
            done.append((rows * scale).reshape(self.tree.shape(c)))
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

    def _table(self, c: int) -> Table:
        return Table((self.tree.variables[v] for v in self.tree.clusters[c]), self.clusters[c])

    def _matrix(self, c: int, values: Floats) -> Floats:
        return values.reshape(self.tree.sepset_size(c), -1)

    def _conditional(self, c: int) -> Table:
        """Return cluster ``c`` given its sepset, zero where the sepset has no mass."""
        rows = self._matrix(c, self.clusters[c])
        mass = rows.sum(axis=1, keepdims=True)
        values = np.divide(rows, mass, out=np.zeros_like(rows), where=mass > 0)
        members = (self.tree.variables[v] for v in self.tree.clusters[c])
        return Table(members, values.reshape(self.tree.shape(c)))

    def _by_root(self, wanted: list[int]) -> dict[int, list[int]]:
        """Group variables by the root of their component."""
        groups: dict[int, list[int]] = {}
        for v in wanted:
            c = self.tree.containing[v][0]
            while self.tree.parents[c] >= 0:
                c = self.tree.parents[c]
            groups.setdefault(c, []).append(v)
        return groups

    def _join(self, root: int, wanted: set[int]) -> Table:
        """Return the joint table of variables of one component, by messages along the tree."""
        tree = self.tree
        count: dict[int, int] = {}
        for v in wanted:
            c = tree.containing[v][0]
            while c >= 0:
                count[c] = count.get(c, 0) + 1
                c = tree.parents[c]
        top = max(c for c in count if count[c] == len(wanted))
        used = sorted((c for c in count if c > top and count[c] < len(wanted)), reverse=True)
        asked = {tree.variables[v].name for v in wanted}
        messages: dict[int, list[Table]] = {}
        for c in used:
            keep = asked.union(tree.names(c)[: len(tree.parent_axes[c])])
            message = self._absorb(self._conditional(c), messages.pop(c, []), keep)
            messages.setdefault(tree.parents[c], []).append(message)
        return self._absorb(self._table(top), messages.pop(top, []), asked)

    def _absorb(self, table: Table, messages: list[Table], keep: set[str]) -> Table:
        """Multiply a cluster's table by messages and sum out what nobody above needs."""
        needed = {n for m in messages for n in m.names} | keep
        table = table.marginal([n for n in table.names if n in needed])
        for message in messages:
            table = table * message
        return table.marginal([n for n in table.names if n in keep])

    def _weigh(self, given: Mapping[str, State]) -> tuple[dict[int, Floats], float]:
        """Multiply evidence into the clusters, leaves to root.

        Returns:
            The weighted tables of the clusters on the way from evidence to a root (each up to a
            factor), and the log probability of the event.
        """
        tree = self.tree
        weighted: dict[int, Floats] = {}
        for name, state in given.items():
            v = tree.find(name)
            variable = tree.variables[v]
            c = tree.containing[v][0]
            mask = np.zeros(len(variable))
            mask[variable.index(state)] = 1.0
            axis = tree.clusters[c].index(v)
            shape = [len(variable) if i == axis else 1 for i in range(len(tree.clusters[c]))]
            weighted[c] = weighted.get(c, self.clusters[c]) * mask.reshape(shape)
        log_probability = 0.0
        for c in reversed(range(len(tree.clusters))):
            if c not in weighted:
                continue
            rows = self._matrix(c, weighted[c])
            mass = rows.sum(axis=1)
            before = self._matrix(c, self.clusters[c]).sum(axis=1)
            ratio = np.divide(mass, before, out=np.zeros_like(mass), where=before > 0)
            scale = float(ratio.max(initial=0.0))
            if scale == 0.0:
                shown = ", ".join(f"{n}={s}" for n, s in given.items())
                raise ImpossibleEventError(
                    f"the event {shown} has probability zero under these beliefs, so nothing can "
                    "be said given it; to ask what would follow if it were certain, solve again "
                    "with assume="
                )
            log_probability += math.log(scale)
            parent = tree.parents[c]
            if parent >= 0:
                message = (ratio / scale).reshape(tree.message_shape(c))
                weighted[parent] = weighted.get(parent, self.clusters[parent]) * message
        return weighted, log_probability
