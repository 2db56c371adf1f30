"""What cluster trees refuse."""

import itertools
import tracemalloc
from dataclasses import FrozenInstanceError

import networkx as nx
import pytest
from hypothesis import given

from quincunx import PDG, Arc, ClusterTree, Variable, cluster_tree
from quincunx._errors import ModelError, TooLargeError, UnknownNameError
from quincunx.graphs.cluster_tree import tree_of_clusters
from quincunx.graphs.table import require_table
from tests.graphs.test_cluster_tree import SEEDS, A, B, C, binary, random_problem

# What is refused


def test_unknown_names():
    with pytest.raises(UnknownNameError, match=r"no variable 'Z'; there are: A, B$"):
        cluster_tree([A, B], [("A", "Z")])
    with pytest.raises(UnknownNameError, match=r"no variable 'Z'; there are: A, B$"):
        tree_of_clusters([A, B], [("A", "Z")])
    with pytest.raises(UnknownNameError, match=r"no variable 'Z'; there are: A, B$"):
        cluster_tree([A, B], []).find("Z")


@pytest.mark.parametrize(
    ("order", "odd"),
    [
        (["A", "B"], "C"),
        (["A", "B", "C", "Z"], "Z"),
        (["A", "B", "C", "B"], "B"),
        ([], "A"),
        ("A", "B"),
        (["A", "A", "B"], "C"),
    ],
)
def test_an_order_names_every_variable_once(order, odd):
    with pytest.raises(
        ModelError, match=r"names every variable once; .* missing, unknown"
    ) as caught:
        cluster_tree([A, B, C], [("A", "B")], order=order)
    assert repr(odd) in str(caught.value)


@pytest.mark.parametrize("heuristic", ["minfill", "", "min_fill", 3])
def test_unknown_heuristics(heuristic):
    with pytest.raises(ModelError, match="'min-fill' or 'min-degree', not") as caught:
        cluster_tree([A], [], heuristic=heuristic)
    assert repr(heuristic) in str(caught.value)


def test_a_cluster_of_more_axes_than_numpy_has():
    variables = binary(65)
    scope = [v.name for v in variables]
    with pytest.raises(TooLargeError, match=r"65 variables is needed \(treewidth 64\).* 64 var"):
        cluster_tree(variables, [scope])
    with pytest.raises(TooLargeError, match="Remove arcs that join many variables"):
        tree_of_clusters(variables, [scope])
    assert cluster_tree(variables[:64], [scope[:64]]).treewidth == 63


def test_a_clique_of_sixty_is_refused_before_any_table():
    variables = binary(60)
    arcs = [Arc(a, b, [[0.5, 0.5]] * 2) for a, b in itertools.combinations(variables, 2)]
    pdg = PDG(arcs)
    tracemalloc.start()
    try:
        tree = cluster_tree(pdg.variables, [a.scope for a in pdg.arcs])
        with pytest.raises(TooLargeError, match=r"1.15e\+18 entries\) would take 8.59e\+09 GiB"):
            require_table([tree.variables[v] for v in tree.clusters[0]])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert tree.sizes == (2**60,)
    assert tree.treewidth == 59


def test_bad_trees():
    with pytest.raises(ModelError, match="cluster 0 has parent 0; parents must come first"):
        ClusterTree((A,), ((0,),), (0,))
    with pytest.raises(ModelError, match="cluster 0 has parent 1; parents must come first"):
        ClusterTree((A, B), ((0, 1), (0,)), (1, -1))
    with pytest.raises(ModelError, match="cluster 1 has parent -2"):
        ClusterTree((A, B), ((0,), (1,)), (-1, -2))
    with pytest.raises(ModelError, match=r"cluster 1 must begin with .* \(1,\); it is \(2, 1\)"):
        ClusterTree((A, B, C), ((0, 1), (2, 1)), (-1, 0))
    with pytest.raises(ModelError, match=r"must begin .* \(0, 1\); it is \(1, 0, 2\)"):
        ClusterTree((A, B, C), ((0, 1), (1, 0, 2)), (-1, 0))
    assert ClusterTree((A, B, C), ((0, 1), (1, 2)), (-1, 0)).treewidth == 1


