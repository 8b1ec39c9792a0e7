"""Answers about laws of Y against methods that share no code with them: cone programs, linear programs over grids of
posteriors, quadratic programs and grids of channels, and values in twelve digits."""

import math
import sys
import warnings
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import entr, rel_entr

from drcopt import Perception, Problem, min_classification_loss, min_rate, solve
from drcopt.engines.base import Limits
from drcopt.engines.law_points import LawPoints
from drcopt.formulations import SingleLetter
from drcopt.questions import QUANTITIES
from drcopt.questions.output import Free, Near

sys.path.append(str(Path(__file__).parents[1]))

from campaigns import law_trials

KINDS = law_trials.KINDS


def ball(kind, q, t, budget, ground, order):
    """φ(q, t) ≤ P as constraints on a CVXPY expression."""
    if kind == "free":
        return []
    if kind == "wasserstein":
        plan = cp.Variable(ground.shape, nonneg=True)
        spent = cp.sum(cp.multiply(ground, plan))
        return [cp.sum(plan, axis=1) == q, cp.sum(plan, axis=0) == t, spent <= budget]
    if kind == "renyi":
        power = cp.sum(cp.multiply(t**order, cp.power(q, 1.0 - order)))
        return [power <= math.exp((order - 1.0) * budget)]
    return {
        "tv": lambda: [0.5 * cp.norm1(q - t) <= budget],
        "kl": lambda: [cp.sum(cp.rel_entr(q, t)) <= budget],
        "reverse-kl": lambda: [cp.sum(cp.rel_entr(t, q)) <= budget],
        "chi2": lambda: [cp.sum(cp.multiply(1.0 / t, cp.square(q - t))) <= budget],
        "reverse-chi2": lambda: [cp.sum(cp.multiply(t * t, cp.inv_pos(q))) <= 1.0 + budget],
        "hellinger": lambda: [cp.sum(cp.multiply(np.sqrt(t), cp.sqrt(q))) >= 1.0 - budget],
    }[kind]()


