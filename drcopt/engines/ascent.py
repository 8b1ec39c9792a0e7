"""Maximises the posterior dual bound over its multipliers, on one box of class posteriors.

The bound is concave in z = (f, w, α, β), rows and the weights of distortion, rate and classification loss (of every
class, where there are several), and
piecewise smooth: for each letter y the least of a few smooth functions, one per basin of posteriors. The weight of
what is minimised is 1. Every priced posterior p gives a cut (a column of the primal),

  v_y ≤ w ⟨d(·,y), p⟩ − ⟨f, p⟩ + α D(p‖px) + β H(Wᵀp),

and each step maximises the cuts plus the curvature of the active ones (their Hessian −KᵀM⁻¹K, M the Hessian
in p, K its mixed derivative), a small quadratic program. Near the optimum that is Newton's method with ties
between basins resolved by the weights, which are the primal's: weight w_j of posterior p_j under letter y.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import clarabel
import numpy as np
from scipy import sparse

from drcopt.bounds.pricing import Partition, Priced
from drcopt.engines.base import Limits
from drcopt.engines.cuts import Columns
from drcopt.engines.lagrangian import Lagrangian, finite
from drcopt.problem import Problem
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Entries of the cuts of a model that is maximised before anyone would miss Ctrl-C.
_LIGHT = 10_000
#: How much of the curvature is left where little is promised with all of it: in a small box, or where α is all but 0,
#: posteriors cannot move as it says, and the cuts alone are the bound.
_STRAIGHTER = 1e-2
#: A bound is blunt if so many times as much is missing as was asked for; parts of the way there that are tried then.
_BLUNT, _BACK = 10.0, (0.5, 0.25, 0.12)
#: Cuts kept per letter besides the ones just priced.
_KEPT = 6


@dataclass(eq=False)
class Ascent:
    """Where the ascent ended: multipliers z, the bound there, the columns and their weights (the relaxed primal)."""

    z: FloatArray
    bound: float
    columns: Columns
    weights: FloatArray
    steps: int = 0
    priced: int = 0
    #: What was priced at z.
    answer: Priced | None = None
    #: Laws that Y may have, (L, m), a cut of Ψ each; empty where one law is given.
    laws: FloatArray | None = None
    #: The law of the relaxed primal, their mixture.
    law: FloatArray | None = None
    #: Spent on pricing.
    seconds: float = 0.0

    @property
    def partition(self) -> Partition | None:
        """What the next pricing may start from."""
        return None if self.answer is None else self.answer.partition


def ascend(
    lagrangian: Lagrangian,
    z: FloatArray,
    box: FloatArray | None,
    columns: Columns | None,
    *,
    target: float,
    tol: float,
    steps: int = 25,
    deadline: Limits | None = None,
    answer: Priced | None = None,
    letter: int | None = None,
    laws: FloatArray | None = None,
) -> Ascent:
    """Raise the bound from z until it passes ``target`` or the model promises less than ``tol`` more.

    Where a proof is dear, steps go by guesses, and what they lead to is proved.
    ``answer``: an earlier pricing to start from; with ``letter``, that at z in a box that is smaller there now.
    """
    problem = lagrangian.problem
    z = lagrangian.clip(z)
    started = clock.now()
    rough = max(0.1 * tol, 1e-5)
    if answer is None or letter is None or box is None:
        best, priced = lagrangian.price(z, box, rough, None if answer is None else answer.partition)
    else:
        best, priced = lagrangian.reprice(z, box, rough, answer, letter)
    seconds = clock.now() - started
    laws = more_laws(lagrangian, laws, priced.lower)
    law = problem.py if laws is None else laws[-1]
    fresh = Columns.of(problem, priced.y, priced.p)
    bundle = fresh if columns is None else fresh.join(columns)
    weights = _first_weights(law, bundle, z)
    radius, taken, pricings = 1.0, 0, 1
    # The best that was proved; whether z is only guessed to be better.
    proved, guessed = (z, best, priced), False
    bend, doubted = 1.0, False
    while True:
        over = taken >= steps or math.isinf(best) or (deadline is not None and deadline.expired) or clock.expired()
        if not over and best < target:
            taken += 1
            try:
                curvature = _curvature(problem, law, bundle, weights, z, box)
            except clock.TimeIsUp:
                break
            reach = radius * np.append(np.ones(problem.n), np.maximum(z[problem.n :], 1.0))
            model = _maximise_model(lagrangian, bundle, z, bend * curvature, reach, laws)
            if model is None:
                radius *= 0.1
                over = radius < 1e-6 or clock.expired()
                if not over:
                    continue
            else:
                trial, weights, promised, law = model
                step = radius * float((np.abs(trial - z) / reach).max())
                if promised - best <= tol and step >= 0.9 * radius and radius <= 1e8:
                    radius *= 10.0  # that little was in reach only; multipliers are large where rows of W are alike
                    continue
                over = promised - best <= tol
                if over and not doubted:
                    bend, doubted = _STRAIGHTER * bend, True
                    continue
        if over or best >= target:
            if not guessed:
                break
            started = clock.now()
            sharp = max(0.1 * tol, min(0.02 * (target - best) if best < target else 0.5 * (best - target), 1e-5))
            value, priced = lagrangian.price(z, box, sharp, proved[2].partition)
            pricings, seconds = pricings + 1, seconds + clock.now() - started
            guessed, less = False, best - value
            best = value
            if value > proved[1]:
                proved = z, value, priced
            new = Columns.of(problem, priced.y, priced.p)
            if lagrangian.seen(z, new) - value > _BLUNT * max(sharp, tol):
                # Cells ran out: what lies nearer to what is proved may be proved.
                for share in _BACK:
                    if clock.expired():
                        break
                    started = clock.now()
                    trial = lagrangian.clip(proved[0] + share * (z - proved[0]))
                    value, priced = lagrangian.price(trial, box, sharp, proved[2].partition)
                    pricings, seconds = pricings + 1, seconds + clock.now() - started
                    if value > proved[1]:
                        proved = trial, value, priced
                        break
                break
            if less <= max(tol, 2.0 * sharp) or taken >= steps or clock.expired():
                break
            bundle = bundle.join(new)
            weights = np.concatenate([weights, np.zeros(len(new.y))])
            continue
        # No sharper than this step can use: the proof between grid points is most of the work.
        sharp = max(0.1 * tol, min(0.02 * (promised - best), 1e-5))
        guess = lagrangian.guess(trial, box, bundle)
        if guess is None:
            started = clock.now()
            value, priced = lagrangian.price(trial, box, sharp, priced.partition)
            pricings, seconds = pricings + 1, seconds + clock.now() - started
        else:
            value, priced = guess
        new = Columns.of(problem, priced.y, priced.p)
        laws = more_laws(lagrangian, laws, priced.lower)
        # Where pricing proved less than it was asked to, steps lead nowhere once its posteriors agree with the model.
        blunt = lagrangian.seen(trial, new) - value > _BLUNT * sharp
        dull = blunt and promised - lagrangian.seen(trial, new) <= tol
        enough = best + 0.05 * (promised - best)
        if value > best:
            z, best, guessed = trial, value, guess is not None
            if not guessed:
                proved = z, best, priced
        if dull:
            break
        if value < enough:
            bend = 1.0
            radius = max(0.3 * step, 1e-6)
        else:
            doubted = False
            radius = 4.0 * radius if step > 0.9 * radius else radius
        bundle, weights = _trim(bundle.join(new), np.concatenate([weights, np.zeros(len(new.y))]), z, len(new.y))
    z, best, priced = proved
    return Ascent(z, best, bundle, weights, taken, pricings, priced, laws, law, seconds)


def more_laws(lagrangian: Lagrangian, laws: FloatArray | None, g: FloatArray) -> FloatArray | None:
    """With the law that attains Ψ(g): the free ones are mixtures of letters, all known from the start."""
    if lagrangian.laws is None:
        return None
    fresh = lagrangian.laws.argmin(finite(g) if np.isfinite(g).any() else np.zeros(len(g)))[None]
    if laws is None:
        letters = np.eye(len(g))
        ends = [lagrangian.laws.argmin(sign * letter) for letter in letters for sign in (-1.0, 1.0)]
        laws = np.unique(np.round(ends, 15), axis=0) if np.isin(ends, (0.0, 1.0)).all() else np.array(ends)
    known = np.abs(laws - fresh).sum(axis=1) <= 1e-13
    return np.vstack([laws[~known], fresh])


def _first_weights(law: FloatArray, bundle: Columns, z: FloatArray) -> FloatArray:
    """All of a letter's mass on its lowest cut."""
    value, weights = bundle.value(z), np.zeros(len(bundle.y))
    for y in range(len(law)):
        mine = np.flatnonzero(bundle.y == y)
        if len(mine):
            weights[mine[value[mine].argmin()]] = law[y]
    return weights


