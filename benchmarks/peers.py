"""Other tools on the same problems, written from the definitions and sharing no code with the package's engines.

Each function is a generator of rows, run in a process of its own by :func:`benchmarks.running.capped`. Settings are
each tool's defaults unless a comment says otherwise. Budgets arrive in bits.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import entr, rel_entr

from benchmarks.running import Row, clock, since
from drcopt import Problem

_NATS = math.log(2.0)


def violation(problem: Problem, P: np.ndarray, R: float, C: float = math.inf) -> float:
    """How much P breaks the most broken condition: marginals and sign (total mass) or budgets (bits)."""
    T = problem.ps_given_x.T @ np.maximum(P, 0.0)
    law = P.sum(axis=0) if problem.free else problem.py
    rate = float(rel_entr(np.maximum(P, 0.0), np.outer(problem.px, np.maximum(law, 0.0))).sum()) / _NATS
    loss = float(entr(T).sum() - entr(T.sum(axis=0)).sum()) / _NATS
    return max(
        float(np.abs(P.sum(axis=1) - problem.px).sum()),
        float(np.abs(P.sum(axis=0) - law).sum()),
        float(-np.minimum(P, 0.0).sum()),
        rate - R,
        loss - C,
    )


def cone(problem: Problem, rates: list[float], solver: str, near: tuple[str, float] | None = None) -> Iterator[Row]:
    """CVXPY: relative entropy at most a parameter, compiled once; ``near``: Y's law within "tv" or "kl" of py."""
    import cvxpy as cp

    started = clock()
    P, R = cp.Variable((problem.n, problem.m), nonneg=True), cp.Parameter(nonneg=True)
    law = cp.sum(P, axis=0) if problem.free or near else problem.py
    within = []
    if near is not None:
        apart = 0.5 * cp.norm1(law - problem.py) if near[0] == "tv" else cp.sum(cp.rel_entr(law, problem.py))
        within = [apart <= near[1]]
    apart = problem.px[:, None] @ cp.reshape(law, (1, problem.m), order="C")
    program = cp.Problem(
        cp.Minimize(cp.sum(cp.multiply(problem.d, P))),
        [cp.sum(P, axis=1) == problem.px, cp.sum(cp.rel_entr(P, apart)) <= R]
        + (within or ([] if problem.free else [cp.sum(P, axis=0) == problem.py])),
    )
    R.value = 1.0
    program.get_problem_data(solver.upper())
    setup = since(started)["cpu_seconds"]
    for rate in rates:
        R.value = rate * _NATS
        started = clock()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "may be inaccurate" is in the status
                program.solve(solver=solver.upper())
            row: Row = {"status": program.status}
        except cp.SolverError as error:
            row = {"status": "error", "note": str(error)[:120]}
        row |= {"rate_bits": rate, "setup_seconds": setup} | since(started)
        if P.value is not None and row["status"] != "error":
            row |= {"value": float((problem.d * P.value).sum()), "violation": violation(problem, P.value, rate)}
        yield row


def sinkhorn(problem: Problem, rates: list[float], epsilons: list[float]) -> Iterator[Row]:
    """POT's stabilised Sinkhorn at ε, which it is given and an engine has to find, to a marginal error of 1e-10."""
    import ot

    for rate, epsilon in zip(rates, epsilons, strict=True):
        started = clock()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            P, log = ot.sinkhorn(
                problem.px, problem.py, problem.d, epsilon, method="sinkhorn_stabilized",
                stopThr=1e-10, numItermax=10_000_000, log=True, warn=False,
            )  # fmt: skip
        spent = since(started)
        ok = np.isfinite(P).all() and violation(problem, P, math.inf) <= 1e-8
        yield {
            **spent,
            "rate_bits": rate,
            "kernel_evaluations": log.get("n_iter", math.nan),
            "value": float((problem.d * P).sum()),
            "violation": violation(problem, P, rate),
            "status": "optimal" if ok else "stalled",
        }


def blahut_arimoto(
    problem: Problem, rates: list[float], slopes: list[float], starts: list[np.ndarray], gap: float, seconds: float
) -> Iterator[Row]:
    """The textbook's q ← q c from laws q and at slopes that it is told, until c proves a gap of ``gap`` times max d.

    The kernel is computed once a point; a round is two products with it. The gap costs a logarithm every 10 rounds.
    """
    px, d = problem.px, problem.d
    for rate, slope, start in zip(rates, slopes, starts, strict=True):
        started = clock()
        kernel = np.exp(-slope * (d - d.min(axis=1, keepdims=True)))
        q, enough = start.copy(), gap * float(d.max()) * slope
        rounds, left = 0, math.inf
        while left > enough and since(started)["cpu_seconds"] < seconds:
            for _ in range(10):
                c = (px / (kernel @ q)) @ kernel
                q = q * c
                rounds += 1
            w = kernel @ q
            c = (px / w) @ kernel
            left = math.log(c.max()) - float((q * c)[q > 0] @ np.log(c[q > 0]))
        P = (px / w)[:, None] * kernel * q
        yield {
            **since(started),
            "rate_bits": rate,
            "kernel_evaluations": rounds,
            "gap": left / slope / float(d.max()),
            "status": "optimal" if left <= enough else "did not finish",
            "note": "" if left <= enough else f"stopped after {seconds:g} CPU s",
            "violation": violation(problem, P, math.inf),
            # Its own point on the curve, moved along the slope to the rate that is compared.
            "value": float((d * P).sum()) - (rate * _NATS - problem.rate(P)) / slope,
        }


