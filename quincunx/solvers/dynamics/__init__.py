"""Dynamics of gradient descent: problems, orbits, cycles, constructions, pictures and proofs.

Theory: docs/systems/dynamics.md.
"""

from quincunx.solvers.dynamics.bifurcations import Event, flip_criticality, switch
from quincunx.solvers.dynamics.cascade import Cascade, cascade
from quincunx.solvers.dynamics.certify.all_cycles import AllCycles, all_cycles
from quincunx.solvers.dynamics.certify.certificate import Certificate
from quincunx.solvers.dynamics.certify.convergence import Convergence, converges_globally
from quincunx.solvers.dynamics.certify.cycle import certify
from quincunx.solvers.dynamics.certify.schwarzian import Attractors, attractors, schwarzian_negative
from quincunx.solvers.dynamics.certify.verify import verify
from quincunx.solvers.dynamics.constructions import Construction, construct
from quincunx.solvers.dynamics.continuation import Branch, follow
from quincunx.solvers.dynamics.cycles import Cycle, cycle_from
from quincunx.solvers.dynamics.data_search import Search, search
from quincunx.solvers.dynamics.files import read_points, write_points
from quincunx.solvers.dynamics.logistic import Logistic
from quincunx.solvers.dynamics.multistart import find_cycles
from quincunx.solvers.dynamics.orbits import Settled, lyapunov, orbit, settle, tails
from quincunx.solvers.dynamics.parameters import (
    Family,
    by_coordinate,
    by_l2,
    by_multiplicity,
    by_step,
)
from quincunx.solvers.dynamics.pictures import basins, bifurcation, branches, cobweb, trajectory
from quincunx.solvers.dynamics.smooth_map import SmoothMap, StepMap

__all__ = [
    "AllCycles",
    "Attractors",
    "Branch",
    "Cascade",
    "Certificate",
    "Construction",
    "Convergence",
    "Cycle",
    "Event",
    "Family",
    "Logistic",
    "Search",
    "Settled",
    "SmoothMap",
    "StepMap",
    "all_cycles",
    "attractors",
    "basins",
    "bifurcation",
    "branches",
    "by_coordinate",
    "by_l2",
    "by_multiplicity",
    "by_step",
    "cascade",
    "certify",
    "cobweb",
    "construct",
    "converges_globally",
    "cycle_from",
    "find_cycles",
    "flip_criticality",
    "follow",
    "lyapunov",
    "orbit",
    "read_points",
    "schwarzian_negative",
    "search",
    "settle",
    "switch",
    "tails",
    "trajectory",
    "verify",
    "write_points",
]
