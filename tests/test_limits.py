"""Wherever a deadline or Ctrl-C cuts a solve short, both ends of what comes back hold."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from drcopt import Problem, min_classification_loss, solve
from drcopt.bounds.pricing import price
from drcopt.certify import certificate
from drcopt.engines.base import INTERRUPTED, Limits
from drcopt.engines.columns import Master
from drcopt.engines.descent import reduce_loss_within
from drcopt.engines.least_information import least_information
from drcopt.engines.linear import least_cost
from drcopt.engines.map_branching import Branching
from drcopt.engines.map_programs import MapProgram
from drcopt.engines.points import Points
from drcopt.engines.search import Search
from drcopt.errors import InfeasibleError
from drcopt.session import Session
from drcopt.solution import Solution
from drcopt.support import clock

BIT = math.log(2.0)


class Look:
    """A clock that stands still until it has been looked at so many times, and is far ahead from then on."""

    def __init__(self, looks: float) -> None:
        self.left = looks

    def __call__(self) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 1e9


def problem(seed: int, n: int, m: int, k: int) -> Problem:
    rng = np.random.default_rng(seed)
    W = rng.dirichlet(np.ones(k), n)
    return Problem(rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), W, rng.random((n, m)))


def between(p: Problem, share: float) -> float:
    """A classification budget in bits, at a share of the way from H(S|X) to H(S)."""
    return (p.entropy_s_given_x + share * (p.entropy_s - p.entropy_s_given_x)) / BIT


LOOKS = (0, 1, 2, 3, 5, 8, 21, 55, 144, 377, 987)


@pytest.mark.parametrize(
    ("formulation", "size"),
    [
        ("single-letter", (4, 4, 2)),
        ("one-shot", (4, 3, 2)),
        pytest.param("single-letter", (4, 3, 3), marks=pytest.mark.slow),
        pytest.param("time-sharing", (4, 4, 2), marks=pytest.mark.slow),
    ],
)
def test_cut_short_at_any_look(formulation: str, size: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(3, *size)
    R = 0.8
    free = solve(p, R=R, formulation=formulation)
    edge = min_classification_loss(p, R=R, tol=1e-3).classification_loss
    C = 0.5 * (edge + free.classification_loss)
    known = solve(p, R=R, C=C, formulation=formulation, tol=1e-4)
    assert known.distortion > free.distortion + 1e-3  # C binds
    for looks in LOOKS:
        with monkeypatch.context() as patch:
            patch.setattr("drcopt.support.clock.now", Look(looks))
            answer = solve(p, R=R, C=C, formulation=formulation, time_limit=1.0, tol=1e-9, on_failure="return")
        assert answer.status in ("optimal", "feasible", "near-feasible", "unknown")
        assert -1e-12 <= answer.lower_bound <= known.distortion
        if answer.status != "unknown":
            assert answer.distortion >= known.lower_bound
            assert answer.rate <= R + 1e-12
            assert answer.classification_loss <= C + 1e-12


@pytest.mark.parametrize("size", [(4, 4, 2), pytest.param((4, 3, 3), marks=pytest.mark.slow)])
def test_the_edge_cut_short(size: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(3, *size)
    known = min_classification_loss(p, R=0.8, tol=1e-5)
    for looks in LOOKS[::2]:
        with monkeypatch.context() as patch:
            patch.setattr("drcopt.support.clock.now", Look(looks))
            answer = min_classification_loss(p, R=0.8, time_limit=1.0, tol=1e-9, on_failure="return")
        assert p.entropy_s_given_x / BIT - 1e-12 <= answer.lower_bound <= known.classification_loss
        assert not answer.classification_loss < known.lower_bound


def test_the_bound_without_a_classification_budget_is_kept() -> None:
    """Time for that and for little else."""
    p = problem(0, 60, 60, 4)
    free = solve(p, R=1.0)
    answer = solve(p, R=1.0, C=between(p, 0.75), time_limit=0.3, tol=1e-9, on_failure="return")
    assert answer.lower_bound >= free.lower_bound - 1e-9


@pytest.mark.parametrize(("alpha", "k"), [(0.3, 2), (0.3, 3), (0.05, 3), (0.0, 3), (0.0, 2)])
def test_pricing_cut_short_is_below(alpha: float, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(1, 5, 4, k)
    cost = p.d - 0.3
    box = np.broadcast_to(np.array([0.05, 0.6]), (4, k, 2)).copy()
    whole = price(p, cost, alpha, 0.7, box).value
    known = price(p, cost, alpha, 0.7, box)
    for looks in range(12):
        with monkeypatch.context() as patch:
            patch.setattr("drcopt.support.clock.now", Look(looks))
            with clock.until(1.0):
                short = price(p, cost, alpha, 0.7, box)
        assert (short.lower <= known.lower + 1e-9).all()
        assert np.isfinite(short.lower).all()
    assert len(whole)


def test_letters_priced_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    for k in (2, 3):
        p = problem(2, 6, 5, k)
        at_once = price(p, p.d, 0.1, 0.8, None, tol=1e-9)
        with monkeypatch.context() as patch:
            for name in ("_LINE_ENTRIES", "_SPATIAL_ENTRIES"):
                patch.setattr(f"drcopt.bounds.pricing.dispatch.{name}", 1.0)
            in_turns = price(p, p.d, 0.1, 0.8, None, tol=1e-9)
            again = price(p, p.d, 0.1, 0.8, None, tol=1e-9, start=in_turns.partition)
        for other in (in_turns, again):
            assert np.abs(at_once.lower - other.lower).max() <= 1e-8
        assert set(in_turns.y) == set(range(5))


def test_a_plan_within_a_linear_budget() -> None:
    """By generating entries as by the whole program."""
    p, rng = problem(5, 40, 35, 2), np.random.default_rng(0)
    linear = rng.random((40, 35))
    lowest = least_cost(p, linear)
    free = least_cost(p, p.d)
    assert lowest is not None and free is not None
    least, most = (float((linear * plan).sum()) for plan in (lowest[0], free[0]))
    for share in (0.1, 0.5, 0.9, 1.5):
        budget = least + share * (most - least)
        answer = least_cost(p, p.d, None, linear, budget)
        assert answer is not None
        plan, f, beta = answer
        dual = f @ p.px + (p.d + beta * linear - f[:, None]).min(axis=0) @ p.py - beta * budget
        assert abs(float((p.d * plan).sum()) - dual) <= 1e-8
        assert float((linear * plan).sum()) <= budget + 1e-8
    assert least_cost(p, p.d, None, linear, least - 0.01) is None


def test_an_unfinished_point_is_not_sent_along_its_support(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting a million entries takes longer than a limit may be overrun; what is missing is no rounding there."""
    p = problem(0, 5, 4, 2)
    monkeypatch.setattr(certificate, "round_along_support", lambda *_: pytest.fail("asked"))
    P = 0.9 * p.independent
    assert certificate._onto_marginals(p, P).sum() == pytest.approx(1.0)


