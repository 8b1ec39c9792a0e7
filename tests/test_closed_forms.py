"""The closed forms against brute force, against values known in advance, and against what the slides print."""

from __future__ import annotations

import itertools
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import xlogy

from drcopt.closed_forms import ClosedForm, bernoulli
from drcopt.errors import InputError

INF = math.inf

FORMS = [("single-letter", "Y"), ("one-shot", "Y"), ("one-shot", "YU")]


def h(p):
    """Binary entropy in bits."""
    p = np.asarray(p, dtype=float)
    return -(xlogy(p, p) + xlogy(1 - p, 1 - p)) / np.log(2)


def entropies(px, py, p1):
    ps = px + p1 - 2 * px * p1
    return float(h(px)), float(h(ps)), float(h(p1))


def draw(rng):
    """Parameters and budgets, a third of them on a boundary."""

    def number(*special):
        return float(rng.choice(special)) if rng.random() < 0.3 else float(rng.random())

    px = number(0, 0.5, 1)
    py = number(0, 1, px, 1 - px)
    p1 = number(0, 0.5, 1)
    hx, hs, hs_x = entropies(px, py, p1)
    R = float(rng.choice([0.0, hx, INF])) if rng.random() < 0.3 else float(1.2 * hx * rng.random())
    C = float(rng.choice([hs, hs_x, INF])) if rng.random() < 0.3 else hs_x + (hs - hs_x) * (1.4 * rng.random() - 0.2)
    return px, py, p1, R, max(float(C), 0.0)


def exact(px, py, p1, R, C, form):
    return bernoulli.exact(px, py, p1, R, C, formulation=form[0], classifier_sees=form[1])


# --- one-shot, the classifier sees Y and U: a linear program over the four maps -------------------------------


def four_maps(px, py, p1, R, C):
    """c, A_ub, b_ub, A_eq, b_eq over the weights of the maps 0, 1, identity, flip."""
    hx, hs, hs_x = entropies(px, py, p1)
    cost = np.array([px, 1 - px, 0.0, 1.0])
    rate, loss = np.array([0, 0, hx, hx]), np.array([hs, hs, hs_x, hs_x])
    rows, limits = [rate, loss], [min(R, 2.0), min(C, 2.0)]
    return cost, np.array(rows), np.array(limits), np.array([np.ones(4), [0, 1, px, 1 - px]]), np.array([1, py])


def vertices_of_four_maps(px, py, p1, R, C, tol=1e-12):
    """The same program by enumerating its vertices: the least cost, or inf."""
    cost, A, b, E, e = four_maps(px, py, p1, R, C)
    faces, sides = np.vstack([A, -np.eye(4)]), np.concatenate([b, np.zeros(4)])
    best = INF
    for i, j in itertools.combinations(range(6), 2):
        M, rhs = np.vstack([E, faces[[i, j]]]), np.concatenate([e, sides[[i, j]]])
        if abs(np.linalg.det(M)) < 1e-9:
            continue
        w = np.linalg.solve(M, rhs)
        if (faces @ w <= sides + tol).all() and (w > -tol).all():
            best = min(best, float(cost @ w))
    return best


def test_one_shot_with_randomness_is_the_linear_program_over_four_maps():
    rng = np.random.default_rng(20260401)
    seen: dict[str, int] = {}
    for _ in range(1200):
        case = draw(rng)
        ours = exact(*case, ("one-shot", "YU"))
        seen[ours.regime] = seen.get(ours.regime, 0) + 1
        c, A, b, E, e = four_maps(*case)
        lp = linprog(c, A, b, E, e)
        assert lp.status in (0, 2), case
        # HiGHS meets constraints to 1e-7: what it found must lie between our value here and just beyond.
        px, py, p1, R, C = case
        beyond = exact(px, py, p1, R + 1e-6, C + 1e-6, ("one-shot", "YU"))
        value = lp.fun if lp.status == 0 else INF
        assert beyond.distortion - 1e-6 <= value <= ours.distortion + 1e-6, case
    assert min(seen.values()) > 20 and set(seen) == {
        "optimal-transport floor",
        "rate-limited",
        "classification-limited",
        "infeasible",
    }


