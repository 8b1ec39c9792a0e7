"""Y's law free or near a target, and classifiers that read the message: values, bounds, points and refusals."""

import itertools
import math
import pickle

import numpy as np
import pytest

import drcopt
from drcopt import InputError, Perception, Problem, min_classification_loss, min_rate, solve
from drcopt.bounds import Leaf, PosteriorTree, Split
from drcopt.certify.certificate import best_bound, repair
from drcopt.certify.exactly import meets
from drcopt.formulations import Message, Part, SingleLetter
from drcopt.law_session import LawSession, session_for
from drcopt.questions.output import KINDS, Free, Near
from drcopt.session import Session

NATS = math.log(2.0)
BSC1, BSC2 = [[0.9, 0.1], [0.1, 0.9]], [[0.8, 0.2], [0.2, 0.8]]
TOY = ([0.5, 0.3, 0.2], ((0.9, 0.1), (0.4, 0.6), (0.2, 0.8)), ((0, 1, 0.6), (0.7, 0, 0.2), (0.1, 0.8, 0)))


def toy(py=None):
    px, W, d = TOY
    return Problem(px, py, W, d)


def near(kind, t, budget, rng):
    place = rng.random(len(t))
    return Near(kind, t, budget, np.abs(np.subtract.outer(place, place)), float(rng.choice([0.5, 0.7, 1.0, 3.0])))


@pytest.mark.parametrize("kind", KINDS)
def test_support_function_is_a_bound_that_its_law_attains(kind):
    """Ψ_Q(g) ≤ ⟨g, q⟩ for laws q all over Q, and the law that comes with it is one of them."""
    rng = np.random.default_rng(7)
    for trial in range(12):
        m = int(rng.integers(2, 7))
        t = rng.dirichlet(np.ones(m))
        if trial % 3 == 0 and m > 2:
            t[rng.integers(m)] = 0.0
            t /= t.sum()
        g = rng.normal(size=m) * 10.0 ** rng.integers(-3, 4)
        if trial % 4 == 1:
            g[0] = g[1]
        law = near(kind, t, float(rng.choice([0.003, 0.05, 0.3])), rng)
        least, q = law.least(g), law.argmin(g)
        size = np.abs(g).max()
        assert meets(law, np.arange(len(q)), q) and q.min() >= 0 and abs(q.sum() - 1.0) <= 1e-14
        assert least <= q @ g <= least + 1e-9 * size
        for _ in range(10):
            some = rng.dirichlet(np.ones(m))
            if kind in ("kl", "chi2"):
                some = np.where(t > 0, some, 0.0) / some[t > 0].sum()
            assert least <= law.inside(some) @ g + 1e-14 * np.abs(g).max()


@pytest.mark.parametrize("kind", KINDS)
def test_a_half_space_near_a_target_holds_of_all_laws(kind):
    """⟨g, q⟩ + ω φ(q, t) ≥ Λ whatever q is, for the multipliers of a ball and any others."""
    rng = np.random.default_rng(11)
    for trial in range(12):
        m = int(rng.integers(2, 6))
        t = rng.dirichlet(np.ones(m))
        if trial % 3 == 0 and m > 2:
            t[rng.integers(m)] = 0.0
            t /= t.sum()
        g = rng.normal(size=m) * 10.0 ** rng.integers(-2, 3)
        law, size = near(kind, t, float(rng.choice([0.003, 0.05, 0.3])), rng), np.abs(g).max()
        level, weight = law.halfspace(g)
        assert level - weight * law.budget == pytest.approx(law.least(g), rel=1e-12, abs=1e-12 * size)
        own = law.answer(g)
        ways = [(own.weight, own.level), *((float(w) * size, float(x) * size) for w, x in rng.exponential(size=(6, 2)))]
        laws = [law.argmin(g), t, *rng.dirichlet(np.full(m, 0.3), 12)]
        laws += [0.99 * law.argmin(g) + 0.01 * q for q in laws[2:]]
        for q in laws:
            far = law.divergence(q)
            for omega, x in ways if far < np.inf else []:
                assert law.priced(g, omega, x) <= q @ g + omega * far + 1e-12 * (size + omega * (1 + far) + x)