def _trim(bundle: Columns, weights: FloatArray, z: FloatArray, newest: int) -> tuple[Columns, FloatArray]:
    """Keep the newest cuts, those with weight, and the lowest few of each letter."""
    value = bundle.value(z)
    keep = weights > 1e-12
    keep[-newest:] = True
    order = np.lexsort((value, bundle.y))
    start = np.searchsorted(bundle.y[order], bundle.y[order])
    keep[order[np.arange(len(order)) - start < _KEPT]] = True
    # The same posterior priced twice is one cut.
    index = np.flatnonzero(keep)
    _, first = np.unique(np.round(np.column_stack([bundle.y[index], bundle.p[index]]), 11), axis=0, return_index=True)
    unique = np.sort(first)
    merged = weights[index]
    lost = np.setdiff1d(np.arange(len(index)), unique)
    for i in lost:  # hand its weight to its twin
        twin = unique[
            np.abs(bundle.p[index[unique]] - bundle.p[index[i]]).sum(axis=1)
            + (bundle.y[index[unique]] != bundle.y[index[i]]) * 9.0
            < 1e-9
        ]
        if len(twin):
            merged[twin[0]] += merged[i]
    return bundle.take(index[unique]), merged[unique]


def _curvature(
    problem: Problem, law: FloatArray, bundle: Columns, weights: FloatArray, z: FloatArray, box: FloatArray | None
) -> FloatArray:
    """Σ w_j KᵀM⁻¹K over columns with weight: minus the Hessian of the smooth bound, in z.

    A posterior on a face of its box moves along the face only: M⁻¹ is projected on that.
    """
    n, W, size = problem.n, problem.ps_given_x, len(z)
    classes = 1 if problem.classes is None else len(problem.classes)
    of = np.zeros(problem.k, dtype=np.intp) if problem.classes is None else problem.classes.of
    # A tiny α would make the curvature (and so the damping) huge where the bound is all but piecewise linear.
    alpha, beta = max(z[n + 1], 1e-3), classes * z[n + 2 :][of]  # W holds every class at 1/J
    total = np.zeros((size, size))
    # Weights below this are an interior-point method's way of saying zero.
    for j in np.flatnonzero(weights > 1e-4 * law[bundle.y]):
        clock.check()
        p = np.maximum(bundle.p[j], 1e-300)
        tau = p @ W
        faces = _faces(tau, box[bundle.y[j]], W) if box is not None else np.zeros(problem.k, dtype=bool)
        A = p / alpha
        held = np.column_stack([np.ones(n), W[:, faces]])
        inverse = _projected(np.diag(A), held)
        if beta.min() > 0:
            AW = A[:, None] * W
            small = np.diag(np.maximum(tau, 1e-300) / beta) - W.T @ AW
            if not faces.any() and np.linalg.eigvalsh(small)[0] > 1e-9 / float(beta.max()):
                inverse = _projected(np.diag(A) + AW @ np.linalg.solve(small, AW.T), held)
            elif faces.any() and not faces.all():
                # M may be indefinite off the face; what counts is its inverse along it.
                trial = _projected(np.diag(A) + AW @ np.linalg.pinv(small) @ AW.T, held)
                least, *_, most = np.linalg.eigvalsh(trial)
                inverse = trial if least >= -1e-9 * most else inverse
        K = np.zeros((n, size))
        K[:, :n] = -np.eye(n)
        K[:, n] = problem.d[:, bundle.y[j]]
        K[:, n + 1] = np.log(p / problem.px)
        slopes = -classes * W * np.log(np.maximum(classes * tau, 1e-300))
        np.add.at(K.T, n + 2 + of, slopes.T)
        total += weights[j] * (K.T @ inverse @ K)
    return total