def test_the_least_information_at_the_deadline() -> None:
    """The last iterate comes back with what it misses; no coupling is found by it."""
    p = problem(1, 6, 5, 2)
    forms, limits = np.stack([p.d, 1.0 - p.d]), np.array([0.3, 0.9])
    whole = least_information(p.px, p.py, forms, limits, most=p.entropy_x)
    assert whole is None or whole.miss < 1e-9
    with clock.until(-math.inf):
        short = least_information(p.px, p.py, forms, limits, most=p.entropy_x)
        assert short is not None and short.miss > 1e-9
        assert reduce_loss_within(p, 0.5, 0.4, p.independent, Limits(1e-9, -math.inf)) is None


class TestAside:
    def test_the_answer(self) -> None:
        assert clock.aside(lambda given_up: (given_up(), threading.current_thread().daemon)) == (False, True)

    def test_a_failure_is_the_caller_s(self) -> None:
        def fail(given_up: Callable[[], bool]) -> None:
            raise ZeroDivisionError("inside")

        with pytest.raises(ZeroDivisionError, match="inside"):
            clock.aside(fail)

    def test_given_up_at_the_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = threading.Event()

        def work(given_up: Callable[[], bool]) -> None:
            while not given_up():
                time.sleep(0.001)
            told.set()

        monkeypatch.setattr("drcopt.support.clock.now", Look(5))
        with clock.until(1.0):
            assert clock.aside(work) is None
        assert told.wait(60)

    def test_not_begun_past_the_deadline(self) -> None:
        with clock.until(-math.inf):
            assert clock.aside(lambda _: pytest.fail("begun")) is None


def test_the_earlier_of_two_deadlines_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drcopt.support.clock.now", lambda: 5.0)
    with clock.until(7.0), clock.until(9.0):
        assert clock.remaining() == 2.0
        clock.check()
    with clock.until(4.0), pytest.raises(clock.TimeIsUp):
        clock.check()
    assert clock.remaining() == math.inf