def test_one_shot_with_randomness_to_rounding():
    rng = np.random.default_rng(7)
    compared = 0
    for _ in range(1500):
        px, py, p1 = rng.uniform(0.02, 0.98, 3)
        if min(abs(px - 0.5), abs(p1 - 0.5)) < 0.02:  # the vertices themselves are ill-conditioned there
            continue
        hx, hs, hs_x = entropies(px, py, p1)
        case = px, py, p1, 1.2 * hx * rng.random(), hs_x + (hs - hs_x) * rng.uniform(-0.05, 1.05)
        ours, value = exact(*case, ("one-shot", "YU")).distortion, vertices_of_four_maps(*case)
        assert ours == pytest.approx(value, abs=1e-10), case
        compared += math.isfinite(value)
    assert compared > 500


# --- the classifier sees Y alone: one parameter a = P(X=1, Y=1) ------------------------------------------------


def curves(px, py, p1, a):
    """I(X;Y) and H(S|Y) in bits for an array of a = P(X=1, Y=1)."""
    joint = np.array([[1 - px - py + a, py - a], [px - a, a]]).clip(0)
    rate = h(px) + h(py) + (xlogy(joint, joint)).sum(axis=(0, 1)) / np.log(2)
    flip = np.array([[1 - p1, p1], [p1, 1 - p1]])
    sy = np.einsum("xs,xya->sya", flip, joint)
    loss = (xlogy(sy.sum(axis=0), sy.sum(axis=0)).sum(axis=0) - xlogy(sy, sy).sum(axis=(0, 1))) / np.log(2)
    return rate.clip(0), loss


def check_against_grid(case, ours, low, high, by_maps=False):
    """ours is feasible, and no point of a fine grid on [low, high] is feasible and better."""
    px, py, p1, R, C = case
    a = np.sort(np.append(np.linspace(low, high, 4001), px * py))
    rate, loss = curves(px, py, p1, a)

    def best(slack):
        inside = (loss <= C + slack) & ((rate <= R + slack) | by_maps)
        return (px + py - 2 * a[inside]).min(initial=INF)

    exactly, nearly = best(0.0), best(1e-13)
    assert ours.distortion <= exactly + 1e-12, case
    if ours.feasible:
        rate, loss = curves(px, py, p1, np.array([ours.parameter]))
        assert loss[0] <= C + 1e-13 and low - 1e-12 <= ours.parameter <= high + 1e-12, case
        if not by_maps:
            assert rate[0] <= R + 2e-15, case
        assert ours.distortion == pytest.approx(px + py - 2 * ours.parameter, abs=1e-15)
        if ours.regime != "label-flipped":
            assert nearly - ours.distortion <= 2 * (high - low) / 4000 + 1e-12, case
        else:  # a feasible set shorter than a step may fall between: look just beyond the reported a instead
            assert curves(px, py, p1, np.array([ours.parameter + 1e-9]))[1][0] > C - 1e-13, case


def test_single_letter_against_a_dense_grid():
    rng = np.random.default_rng(11)
    seen: dict[str, int] = {}
    for _ in range(1500):
        case = draw(rng)
        px, py = case[:2]
        ours = exact(*case, ("single-letter", "Y"))
        seen[ours.regime] = seen.get(ours.regime, 0) + 1
        check_against_grid(case, ours, max(0.0, px + py - 1), min(px, py))
    assert min(seen.values()) > 10 and len(seen) == 4


def test_one_shot_against_a_grid_within_what_the_four_maps_reach():
    rng = np.random.default_rng(12)
    seen: dict[str, int] = {}
    for _ in range(400):
        case = draw(rng)
        px, py, p1, R, C = case
        cost, A, b, E, e = four_maps(px, py, p1, R, INF)
        ends = [linprog(sign * cost, A[:1], b[:1], E, e).fun * sign for sign in (1, -1)]
        ours = exact(*case, ("one-shot", "Y"))
        seen[ours.regime] = seen.get(ours.regime, 0) + 1
        high, low = ((px + py - d) / 2 for d in ends)
        check_against_grid(case, ours, low, high, by_maps=True)
    assert min(seen.values()) > 3 and len(seen) == 4


@pytest.mark.parametrize("p", [0.5, 0.3, 1e-3])
def test_small_rates_keep_their_digits(p):
    # With px = py, I = s²/2 + O(s³) nats in the slope s, and D falls by 2 px(1−px) s.
    for R in (1e-30, 1e-20, 1e-12):
        drop = 2 * p * (1 - p) - bernoulli.exact(p, p, 0.1, R, None, units="nats").distortion
        # The cubic term bends the root by a relative O(s/p).
        assert drop == pytest.approx(2 * p * (1 - p) * math.sqrt(2 * R), abs=2e-16, rel=math.sqrt(R) / p)


