"""The one-shot engine and its bounds, each against brute force over all maps or all sets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from codes import Enumeration, ask, every_map, random_problem
from scipy.optimize import linprog

from drcopt import InputError, Problem, information, solve, sources
from drcopt.bounds.cells import CellDual
from drcopt.bounds.maps import MapPricing, MapSplit, MapTree
from drcopt.bounds.subsets import subset_sums
from drcopt.certify.certificate import best_bound, certify
from drcopt.closed_forms import bernoulli
from drcopt.engines.base import Limits
from drcopt.engines.best_map import best_map
from drcopt.engines.columns import Columns, Master
from drcopt.engines.one_shot import OneShotEngine
from drcopt.formulations import OneShot
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions import CLASSIFICATION_LOSS, ROUNDING
from drcopt.support import clock

BIT = math.log(2.0)


class TestAgainstClosedForms:
    @pytest.mark.parametrize(("sees", "draws"), [("YU", 150), ("Y", 75)])
    def test_bernoulli(self, sees: str, draws: int) -> None:
        """Also where letters have next to no mass, labels no noise or nothing but, and rates are tiny."""
        rng = np.random.default_rng(1)
        statuses: dict[str, int] = {}
        for i in range(draws):
            px, py, p1 = rng.random(3)
            px = 10 ** rng.uniform(-8, -1) if i % 5 == 0 else px
            py = 10 ** rng.uniform(-8, -1) if i % 5 == 1 else py
            p1 = rng.choice([0.0, 0.5, 1e-9, 1e-4]) if i % 5 == 2 else p1
            problem = sources.bernoulli(px, py, p1)
            R = rng.uniform() if i % 3 else 10 ** rng.uniform(-7, 0)
            C = problem.entropy_s / BIT * (1 - 10 ** rng.uniform(-5, 0)) if i % 2 else rng.uniform()
            exact = bernoulli.exact(px, py, p1, R, C, formulation="one-shot", classifier_sees=sees)
            answer = solve(
                problem, R=R, C=C, formulation="one-shot", classifier_sees=sees, tol=1e-7, on_failure="return"
            )
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            assert answer.status == ("optimal" if exact.feasible else "infeasible"), (px, py, p1, R, C)
            if exact.feasible:
                assert answer.distortion == pytest.approx(exact.distortion, abs=2e-7)
                assert answer.lower_bound <= exact.distortion + 1e-12
        assert min(statuses.values()) > 10


class TestAgainstEnumeration:
    @pytest.mark.parametrize(("n", "m", "k"), [(3, 3, 2), (4, 3, 3), (5, 3, 2), (4, 4, 2), (6, 3, 2), (6, 4, 2)])
    def test_linear_program(self, n: int, m: int, k: int) -> None:
        for seed, classes in enumerate(("random", "certain", "useless")):
            problem = random_problem(seed, n, m, k, classes)
            every = Enumeration(problem)
            for share in (0.05, 0.4, 0.9):
                R = share * problem.entropy_y
                edge = every.least(every.loss, R, math.inf)
                budgets = [math.inf, edge + 0.2 * (problem.entropy_s - edge)]
                for C in budgets + [0.999 * edge - 1e-6] * (edge > 1e-5):
                    question = OneShot(problem, R, C, "YU")
                    proposal = ask(question)
                    certificate = certify(question, proposal.parts, *proposal.evidence)
                    if C < edge - 1e-9:
                        assert certificate.infeasible
                        assert certificate.least(CLASSIFICATION_LOSS) == pytest.approx(edge, abs=1e-9)
                        continue
                    value = every.least(every.cost, R, C)
                    assert certificate.upper == pytest.approx(value, abs=1e-9)
                    assert certificate.lower == pytest.approx(value, abs=1e-9)
                    assert certificate.lower <= value + 1e-12
                    assert proposal.stats["maps"] <= m + 2

    def test_least_loss(self) -> None:
        problem = random_problem(3, 5, 3)
        every = Enumeration(problem)
        R = 0.5 * problem.entropy_y
        found = {}
        for sees in ("YU", "Y"):
            question = OneShot(problem, R, math.inf, sees, objective=CLASSIFICATION_LOSS)
            proposal = OneShotEngine().propose(question, Limits(1e-7))
            assert proposal.parts is not None
            found[sees] = question.classification_loss(proposal.parts)
            assert best_bound(question, proposal.evidence) == pytest.approx(found[sees], abs=2e-7)
        assert found["YU"] == pytest.approx(every.least(every.loss, R, math.inf), abs=1e-9)
        assert found["YU"] <= found["Y"]

    @pytest.mark.parametrize(("n", "m", "k"), [(3, 3, 2), (4, 3, 2), (3, 3, 3)])
    def test_y_is_met_by_no_better_mixture(self, n: int, m: int, k: int) -> None:
        """H(S|Y) ≤ C: random mixtures that meet the budgets are above the bound, and so is the classifier of Y, U."""
        problem = random_problem(7, n, m, k)
        every, rng = Enumeration(problem), np.random.default_rng(0)
        joint = np.array([(problem.ps_given_x.T @ map_coupling(problem, f)).T for f in every.maps])
        R = 0.7 * problem.entropy_y
        question = OneShot(problem, R, math.inf, "Y", objective=CLASSIFICATION_LOSS)
        lowest = OneShotEngine().propose(question, Limits(1e-6))
        assert lowest.parts is not None
        edge = OneShot(problem, R, math.inf, "Y").classification_loss(lowest.parts)
        question = OneShot(problem, R, 0.5 * (edge + problem.entropy_s), "Y")
        proposal = ask(question, tol=1e-7, seconds=math.inf)
        certificate = certify(question, proposal.parts, *proposal.evidence)
        assert certificate.upper - certificate.lower <= 1e-7
        met = 0
        for _ in range(100):
            answer = linprog(
                every.cost + rng.normal(size=len(every.cost)) * rng.choice([0.02, 0.2, 2.0]),
                A_ub=[every.rate],
                b_ub=[R],
                A_eq=every.masses.T,
                b_eq=problem.py,
            )
            T = np.tensordot(answer.x, joint, axes=1)
            if information.conditional_entropy(T.T) <= question.classification_budget:
                met += 1
                assert every.cost @ answer.x >= certificate.lower - 1e-9
        assert met > 5
        both = ask(OneShot(problem, R, question.classification_budget, "YU"))
        assert both.parts is not None
        assert (problem.d * question.coupling(both.parts)).sum() <= certificate.upper + 1e-9


class TestEnds:
    @pytest.mark.parametrize("sees", ["Y", "YU"])
    @pytest.mark.parametrize(("n", "m"), [(4, 3), (1, 3), (3, 1), (30, 20)])
    def test_no_budgets_is_optimal_transport(self, n: int, m: int, sees: str) -> None:
        problem = random_problem(1, n, m)
        proposal = ask(question := OneShot(problem, math.inf, math.inf, sees))
        rows, columns = np.kron(np.eye(n), np.ones(m)), np.tile(np.eye(m), n)
        transport = linprog(
            problem.d.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([problem.px, problem.py])
        )
        certificate = certify(question, proposal.parts, *proposal.evidence)
        assert certificate.upper == pytest.approx(transport.fun, abs=1e-9)
        assert certificate.lower == pytest.approx(transport.fun, abs=1e-9)
        assert proposal.stats["maps"] <= m

    @pytest.mark.parametrize("sees", ["Y", "YU"])
    def test_no_rate_is_independence(self, sees: str) -> None:
        problem = random_problem(2, 5, 4)
        for R in (0.0, 1e-12):
            proposal = ask(question := OneShot(problem, R, math.inf, sees))
            certificate = certify(question, proposal.parts, *proposal.evidence)
            independent = problem.distortion(problem.independent)
            assert certificate.upper == pytest.approx(independent, abs=1e-10)
            assert certificate.lower == pytest.approx(independent, abs=1e-10)
            proposal = ask(question := OneShot(problem, R, 0.99 * problem.entropy_s, sees))
            assert certify(question, proposal.parts, *proposal.evidence).infeasible

    def test_late(self) -> None:
        """Past the deadline there is still a bound, and what is proposed still counts."""
        problem = random_problem(5, 6, 6)
        for C in (math.inf, 0.9 * problem.entropy_s):
            for sees in ("Y", "YU"):
                question = OneShot(problem, 0.4 * problem.entropy_y, C, sees)
                proposal = OneShotEngine().propose(question, Limits(1e-9, clock.now() - 1.0))
                best = ask(question, tol=1e-6)
                value = certify(question, best.parts, *best.evidence).upper
                assert proposal.evidence
                assert -math.inf < best_bound(question, proposal.evidence) <= value + 1e-12

    def test_warm_start_changes_nothing(self) -> None:
        problem = random_problem(6, 6, 5)
        question = OneShot(problem, 0.4 * problem.entropy_y, 0.95 * problem.entropy_s, "YU")
        first = ask(question)
        again = OneShotEngine().propose(question, Limits(1e-10), first.warm)
        odd = OneShotEngine().propose(question, Limits(1e-10), {"maps": np.full((2, 3), 99.0)})
        values = [(problem.d * question.coupling(p.parts or ())).sum() for p in (first, again, odd)]
        assert values == pytest.approx([values[0]] * 3, abs=1e-10)
        assert again.stats["pricings"] <= first.stats["pricings"]

    def test_multipliers_are_slopes(self) -> None:
        problem = random_problem(8, 5, 4)
        every = Enumeration(problem)
        R = 0.45 * problem.entropy_y
        edge = every.least(every.loss, R, math.inf)
        C = 0.5 * (edge + problem.entropy_s)
        proposal, h = ask(OneShot(problem, R, C, "YU")), 1e-5
        by_rate = (every.least(every.cost, R - h, C) - every.least(every.cost, R + h, C)) / (2 * h)
        by_loss = (every.least(every.cost, R, C - h) - every.least(every.cost, R, C + h)) / (2 * h)
        assert proposal.rate_multiplier == pytest.approx(by_rate, abs=1e-5)
        assert proposal.classification_multiplier == pytest.approx(by_loss, abs=1e-5)


class TestLargeAlphabets:
    def test_cells_bound_from_below(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The relaxation used where the exact pricing is out of reach, where it is not."""
        for seed, sees in itertools.product(range(3), ("Y", "YU")):
            problem = random_problem(seed, 5, 4)
            question = OneShot(problem, 0.4 * problem.entropy_y, 0.97 * problem.entropy_s, sees)
            exact = ask(question, tol=1e-7)
            truth = certify(question, exact.parts, *exact.evidence)
            with monkeypatch.context() as patch:
                patch.setattr("drcopt.bounds.maps.WORK_LIMIT", 0.0)
                rough = ask(question)
                # Evaluated where maps cannot be enumerated either.
                found = certify(question, rough.parts, *rough.evidence)
            assert not (found.infeasible and truth.parts)
            assert found.lower <= truth.upper + 1e-12
            if truth.parts:
                assert found.lower > truth.upper - 0.1

    @pytest.mark.slow
    def test_twenty_letters(self) -> None:
        problem = random_problem(0, 20, 20)
        for sees in ("Y", "YU"):
            question = OneShot(problem, 0.5 * problem.entropy_y, 0.95 * problem.entropy_s, sees)
            proposal = ask(question, tol=1e-6, seconds=10.0)
            certificate = certify(question, proposal.parts, *proposal.evidence)
            assert certificate.parts is not None
            assert 0 <= certificate.upper - certificate.lower < 0.1
            assert any(isinstance(one, CellDual) for one in proposal.evidence)
            assert not any(isinstance(one, MapTree) and isinstance(one.root, MapSplit) for one in proposal.evidence)