def _faces(tau: FloatArray, box: FloatArray, W: FloatArray) -> np.ndarray:
    """Classes whose posterior sits on a face of the box that lies inside the range of W."""
    low, high = box[:, 0], box[:, 1]
    near = 1e-5 * (high - low) + 1e-12
    return np.asarray(((low > W.min(axis=0)) & (tau < low + near)) | ((high < W.max(axis=0)) & (tau > high - near)))


def _projected(inverse: FloatArray, held: FloatArray) -> FloatArray:
    """M⁻¹ restricted to steps v with heldᵀ v = 0."""
    moved = inverse @ held
    if held.shape[1] == 1:
        return np.asarray(inverse - np.outer(moved, moved) / float(held[:, 0] @ moved[:, 0]))
    return np.asarray(inverse - moved @ np.linalg.pinv(held.T @ moved) @ moved.T)


def _maximise_model(
    lagrangian: Lagrangian,
    bundle: Columns,
    z: FloatArray,
    curvature: FloatArray,
    reach: FloatArray,
    laws: FloatArray | None,
) -> tuple[FloatArray, FloatArray, float, FloatArray] | None:
    """Maximise the cuts less half the curvature within ``reach`` of z: (new z, weights of the cuts, their value, law).

    Unknown are the step, the least cut of each letter and, where Y has no given law, the least mean of those.
    """
    problem = lagrangian.problem
    n, m, J = problem.n, problem.m, len(bundle.y)
    q = n + len(lagrangian.limits)  # where the cuts' values begin
    size = q + m + (laws is not None)
    held = n + np.flatnonzero([low == high for low, high in lagrangian.ranges])
    curvature[held] = curvature[:, held] = 0.0
    scale = max(float(np.trace(curvature)) / q, 1e-12)
    curvature = curvature + 1e-9 * scale * np.eye(q) + 1e-10 * np.eye(q)
    gradient = np.concatenate([problem.px, -np.array(lagrangian.limits), problem.py])
    if laws is not None:
        gradient = np.append(gradient, 1.0)
        gradient[q:-1] = 0.0
    # The step, not z, is the unknown: a quadratic program in small numbers is solved to more digits.
    v0 = np.full(m, np.inf)
    value = bundle.value(z)
    np.minimum.at(v0, bundle.y, value)
    rest = size - q
    P = sparse.csc_matrix(np.triu(np.block([[curvature, np.zeros((q, rest))], [np.zeros((rest, size))]])))
    cuts = np.zeros((J, size))
    cuts[:, :n] = bundle.p
    cuts[:, n] = -bundle.distortion
    cuts[:, n + 1] = -bundle.divergence
    cuts[:, n + 2 : q] = -bundle.entropy
    cuts[np.arange(J), q + bundle.y] = 1.0
    sides, ends, fixed_rows, fixed_ends = [], [], [], []
    for i, (low, high) in enumerate(lagrangian.ranges, start=n):
        now, row = z[i], np.eye(1, size, i)[0]
        if low == high:
            fixed_rows.append(row)
            fixed_ends.append(low - now)
            continue
        sides.append(-row)
        ends.append(now - low)
        if math.isfinite(high):
            sides.append(row)
            ends.append(high - now)
    if lagrangian.cone is not None:
        sides.append(lagrangian.cone * np.eye(1, size, n + 2)[0] - np.eye(1, size, n + 1)[0])
        ends.append(z[n + 1] - lagrangian.cone * z[n + 2])
    base = 0.0
    if laws is not None:  # t ≤ ⟨q, v⟩ for every law q, t counted from the least of them now
        v0 = finite(v0)
        means = laws @ v0
        base = float(means.min())
        rows = np.zeros((len(laws), size))
        rows[:, q:-1], rows[:, -1] = -laws, 1.0
        sides, ends = [*rows, *sides], [*(means - base), *ends]
        if len(unpriced := np.setdiff1d(np.arange(m), bundle.y)):
            sides += [*np.eye(m, size, q)[unpriced]]  # forbidden: no cut holds them, and no law may use them
            ends += [0.0] * len(unpriced)
    near = np.eye(q, size)  # without curvature, as at α = 0, only this keeps the cuts' program bounded
    A = sparse.csc_matrix(np.vstack([*fixed_rows, cuts, *sides, near, -near]))
    b = np.concatenate([fixed_ends, value - v0[bundle.y], ends, reach, reach])
    cones = [clarabel.ZeroConeT(len(fixed_rows))] if fixed_rows else []
    cones.append(clarabel.NonnegativeConeT(J + len(sides) + 2 * q))
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_iter = False, 60
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10

    def solve(given_up: Callable[[], bool] | None = None) -> Any:
        solver = clarabel.DefaultSolver(P, -gradient, A, b, cones, settings)
        if given_up is not None and hasattr(solver, "set_termination_callback"):
            solver.set_termination_callback(lambda _: given_up())
        return solver.solve()

    settings.time_limit = clock.remaining()
    try:
        answer = solve() if J * n <= _LIGHT else clock.aside(solve)
    except BaseException as reason:  # a panic of the solver's core arrives as a BaseException
        if isinstance(reason, (KeyboardInterrupt, SystemExit)):
            raise
        return None
    if answer is None or "Solved" not in str(answer.status) or not np.isfinite(answer.x).all():
        return None
    x = np.asarray(answer.x)
    duals = np.maximum(np.asarray(answer.z)[len(fixed_rows) :], 0.0)
    weights, law = duals[:J], problem.py
    if laws is not None:
        law = duals[J : J + len(laws)] @ laws
        law = law / law.sum()
    trial = lagrangian.clip(z + x[:q])
    v = np.full(m, np.inf)
    np.minimum.at(v, bundle.y, bundle.value(trial))
    promised = trial[:n] @ problem.px - trial[n:] @ lagrangian.limits
    promised += problem.py @ v if laws is None else float((laws @ finite(v)).min())
    return trial, weights, float(promised), law
