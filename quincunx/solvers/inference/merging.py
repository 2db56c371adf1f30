"""Arcs that say the same, merged into one; arcs that say nothing, left out."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from quincunx.graphs.arc import Arc


def merge_arcs(
    arcs: Iterable[Arc], gamma: float | None
) -> tuple[list[Arc], Mapping[str, tuple[Arc, ...]]]:
    """Merge arcs with the same sources, targets and table; leave out those without effect.

    The score has ``beta E[KL(mu(T|s) || p)] + gamma alpha H_mu(T|S)`` from each arc. Equal tables
    p (undefined rows included) have equal divergences, so betas add up; alphas add up whatever the
    tables are, as the entropy is the same. An arc without a table, with one that says nothing, or
    with beta = 0 has only its alpha, which moves to a soft arc between the same variables. An arc
    with neither is left out, at gamma = 0 one without beta. This holds for all distributions and
    at every gamma, beyond the convex regime too; and since slopes ``beta - gamma alpha`` add up,
    the merged graph can be convex where the arcs one by one are not.

    Arguments:
        arcs: the arcs, their variables known.
        gamma: the trade-off; None: the limit 0+.

    Returns:
        The arcs that are left, in order of first appearance, and for each arc made by merging the
        arcs that it stands for, by its name: the first has the axes of the new table. All of them
        are hard or none is, as another arc would change the price of a hard one's equations.
    """
    groups: dict[tuple[frozenset[str], frozenset[str]], list[Arc]] = {}
    for arc in arcs:
        if _speaks(arc) or (arc.alpha != 0 and gamma != 0):
            key = frozenset(arc.source_names), frozenset(arc.target_names)
            groups.setdefault(key, []).append(arc)
    merged = [members for group in groups.values() for members in _classes(group)]
    made = [_united(members) for members in merged]
    several = zip(made, merged, strict=True)
    return made, {arc.name: tuple(members) for arc, members in several if len(members) > 1}


def _speaks(arc: Arc) -> bool:
    """Say whether an arc's table has any effect."""
    return arc.beta > 0 and arc.table is not None and not np.isnan(arc.table).all()


def _classes(group: Sequence[Arc]) -> list[list[Arc]]:
    """Split arcs between the same variables by their tables; silent ones join a soft table."""
    classes: list[list[Arc]] = []
    for arc in filter(_speaks, group):
        for known in classes:
            if _say_the_same(known[0], arc):
                known.append(arc)
                break
        else:
            classes.append([arc])
    silent = [arc for arc in group if not _speaks(arc)]
    soft = [members for members in classes if not math.isinf(members[0].beta)]
    if silent and soft:
        soft[0].extend(silent)
    elif silent:
        classes.append(silent)
    return classes


def _say_the_same(one: Arc, other: Arc) -> bool:
    """Say whether two arcs between the same variables have one table and are both hard or soft."""
    if math.isinf(one.beta) != math.isinf(other.beta):
        return False
    names = other.source_names + other.target_names
    axes = [names.index(name) for name in one.source_names + one.target_names]
    table = np.transpose(np.asarray(other.table), axes)
    return np.array_equal(np.asarray(one.table), table, equal_nan=True)


def _united(members: Sequence[Arc]) -> Arc:
    first = members[0]
    if len(members) == 1:
        return first
    return Arc(
        first.sources,
        first.targets,
        first.table,
        sum(arc.alpha for arc in members),
        sum(arc.beta for arc in members if _speaks(arc)),
        " + ".join(dict.fromkeys(arc.name for arc in members)),
    )