def test_a_letter_that_gets_no_mass() -> None:
    """Of 5e-150 a linear program's weights leave nothing, and the posterior of nothing is the prior's."""
    channel = [[0.971631920269003, 0.028368079730996875], [0.16392630867560212, 0.8360736913243979]]
    problem = Problem([0.9999999999984627, 1.5373931240628334e-12], [5.366250726138736e-150, 1.0], channel)
    answer = solve(
        problem, R=6.710747886527841e-148, C=0.12902286675621727, units="nats", formulation="one-shot",
        on_failure="return",
    )  # fmt: skip
    assert answer.status == "infeasible"


class TestTimeLimit:
    @pytest.mark.parametrize("sees", ["Y", "YU"])
    def test_one_exact_minimum_takes_longer(self, sees: str) -> None:
        """16 letters: minutes for all maps, so that within a second the cells must do, the certificate included."""
        problem = random_problem(19, 16, 16)
        answer = solve(
            problem, R=0.8, C=0.95 * problem.entropy_s / math.log(2), formulation="one-shot", classifier_sees=sees,
            time_limit=1.0, on_failure="return",
        )  # fmt: skip
        assert any(isinstance(one, CellDual) for one in answer.certificate.evidence)
        assert answer.status in ("feasible", "near-feasible", "unknown")  # on a slow machine no point may be found
        assert "time limit" in answer.termination

    def test_what_there_is_no_time_for_is_not_begun(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The estimate decides, whatever the machine does; without a limit nothing is given up."""
        problem = random_problem(6, 5, 4)
        question = OneShot(problem, 0.4 * problem.entropy_y, 0.97 * problem.entropy_s, "YU")
        monkeypatch.setattr("drcopt.engines.map_programs._SLOW", 1.0)
        monkeypatch.setattr("drcopt.engines.map_programs._SPEED", 1.0)
        calls: list[int] = []
        least = MapPricing.least
        monkeypatch.setattr(MapPricing, "least", lambda *a, **b: calls.append(1) or least(*a, **b))
        hasty = ask(question, tol=1e-7, seconds=60.0)
        assert not calls
        assert hasty.termination == "the time limit is too short for a closer bound"
        patient = ask(question, tol=1e-7, seconds=math.inf)
        assert calls
        assert patient.termination == "the gap is closed"
        low, high = (certify(question, p.parts, *p.evidence) for p in (hasty, patient))
        assert low.lower <= high.lower <= low.upper


class TestBestMap:
    def test_against_every_map(self) -> None:
        rng = np.random.default_rng(0)
        found = 0
        for _ in range(30):
            n, m = 6, int(rng.integers(1, 4))
            px = rng.choice([1.0, 2.0], n)
            owner = rng.integers(m, size=n)
            py = np.bincount(owner, weights=px / px.sum(), minlength=m)
            problem = Problem(px / px.sum(), py, rng.dirichlet(np.ones(2), n), rng.random((n, m)))
            C = rng.choice([math.inf, rng.uniform(problem.entropy_s_given_x, problem.entropy_s)])
            values = [
                problem.distortion(P)
                for P in (map_coupling(problem, f) for f in every_map(n, m))
                if np.abs(P.sum(axis=0) - py).max() < 1e-12 and problem.classification_loss(P) <= C + 1e-12
            ]
            answer = best_map(problem, math.inf, C)
            assert (answer is None) == (not values)
            if answer is not None:
                found += 1
                P = map_coupling(problem, answer[0])
                assert answer[1] == pytest.approx(min(values), abs=1e-12)
                assert problem.distortion(P) == pytest.approx(answer[1], abs=1e-12)
                assert np.abs(P.sum(axis=0) - py).max() < 1e-12
        assert found > 15

    def test_refusals(self) -> None:
        assert best_map(Problem([0.7, 0.3], [0.6, 0.4], np.eye(2))) is None
        fits = Problem([0.7, 0.3], [0.3, 0.7], np.eye(2))
        assert best_map(fits, rate_budget=0.9 * fits.entropy_y) is None
        assert best_map(fits) is not None
        with pytest.raises(InputError, match="at most 20 letters"):
            best_map(Problem(np.full(21, 1 / 21), [1.0], np.ones((21, 1)), np.ones((21, 1))))

    def test_common_randomness_never_hurts(self) -> None:
        problem = Problem(np.full(6, 1 / 6), np.full(3, 1 / 3), random_problem(0, 6, 3).ps_given_x, np.eye(6)[:, :3])
        answer = best_map(problem)
        assert answer is not None
        mixed = ask(question := OneShot(problem, problem.entropy_y, math.inf, "YU"))
        assert (problem.d * question.coupling(mixed.parts or ())).sum() <= answer[1] + 1e-12


class TestMaster:
    def test_budgets_targets_and_overrun(self) -> None:
        """min 2a + b with a + b = 1, b ≤ budget: the multiplier is the price of the budget."""
        columns = Columns(np.array([2.0, 1.0]), np.ones((2, 1)), np.array([[0.0, 5.0], [1.0, 5.0]]), ["a", "b"])
        master = Master(np.ones(1), np.array([0.25, math.inf]))
        assert master.add(columns) == 2
        assert master.add(columns) == 0
        point = master.solve()
        assert point.objective == pytest.approx(1.75)
        assert point.weights == pytest.approx([0.75, 0.25])
        assert point.duals.budgets == pytest.approx([1.0, 0.0])
        assert columns.reduced_costs(point.duals) == pytest.approx([0.0, 0.0])
        short = Master(np.ones(1), np.array([0.25, math.inf]), penalty=10.0)
        short.add(columns[[1]])
        assert short.solve().overrun == pytest.approx([0.75, 0.0])
        assert short.solve().duals.budgets == pytest.approx([10.0, 0.0])

    def test_polished_weights_meet_the_targets(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(20):
            A, usage = rng.dirichlet(np.ones(6), 30), rng.random((30, 2))
            target = rng.dirichlet(np.ones(30)) @ A
            master = Master(target, np.array([0.5, 0.5]))
            master.add(Columns(rng.random(30), A, usage, range(30)))
            point = master.solve()
            weights = master.polished(point)
            assert (weights >= 0).all()
            assert np.abs(weights @ A - target).max() < 4 * ROUNDING
            assert (weights @ usage <= 0.5 + 1e-12).all() or point.overrun.max() > 1e-9


def test_subset_sums() -> None:
    values = np.random.default_rng(0).normal(size=(2, 4))
    sums = subset_sums(values)
    for mask in range(16):
        chosen = [x for x in range(4) if mask >> x & 1]
        assert sums[:, mask] == pytest.approx(values[:, chosen].sum(axis=1))
