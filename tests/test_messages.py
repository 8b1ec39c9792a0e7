"""Message, time-sharing and single-letter: in this order, and each step can be strict."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import rel_entr

from drcopt import InfeasibleError, Problem, min_classification_loss, solve

#: Three letters of X, two of Y, any law: the three values differ.
PX = [0.33120058, 0.47625923, 0.19254019]
W = [[0.56220846, 0.43779154], [0.44129478, 0.55870522], [0.33436821, 0.66563179]]
D = [[0.29971189, 0.42268722], [0.02831967, 0.12428328], [0.67062441, 0.64718951]]
BUDGETS = {"R": 0.518237, "C": 0.681659, "units": "nats"}


def time_sharing(problem, R, C, steps):
    """An upper bound on time-sharing with a free law: the linear program over mixtures of the channels on a grid."""
    a = np.array(list(itertools.product(np.linspace(0, 1, steps), repeat=problem.n)))
    P = problem.px[:, None] * np.stack([a, 1 - a], axis=2)
    q, T = P.sum(axis=1), np.einsum("xs,axy->asy", problem.ps_given_x, P)
    rate = rel_entr(P, problem.px[:, None] * q[:, None, :]).sum(axis=(1, 2))
    loss = -rel_entr(T, np.broadcast_to(q[:, None, :], T.shape)).sum(axis=(1, 2))
    cost = (P * problem.d).sum(axis=(1, 2))
    answer = linprog(cost, A_ub=[rate, loss], b_ub=[R, C], A_eq=np.ones((1, len(cost))), b_eq=[1.0])
    return float(answer.fun)


def test_the_three_can_differ():
    problem = Problem(PX, None, W, D)
    message = solve(problem, **BUDGETS, classifier_sees="message")
    single = solve(problem, **BUDGETS, tol=1e-3, on_failure="return")
    shared = time_sharing(problem, BUDGETS["R"], BUDGETS["C"], 41)
    assert message.status == "optimal" and message.value == pytest.approx(0.237466, abs=1e-6)
    assert message.value + 0.01 < shared == pytest.approx(0.2493, abs=2e-4)
    assert shared + 0.02 < single.lower_bound <= 0.274568


def test_with_a_given_law():
    """The price of a classifier that reads the letter alone, with proofs of both."""
    d = [[0, 1, 0.6], [0.7, 0, 0.2], [0.1, 0.8, 0]]
    problem = Problem([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], d)
    message = solve(problem, R=0.3, C=0.87, classifier_sees="message")
    single = solve(problem, R=0.3, C=0.87, tol=1e-4)
    assert message.status == single.status == "optimal"
    assert message.value == pytest.approx(0.295945, abs=2e-6) and message.value + 0.011 < single.lower_bound


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_in_order(seed):
    """For a given law, at budgets that a random coupling meets."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 4))
    px, py = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
    problem = Problem(px, py, rng.dirichlet(np.ones(2), size=n), rng.random((n, n)))
    some = solve(problem, R=float(rng.uniform(0.2, 0.8)) * problem.entropy_x, units="nats")
    edge = min_classification_loss(problem, R=some.rate, units="nats")
    share = float(rng.uniform(0.3, 0.9))
    C = share * edge.classification_loss + (1 - share) * some.classification_loss
    how = {"R": some.rate, "C": C, "units": "nats", "tol": 1e-4, "time_limit": 5.0, "on_failure": "return"}
    single, shared = solve(problem, **how), solve(problem, **how, formulation="time-sharing")
    message = solve(problem, **how, classifier_sees="message")
    assert message.lower_bound <= shared.value + 1e-9 and shared.lower_bound <= single.value + 1e-9
    for answer in (single, shared, message):
        assert answer.lower_bound <= answer.value or math.isnan(answer.value)
    if {single.status, shared.status, message.status} == {"optimal"}:
        size = 2e-4 * problem.d.max()
        assert message.value <= shared.value + size and shared.value <= single.value + size


def test_one_letter_of_y_says_nothing_and_its_message_all():
    """With one letter no coupling meets C < H(S); the message may say what Y does not."""
    problem = Problem([0.5, 0.5], None, [[0.9, 0.1], [0.1, 0.9]], [[1.0], [2.0]])
    with pytest.raises(InfeasibleError, match="C = "):
        solve(problem, R=0.5, C=0.8)
    message = solve(problem, R=0.5, C=0.8, classifier_sees="message")
    assert message.status == "optimal" and message.distortion == pytest.approx(1.5)
    assert message.classification_loss <= 0.8 and len(message.message.weights) > 1
