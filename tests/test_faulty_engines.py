"""Engines that fail, lie and hang: the interval stays valid."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from judged import MULTIPLIERS, altered, assert_meets
from strategies import coupling, make, within_rate

from drcopt import Problem, min_classification_loss, solve
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.engines import ENGINES
from drcopt.engines.base import Limits, Proposal
from drcopt.formulations import Part, Question, SingleLetter


class Panic(BaseException):
    """How a panic in compiled code arrives."""


def _raises(error: BaseException) -> Callable[..., Proposal]:
    def fault(*_: Any) -> Proposal:
        raise error

    return fault


def _with_point(change: Callable[[np.ndarray], Any]) -> Callable[..., Proposal]:
    def fault(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
        P = formulation.problem.independent if honest.parts is None else honest.parts[0].coupling
        return replace(honest, parts=[Part(1.0, change(np.array(P)))])

    return fault


def _with_leaves(change: Callable[[Leaf], Leaf]) -> Callable[..., Proposal]:
    def fault(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
        assert all(isinstance(one, PosteriorTree) for one in honest.evidence)
        return replace(honest, evidence=tuple(PosteriorTree(altered(tree.root, change)) for tree in honest.evidence))

    return fault


def _infeasible_lie(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    n = formulation.problem.n
    lies = PosteriorTree(Leaf(np.full(n, 1e6), 1e-9, 1.0, 0.0)), PosteriorTree(Leaf(np.full(n, 1e6), 0.0, 0.0, 0.0))
    return Proposal(None, lies, "infeasible")


def _unbounded_lie(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    return Proposal(None, (PosteriorTree(Leaf(np.full(formulation.problem.n, -1e300), 0.0, 0.0)),), "unbounded")


def _inaccurate(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    rng = np.random.default_rng(0)
    noisy = _with_point(lambda P: P + 1e-3 * rng.normal(size=P.shape))(honest, formulation, limits)
    return _with_leaves(lambda leaf: replace(leaf, f=leaf.f + 1e-3 * rng.normal(size=leaf.f.shape)))(
        noisy, formulation, limits
    )


def _hang(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    while not limits.expired:  # busy: the tests' clock is the processor's
        pass
    return honest


def _garbage(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    return Proposal(["a coupling"], "a bound", termination=None, stats=None, warm=object())  # type: ignore[arg-type]


def _no_evidence(honest: Proposal, formulation: Question, limits: Limits) -> Proposal:
    return replace(honest, evidence=("a bound", None, 3.0, {}, *honest.evidence))  # type: ignore[arg-type]


FAULTS: dict[str, Callable[..., Any]] = {
    "error": _raises(RuntimeError("the solver fell over")),
    "crash": _raises(Panic("called `Option::unwrap()` on a `None` value")),
    "inaccurate": _inaccurate,
    "infeasible lie": _infeasible_lie,
    "unbounded lie": _unbounded_lie,
    "NaN": lambda *a: _with_leaves(lambda leaf: Leaf(leaf.f * math.nan, math.nan, math.nan))(
        _with_point(lambda P: P * math.nan)(*a), *a[1:]
    ),
    "None": lambda *a: None,
    "wrong shape": lambda *a: _with_leaves(lambda leaf: replace(leaf, f=leaf.f[:-1]))(
        _with_point(lambda P: P[:, :-1])(*a), *a[1:]
    ),
    "hang past the limit": _hang,
    "garbage": _garbage,
    "what is no evidence": _no_evidence,
    "sign-flipped duals": _with_leaves(MULTIPLIERS["all flipped"]),
    "huge duals": _with_leaves(lambda leaf: Leaf(1e290 * (1.0 + leaf.f), 1e290, 1e290)),
}


class Faulty:
    """An engine whose answer is spoilt on the way out."""

    formulations = ("single-letter",)
    active_classification = True

    def __init__(self, honest: Any, fault: Callable[..., Any]) -> None:
        self.honest, self.fault, self.name = honest, fault, honest.name

    def propose(self, formulation: Question, limits: Limits, warm: Any = None) -> Proposal:
        patient = Limits(limits.tol)
        return self.fault(self.honest.propose(formulation, patient, None), formulation, limits)


@functools.cache
def instances(count: int) -> tuple[tuple[Problem, float, float, float], ...]:
    """(problem, R, C, the distortion of a point that meets them) in nats, half of them with C active."""
    found: list[tuple[Problem, float, float, float]] = []
    seed = 0
    while len(found) < count:
        seed += 1
        family = ("random", "hamming", "zero-mass", "deterministic", "equal-rows", "large-d")[seed % 6]
        problem = make(family, seed, 3, 3, 2)
        rng = np.random.default_rng(seed)
        P = within_rate(problem, coupling(problem, rng), float(rng.uniform(0.05, 0.6)))
        R = problem.rate(P) + 1e-9
        free = solve(problem, R=R, C=None, units="nats")
        least = problem.classification_loss(P)
        C = math.inf
        if len(found) % 2:
            # Between what P has and what the rate-only optimum has: active, and met by P.
            if least > free.classification_loss - 1e-3:
                continue
            C = 0.5 * (least + free.classification_loss)
        found.append((problem, R, C, problem.distortion(P) if C < math.inf else free.distortion))
    return tuple(found)


def try_fault(monkeypatch: pytest.MonkeyPatch, fault: str, count: int) -> int:
    """How many instances were answered in spite of the fault, by ``auto`` and by the faulty engine alike."""
    honest, cases = dict(ENGINES), instances(count)
    for name in ("newton", "global"):
        kind = honest[name]
        monkeypatch.setitem(
            ENGINES,  # type: ignore[arg-type]
            name,
            replace(kind, build=lambda k=kind: Faulty(k.build(), FAULTS[fault])),
        )
    time_limit = 0.05 if fault == "hang past the limit" else None
    tried = 0
    for problem, R, C, value in cases:
        for engine in ("auto", "newton" if C == math.inf else "global"):
            answer = solve(
                problem, R=R, C=C, units="nats", engine=engine, tol=1e-4, time_limit=time_limit, on_failure="return"
            )
            assert answer.status in ("optimal", "feasible", "unknown"), (fault, engine, answer)
            assert answer.lower_bound <= value * (1 + 1e-12) + 1e-300, (fault, engine, answer)
            assert isinstance(answer.termination, str)
            if answer.status == "unknown":
                assert math.isnan(answer.distortion)
            else:
                question = SingleLetter(problem, R, C)
                assert_meets(question, answer.coupling)
                assert answer.distortion == pytest.approx(problem.distortion(answer.coupling), rel=1e-12)
                assert answer.lower_bound <= answer.distortion
            if answer.status == "optimal":
                assert answer.distortion - answer.lower_bound <= 1e-4 * problem.d.max()
        tried += 1
    return tried


@pytest.mark.faults
class TestFaultyEngines:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_the_interval_stays_valid(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert try_fault(monkeypatch, fault, 4) == 4

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", FAULTS)
    def test_on_fifty_instances(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert len(FAULTS) == 13  # 650 in all
        tried = try_fault(monkeypatch, fault, 50)
        print(f"{fault}: {tried} instances, no false claim")
        assert tried == 50

    def test_an_interrupt_is_the_users(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem, kind = instances(6)[0][0], ENGINES["newton"]
        stub = replace(kind, build=lambda: Faulty(kind.build(), _raises(KeyboardInterrupt())))
        monkeypatch.setitem(ENGINES, "newton", stub)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            solve(problem, R=0.1, C=None)

    @pytest.mark.parametrize("fault", ["error", "crash", "None", "garbage"])
    def test_the_edge_is_guarded_too(self, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """C_min(R) from an engine that fails is what data processing says, not a bound on the distortion."""
        problem = make("large-d", 3, 3, 3, 2)
        monkeypatch.setattr("drcopt.engines.branch.Global.propose", lambda *a: FAULTS[fault](*a[:3]))
        edge = min_classification_loss(problem, R=0.3, units="nats", on_failure="return")
        assert (edge.status, edge.objective) == ("unknown", "classification_loss")
        assert edge.lower_bound == pytest.approx(problem.entropy_s_given_x, abs=1e-12)

    @pytest.mark.parametrize("seed", range(6))
    def test_no_warning_leaks_from_the_edge(self, seed: int) -> None:
        problem = make("useless", seed, 3, 3, 2)
        edge = min_classification_loss(problem, R=0.05, units="nats", time_limit=2.0)
        assert edge.lower_bound == pytest.approx(problem.entropy_s, abs=1e-9)