def dit_bottleneck(joint: np.ndarray, slopes: int) -> Iterator[Row]:
    """dit's curve of the information bottleneck at so many slopes up to 10, a row for each of its points."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dit
        from dit.rate_distortion import IBCurve

        some = np.argwhere(joint > 0)
        source = dit.Distribution([f"{x}{s}" for x, s in some], [joint[x, s] for x, s in some])
        started = clock()
        curve = IBCurve(source, beta_max=10.0, beta_num=slopes)
        spent = {name: value / slopes for name, value in since(started).items()}
    for rate, relevance in zip(curve.complexities, curve.relevances, strict=True):
        yield {**spent, "rate_bits": max(float(rate), 0.0), "value": float(relevance), "status": "no proof"}


def network_simplex(problem: Problem) -> Iterator[Row]:
    """POT's ``emd``: the end of the sweep, where the rate no longer matters."""
    import ot

    started = clock()
    P, log = ot.emd(problem.px, problem.py, problem.d, numItermax=10_000_000, log=True)
    spent = since(started)
    yield {
        **spent,
        "rate_bits": math.inf,
        "value": float((problem.d * P).sum()),
        "violation": violation(problem, P, math.inf),
        "status": "optimal" if log["warning"] is None else "stalled",
    }


def scip(problem: Problem, R: float, C: float, seconds: float, gap: float) -> Iterator[Row]:
    """SCIP's spatial branch and bound on P and the class posteriors τ, to an absolute ``gap``; CPU ``seconds``."""
    from pyscipopt import Model, log, quicksum

    n, m, k = problem.n, problem.m, problem.k
    started = clock()
    model = Model()
    model.hideOutput()
    P = [[model.addVar(lb=0.0, ub=min(a, b)) for b in problem.py] for a in problem.px]
    # Of the models tried this one is far the best: with T instead of τ, 4x4x2 was open after 8 s and not after 1.5 s.
    W, tau = problem.ps_given_x, []
    for low, high in zip(W.min(axis=0), W.max(axis=0), strict=True):
        tau.append([model.addVar(lb=float(low), ub=float(high)) for _ in range(m)])
    for x in range(n):
        model.addCons(quicksum(P[x]) == problem.px[x])
    for y in range(m):
        model.addCons(quicksum(P[x][y] for x in range(n)) == problem.py[y])
        for s in range(k):
            model.addCons(quicksum(W[x, s] * P[x][y] for x in range(n)) == problem.py[y] * tau[s][y])
    # With the marginals fixed both budgets are sums of v log v, which SCIP knows as entropies.
    marginals = problem.entropy_x + problem.entropy_y
    model.addCons(quicksum(v * log(v) for row in P for v in row) <= R * _NATS - marginals)
    model.addCons(quicksum(problem.py[y] * t[y] * log(t[y]) for t in tau for y in range(m)) >= -C * _NATS)
    model.setObjective(quicksum(problem.d[x, y] * P[x][y] for x in range(n) for y in range(m)))
    model.setParam("timing/clocktype", 1)  # CPU time
    model.setParam("limits/time", seconds)
    model.setParam("limits/absgap", gap)
    try:
        model.optimize()
        status, note = str(model.getStatus()), ""
    except Exception as error:  # LP errors arrive as bare exceptions; the bounds reached still count
        status, note = "error", str(error)[:120]
    row: Row = {
        **since(started),
        "nodes": model.getNNodes(),
        "lower_bound": model.getDualbound(),
        "status": status,
        "note": note,
    }
    if model.getNSols():
        best = model.getBestSol()
        values = np.array([[model.getSolVal(best, v) for v in line] for line in P])
        row |= {"value": float((problem.d * values).sum()), "violation": violation(problem, values, R, C)}
    yield row