def test_symmetric_single_letter_is_the_binary_rate_distortion_function():
    for D in np.linspace(0.0, 0.5, 41):
        R = 1 - float(h(D))
        assert float(bernoulli.exact(0.5, 0.5, 0.2, R, None)) == pytest.approx(D, abs=1e-12 + 4e-9 * (R < 1e-15))


# --- values known in advance -----------------------------------------------------------------------------------

RATES = (0.05, 0.1, 0.25, 0.5, 0.75)


@pytest.mark.parametrize(
    ("px", "py", "values"),
    [
        (0.5, 0.5, (0.369127748985, 0.316019346324, 0.214501744860, 0.110027864438, 0.041692690274)),
        (0.3, 0.3, (0.307233677896, 0.260362354673, 0.169946421675, 0.077101441689, 0.018630891387)),
        (0.3, 0.4, (0.341203887204, 0.292671345928, 0.200585833896, 0.111787009342, 0.1)),
    ],
)
def test_single_letter_values(px, py, values):
    for R, D in zip(RATES, values, strict=True):
        assert float(bernoulli.exact(px, py, 0.1, R, None)) == pytest.approx(D, abs=1e-12)


def test_one_shot_values():
    with_u = exact(0.3, 0.4, 0.1, 0.5, 0.8, ("one-shot", "YU"))
    flipped = exact(0.3, 0.4, 0.1, 0.5, 0.8, ("one-shot", "Y"))
    assert float(with_u) == pytest.approx(0.22171319, abs=5e-9)
    assert float(flipped) == pytest.approx(0.68990715, abs=5e-9) and flipped.regime == "label-flipped"
    assert float(exact(0.3, 0.4, 0.1, 0.8, 0.99, ("one-shot", "YU"))) == pytest.approx(0.1, abs=1e-15)


def test_classification_alone_can_cost_distortion_one_shot():
    # py > px: a budget beyond the floor's H(S|Y,U) forces flips.
    hx, hs, hs_x = entropies(0.3, 0.6, 0.1)
    turn = 0.4 / 0.7
    at = lambda tau: exact(0.3, 0.6, 0.1, None, hs - tau * (hs - hs_x), ("one-shot", "YU"))  # noqa: E731
    assert at(turn - 0.01).regime == "optimal-transport floor" and float(at(turn - 0.01)) == pytest.approx(0.3)
    dearer = at(turn + 0.1)
    assert dearer.regime == "classification-limited"
    assert dearer.parameter == pytest.approx(turn + 0.1)
    assert float(dearer) == pytest.approx(0.3 + 0.42 * 0.1 / 0.4)


# --- the printed formula ---------------------------------------------------------------------------------------


def test_printed_bernoulli_at_the_slides_own_example():
    at = lambda R: float(bernoulli.as_printed(0.3, 0.25, 0.2, R, 0.8))  # noqa: E731
    assert [round(at(R), 4) for R in (0.0, 0.3, 0.5898, 0.9, 1.0)] == [0.1189, 0.1189, 0.1189, -0.0289, -0.0766]
    assert at(0.7343) > 0.05 > at(0.7344 + 5e-5)
    # No coding scheme meets C = 0.8 below R = 0.59, and none has a distortion below 0.05.
    assert not exact(0.3, 0.25, 0.2, 0.5898, 0.8, ("one-shot", "YU")).feasible
    assert float(exact(0.3, 0.25, 0.2, 0.9, 0.8, ("one-shot", "YU"))) == pytest.approx(0.05)


def test_printed_bernoulli_elsewhere():
    assert float(bernoulli.as_printed(0.3, 0.4, 0.1, 0.8, 0.99)) == pytest.approx(0.07874110, abs=5e-9)
    tight, loose = (float(bernoulli.as_printed(0.3, 0.25, 0.2, 0.3, C)) for C in (0.75, 0.85))
    assert tight < loose  # asking for more classification lowers the printed distortion
    assert bernoulli.as_printed(0.3, 0.25, 0.2, 0.3, 0.75).regime == "classification-limited"
    assert bernoulli.as_printed(0.3, 0.25, 0.2, 0.3, None).regime == "rate-limited"
    assert bernoulli.as_printed(0.3, 0.25, 0.2, 1.0, None).parameter > 1
    assert not bernoulli.as_printed(0.3, 0.25, 0.2, 0.3, 0.7).feasible  # C < H(S|X) = h(0.2)
    assert float(bernoulli.as_printed(0.3, 0.25, 0.2, None, None)) == -INF
    # S independent of X: the classification term is 0/0 and the rate decides.
    assert float(bernoulli.as_printed(0.3, 0.25, 0.5, 0.0, 1.0)) == pytest.approx(0.4)