def cone(problem, kind, t, budget, ground, order, *, R=None, D=None):
    """The least distortion, or the least rate (nats), as an exponential-cone program."""
    P = cp.Variable((problem.n, problem.m), nonneg=True)
    law = cp.sum(P, axis=0)
    rate = cp.sum(cp.rel_entr(P, problem.px[:, None] @ cp.reshape(law, (1, problem.m), order="C")))
    distortion = cp.sum(cp.multiply(problem.d, P))
    aim, limit = (distortion, rate <= R) if D is None else (rate, distortion <= D)
    program = cp.Problem(
        cp.Minimize(aim), [cp.sum(P, axis=1) == problem.px, limit, *ball(kind, law, t, budget, ground, order)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.solve(solver="CLARABEL")
    return float(program.value)


@pytest.mark.parametrize("kind", KINDS)
def test_cone_programs_agree(kind):
    """Rates alone, every law: the program's value lies where the bound and the point are."""
    rng = np.random.default_rng(11)
    n, m = 3, 3
    t = 0.8 * rng.dirichlet(np.ones(m)) + 0.2 / m
    problem = Problem(
        rng.dirichlet(np.full(n, 9.0)), None if kind == "free" else t, np.ones((n, 1)), rng.random((n, m))
    )
    budget, ground = 0.03, np.abs(np.subtract.outer(np.arange(m), np.arange(m))) * 1.0
    perception = None if kind == "free" else Perception(kind, budget, ground=ground if kind == "wasserstein" else None)
    asked = {"perception": perception, "units": "nats", "tol": 1e-9}
    least = solve(problem, R=0.1, **asked)
    assert least.status == "optimal"
    assert least.value == pytest.approx(cone(problem, kind, t, budget, ground, 2.0, R=0.1), abs=2e-6)
    D = least.value
    rate = min_rate(problem, D=D, **asked)
    assert rate.value == pytest.approx(cone(problem, kind, t, budget, ground, 2.0, D=D), abs=2e-5)
    assert rate.value == pytest.approx(0.1, abs=1e-7) and rate.lower_bound <= 0.1 + 1e-12


@pytest.mark.parametrize("given", [False, True])
def test_messages_on_a_grid_of_posteriors(given):
    """A linear program over posteriors on a grid cannot do better than the bound, and nearly as well as the point."""
    rng = np.random.default_rng(3)
    px, W, d = np.array([0.5, 0.3, 0.2]), rng.dirichlet(np.ones(2), size=3), rng.random((3, 2))
    problem, R = Problem(px, [0.6, 0.4] if given else None, W, d), 0.4
    free = min_classification_loss(problem, R=R, units="nats", classifier_sees="message", tol=1e-4)
    C = free.value + 0.3 * (problem.entropy_s - free.value)
    answer = solve(problem, R=R, C=C, units="nats", classifier_sees="message")
    steps = 40
    points = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    p = np.vstack([np.array(points) / steps, px])
    cost, J = (p @ d).T.ravel(), len(p)
    above = np.vstack([np.tile(rel_entr(p, px).sum(axis=1), 2), np.tile(entr(p @ W).sum(axis=1), 2)])
    equal = np.hstack([p.T, p.T])
    goals = px
    if given:
        equal = np.vstack([equal, np.repeat(np.eye(2), J, axis=1)[:1]])
        goals = np.append(px, 0.6)
    program = linprog(cost, A_ub=above, b_ub=[R, C], A_eq=equal, b_eq=goals)
    assert program.status == 0
    assert answer.lower_bound <= program.fun + 1e-9
    assert answer.value <= program.fun + 1e-9
    assert answer.value >= program.fun - 2e-3


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 40))])
def test_no_quadratic_program_ends_below_a_bound(seed):
    """A few trials of ``python -m campaigns.law_trials``."""
    row = law_trials.trial(seed, 1.0, 2)
    assert not row["violation"], row


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k not in ("free", "tv"))) for k in KINDS])
def test_points_of_few_starts(kind):
    """Half a dozen starts find a point as good as quadratic programs over channels do, and within its limits."""
    one = law_trials.Trial(9 + KINDS.index(kind), (3, 3, 2))
    law = Free() if kind == "free" else Near(kind, one.target, one.near, one.ground)
    given = [b if used else math.inf for b, used in zip(one.budgets, one.limited, strict=True)]
    question = SingleLetter(
        one.problem, given[1], given[2], distortion_budget=given[0], objective=QUANTITIES[one.objective], laws=law
    )
    points = LawPoints(question, Limits(1e-6))
    points.explore(6)
    best = one.met(np.array(list(one.programs(6)))).min()
    assert points.best is not None and points.value <= best + 1e-6
    assert one.met((points.best / one.problem.px[:, None])[None]) == pytest.approx([points.value], abs=1e-12)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 2, 2)])
@pytest.mark.parametrize("seed", [1, 4])
def test_no_channel_of_a_grid_lies_below_a_bound(sizes, seed):
    """All channels into two letters on a grid: 201 steps a row, or 41."""
    row = law_trials.trial(seed, 1.0, 1, sizes)
    assert not row["violation"], row


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 2, 2)])
def test_no_channel_of_a_grid_lies_below_a_bound_whatever_the_law(sizes):
    for seed in range(3 * len(KINDS)):
        row = law_trials.trial(seed, 1.0, 4, sizes)
        assert not row["violation"], row


def bsc(p):
    return [[1.0 - p, p], [p, 1.0 - p]]


def bernoulli(p, p1, given=False, d="hamming"):
    return Problem([1.0 - p, p], [1.0 - p, p] if given else None, bsc(p1), d)


def alike(n):
    return Problem(np.full(n, 1.0 / n), None, np.ones((n, 1)), 1.0 - np.eye(n))