def discopt(problem: Problem, R: float, C: float, seconds: float, gap: float) -> Iterator[Row]:
    """discopt's spatial branch and bound, SCIP's model again, to a ``gap`` relative to its value; CPU ``seconds``."""
    import os
    import time

    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # It looks at the wall clock, from Python: a process of its own, so that its clock may be that of its CPU time.
    time.perf_counter = time.monotonic = time.time = time.process_time
    import discopt as package

    n, m, k = problem.n, problem.m, problem.k
    W, px, py, log = problem.ps_given_x, problem.px.tolist(), problem.py.tolist(), package.log
    started = time.process_time()
    model = package.Model("drc")
    # x log x is a product here, with a logarithm that wants its argument above 0.
    least, tau_least = np.full((n, m), 1e-9), np.maximum(np.repeat(W.min(axis=0)[:, None], m, axis=1), 1e-9)
    P = model.continuous("P", shape=(n, m), lb=least, ub=np.minimum.outer(problem.px, problem.py))
    tau = model.continuous("tau", shape=(k, m), lb=tau_least, ub=np.repeat(W.max(axis=0)[:, None], m, axis=1))
    for x in range(n):
        model.subject_to(sum(P[x, y] for y in range(m)) == px[x])
    for y in range(m):
        model.subject_to(sum(P[x, y] for x in range(n)) == py[y])
        for s in range(k):
            model.subject_to(sum(float(W[x, s]) * P[x, y] for x in range(n)) == py[y] * tau[s, y])
    pairs, posteriors = itertools.product(range(n), range(m)), itertools.product(range(k), range(m))
    marginals = problem.entropy_x + problem.entropy_y
    model.subject_to(sum(P[x, y] * log(P[x, y]) for x, y in pairs) <= R * _NATS - marginals)
    model.subject_to(sum(py[y] * tau[s, y] * log(tau[s, y]) for s, y in posteriors) >= -C * _NATS)
    model.minimize(sum(float(problem.d[x, y]) * P[x, y] for x in range(n) for y in range(m)))
    answer = model.solve(time_limit=seconds, gap_tolerance=gap)
    row: Row = {
        **since((started, started)),
        "seconds": math.nan,
        "nodes": answer.node_count,
        "lower_bound": math.nan if answer.bound is None else float(answer.bound),
        "status": str(answer.status),
    }
    if answer.x is not None:
        values = np.asarray(answer.x["P"])
        row |= {"value": float((problem.d * values).sum()), "violation": violation(problem, values, R, C)}
    yield row


def dccp(problem: Problem, R: float, C: float) -> Iterator[Row]:
    """Disciplined convex-concave programming: a local method, so without a lower bound."""
    import cvxpy as cp
    import dccp as _  # noqa: F401  registers the method

    started = clock()
    P = cp.Variable((problem.n, problem.m), nonneg=True)
    program = cp.Problem(
        cp.Minimize(cp.sum(cp.multiply(problem.d, P))),
        [
            cp.sum(P, axis=1) == problem.px,
            cp.sum(P, axis=0) == problem.py,
            cp.sum(cp.rel_entr(P, np.outer(problem.px, problem.py))) <= R * _NATS,
            cp.sum(cp.entr(problem.ps_given_x.T @ P)) <= C * _NATS + problem.entropy_y,
        ],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.solve(method="dccp", solver="CLARABEL", seed=0)
    row: Row = {"status": str(program.status)} | since(started)
    if P.value is not None:
        row |= {"value": float((problem.d * P.value).sum()), "violation": violation(problem, P.value, R, C)}
    yield row


def enumeration(problem: Problem, R: float, C: float, classifier_sees: str) -> Iterator[Row]:
    """The one-shot linear program over every map, by HiGHS; "YU" only, as H(S|Y) is not linear."""
    from scipy.optimize import linprog

    if classifier_sees != "YU":
        yield {"status": "not applicable", "note": "H(S|Y) is not linear in the mixture"}
        return
    started = clock()
    maps = np.array(list(itertools.product(range(problem.m), repeat=problem.n)))
    reach: Any = maps[:, :, None] == np.arange(problem.m)  # (maps, n, m)
    outputs = np.einsum("fxy,x->fy", reach, problem.px)
    joint = np.einsum("fxy,xs->fys", reach, problem.px[:, None] * problem.ps_given_x)
    rate = entr(outputs).sum(axis=1)
    loss = entr(joint).sum(axis=(1, 2)) - rate
    cost = np.einsum("fxy,xy->f", reach, problem.px[:, None] * problem.d)
    answer = linprog(
        cost,
        A_ub=[b for b, limit in ((rate, R), (loss, C)) if math.isfinite(limit)],
        b_ub=[limit * _NATS for limit in (R, C) if math.isfinite(limit)],
        A_eq=outputs.T,
        b_eq=problem.py,
        method="highs",
    )
    yield {
        **since(started),
        "columns": len(maps),
        "value": math.nan if answer.fun is None else float(answer.fun),
        "status": {0: "optimal", 2: "infeasible"}.get(answer.status, "error"),
        "note": "" if answer.status == 0 else str(answer.message)[:120],
    }