def test_printed_bernoulli_is_right_where_it_is_right():
    """Where C ≥ H(S) and R ≤ H(X) min(1, py/px) and py ≤ px, the printed formula is the optimum."""
    rng = np.random.default_rng(3)
    for _ in range(100):
        px, p1 = 0.5 * rng.random(2)
        py = px * rng.random()
        R = float(h(px)) * rng.random() * py / px
        true = exact(px, py, p1, R, None, ("one-shot", "YU"))
        assert float(bernoulli.as_printed(px, py, p1, R, None)) == pytest.approx(float(true), abs=1e-14)


# --- properties ------------------------------------------------------------------------------------------------

unit = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0.0, 1.0, allow_subnormal=False))


budget = st.one_of(st.sampled_from([0.0, 1.0, INF]), st.floats(0.0, 1.2))


form = st.sampled_from(FORMS)


budget_properties = settings(derandomize=True, deadline=None, max_examples=300)


@budget_properties
@given(unit, unit, unit, budget, budget, budget, form)
def test_monotone_in_R(px, py, p1, R, more, C, form):
    """R ≤ R' implies D(R', C) ≤ D(R, C)."""
    less, more = sorted((R, more))
    assert exact(px, py, p1, more, C, form).distortion <= exact(px, py, p1, less, C, form).distortion + 1e-14


@budget_properties
@given(unit, unit, unit, budget, budget, budget, form)
def test_monotone_in_C(px, py, p1, R, C, more, form):
    """C ≤ C' implies D(R, C') ≤ D(R, C)."""
    less, more = sorted((C, more))
    assert exact(px, py, p1, R, more, form).distortion <= exact(px, py, p1, R, less, form).distortion + 1e-14


@budget_properties
@given(unit, unit, unit, budget, budget)
def test_order_of_the_problems(px, py, p1, R, C):
    """single-letter ≤ one-shot with Y, and one-shot with (Y,U) ≤ one-shot with Y."""
    single, seen, with_u = (exact(px, py, p1, R, C, form).distortion for form in FORMS)
    assert single <= seen + 1e-12 and with_u <= seen + 1e-12


@budget_properties
@given(unit, unit, unit, budget, st.one_of(st.just(INF), st.floats(0.0, 1.2)), form)
def test_relabelling(px, py, p1, R, C, form):
    """Relabelling X and Y alike, or S alone, changes nothing; 1 − px rounds, so R and C give way a little."""
    wide = exact(px, py, p1, R + 1e-9, C + 1e-9, form).distortion
    tight = exact(px, py, p1, max(R - 1e-9, 0.0), max(C - 1e-9, 0.0), form).distortion
    for other in (exact(1 - px, 1 - py, p1, R, C, form), exact(px, py, 1 - p1, R, C, form)):
        assert wide - 1e-9 <= other.distortion <= tight + 1e-9


@budget_properties
@given(unit, unit, unit, budget, budget, form)
def test_bounds_and_fields(px, py, p1, R, C, form):
    """|px − py| ≤ D ≤ 1, inf exactly where infeasible; bits and nats agree."""
    ours = exact(px, py, p1, R, C, form)
    assert float(ours) == ours.distortion
    assert ours.feasible == math.isfinite(ours.distortion) == (not math.isnan(ours.parameter))
    assert (ours.regime == "infeasible") == (not ours.feasible)
    if ours.feasible:
        assert abs(px - py) <= ours.distortion <= 1.0
    nats = bernoulli.exact(
        px, py, p1, R * math.log(2), C * math.log(2), formulation=form[0], classifier_sees=form[1], units="nats"
    )
    assert nats == ours