def test_an_infeasible_answer_takes_no_more_than_the_limit_to_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge that the message names is worth what is left of the limit, and no more."""
    asked: list[float | None] = []
    init = Session.__init__

    def spy(self: Session, *args: object, **settings: object) -> None:
        asked.append(settings.get("time_limit"))  # type: ignore[arg-type]
        init(self, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "__init__", spy)
    p = problem(3, 4, 3, 2)
    with pytest.raises(InfeasibleError):
        solve(p, R=0.2, C=between(p, 0.05), time_limit=3.0, tol=1e-3)
    assert len(asked) == 2
    assert asked[1] is not None and asked[1] < 3.0


class CtrlC:
    """A method that is interrupted at its nth call, once."""

    def __init__(self, patch: pytest.MonkeyPatch, kind: type, name: str, call: int) -> None:
        self.left, method = call, getattr(kind, name)

        def interrupted(*args: Any, **settings: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return method(*args, **settings)

        patch.setattr(kind, name, interrupted)

    @property
    def pressed(self) -> bool:
        return self.left <= 0


#: What is interrupted, and at which calls of it.
INTERRUPTS = [
    ("time-sharing", Search, "_bound", (1, 2, 3, 9)),
    ("time-sharing", Master, "solve", (1, 2, 4, 5)),
    ("time-sharing", Points, "start", (1,)),
    ("time-sharing", Points, "explore", (1,)),
    ("one-shot", Master, "solve", (2, 5, 12, 25, 60)),
    ("one-shot", MapProgram, "oracle", (1, 2, 12, 40)),
    ("one-shot", Branching, "relax", (1, 3)),
    ("one-shot", Branching, "tightened", (1, 2)),
]


@functools.cache
def binding(formulation: str) -> tuple[Problem, float, float, Solution, Solution]:
    """A problem, budgets of which C binds, and the answers without it and with it."""
    p = problem(3, 4, 3, 2)
    R, C = 0.8, between(p, 0.7)
    free, known = (solve(p, R=R, C=limit, formulation=formulation, tol=1e-4) for limit in (None, C))
    assert known.lower_bound > free.distortion
    return p, R, C, free, known


@pytest.mark.parametrize(("formulation", "kind", "name", "calls"), INTERRUPTS)
def test_ctrl_c_hands_back_what_is_known(
    formulation: str, kind: type, name: str, calls: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    p, R, C, free, known = binding(formulation)
    for call in calls:
        with monkeypatch.context() as patch:
            stop = CtrlC(patch, kind, name, call)
            answer = solve(p, R=R, C=C, formulation=formulation, tol=1e-9, on_failure="return")
        assert stop.pressed
        assert answer.termination == INTERRUPTED
        assert -1e-12 <= answer.lower_bound <= known.distortion
        if formulation == "time-sharing":
            assert answer.lower_bound >= free.lower_bound - 1e-9
        if answer.status != "unknown":
            assert answer.distortion >= known.lower_bound
            assert answer.rate <= R + 1e-12
            assert answer.classification_loss <= C + 1e-12


def test_ctrl_c_is_heard_once_for_all_that_a_question_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss within D asks first without D; interrupted there, it does not begin on the rest."""
    p, R, _, free, _ = binding("time-sharing")
    stop = CtrlC(monkeypatch, Search, "_bound", 2)
    answer = min_classification_loss(p, R=R, D=0.5 * (free.distortion + p.distortion(p.independent)), tol=1e-9)
    assert stop.pressed
    assert answer.termination == INTERRUPTED


class TestCommandLine:
    def test_an_interrupted_answer_is_printed_and_exits_with_130(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from dataclasses import replace

        from drcopt.cli import main

        answer = replace(solve(Problem([0.5, 0.5], [0.5, 0.5], np.eye(2)), R=0.5), termination="interrupted")
        monkeypatch.delenv("DRCOPT_DEBUG")
        monkeypatch.setattr(Session, "ask", lambda *a, **b: answer)
        assert main(["solve", "bernoulli", "--R", "0.5"]) == 130
        out, err = capsys.readouterr()
        assert "distortion" in out
        assert err == "drcopt: error: interrupted\n"

    @pytest.mark.parametrize("module", ["numpy", "click", "drcopt.problem"])
    def test_ctrl_c_during_the_imports(self, module: str) -> None:
        """One line and 130, wherever they have got to."""
        program = (
            "import sys, builtins\n"
            "sys.argv = ['/usr/bin/drcopt', 'sources']\n"
            "known = builtins.__import__\n"
            "def stop(name, *rest):\n"
            f"    if name == {module!r}:\n"
            "        raise KeyboardInterrupt\n"
            "    return known(name, *rest)\n"
            "builtins.__import__ = stop\n"
            "from drcopt.cli import main\n"
            "sys.exit(main())\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "drcopt: error: interrupted\n")

    def test_a_program_of_one_s_own_keeps_its_traceback(self) -> None:
        program = "import drcopt\nraise KeyboardInterrupt"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
        assert "Traceback" in done.stderr