NOTHING, MESSAGE = np.zeros((2, 1)), {"classifier_sees": "message"}
TOY = Problem([0.5, 0.3, 0.2], None, [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [[0, 1, 0.6], [0.7, 0, 0.2], [0.1, 0.8, 0]])
TABLE = [  # who asks, of what, within what, the value in bits or the unit of d by a closed form or in forty digits
    *[(min_rate, bernoulli(0.3, 0.1), {"D": D}, v) for D, v in ((0.05, 0.594893942115), (0.2, 0.159362804343))],
    *[(min_rate, bernoulli(0.5, 0.1), {"D": D}, v) for D, v in ((0.05, 0.713603042884), (0.1, 0.531004406411))],
    *[(solve, bernoulli(0.3, 0.1), {"R": R}, v) for R, v in ((0.1, 0.231889666035), (0.75, 0.018213862443))],
    *[(min_rate, alike(4), {"D": D}, v) for D, v in ((0.1, 1.372508156339), (0.5, 0.207518749639))],
    *[(min_rate, alike(3), {"D": D}, v) for D, v in ((0.2, 0.663034405834), (0.4, 0.214011906266))],
    (min_classification_loss, bernoulli(0.5, 0.1, d=NOTHING), {"R": 0.25, **MESSAGE}, 0.843753164705),
    (min_classification_loss, bernoulli(0.3, 0.2, d=NOTHING), {"R": 0.5, **MESSAGE}, 0.802445756537),
    (min_rate, bernoulli(0.5, 0.1), {"D": 0.2, "C": 0.8}, 0.322654540815),
    (min_rate, bernoulli(0.5, 0.1), {"D": 0.2, "C": 0.9, **MESSAGE}, 0.278071905113),
    (min_rate, bernoulli(0.3, 0.2), {"D": 0.15, "C": 0.85}, 0.332875972005),
    (min_rate, bernoulli(0.3, 0.2), {"D": 0.15, "C": 0.9, **MESSAGE}, 0.271450594514),
    (min_rate, bernoulli(0.3, 0.1, True), {"D": 0.2, "perception": ("tv", 0.05)}, 0.173451358187),
    (min_rate, bernoulli(0.1, 0.1, True), {"D": 0.1, "perception": ("tv", 0.02)}, 0.069004033104),
    (min_rate, bernoulli(0.3, 0.1, True), {"D": 0.2, "C": 0.75, "perception": ("tv", 0.05)}, 0.289555660290),
    (min_rate, bernoulli(0.3, 0.1, True), {"D": 0.2, "C": 0.75, "perception": ("tv", 0.05), **MESSAGE}, 0.28892051129),
    (solve, TOY, {"R": 0.5, "C": 0.9}, 0.077737533681),
    (solve, TOY, {"R": 0.5, "C": 0.82, **MESSAGE}, 0.100099083921),
]


@pytest.mark.parametrize(("ask", "problem", "limits", "value"), TABLE)
def test_values_in_nine_digits(ask, problem, limits, value):
    """Two methods, to 1e-9: what is in print or in forty digits lies between the bound and the point, and they meet."""
    answer = ask(problem, tol=1e-9, **limits)
    assert answer.status == "optimal"
    assert answer.lower_bound <= value + 1e-10 and answer.value >= value - 1e-10
    assert answer.gap <= 1.1e-9


@pytest.mark.slow
def test_dit_draws_the_same_curves():
    """The information bottleneck of its documentation, and a rate-distortion curve: none of its points is better."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dit = pytest.importorskip("dit")
        from dit.rate_distortion import IBCurve, RDCurve

        source = dit.Distribution(["00", "02", "12", "21", "22"], [0.2] * 5)
        bottleneck = IBCurve(source, beta_max=10.0, beta_num=6)
        letters = dit.Distribution(["0", "1", "2"], [0.5, 0.3, 0.2])
        curve = RDCurve(letters, beta_max=5.0, beta_num=6)
    problem = Problem([0.4, 0.2, 0.4], None, [[0.5, 0, 0.5], [0, 0, 1], [0, 0.5, 0.5]], np.zeros((3, 1)))
    bits = problem.entropy_s / math.log(2.0)
    for rate, relevance in zip(bottleneck.complexities, bottleneck.relevances, strict=True):
        answer = min_classification_loss(problem, R=max(float(rate), 0.0), classifier_sees="message")
        assert bits - answer.lower_bound >= relevance - 1e-9
        assert bits - answer.value == pytest.approx(relevance, abs=1e-5)
    problem = Problem([0.5, 0.3, 0.2], None, np.ones((3, 1)), 1.0 - np.eye(3))
    for rate, distortion in zip(curve.rates, curve.distortions, strict=True):
        answer = solve(problem, R=max(float(rate), 0.0), tol=1e-9)
        assert answer.lower_bound <= distortion + 1e-6
        if rate > 1e-3:  # with no weight on it its distortion is any
            assert answer.value == pytest.approx(distortion, abs=1e-5)