# --- degenerate and boundary cases ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("px", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("py", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("p1", [0.0, 0.2, 0.5, 1.0])
def test_ends(px, py, p1, form):
    hx, hs, hs_x = entropies(px, py, p1)
    independent = px * (1 - py) + py * (1 - px)
    # R = 0: X and Y independent, feasible iff C ≥ H(S).
    assert float(exact(px, py, p1, 0.0, hs, form)) == pytest.approx(independent, abs=1e-15)
    if hs > 0:
        assert not exact(px, py, p1, 0.0, hs * (1 - 1e-9), form).feasible
    # No budgets: optimal transport.
    assert exact(px, py, p1, None, None, form).regime == "optimal-transport floor"
    assert float(exact(px, py, p1, None, INF, form)) == pytest.approx(abs(px - py), abs=1e-15)
    # C = H(S|X) with every rate: Y must be X or its flip (given U), unless X is constant or says nothing of S.
    lossless = exact(px, py, p1, None, hs_x, form).feasible
    silent = p1 == 0.5 or px in (0.0, 1.0)
    between = form[1] == "YU" and min(px, 1 - px) <= py <= max(px, 1 - px)
    assert lossless == (silent or py in (px, 1 - px) or between)
    if hs_x > 0:
        assert not exact(px, px, p1, None, hs_x * (1 - 1e-9), form).feasible


def test_lossless_at_the_corner():
    for px in (0.1, 0.5, 0.7):
        hx, _, hs_x = entropies(px, px, 0.2)
        for form in FORMS:
            corner = exact(px, px, 0.2, hx, hs_x, form)
            assert corner.regime == "optimal-transport floor" and corner.distortion == 0.0


def test_tiny_masses():
    for tiny in (1e-12, 1e-100, 1e-300):
        for px, py in ((tiny, 0.3), (0.3, tiny), (tiny, tiny), (1 - 1e-16, 0.3)):
            for R, C in ((0.1, None), (0.5, 0.5), (tiny, 1.0), (None, 1e-3)):
                for form in FORMS:
                    value = exact(px, py, 0.1, R, C, form).distortion
                    assert abs(px - py) <= value <= 1 or value == INF


@pytest.mark.parametrize("call", [bernoulli.exact, bernoulli.as_printed])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.2, 0.4, 0.1, 1, 1), r"px must be a probability in \[0, 1\]; it is 1\.2\. Pass P\(X = 1\)"),
        ((0.3, -0.1, 0.1, 1, 1), r"py must be a probability in \[0, 1\]; it is -0\.1\. Pass P\(Y = 1\)"),
        ((0.3, 0.4, 7, 1, 1), r"p1 must be a probability in \[0, 1\]; it is 7\. Pass P\(S1 = 1\)"),
        ((math.nan, 0.4, 0.1, 1, 1), r"px must be a number; it is nan\. Pass P\(X = 1\)"),
        (("0.3", 0.4, 0.1, 1, 1), r"px must be a number; it is '0\.3'"),
        ((0.3, 0.4, 0.1, -1, 1), r"R must be nonnegative; it is -1\."),
        ((0.3, 0.4, 0.1, 1, -0.5), r"C must be nonnegative; it is -0\.5\."),
    ],
)
def test_bernoulli_messages(call, arguments, message):
    with pytest.raises(InputError, match=message):
        call(*arguments)


def test_bernoulli_setting_messages():
    with pytest.raises(InputError, match=r"formulation must be one of 'single-letter', 'one-shot'; it is 'asymptotic'"):
        bernoulli.exact(0.3, 0.4, 0.1, 1, 1, formulation="asymptotic")
    with pytest.raises(InputError, match=r"classifier_sees must be 'Y' in the single-letter formulation.*'YU'\. Pass"):
        bernoulli.exact(0.3, 0.4, 0.1, 1, 1, classifier_sees="YU")
    with pytest.raises(InputError, match="units must be one of"):
        bernoulli.exact(0.3, 0.4, 0.1, 1, 1, units="bytes")
    with pytest.raises(InputError, match=r"px must be strictly between 0 and 1.*it is 1\. Use bernoulli\.exact"):
        bernoulli.as_printed(1, 0.4, 0.1, 1, 1)


def test_a_result_is_frozen_and_comparable():
    result = bernoulli.exact(0.3, 0.4, 0.1, 0.0, 0.1)
    assert result == bernoulli.exact(0.3, 0.4, 0.1, 0.0, 0.1) and isinstance(result, ClosedForm)
    assert result.regime == "infeasible" and "infeasible unless" in result.formula
    with pytest.raises(FrozenInstanceError):
        result.distortion = 0.0
