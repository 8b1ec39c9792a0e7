"""Cone programs over couplings whose law of Y lies near a target, or is free, where no rate is limited.

  min ⟨c, P⟩ over P ≥ 0 with row sums px, ⟨aᵢ, P⟩ ≤ bᵢ and φ(Pᵀ1, t) ≤ B.

Balls are cones of the law q: total variation and transport are linear, χ² is of second order, D(q‖t) and D(t‖q) are
exponential, and Σ t^ρ q^(1−ρ) power cones, one for each letter.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import clarabel
import numpy as np
from scipy import sparse

from drcopt.questions.divergences import order_and_radius
from drcopt.questions.output import Near, OutputLaw
from drcopt.support import clock
from drcopt.support.check import FloatArray

#: Entries of a program that is solved before anyone would miss Ctrl-C.
_LIGHT = 2_000


class LawCones:
    """The programs of one px (n,) and one set of laws; P is 0 where ``allowed`` (n, m) is not."""

    def __init__(
        self, px: FloatArray, m: int, laws: OutputLaw, budget: float = math.inf, allowed: np.ndarray | None = None
    ) -> None:
        self.px, self.shape = px, (len(px), m)
        n = len(px)
        self.size = n * m
        rows = sparse.kron(sparse.eye(n), np.ones((1, m)))
        self._law = sparse.kron(np.ones((1, n)), sparse.eye(m)).tocsc()
        #: Rows A v + s = b of each cone, v the coupling and what comes with its law.
        self._blocks: list[tuple[Any, FloatArray, Any]] = [(rows, px, clarabel.ZeroConeT(n))]
        each, some = -sparse.eye(n * m).tocsr(), np.full(n * m, True) if allowed is None else allowed.ravel()
        self._blocks.append((each[some], np.zeros(some.sum()), clarabel.NonnegativeConeT(int(some.sum()))))
        if not some.all():
            self._blocks.append((each[~some], np.zeros((~some).sum()), clarabel.ZeroConeT(int((~some).sum()))))
        if isinstance(laws, Near):
            self._near(laws, budget)
        width = max(A.shape[1] for A, *_ in self._blocks)
        self._A = [sparse.hstack([A, sparse.csc_matrix((A.shape[0], width - A.shape[1]))]) for A, *_ in self._blocks]
        self._width = width

    def _near(self, laws: Near, budget: float) -> None:
        m, t, law = self.shape[1], laws.target, self._law
        eye, one = sparse.eye(m), sparse.csc_matrix(np.ones((1, m)))
        nothing = sparse.csc_matrix((1, self.size))
        if laws.kind == "tv":  # u ≥ |q − t|, Σ u ≤ 2B
            A = sparse.vstack([sparse.hstack([law, -eye]), sparse.hstack([-law, -eye]), sparse.hstack([nothing, one])])
            b = np.concatenate([t, -t, [2.0 * budget]])
            self._blocks.append((A, b, clarabel.NonnegativeConeT(2 * m + 1)))
            return
        if laws.kind == "wasserstein":  # a plan (y, y') from q to t
            assert laws.ground is not None
            out, into = sparse.kron(eye, one), sparse.kron(one, eye)
            A = sparse.vstack(
                [sparse.hstack([law, -out]), sparse.hstack([sparse.csc_matrix((m - 1, self.size)), into.tocsr()[:-1]])]
            )
            self._blocks.append((A, np.concatenate([np.zeros(m), t[:-1]]), clarabel.ZeroConeT(2 * m - 1)))
            moved = sparse.hstack([sparse.csc_matrix((m * m, self.size)), -sparse.eye(m * m)])
            spent = sparse.hstack([nothing, sparse.csc_matrix(laws.ground.reshape(1, -1))])
            A, b = sparse.vstack([moved, spent]), np.append(np.zeros(m * m), budget)
            self._blocks.append((A, b, clarabel.NonnegativeConeT(m * m + 1)))
            return
        some = np.flatnonzero(t > 0)
        law, mass = law.tocsr()[some], t[some]
        k = len(some)
        if laws.confined:
            off = self._law.tocsr()[np.flatnonzero(t == 0)]
            self._blocks.append((off, np.zeros(m - k), clarabel.ZeroConeT(m - k)))
        if laws.kind == "chi2":
            root = np.sqrt(mass)
            A = sparse.vstack([sparse.csc_matrix((1, self.size)), -sparse.diags(1.0 / root) @ law])
            self._blocks.append((A, np.append(math.sqrt(budget), -root), clarabel.SecondOrderConeT(k + 1)))
            return
        eye, none = -sparse.eye(k), sparse.csc_matrix((k, k))
        zero = np.zeros(k)
        q, u = sparse.hstack([-law, none]), sparse.hstack([sparse.csc_matrix((k, self.size)), eye])
        still = sparse.csc_matrix((k, self.size + k))
        order, radius = (1.0, budget) if laws.kind == "kl" else order_and_radius(replace(laws, budget=budget))
        cone: Any = clarabel.ExponentialConeT()
        if laws.kind == "kl":  # u ≤ q log(t/q), Σ u ≥ −B
            parts, ends = (u, q, still), (zero, zero, mass)
            above, most = -np.ones(k), budget
        elif order == 1.0:  # u ≤ log q, Σ t u ≥ Σ t log t − B
            parts, ends = (u, still, q), (zero, np.ones(k), zero)
            above, most = -mass, radius - float(mass @ np.log(mass))
        else:
            cone = clarabel.PowerConeT(1.0 / order if order > 1.0 else order)
            limit = math.exp((order - 1.0) * radius)
            if order > 1.0:  # u^(1/ρ) q^(1−1/ρ) ≥ t, Σ u ≤ e^((ρ−1)r)
                parts, ends, above, most = (u, q, still), (zero, zero, mass), np.ones(k), limit
            else:  # t^ρ q^(1−ρ) ≥ u, Σ u ≥ e^((ρ−1)r)
                parts, ends, above, most = (still, q, u), (mass, zero, zero), -np.ones(k), -limit
        turn = np.arange(3 * k).reshape(3, k).T.ravel()  # letter by letter
        A = sparse.vstack(parts).tocsr()[turn]
        self._blocks.append((A, np.concatenate(ends)[turn], [cone] * k))
        spent = sparse.hstack([nothing, sparse.csc_matrix(above[None])])
        self._blocks.append((spent, np.array([most]), clarabel.NonnegativeConeT(1)))

    def solve(self, cost: FloatArray, forms: list[FloatArray], limits: list[float]) -> FloatArray | None:
        """The best coupling (n, m), to the solver's tolerance; None if there is none, or it fails."""
        A, b = list(self._A), [end for _, end, _ in self._blocks]
        cones: list[Any] = []
        for *_, cone in self._blocks:
            cones += cone if isinstance(cone, list) else [cone]
        if forms:
            rows = np.zeros((len(forms), self._width))
            rows[:, : self.size] = [form.ravel() for form in forms]
            A, b = [*A, sparse.csc_matrix(rows)], [*b, np.array(limits)]
            cones.append(clarabel.NonnegativeConeT(len(forms)))
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.max_iter, settings.time_limit = False, 100, clock.remaining()
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
        gradient = np.zeros(self._width)
        gradient[: self.size] = cost.ravel()
        matrix, P = sparse.vstack(A).tocsc(), sparse.csc_matrix((self._width, self._width))
        try:
            answer = clarabel.DefaultSolver(P, gradient, matrix, np.concatenate(b), cones, settings).solve()
        except BaseException as reason:  # a panic of the solver's core arrives as a BaseException
            if isinstance(reason, (KeyboardInterrupt, SystemExit)):
                raise
            return None
        found = np.asarray(answer.x)[: self.size].reshape(self.shape)
        if "Solved" not in str(answer.status) or not np.isfinite(found).all():
            return None
        found = np.maximum(found, 0.0)
        return np.asarray(found * (self.px / found.sum(axis=1))[:, None])
