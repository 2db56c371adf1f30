"""Cone programs through MOSEK's own API (commercial; extra ``mosek``)."""

import time
from typing import Any

import numpy as np

from quincunx._errors import EngineError, need_extra
from quincunx.solvers.inference.cone_program import ConePoint, ConeProgram


def fill_task(task: Any, program: ConeProgram) -> None:
    """Write a cone program into an empty MOSEK task.

    MOSEK's exponential cone lists its entries from the last to the first: a triple (a, b, c) of
    ours is (c, b, a) there. Building and writing a task needs no licence, solving does.

    Arguments:
        task: a ``mosek.Task`` without variables or constraints.
        program: the program.
    """
    import mosek

    n = len(program.cost)
    n_equal = len(program.right)
    n_rows = len(program.offset)
    task.appendvars(n)
    task.putclist(np.arange(n, dtype=np.int32), program.cost)
    keys = np.full(n, int(mosek.boundkey.fr), dtype=np.int32)
    keys[: program.nonnegative] = int(mosek.boundkey.lo)
    task.putvarboundlist(
        np.arange(n, dtype=np.int32),
        [mosek.boundkey(int(k)) for k in keys],
        np.zeros(n),
        np.zeros(n),
    )
    task.appendcons(n_equal)
    equal = program.equalities.tocoo()
    task.putaijlist(equal.row.astype(np.int32), equal.col.astype(np.int32), equal.data)
    task.putconboundlist(
        np.arange(n_equal, dtype=np.int32),
        [mosek.boundkey.fx] * n_equal,
        program.right,
        program.right,
    )
    task.appendafes(n_rows)
    cones = program.cones.tocoo()
    task.putafefentrylist(cones.row.astype(np.int64), cones.col.astype(np.int32), cones.data)
    task.putafeglist(np.arange(n_rows, dtype=np.int64), program.offset)
    if n_rows:
        domain = task.appendprimalexpconedomain()
        order = np.arange(n_rows, dtype=np.int64).reshape(-1, 3)[:, ::-1].ravel()
        task.appendaccs([domain] * (n_rows // 3), order, None)
    task.putobjsense(mosek.objsense.minimize)


def solve(program: ConeProgram, tolerance: float, time_limit: float | None) -> ConePoint:
    """Solve a cone program with MOSEK.

    Arguments:
        program: the program.
        tolerance: for the relative gap and for feasibility.
        time_limit: seconds; None: no limit.

    Raises:
        MissingExtraError: mosek is not installed.
        EngineError: MOSEK refused, for example because it found no licence.

    Reference:
        J. Dahl, E. Andersen, "A primal-dual interior-point algorithm for nonsymmetric exponential
        cone optimization", Mathematical Programming 194, 2022.
    """
    need_extra("mosek", "mosek", "Conic(engine='mosek')")
    import mosek

    start = time.perf_counter()
    n_cones = len(program.offset) // 3
    with mosek.Env() as env, env.Task() as task:
        fill_task(task, program)
        for name in ("rel_gap", "pfeas", "dfeas"):
            task.putdouparam(getattr(mosek.dparam, f"intpnt_co_tol_{name}"), tolerance)
        if time_limit is not None:
            task.putdouparam(mosek.dparam.optimizer_max_time, max(time_limit, 1e-3))
        try:
            ended = task.optimize()
        except mosek.Error as error:
            raise EngineError(
                f"MOSEK did not solve the program: {error}. It needs a licence of its own; "
                "Conic(engine='clarabel') needs none"
            ) from error
        found = mosek.soltype.itr
        dual = np.array(task.getaccdotys(found)) if n_cones else np.zeros(0)
        word = str(task.getsolsta(found))
        return ConePoint(
            x=np.array(task.getxx(found)),
            # MOSEK's multipliers have the opposite sign.
            equality_dual=-np.array(task.gety(found)),
            cone_dual=dual.reshape(n_cones, 3)[:, ::-1],
            timed_out=ended == mosek.rescode.trm_max_time,
            word=word,
            iterations=int(task.getintinf(mosek.iinfitem.intpnt_iter)),
            seconds=time.perf_counter() - start,
        )
