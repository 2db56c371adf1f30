"""Calibrated beliefs: a distribution as the marginals of a cluster tree, ready to be asked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quincunx._errors import ImpossibleEventError, ModelError
from quincunx.graphs.cluster_tree import ClusterTree
from quincunx.graphs.messages import normalize_energies
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
        joint = Table((), 1.0)
        for part in self._by_root(wanted).values():
            joint = joint * self._join(set(part))
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

    def _within(self, c: int, wanted: list[int]) -> Table:
        """Sum cluster ``c``'s table down to some of its variables, axes in the order asked."""
        axes = [self.tree.clusters[c].index(v) for v in wanted]
        rest = tuple(i for i in range(len(self.tree.clusters[c])) if i not in axes)
        values = self.clusters[c].sum(axis=rest).transpose(np.argsort(np.argsort(axes)))
        return Table((self.tree.variables[v] for v in wanted), values)

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
        return Table(members, values.reshape(self.tree.shapes[c]))

    def _by_root(self, wanted: list[int]) -> dict[int, list[int]]:
        """Group variables by the root of their component."""
        groups: dict[int, list[int]] = {}
        for v in wanted:
            c = self.tree.containing[v][0]
            while self.tree.parents[c] >= 0:
                c = self.tree.parents[c]
            groups.setdefault(c, []).append(v)
        return groups

    def _join(self, wanted: set[int]) -> Table:
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


def _frozen(table: Floats) -> Floats:
    """Return a read-only array: the table itself where it is one, else a copy."""
    if table.flags.writeable or table.dtype != np.float64:
        table = np.array(table, dtype=np.float64)
        table.setflags(write=False)
    return table