@pytest.mark.parametrize(
    ("clusters", "parents", "words"),
    [
        (((0, 1), (1, 2), (2, 0)), (-1, 0, 1), "'A' is in 2 clusters that 0 shared edges"),
        (((0, 1), (1, 2), (0,)), (-1, 0, 1), "'A' is in 2 clusters that 0 shared"),
        (((0, 1), (1, 2)), (-1, -1), "'B' is in 2 clusters that 0 shared edges join"),
        (((0, 1),), (-1,), "'C' is in 0 clusters"),
        (((0, 1, 2, 0),), (-1,), "'A' is in 2 clusters"),
        (((0, 1), (0, 2, 0)), (-1, 0), "'A' is in 3 clusters"),
    ],
)
def test_trees_without_running_intersection(clusters, parents, words):
    with pytest.raises(ModelError, match=words) as caught:
        ClusterTree((A, B, C), clusters, parents)
    assert "running intersection property fails" in str(caught.value)


@given(SEEDS)
def test_cutting_or_moving_an_edge_is_noticed(seed):
    """A change of one parent is accepted exactly where graph search finds it sound."""
    variables, scopes = random_problem(seed)
    tree = cluster_tree(variables, scopes)
    for c, p in enumerate(tree.parents):
        for other in range(-1, c):
            if other == p:
                continue
            parents = (*tree.parents[:c], other, *tree.parents[c + 1 :])
            above = tree.clusters[other] if other >= 0 else ()
            sepset = tuple(v for v in above if v in tree.clusters[c])
            moved = (*sepset, *(v for v in tree.clusters[c] if v not in sepset))
            clusters = (*tree.clusters[:c], moved, *tree.clusters[c + 1 :])
            edges = nx.Graph(
                [(i, q) for i, q in enumerate(parents) if q >= 0],
            )
            edges.add_nodes_from(range(len(clusters)))
            sound = all(
                nx.is_connected(edges.subgraph([i for i, k in enumerate(clusters) if v in k]))
                for v in range(len(variables))
            )
            ordered = all(
                clusters[i][: len(shared)] == shared
                for i, q in enumerate(parents)
                if q >= 0
                for shared in [tuple(v for v in clusters[q] if v in clusters[i])]
            )
            if sound and ordered:
                ClusterTree(tree.variables, clusters, parents)
            else:
                with pytest.raises(ModelError):
                    ClusterTree(tree.variables, clusters, parents)


# Faults found


@pytest.mark.parametrize("parents", [(), (-1, 0)])
def test_a_parent_a_cluster(parents):
    with pytest.raises(ModelError):
        ClusterTree((A,), ((0,),), parents)


@pytest.mark.parametrize("place", [3, -1])
def test_clusters_hold_places_of_variables(place):
    with pytest.raises(ModelError):
        ClusterTree((A,), ((place,),), (-1,))


def test_variables_differ():
    with pytest.raises(ModelError):
        cluster_tree([A, A], [])


def test_a_scope_with_other_states():
    with pytest.raises(ModelError):
        cluster_tree([A, B], [(Variable("A", ["x"]), B)])


def test_an_order_of_other_things():
    with pytest.raises(ModelError):
        cluster_tree([A, B], [], order=["A", 3])


def test_the_index_by_name_is_frozen():
    with pytest.raises(TypeError):
        cluster_tree([A], []).position["A"] = 5


def test_frozen():
    tree = cluster_tree([A, B], [("A", "B")])
    with pytest.raises(FrozenInstanceError):
        tree.parents = (0,)
    with pytest.raises(FrozenInstanceError):
        tree.position = {}
    for part in (tree.clusters, tree.parents, tree.containing, tree.parent_axes, tree.variables):
        assert isinstance(part, tuple)
