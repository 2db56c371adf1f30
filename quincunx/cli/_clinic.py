"""The demonstration's second and third part: the chest clinic and its cluster tree."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from quincunx.cli._console import figure, print_prose, print_table

if TYPE_CHECKING:
    from quincunx.graphs import ClusterTree

PICTURE = "quincunx-demo-cluster-tree.png"
VISIT = {"asia": "yes", "dysp": "yes"}
CASES: tuple[dict[str, str], ...] = ({}, VISIT, {**VISIT, "xray": "yes"})
HEADINGS = ["probability of yes", "no evidence", "asia, dysp", "asia, dysp, xray"]


def show_posteriors(console: Console) -> None:
    """Ask the chest clinic for every variable, without and with evidence."""
    from quincunx.graphs.examples import chest_clinic
    from quincunx.solvers import infer

    print_prose(
        console,
        """The network of Lauritzen and Spiegelhalter (1988). A visit to Asia raises the chance of
        tuberculosis (tub), smoking that of lung cancer and bronchitis (bronc). The X-ray shows
        whether there is either of tub and lung, but not which; dyspnoea (dysp), short breath,
        comes from either or from bronchitis.""",
    )
    network = chest_clinic()
    answer = infer(network)
    cases = [answer.beliefs.condition(case) for case in CASES] if answer.beliefs else []
    rows = []
    for variable in network.variables:
        row: list[str | Text] = [variable.name]
        for case, beliefs in zip(CASES, cases, strict=True):
            p = figure(beliefs.marginal(variable).to_dict()["yes"])
            row.append(Text("seen", style="dim") if variable.name in case else p)
        rows.append(row)
    print_table(console, HEADINGS, rows, right=(1, 2, 3))
    console.print()
    held = infer(network, assume=VISIT)
    assert answer.beliefs is not None
    surprise = -math.log(answer.beliefs.probability(VISIT))
    off = max(
        abs(held.query(v).to_dict()["yes"] - cases[1].marginal(v).to_dict()["yes"])
        for v in network.variables
    )
    print_prose(
        console,
        f"""A network agrees with itself: its inconsistency is 0, and --given and --assume come to
        the same (here they differ by {off:.0e}). What assuming adds is the price: with asia and
        dysp assumed the inconsistency is {held.inconsistency:.6f} nats, the surprise -log p(asia,
        dysp) = {surprise:.6f} of the evidence.""",
    )


def show_cluster_tree(console: Console, folder: str) -> None:
    """Draw the cluster tree in the terminal and, with matplotlib, into a file."""
    from importlib.util import find_spec

    from quincunx.graphs.draw import draw_cluster_tree
    from quincunx.graphs.examples import chest_clinic
    from quincunx.solvers import plan

    tree = plan(chest_clinic()).tree
    print_prose(
        console,
        f"""The joint distribution has 256 entries. The clusters below, of at most
        {tree.treewidth + 1} variables, carry the same distribution in {sum(tree.sizes)}: every arc
        lies within one cluster, and neighbours agree on what they share.""",
    )
    console.print(_as_tree(tree))
    console.print()
    if find_spec("matplotlib") is None:
        console.print("For a picture of it: pip install 'quincunx[plots]', then this again.\n")
        return
    path = Path(folder) / PICTURE
    replaced = " (in place of an older one)" if path.exists() else ""
    draw_cluster_tree(tree).save(path)
    console.print(f"The same as a picture: {path}{replaced}\n", soft_wrap=True)


def _as_tree(tree: "ClusterTree") -> Tree:
    """Write a cluster tree with lines, each cluster with what it shares with its parent."""
    top = Tree("", hide_root=True, guide_style="dim")
    nodes: list[Tree] = []
    for c, parent in enumerate(tree.parents):
        names = tree.names(c)
        shared = len(tree.parent_axes[c])
        label = Text()
        for i, name in enumerate(names):
            label.append(", " if i else "").append(name, style="yellow" if i < shared else "bold")
        if shared:
            label.append(f"   shares {', '.join(names[:shared])}", style="dim")
        nodes.append((nodes[parent] if parent >= 0 else top).add(label))
    return top
