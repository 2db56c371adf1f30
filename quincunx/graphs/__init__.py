"""Models as data: variables, tables, dependency graphs, networks, factor graphs, cluster trees."""

from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.beliefs import Beliefs
from quincunx.graphs.cluster_tree import ClusterTree, cluster_tree
from quincunx.graphs.evidence import soft_evidence, virtual_evidence
from quincunx.graphs.factor_graph import FactorGraph
from quincunx.graphs.files import read, write
from quincunx.graphs.files.frames import arc_from_data, pdg_from_frame, pdg_to_frame
from quincunx.graphs.files.pgmpy import from_pgmpy, to_pgmpy
from quincunx.graphs.pdg import PDG
from quincunx.graphs.sampling import Samples
from quincunx.graphs.table import Table
from quincunx.graphs.variable import Variable

__all__ = [
    "PDG",
    "Arc",
    "BayesianNetwork",
    "Beliefs",
    "ClusterTree",
    "FactorGraph",
    "Samples",
    "Table",
    "Variable",
    "arc_from_data",
    "cluster_tree",
    "from_pgmpy",
    "pdg_from_frame",
    "pdg_to_frame",
    "read",
    "soft_evidence",
    "to_pgmpy",
    "virtual_evidence",
    "write",
]
