"""Pictures of models and answers, with matplotlib (extra ``plots``)."""

from quincunx.graphs.draw.drawing import Drawing, beside, picture_kind, titled
from quincunx.graphs.draw.graph import draw_pdg
from quincunx.graphs.draw.neighbourhood import neighbourhood
from quincunx.graphs.draw.path import draw_path
from quincunx.graphs.draw.posteriors import draw_posteriors
from quincunx.graphs.draw.tree import draw_cluster_tree

__all__ = [
    "Drawing",
    "beside",
    "draw_cluster_tree",
    "draw_path",
    "draw_pdg",
    "draw_posteriors",
    "neighbourhood",
    "picture_kind",
    "titled",
]
