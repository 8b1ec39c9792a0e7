"""R(D) and the information bottleneck by name, against values in 12 digits; and couplings of least entropy."""

import math

import numpy as np
import pandas as pd
import pytest

import drcopt
from drcopt import InfeasibleError, InputError, Problem, information_bottleneck, rate_distortion

UNIFORM4, UNIFORM3 = np.full(4, 0.25), np.full(3, 1 / 3)
BSC1, BSC2 = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.8, 0.2], [0.2, 0.8]])


@pytest.mark.parametrize(
    ("px", "budget", "value"),
    [
        ([0.7, 0.3], {"D": 0.05}, 0.594893942115),
        ([0.7, 0.3], {"D": 0.2}, 0.159362804343),
        ([0.5, 0.5], {"D": 0.05}, 0.713603042884),
        ([0.5, 0.5], {"D": 0.1}, 0.531004406411),
        ([0.7, 0.3], {"R": 0.1}, 0.231889666035),
        ([0.7, 0.3], {"R": 0.5}, 0.074168591373),
        ([0.7, 0.3], {"R": 0.75}, 0.018213862443),
        (UNIFORM4, {"D": 0.1}, 1.372508156339),
        (UNIFORM4, {"D": 0.25}, 0.792481250361),
        (UNIFORM4, {"D": 0.5}, 0.207518749639),
        (UNIFORM3, {"D": 0.2}, 0.663034405834),
        (UNIFORM3, {"D": 0.4}, 0.214011906266),
    ],
)
def test_rate_distortion(px, budget, value):
    answer = rate_distortion(px, **budget, tol=1e-9)
    assert answer.status == "optimal" and answer.objective == ("rate" if "D" in budget else "distortion")
    assert answer.lower_bound <= value + 1e-11 and answer.value >= value - 1e-11
    assert answer.value == pytest.approx(value, abs=2e-9)


@pytest.mark.parametrize(
    ("p", "W", "R", "value"),
    [
        (0.5, BSC1, 0.5, 0.697315865270),
        (0.5, BSC1, 0.25, 0.843753164705),
        (0.7, BSC2, 0.25, 0.875400581828),
        (0.7, BSC2, 0.5, 0.802445756537),
    ],
)
def test_information_bottleneck(p, W, R, value):
    """Both ways, and as the loss of couplings on n + 1 letters without distortion."""
    pxs = np.array([[p], [1 - p]]) * W
    answer = information_bottleneck(pxs, R=R, tol=1e-7)
    assert answer.status == "optimal" and answer.lower_bound <= value + 1e-10
    assert answer.value == pytest.approx(value, abs=2e-7) and answer.rate <= R
    assert np.abs(answer.coupling.sum(axis=1) - pxs.sum(axis=1)).max() < 1e-15
    assert answer.problem.rate(answer.coupling) / math.log(2) == pytest.approx(answer.rate)
    assert answer.problem.classification_loss(answer.coupling) / math.log(2) == pytest.approx(answer.value)
    back = information_bottleneck(pxs, C=value, tol=1e-7)
    assert back.status == "optimal" and back.value == pytest.approx(R, abs=1e-6)


def test_couplings_without_distortion_are_a_bottleneck():
    """What the message does n + 1 letters of Y do."""
    free = Problem.from_joint([[0.45, 0.05], [0.05, 0.45]], None, d=np.zeros((2, 3)))
    loss = drcopt.min_classification_loss(free, R=0.5, tol=1e-4)
    assert loss.status == "optimal" and loss.value == pytest.approx(0.697315865270, abs=1e-4)


def test_a_bottleneck_with_known_atoms():
    """A corner of the curve: I(X;T) = .8 and I(S;T) = .4 bits, p(x|t) = (.8, .2, 0) and (0, .2, .8)."""
    table = pd.DataFrame([[1, 0, 1], [0, 0, 1], [0, 1, 1]], index=list("abc"), columns=list("uvw"))
    answer = information_bottleneck(table, R=0.8, tol=1e-7)
    entropy = drcopt.information.entropy(np.array([0.2, 0.2, 0.6])) / math.log(2)
    assert entropy - answer.value == pytest.approx(0.4, abs=1e-7)
    heavy = answer.message.posteriors[answer.message.weights > 1e-3].round(2)
    assert np.unique(heavy, axis=0).tolist() == [[0.0, 0.2, 0.8], [0.8, 0.2, 0.0]]
    assert answer.frame("channel").index.tolist() == ["a", "b", "c"] and answer.accuracy == pytest.approx(0.6)


def test_refusals():
    for call in (lambda **k: rate_distortion([0.7, 0.3], **k), lambda **k: information_bottleneck(BSC1, **k)):
        with pytest.raises(InputError, match="must be given; none is"):
            call()
    with pytest.raises(InputError, match="one of R and D must be given; both are"):
        rate_distortion([0.7, 0.3], R=0.5, D=0.1)
    with pytest.raises(InputError, match="one of R and C must be given; both are"):
        information_bottleneck(BSC1, R=0.5, C=0.1)
    with pytest.raises(InputError, match="px"):
        rate_distortion([0.7, 0.7], R=0.5)
    with pytest.raises(InputError, match="d must have shape"):
        rate_distortion([0.7, 0.3], np.ones((3, 2)), R=0.5)
    with pytest.raises(InputError, match="pxs"):
        information_bottleneck([0.7, 0.3], R=0.5)
    with pytest.raises(InfeasibleError, match=r"C = 0\.1 bits cannot be met"):
        information_bottleneck(BSC1, C=0.1)
    with pytest.raises(InfeasibleError, match=r"D = 0\.1 cannot be met"):
        rate_distortion([0.7, 0.3], [[1, 2], [1, 1]], D=0.1)


def test_a_coupling_of_least_entropy():
    """With S = X the least H(S|Y) = H(X,Y) − H(Y): for two laws of three letters that is known, an NP-hard problem."""
    problem = Problem([0.5, 0.4, 0.1], [0.6, 0.2, 0.2], np.eye(3))
    joint = drcopt.min_classification_loss(problem)
    entropy = problem.entropy_y / math.log(2)
    assert joint.status == "optimal" and joint.value + entropy == pytest.approx(1.760964, abs=1e-6)
    assert drcopt.information.entropy(joint.coupling.ravel()) / math.log(2) == pytest.approx(1.760964, abs=1e-6)
    assert joint.lower_bound + entropy > 1.760963