@pytest.mark.parametrize("kind", KINDS)
def test_support_function_at_its_edges(kind):
    """Equal entries, one letter, a ball that holds everything, and a tiny one."""
    rng = np.random.default_rng(1)
    t, g = np.array([0.5, 0.3, 0.2]), np.array([3.0, -1.0, 2.0])
    assert near(kind, t, 0.1, rng).least(np.full(3, 2.5)) == pytest.approx(2.5, abs=1e-12)
    assert near(kind, np.ones(1), 0.1, rng).least(np.array([4.0])) == pytest.approx(4.0, abs=1e-12)
    tiny = near(kind, t, 1e-13, rng)
    assert tiny.least(g) <= t @ g and tiny.least(g) == pytest.approx(t @ g, abs=1e-4)
    assert meets(tiny, np.arange(len(g)), tiny.argmin(g))
    wide = near(kind, t, 0.9 if kind == "hellinger" else 50.0, rng)
    assert -1.0 - 1e-12 <= wide.least(g) <= (0.5 if kind in ("hellinger", "reverse-chi2") else -0.9)


@pytest.mark.parametrize("kind", [kind for kind, form in KINDS.items() if form.slope is not None])
def test_slopes_of_divergences(kind):
    """∂φ/∂q along a direction in which masses keep their sum, and the target lacks a letter in some."""
    rng = np.random.default_rng(5)
    for trial in range(6):
        t, q, step = rng.dirichlet(np.ones(4)), rng.dirichlet(np.full(4, 3.0)), rng.normal(size=4)
        if trial % 2 and kind not in ("kl", "chi2"):
            t[0], t[1] = 0.0, t[0] + t[1]
        law, step, h = near(kind, t, 0.1, rng), step - step.mean(), 1e-6 * q.min()
        rise = (law.divergence(q + h * step) - law.divergence(q - h * step)) / (2.0 * h)
        assert KINDS[kind].slope(law, q) @ step == pytest.approx(rise, rel=1e-5, abs=1e-6)


CHECKS = [  # symbols: what is minimised, the limits on the others, perception, its value in 12 digits (bits)
    ((0.3, BSC1), "D", {"R": 0.25}, None, 0.158741747239),
    ((0.3, BSC1), "R", {"D": 0.1}, None, 0.412295305641),
    ((0.5, BSC1), "R", {"D": 0.25}, None, 0.188721875541),
    ((0.3, BSC1), "R", {"D": 0.1}, ("tv", 0.02), 0.417674389009),
    ((0.3, BSC1), "R", {"D": 0.2}, ("tv", 0.05), 0.173451358187),
    ((0.3, BSC1), "R", {"D": 0.3}, ("tv", 0.05), 0.043458188617),
    ((0.1, BSC1), "R", {"D": 0.1}, ("tv", 0.02), 0.069004033104),
    ((0.3, BSC1), "R", {"D": 0.1}, ("tv", 0.0), 0.426421544088),
]


@pytest.mark.parametrize(("source", "objective", "limits", "perception", "value"), CHECKS)
def test_closed_forms_without_classes(source, objective, limits, perception, value):
    """Binary R(D) and Blahut and Arimoto's Bernoulli source under a total-variation budget."""
    p, W = source
    problem = Problem([1 - p, p], [1 - p, p] if perception else None, W)
    answer = (solve if objective == "D" else min_rate)(problem, **limits, perception=perception, tol=1e-9)
    assert answer.status == "optimal"
    assert answer.lower_bound <= value + 1e-11 and answer.value >= value - 1e-11
    assert answer.value == pytest.approx(value, abs=2e-9)


@pytest.mark.parametrize(
    ("C", "perception", "value"),
    [
        (0.9, None, 0.077737533680682),
        (0.85, None, 0.089180763714639),
        (0.82, None, 0.100099083920968),
        (0.85, ("tv", 0.02), 0.114815243),
        (0.85, ("kl", 0.01 / NATS), 0.102292373),
        (0.85, ("tv", 0.0), 0.122439292),
    ],
)
def test_messages(C, perception, value):
    """Against Newton's method on the optimality conditions in 40 digits, and linear programs over measures."""
    answer = solve(
        toy(TOY[0] if perception else None), R=0.5, C=C, perception=perception, classifier_sees="message", tol=1e-7
    )
    assert answer.status == "optimal" and answer.value == pytest.approx(value, abs=2e-8)
    message = answer.message
    assert message.weights.sum() == pytest.approx(1.0) and len(message.letters) == len(message.posteriors)
    np.testing.assert_allclose(message.weights @ message.posteriors, TOY[0], atol=1e-12)
    if perception:
        assert answer.perception <= perception[1] + 1e-16 and answer.perception_kind == perception[0]


