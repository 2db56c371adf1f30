"""Inference as an exponential-cone program over the cluster tree, as sparse arrays."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from quincunx.solvers.inference.arrays import Floats, Ints, Sparse
from quincunx.solvers.inference.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class ConeProgram:
    """Minimise ``cost @ x`` subject to ``equalities @ x = right`` and cones.

    ``x`` holds the N cell masses, then one bound ``u`` for each entropy term of the arcs, then one
    bound ``v`` for each term of the tree's entropy.

    Attributes:
        cost: float64 [n].
        equalities: sparse [E, n].
        right: float64 [E].
        cones: sparse [3K, n]; with ``offset``, rows 3k, 3k+1, 3k+2 of ``cones @ x + offset`` lie
            in the exponential cone, the closure of ``{(a, b, c): b > 0, b exp(a/b) <= c}``.
        offset: float64 [3K].
        nonnegative: how many leading entries of x must be >= 0.
        arc_terms: int64 [U], the (s, t) entries that have a bound u, whose cones come first.
    """

    cost: Floats
    equalities: Sparse
    right: Floats
    cones: Sparse
    offset: Floats
    nonnegative: int
    arc_terms: Ints


@dataclass(frozen=True, slots=True, eq=False)
class ConePoint:
    """What an engine returns.

    Attributes:
        x: float64 [n].
        equality_dual: float64 [E], y with ``cost + equalities' y - cones' z - ... = 0``.
        cone_dual: float64 [K, 3], z in the dual cone.
        timed_out: whether it was stopped by the time limit.
        word: the engine's own word for how it ended.
        iterations: its iterations.
        seconds: its time.
        interrupted: whether the user stopped it (Ctrl-C).
    """

    x: Floats
    equality_dual: Floats
    cone_dual: Floats
    timed_out: bool
    word: str
    iterations: int
    seconds: float
    interrupted: bool = False


def cone_program(
    problem: Problem,
    linear: Floats,
    slope: Floats,
    entropy: float,
    equations: Sparse,
) -> ConeProgram:
    """Assemble ``min linear @ mu - sum_r slope_r H_mu(T|s_r) - entropy H(mu)``.

    A conditional entropy costs a cone ``(-u, mu(s,t), mu(s))``, so ``u >= mu(s,t) log mu(t|s)``;
    the tree's entropy a cone ``(-v, mu_C(c), mu_C(sepset of c))`` a cell, with 1 in the last place
    at a root.

    Arguments:
        problem: the compiled problem.
        linear: float64 [N].
        slope: float64 [R], >= 0; rows of slope 0 get no cones.
        entropy: weight of the tree's entropy, >= 0; at 0 the cells get ``mu >= 0`` instead.
        equations: sparse [., N], further equations ``equations @ mu = 0``.

    Reference:
        Richardson, Halpern, De Sa (UAI 2023), Section 4: programs over cluster trees.
    """
    n = problem.size
    terms = np.nonzero(slope[problem.row] > 0)[0]
    # A cell alone in its sepset state has conditional probability one, so no entropy.
    alone = np.bincount(problem.sepset)[problem.sepset] == 1
    is_root = problem.mass[problem.sepset] > 0
    cells = np.nonzero(~alone | is_root)[0] if entropy > 0 else np.zeros(0, dtype=np.int64)
    total = n + len(terms) + len(cells)
    own = sp.csr_array((np.ones(n), (problem.sepset, np.arange(n))), shape=(len(problem.mass), n))
    below = own[problem.sepset[cells]]
    below.data[np.repeat(is_root[cells], np.diff(below.indptr))] = 0.0
    below.eliminate_zeros()
    unit = sp.csr_array((np.ones(len(cells)), (np.arange(len(cells)), cells)), (len(cells), n))
    middle = sp.vstack([problem.joint[terms], unit]).tocsr()
    last = sp.vstack([problem.rows[problem.row[terms]], below]).tocsr()
    bounds = np.arange(n, total)
    cones = _interleave(bounds, middle, last, total)
    offset = np.zeros(3 * (total - n))
    offset[3 * len(terms) + 2 :: 3] = is_root[cells]
    equalities = sp.vstack([problem.calibration, equations]).tocsr()
    equalities.resize((equalities.shape[0], total))
    return ConeProgram(
        cost=np.concatenate([linear, slope[problem.row[terms]], np.full(len(cells), entropy)]),
        equalities=equalities,
        right=np.concatenate([problem.mass, np.zeros(equations.shape[0])]),
        cones=cones,
        offset=offset,
        nonnegative=0 if entropy > 0 else n,
        arc_terms=terms,
    )


def _interleave(bounds: Ints, middle: Sparse, last: Sparse, total: int) -> Sparse:
    """Put row k of (-bound, middle, last) at rows 3k, 3k+1, 3k+2."""
    k = len(bounds)
    first = sp.csr_array((-np.ones(k), bounds, np.arange(k + 1)), shape=(k, total))
    middle.resize((k, total))
    last.resize((k, total))
    stacked = sp.vstack([first, middle, last]).tocsr()
    return stacked[np.arange(3 * k).reshape(3, k).T.ravel()]
