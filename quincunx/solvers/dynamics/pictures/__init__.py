"""Pictures of dynamics, each a call that returns a figure of matplotlib (extra ``plots``)."""

from quincunx.solvers.dynamics.pictures.basins import basins
from quincunx.solvers.dynamics.pictures.bifurcation import bifurcation
from quincunx.solvers.dynamics.pictures.branches import branches
from quincunx.solvers.dynamics.pictures.cobweb import cobweb
from quincunx.solvers.dynamics.pictures.trajectory import trajectory

__all__ = ["basins", "bifurcation", "branches", "cobweb", "trajectory"]