def test_information_bottleneck():
    """Without distortion the message problem is the information bottleneck: Mrs Gerber's value for a binary X."""
    problem = Problem([0.5, 0.5], None, BSC1, np.zeros((2, 1)))
    answer = min_classification_loss(problem, R=0.5, classifier_sees="message", tol=1e-8)
    assert answer.status == "optimal" and answer.value == pytest.approx(0.697315865270, abs=1e-8)
    assert answer.rate > 0.4  # more than log m = 0 bits


@pytest.mark.slow
def test_single_letter_is_dearer_than_message():
    """One posterior for a letter costs something, and the bounds and points of both say so."""
    rng = np.random.default_rng(0)
    px, W, d = rng.dirichlet(np.full(3, 2.0)), 0.98 * rng.dirichlet(np.full(2, 0.5), size=3) + 0.01, rng.random((3, 2))
    problem = Problem(px, None, W, d)
    budgets = {"R": 0.518237 / NATS, "C": 0.681659 / NATS}
    message = solve(problem, **budgets, classifier_sees="message", on_failure="return")
    letter = solve(problem, **budgets, time_limit=4.0, on_failure="return")
    assert message.lower_bound <= letter.distortion
    assert message.distortion >= message.lower_bound
    assert letter.lower_bound >= message.lower_bound - 1e-5


def random_point(rng, n, m, k):
    """A problem and a coupling with all that it spends."""
    px, W = rng.dirichlet(np.full(n, 2.0)), 0.98 * rng.dirichlet(np.full(k, 0.5), size=n) + 0.02 / k
    d = rng.random((n, m)) + 3.0 * rng.random(m)  # columns' offsets matter where the law is free
    P = px[:, None] * rng.dirichlet(np.full(m, rng.choice([0.3, 1.0])), size=n)
    return Problem(px, None, W, d), P


@pytest.mark.parametrize(
    ("kind", "sees"),
    [("free", "Y"), *((kind, "Y") for kind in KINDS), ("free", "message"), ("tv", "message"), ("kl", "message")],
)
def test_no_bound_lies_above_a_point(kind, sees):
    """Whatever a coupling spends, with that as budgets no bound exceeds what it has; and the point found meets them."""
    rng = np.random.default_rng(3)
    for _ in range(2):
        n, m, k = (int(rng.integers(2, 5)) for _ in range(3))
        problem, P = random_point(rng, n, m, k)
        perception, q = None, P.sum(axis=0)
        if kind != "free":
            t = rng.dirichlet(np.ones(m)) if rng.random() < 0.7 else q
            ground = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) * 1.0 if kind == "wasserstein" else None
            budget = Near(kind, t, 1.0, ground).divergence(q) * (1 + 1e-9) + 1e-9
            perception = Perception(kind, budget, target=t, ground=ground)
        R, D = problem.rate(P) * (1 + 1e-12), problem.distortion(P) * (1 + 1e-12)
        C = None if sees == "Y" else problem.classification_loss(P) * (1 + 1e-12)
        asked = {
            "perception": perception,
            "units": "nats",
            "classifier_sees": sees,
            "on_failure": "return",
            "time_limit": 5.0,
        }
        least = solve(problem, R=R, C=C, **asked)
        assert least.lower_bound <= D
        rate = min_rate(problem, D=D, C=C, **asked)
        assert rate.lower_bound <= R
        for answer in (least, rate):
            assert answer.status in ("optimal", "feasible")
            check_point(problem, answer, R if answer is least else math.inf, C, perception)
        assert least.gap <= 1e-5 * problem.d.max() and rate.gap <= 1e-5


def check_point(problem, answer, R, C, perception):
    """Everything about a point again, from the arrays alone."""
    P = answer.coupling
    np.testing.assert_allclose(P.sum(axis=1), problem.px, atol=1e-13)
    np.testing.assert_allclose(answer.output_law, P.sum(axis=0))
    assert answer.distortion == pytest.approx(problem.distortion(P), abs=1e-13)
    assert answer.rate <= R + 1e-12 and problem.rate(P) <= R + 1e-12
    if answer.message is not None:
        joint = (answer.message.weights[:, None] * answer.message.posteriors).T
        assert problem.rate(joint) <= R + 1e-12
        assert C is None or problem.classification_loss(joint) <= C + 1e-12
        merged = np.zeros((problem.m, problem.n))
        np.add.at(merged, answer.message.letters, joint.T)
        np.testing.assert_allclose(merged.T, P, atol=1e-14)
    if perception is not None:
        ground = None if perception.ground is None else np.asarray(perception.ground)
        law = Near(perception.kind, np.asarray(perception.target), 1.0, ground)
        assert law.divergence(P.sum(axis=0)) <= perception.budget * (1 + 1e-12) + 1e-15
        assert answer.perception <= perception.budget


@pytest.mark.slow
def test_free_law_with_classes_closes():
    """Branch and bound with a free law: the binary problem of Mrs Gerber and the toy, points and bounds."""
    answer = solve(toy(), R=0.5, C=0.85)
    assert answer.status == "optimal" and answer.value == pytest.approx(0.089180763714639, abs=1e-6)
    ib = min_classification_loss(Problem([0.5, 0.5], None, BSC1, np.zeros((2, 3))), R=0.5)
    assert ib.lower_bound <= 0.697315865270 + 1e-9 <= ib.value + 2e-9


def test_a_tree_of_a_free_law_closes():
    """Branch and bound with a free law, on Newton's value."""
    answer = solve(toy(), R=0.5, C=0.85, tol=1e-4)
    assert answer.lower_bound <= 0.089180763714639 + 1e-12 <= answer.value + 1e-9
    assert answer.status == "optimal"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_no_bound_of_a_tree_lies_above_a_grid(seed):
    """All channels of a grid for a binary X and Y: none within the budgets is better than the bound."""
    rng = np.random.default_rng(seed)
    problem, P = random_point(rng, 2, 2, 2)
    R, C = problem.rate(P), problem.classification_loss(P)
    answer = solve(problem, R=R, C=C, units="nats", time_limit=10.0, on_failure="return")
    best = math.inf
    for a in np.linspace(0, 1, 201):
        for b in np.linspace(0, 1, 201):
            Q = problem.px[:, None] * np.array([[a, 1 - a], [b, 1 - b]])
            if problem.rate(Q) <= R and problem.classification_loss(Q) <= C:
                best = min(best, problem.distortion(Q))
    assert answer.lower_bound <= best and answer.value <= best + 1e-6


def test_a_split_says_nothing_of_messages():
    """Atoms of one letter may lie in several boxes: only half-spaces on the whole box bound messages."""
    problem = Problem([0.5, 0.5], [0.5, 0.5], BSC1)
    leaf = Leaf(np.zeros(2), 0.5, 0.5)
    tree = PosteriorTree(Split(0, 0, 0.5, leaf, leaf))
    assert Message(problem, 0.3, 0.5).law.least(np.array([1.0, 3.0])) == 2.0
    assert best_bound(SingleLetter(problem, 0.3, 0.5, laws=Free()), [tree]) > -math.inf
    assert best_bound(Message(problem, 0.3, 0.5), [tree]) == -math.inf


def test_rates_are_capped_by_what_no_point_exceeds():
    """H(py) of a place holder is no cap: log m is, and for messages H(X)."""
    problem = Problem([0.2, 0.3, 0.5], [0.9, 0.1], np.eye(3))
    single, message = (kind(problem, 9.0, 9.0, laws=Free()) for kind in (SingleLetter, Message))
    assert single.most[1] == pytest.approx(math.log(2)) and message.most[1] == problem.entropy_x


def test_points_are_judged_by_their_own_law():
    """A coupling outside the ball is mixed with the target's, one that misses C is none."""
    problem = Problem([0.6, 0.4], [0.5, 0.5], BSC1)
    laws = Near("tv", np.array([0.5, 0.5]), 0.05)
    P = np.array([[0.6, 0.0], [0.0, 0.4]])
    found = repair(SingleLetter(problem, math.inf, math.inf, laws=laws), [Part(1.0, P)])
    assert found is not None and meets(laws, np.arange(2), found.parts[0].coupling.sum(axis=0))
    assert repair(SingleLetter(problem, math.inf, 0.1, laws=laws), [Part(1.0, P)]) is None
    for wrong in (np.full((2, 2), math.nan), np.zeros((2, 2)), np.zeros((3, 2))):
        assert repair(SingleLetter(problem, 1.0, 1.0, laws=laws), [Part(1.0, wrong)]) is None
    for letters in (np.array([0, 2]), np.array([-1, 0]), None):
        assert repair(Message(problem, 1.0, 1.0, laws=laws), [Part(1.0, P, letters=letters)]) is None


def test_edges():
    """No rate, one letter, no mass, a target with a letter of none, columns of d that are alike."""
    problem = Problem([0.7, 0.3, 0.0], None, [[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [5, 5]])
    assert solve(problem, R=0).distortion == pytest.approx(0.3)
    assert solve(problem, R=0, classifier_sees="message").message.letters.tolist() == [0]
    one = Problem([0.7, 0.3], None, BSC1, [[1.0], [2.0]])
    assert solve(one, R=1.0).distortion == pytest.approx(1.3)
    free = solve(problem, R=0.3)
    assert free.status == "optimal" and free.coupling.shape == (3, 2) and not free.coupling[2].any()
    moved = solve(Problem([0.5, 0.5], [1.0, 0.0], BSC1), R=0.5, perception=("tv", 0.2))
    assert moved.status == "optimal" and moved.output_law[1] == pytest.approx(0.2)
    held = solve(Problem([0.5, 0.5], [1.0, 0.0], BSC1), R=0.5, perception=("kl", 0.2))
    assert held.output_law[1] == 0.0 and held.distortion == pytest.approx(0.5)
    assert solve(Problem([0.5, 0.5], None, BSC1, np.ones((2, 3))), R=0.2).distortion == pytest.approx(1.0)


@pytest.mark.parametrize(("law", "seed"), [(None, 0), ("tv", 1), pytest.param("kl", 2, marks=pytest.mark.slow)])
def test_nothing_of_the_class_may_be_lost(law, seed):
    """C = H(S|X): every letter of Y takes letters of X with one row of p(s|x), and trying all ways settles it."""
    rng = np.random.default_rng(seed)
    n, m, rows = 5, 4, np.array([0, 0, 1, 1, 2])
    px, d, W = rng.dirichlet(np.ones(n)), rng.random((n, m)), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])[rows]
    problem = Problem(px, None if law is None else rng.dirichlet(np.ones(m)), W, d)
    C = math.nextafter(problem.entropy_s_given_x * (1.0 + 1e-15), 1.0)
    near = None if law is None else Perception(law, 0.9 if law == "tv" else 50.0)  # which all laws are
    answer = solve(problem, C=C, units="nats", perception=near)
    least = math.inf
    for kinds in itertools.product(range(3), repeat=m):
        allowed = rows[:, None] == np.array(kinds)
        least = min(least, float(px @ np.where(allowed, d, math.inf).min(axis=1)))
    assert answer.status == "optimal"
    assert answer.lower_bound <= least + 1e-12 and least - 1e-12 <= answer.value <= least + 2e-6


def test_edges_of_a_class_that_x_decides():
    """Parity with C = 0 and R its entropy, all that there is: what Y says of X is its parity, and E d = 1."""
    x = np.arange(4)
    W, d = np.eye(2)[x % 2], np.subtract.outer(x, x) ** 2.0
    answer = solve(Problem(np.full(4, 0.25), None, W, d), R=1.0, C=0.0)
    assert answer.status == "optimal" and answer.excess == 0.0
    assert answer.value == pytest.approx(1.0, abs=1e-12) and answer.lower_bound == pytest.approx(1.0, abs=1e-6)
    one_letter = Problem(np.full(4, 0.25), None, W, d[:, :1])
    assert solve(one_letter, R=1.0, C=0.0, on_failure="return").status == "infeasible"


@pytest.mark.parametrize("kind", ["kl", pytest.param("hellinger", marks=pytest.mark.slow)])
def test_the_least_perception_leaves_a_point(kind):
    """P as small as E d ≤ D allows: the law that attains it is all but the only one, and has a rate."""
    problem = toy([0.1, 0.2, 0.7])
    least = drcopt.min_perception(problem, kind=kind, D=0.05)
    answer = min_rate(problem, D=0.05, perception=(kind, least.value))
    assert answer.status in ("optimal", "feasible") and answer.gap <= 1e-3
    assert answer.distortion <= 0.05 and answer.perception <= least.value


def test_infeasible():
    """What cannot be met is proved, with the least that can."""
    with pytest.raises(drcopt.InfeasibleError, match="C"):
        solve(toy(), R=0.05, C=0.6, classifier_sees="message")
    with pytest.raises(drcopt.InfeasibleError, match="D"):
        min_rate(Problem([0.9, 0.1], [0.1, 0.9], BSC1), D=0.01, perception=("tv", 0.05))


@pytest.mark.parametrize("kind", ["kl", "chi2"])
def test_a_target_with_one_letter_leaves_one_law(kind):
    """Whatever P: Y is that letter, and an error says so where it is too dear."""
    problem = toy([1.0, 0.0, 0.0])
    answer = min_rate(problem, D=0.35, perception=(kind, 0.1))
    assert answer.value == answer.perception == 0.0 and answer.distortion == pytest.approx(0.23)
    with pytest.raises(drcopt.InfeasibleError, match="target has no mass on some letters"):
        min_rate(problem, D=0.05, perception=(kind, 0.1))
    assert drcopt.min_perception(problem, kind=kind, D=0.05, on_failure="return").status == "infeasible"


def test_free_problems():
    """They say so, survive pickling, and are refused where a law is needed."""
    problem = toy()
    assert problem.free and problem.m == 3 and "H(Y)=free" in repr(problem) and "Y free" in problem._repr_html_()
    assert pickle.loads(pickle.dumps(problem)) == problem != toy(TOY[0])
    assert Problem.from_joint([[1, 2], [3, 4]], None).free
    with pytest.raises(InputError, match="py must be given here"):
        Session(problem)
    with pytest.raises(InputError, match="needs formulation='single-letter'"):
        solve(problem, R=0.5, formulation="one-shot", classifier_sees="message")


@pytest.mark.parametrize(
    ("perception", "words"),
    [
        (("tv", -0.1), "perception budget must be nonnegative"),
        (("tv", math.nan), "perception budget must be a number"),
        (("total", 0.1), "perception kind must be one of"),
        ("tv", "perception must be a drcopt.Perception or a pair"),
        (("wasserstein", 0.1), "ground must be given for kind 'wasserstein'"),
    ],
)
def test_bad_perceptions(perception, words):
    with pytest.raises(InputError, match=words):
        solve(toy(TOY[0]), R=0.5, perception=perception)


def test_bad_arguments():
    with pytest.raises(InputError, match="perception must have a target where py is None"):
        solve(toy(), R=0.5, perception=("tv", 0.1))
    with pytest.raises(InputError, match="perception target must have one entry per letter"):
        solve(toy(), R=0.5, perception=Perception("tv", 0.1, target=[0.5, 0.5]))
    with pytest.raises(InputError, match="ground must be square with zeros"):
        Perception("wasserstein", 0.1, ground=[[1.0]])
    with pytest.raises(InputError, match="ground must have one row per letter"):
        solve(toy(TOY[0]), R=0.5, perception=Perception("wasserstein", 0.1, ground=[[0.0]]))
    with pytest.raises(InputError, match="needs engine='auto'"):
        solve(toy(), R=0.5, engine="newton")
    with pytest.raises(InputError, match="classifier_sees"):
        solve(toy(), R=0.5, classifier_sees="YU")
    with pytest.raises(InputError, match="classifier_sees='message' is for"):
        Session(toy(TOY[0]), classifier_sees="message")


def test_exact_targets_are_given_laws():
    """A ball of radius 0 is its target, in an ordinary session."""
    session = session_for(toy(), perception=Perception("kl", 0.0, target=TOY[0]))
    assert isinstance(session, LawSession) and session.problem.py.tolist() == TOY[0]
    assert solve(toy(), R=0.5, perception=Perception("kl", 0.0, target=TOY[0])).engine == "newton"
    assert isinstance(session_for(toy(), perception=Perception("tv", 1.0, target=TOY[0]))._law, Free)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("least", [5e-324, 1e-300, 0.0])
def test_divergences_of_what_the_target_hardly_has(kind: str, least: float) -> None:
    """Warnings are errors here: what is no double is inf."""
    ground = np.array([[0.0, 1.0], [1.0, 0.0]]) if kind == "wasserstein" else None
    near = Near(kind, np.array([least, 1.0]), 0.1, ground, 2.5)
    values = [near.divergence(np.array([q, 1.0 - q])) for q in (0.0, 5e-324, 1e-200, 0.3, 1.0)]
    assert all(v >= 0.0 for v in values) and 1e-12 < values[3] <= values[4]
