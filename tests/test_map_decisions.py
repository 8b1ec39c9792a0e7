"""One-shot codes whose loss is that of the best decision: all maps, bounds, order, proof files."""

from __future__ import annotations

import copy
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import entr

import drcopt
from drcopt.bounds import Leaf
from drcopt.bounds.decisions import ActionSplit, ActionTree, MapActions
from drcopt.bounds.maps import MapPricing
from drcopt.errors import InputError
from drcopt.formulations import MapDecisions, Part
from drcopt.formulations.one_shot import map_coupling
from drcopt.questions.output import Free

inf, LN2 = math.inf, math.log(2)
SIZES = [(2, 2), (3, 3), (4, 3), (3, 2), (4, 2)]
some = [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 50))]


def instance(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    (n, m), k = SIZES[seed % 5], 2 + seed % 2
    px, py, W = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.full(k, 0.6), n)
    table = 1.0 - np.eye(k) if seed % 3 else rng.random((k, k + 1))
    return px, None if seed % 4 == 3 else py, W, rng.random((n, m)), table, rng


def budgets(px: Any, W: Any, table: Any, rng: Any) -> tuple[float, float]:
    """A rate in bits and a loss that may or may not be met."""
    least, most = float(px @ (W @ table).min(axis=1)), float((px @ W @ table).min())
    return rng.uniform(0.2, 1.0) * entr(px).sum() / LN2, least + rng.uniform(0.2, 1.0) * (most - least) + 1e-9


def brute(px: Any, py: Any, W: Any, d: Any, table: Any, R: float, C: float, sees: str) -> float:
    """The least E d by linear programs over all maps, one for each choice of actions where Y alone is seen."""
    n, m = d.shape
    maps = np.array(list(itertools.product(range(m), repeat=n)))
    P = px[:, None] * (maps[:, :, None] == np.arange(m))
    costs = np.einsum("fxy,xa->fya", P, W @ table)
    masses, targets = (np.ones((1, len(maps))), [1.0]) if py is None else (P.sum(axis=1).T, py)

    def least(loss: Any) -> float:
        usage = [entr(P.sum(axis=1)).sum(axis=1) / LN2, loss]
        answer = linprog((P * d).sum(axis=(1, 2)), A_ub=usage, b_ub=[R, C], A_eq=masses, b_eq=targets)
        return float(answer.fun) if answer.status == 0 else inf

    if sees == "YU":
        return least(costs.min(axis=2).sum(axis=1))
    choices = itertools.product(range(table.shape[1]), repeat=m)
    return min(least(sum(costs[:, y, a] for y, a in enumerate(actions))) for actions in choices)


class TestAgainstAllMaps:
    @pytest.mark.parametrize("seed", some)
    @pytest.mark.parametrize("sees", ["Y", "YU"])
    def test_it(self, sees: Any, seed: int) -> None:
        px, py, W, d, table, rng = instance(seed)
        R, C = budgets(px, W, table, rng)
        problem = drcopt.Problem(px, py, W, d)
        how: Any = {
            "formulation": "one-shot", "classifier_sees": sees, "class_loss": table, "on_failure": "return"
        }  # fmt: skip
        right, found = brute(px, py, W, d, table, R, C, sees), drcopt.solve(problem, R=R, C=C, **how)
        least = drcopt.min_classification_loss(problem, R=R, **how)
        assert brute(px, py, W, d, table, R, least.classification_loss + 1e-9, sees) < inf
        assert brute(px, py, W, d, table, R, least.lower_bound - 1e-6, sees) == inf
        if right == inf:
            assert found.status == "infeasible" and C < least.lower_bound + 1e-6
            return
        assert found.status == "optimal" and found.lower_bound <= right + 1e-9
        assert found.distortion == pytest.approx(right, abs=2e-6)
        assert found.classification_loss <= C and found.rate <= R + 1e-12
        assert found.mixture is not None and sum(part.weight for part in found.mixture) == pytest.approx(1.0)
        own = sum(part.weight * part.classification_loss for part in found.mixture)
        whole = float(((W @ table).T @ found.coupling).min(axis=0).sum())
        assert (
            found.classification_loss == pytest.approx(own if sees == "YU" else whole, abs=1e-12)
            and own <= whole + 1e-12
        )
        lowest = drcopt.min_rate(problem, D=found.distortion + 0.01, C=C, **how)
        assert lowest.status == "optimal" and lowest.rate <= found.rate + 1e-6
        assert brute(px, py, W, d, table, lowest.rate + 1e-9, C, sees) <= found.distortion + 0.01 + 1e-7
        if lowest.lower_bound > 1e-5:
            assert brute(px, py, W, d, table, lowest.lower_bound - 1e-5, C, sees) > found.distortion + 0.01


def random_tree(rng: np.random.Generator, n: int, m: int, A: int, depth: int, maps: float = 0.8) -> Any:
    if depth == 0 or rng.random() < 0.3:
        w, alpha, beta = map(float, rng.exponential(size=3) * (rng.random(3) < 0.8))
        if rng.random() < maps:
            return MapActions(rng.normal(size=m) * 0.5, alpha, beta, w)
        return Leaf(rng.normal(size=n) * 0.5, alpha, beta, w)
    children = (random_tree(rng, n, m, A, depth - 1, maps) for _ in range(2))
    return ActionSplit(int(rng.integers(m)), int(rng.integers(A)), *children)


def mixture(rng: np.random.Generator, problem: Any, count: int = 3) -> list[Part]:
    maps, weights = rng.integers(problem.m, size=(count, problem.n)), rng.dirichlet(np.ones(count))
    return [Part(float(w), map_coupling(problem, f), f) for w, f in zip(weights, maps, strict=True)]


class TestEvidence:
    @pytest.mark.parametrize("seed", [*range(20), *(pytest.param(s, marks=pytest.mark.slow) for s in range(20, 300))])
    def test_any_tree_is_below_every_mixture(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n, m, k, A = (int(v) for v in rng.integers(2, 5, size=4))
        W, d, table = rng.dirichlet(np.full(k, 0.5), n), rng.random((n, m)), rng.random((k, A))
        px = rng.dirichlet(np.ones(n))
        parts = mixture(rng, drcopt.Problem(px, np.full(m, 1 / m), W, d))
        law = sum(part.weight * part.coupling for part in parts).sum(axis=0)
        free = seed % 3 == 0 or not law.all()
        problem = drcopt.Problem(px, np.full(m, 1 / m) if free else law, W, d)
        for sees in ("Y", "YU"):
            tree = ActionTree(random_tree(rng, n, m, A, 4 if sees == "Y" else 0))
            asked = MapDecisions(problem, inf, inf, sees, laws=Free() if free else None, losses=table)
            values = asked.values(parts)
            limits = dict(zip(("distortion_budget", "rate_budget", "classification_budget"), values, strict=True))
            for objective in drcopt.questions.QUANTITIES:
                held = asked.minimising(objective, **limits)
                assert tree.bound(held) <= values[objective.place] + 1e-12
            split = ActionTree(ActionSplit(0, 0, tree.root, tree.root))
            assert sees == "Y" or split.bound(asked) == -inf

    def test_what_says_nothing(self) -> None:
        px, py, W, d, table, _ = instance(0)
        problem = drcopt.Problem(px, py, W, d)
        asked = MapDecisions(problem, 0.2, inf, losses=table)
        for bad in (
            MapActions(np.zeros(3), 0.0, 0.0, 1.0), MapActions(np.array([0.0, inf]), 0.0, 0.0, 1.0),
            MapActions(np.zeros(2), -1.0, 0.0, 1.0), MapActions(np.zeros(2), 0.0, math.nan, 1.0),
        ):  # fmt: skip
            assert ActionTree(bad).bound(asked) == -inf
        good = ActionTree(MapActions(np.zeros(2), 0.0, 0.0, 1.0))
        assert good.bound(asked) == pytest.approx(px @ d.min(axis=1))
        assert good.bound(drcopt.formulations.Decisions(problem, 0.2, inf, losses=table)) == -inf
        assert good.bound(drcopt.formulations.OneShot(problem, 0.2, inf)) == -inf


class TestOrder:
    @pytest.mark.parametrize("seed", some[:4])
    def test_what_is_seen_and_what_is_mixed(self, seed: int) -> None:
        px, py, W, d, table, rng = instance(seed)
        R, C = budgets(px, W, table, rng)
        problem = drcopt.Problem(px, py, W, d)

        def least(**how: Any) -> Any:
            return drcopt.solve(problem, R=R, C=C, class_loss=table, on_failure="return", **how)

        y, yu = (least(formulation="one-shot", classifier_sees=sees) for sees in ("Y", "YU"))
        single, message = least(), least(classifier_sees="message")
        for low, high in ((yu, y), (single, y), (message, yu), (message, single)):
            assert low.lower_bound <= (inf if high.status == "infeasible" else high.distortion) + 1e-7

    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize("sees", ["Y", "YU"])
    def test_error_and_entropy(self, sees: Any, seed: int) -> None:
        """P(error) ≤ H/2 in bits, and with two classes H ≤ h(P(error)): limits of the one are limits of the other."""
        rng = np.random.default_rng(seed)
        px, py, W, d = (
            rng.dirichlet(np.ones(4)),
            rng.dirichlet(np.ones(2)),
            rng.dirichlet([0.6, 0.6], 4),
            rng.random((4, 2)),
        )
        problem = drcopt.Problem(px, py, W, d)
        how: Any = {"formulation": "one-shot", "classifier_sees": sees}
        edge = drcopt.min_classification_loss(problem, R=0.8, **how).classification_loss
        C = 0.5 * (edge + problem.entropy_s / LN2)
        entropy = drcopt.solve(problem, R=0.8, C=C, **how)
        error = drcopt.solve(problem, R=0.8, C=C / 2, class_loss="error", **how)
        assert error.lower_bound <= entropy.distortion + 1e-7
        fano = float(drcopt.information.binary_entropy(min(error.classification_loss, 0.5))) / LN2
        assert drcopt.solve(problem, R=0.8, C=fano + 1e-9, **how).lower_bound <= error.distortion + 1e-7

    def test_a_budget_that_binds_nothing(self) -> None:
        px, py, W, d, table, _ = instance(1)
        problem = drcopt.Problem(px, py, W, d)
        plain = drcopt.solve(problem, R=0.7, formulation="one-shot")
        for C in (None, float((px @ W @ table).min()) + 1e-6):
            found = drcopt.solve(problem, R=0.7, C=C, class_loss=table, formulation="one-shot")
            assert found.status == "optimal" and found.distortion == pytest.approx(plain.distortion, abs=2e-6)


class TestOneMap:
    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("class_loss", ["error", "table"])
    def test_the_best_of_all(self, class_loss: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        W, d, table = rng.dirichlet(np.full(2, 0.5), 6), rng.random((6, 3)), rng.random((2, 3))
        given: Any = table if class_loss == "table" else "error"
        table = table if class_loss == "table" else 1.0 - np.eye(2)
        problem = drcopt.Problem(np.full(6, 1 / 6), np.full(3, 1 / 3), W, d)
        maps = [f for f in itertools.product(range(3), repeat=6) if all(f.count(y) == 2 for y in range(3))]
        couplings = np.array([map_coupling(problem, np.array(f)) for f in maps])
        loss = np.einsum("xa,fxy->fya", W @ table, couplings).min(axis=2).sum(axis=1)
        cost = (couplings * d).sum(axis=(1, 2))
        for C in (float(np.quantile(loss, 0.05)) + 1e-9, float(loss.min()) - 1e-6):
            found = drcopt.best_map(problem, classification_budget=C, class_loss=given)
            best = cost[loss <= C].min(initial=inf)
            assert (inf if found is None else found[1]) == pytest.approx(best, abs=1e-12)


class TestEdges:
    def test_no_rate(self) -> None:
        px, py, W, d, table, _ = instance(1)
        prior = float((px @ W @ table).min())
        for law in (py, None):
            problem = drcopt.Problem(px, law, W, d)
            how: Any = {"formulation": "one-shot", "class_loss": table}
            found = drcopt.solve(problem, R=0, C=prior + 1e-9, **how)
            assert found.status == "optimal" and found.rate <= 1e-15
            assert found.distortion == pytest.approx(drcopt.solve(problem, R=0).distortion)
            with pytest.raises(drcopt.InfeasibleError, match="C above that"):
                drcopt.solve(problem, R=0, C=prior - 1e-6, **how)

    def test_letters_without_mass(self) -> None:
        px, py, W, d, table, _ = instance(2)
        wide = drcopt.Problem([*px, 0.0], [0.0, *py], np.vstack([W, W[:1]]), np.pad(d, ((0, 1), (1, 0))))
        how: Any = {"R": 1.0, "class_loss": table, "formulation": "one-shot"}
        one, other = (drcopt.min_classification_loss(p, **how) for p in (wide, drcopt.Problem(px, py, W, d)))
        assert one.classification_loss == pytest.approx(other.classification_loss, abs=1e-12)
        assert one.mixture is not None and all((part.map > 0).all() for part in one.mixture)

    def test_forbidden_pairs_are_refused(self) -> None:
        how: Any = {"R": 0.5, "C": 0.3, "class_loss": "error"}
        problem = drcopt.Problem([0.5, 0.5], [0.5, 0.5], np.eye(2), [[0, inf], [1, 0]])
        with pytest.raises(InputError, match="d must be finite for formulation='one-shot'"):
            drcopt.solve(problem, formulation="one-shot", **how)

    def test_more_maps_than_can_be_priced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What holds of messages bounds them, and the points are those of local searches."""
        px, py, W, d, table, _ = instance(6)
        problem = drcopt.Problem(px, py, W, d)
        C = float(0.97 * (px @ W @ table).min())
        how: Any = {"R": 0.8, "C": C, "class_loss": table, "formulation": "one-shot", "on_failure": "return"}
        right = drcopt.solve(problem, **how)
        whole = MapPricing.__init__

        def rough(self: Any, *args: Any) -> None:
            whole(self, *args)
            self.exact, self.work = False, 1e12

        monkeypatch.setattr(MapPricing, "__init__", rough)
        found = drcopt.solve(problem, **how)
        assert found.termination == "the maps are too many to price in time"
        assert 0.0 < found.lower_bound <= right.distortion + 1e-9 and right.lower_bound <= found.distortion + 1e-9
        message = drcopt.solve(problem, R=0.8, C=C, class_loss=table, classifier_sees="message")
        assert found.lower_bound == pytest.approx(message.lower_bound, abs=1e-6)

    def test_in_a_sweep(self) -> None:
        table = drcopt.sweep(
            drcopt.sources.bernoulli(), R=[0.5, 0.9], C=0.28, class_loss="error", formulation="one-shot"
        )
        assert set(table["status"]) <= {"optimal", "infeasible"} and set(table["class_loss"]) == {"error"}


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    pytest.importorskip("flint")
    from drcopt.certify import proof

    rng = np.random.default_rng(12)
    px, py, W, d = (
        rng.dirichlet(np.ones(6)),
        rng.dirichlet(np.ones(4)),
        rng.dirichlet(np.full(3, 0.6), 6),
        rng.random((6, 4)),
    )
    least, most = 1 - px @ W.max(axis=1), 1 - (px @ W).max()
    found = drcopt.solve(
        drcopt.Problem(px, py, W, d),
        R=1.0,
        C=least + 0.6 * (most - least),
        formulation="one-shot",
        class_loss="error",
    )
    assert found.status == "optimal"
    return dict(json.loads(json.dumps(proof.to_dict(found.certificate))))


class TestProofFiles:
    def test_it_is_accepted(self, written: Any) -> None:
        from drcopt.checker import check

        assert len(written["evidence"]["nodes"]) > 1 and check(written).accepted

    @pytest.mark.parametrize("seed", some[:5])
    def test_what_is_not_met(self, seed: int) -> None:
        pytest.importorskip("flint")
        px, py, W, d, table, rng = instance(seed)
        R, C = budgets(px, W, table, rng)
        for sees in ("Y", "YU"):
            how: Any = {"formulation": "one-shot", "classifier_sees": sees, "class_loss": table, "verify": "interval"}
            for found in (
                drcopt.solve(drcopt.Problem(px, py, W, d), R=R, C=C, on_failure="return", **how),
                drcopt.min_classification_loss(drcopt.Problem(px, py, W, d), R=R, **how),
            ):
                assert found.verified and found.status in ("optimal", "infeasible")

    def test_what_is_proved_of_maps_is_not_of_couplings(self, written: Any) -> None:
        from drcopt.checker import check

        for change in ({"formulation": "single-letter", "point": None}, {"classifier_sees": "YU"}):
            data = copy.deepcopy(written) | change
            data["claim"]["upper"] = "inf"
            assert check(data).lower < float.fromhex(data["claim"]["lower"]) - 1e-6

    @pytest.mark.parametrize("name", ["nu", "rate", "classification"])
    def test_leaves_are_read_whole(self, written: Any, name: str) -> None:
        from drcopt.checker import check

        data = copy.deepcopy(written)
        leaf = next(node for node in data["evidence"]["nodes"] if "nu" in node)
        leaf[name] = ["0"] if name == "nu" else "-1"
        with pytest.raises(InputError):
            check(data)

    @pytest.mark.parametrize("seed", [*range(12), *(pytest.param(s, marks=pytest.mark.slow) for s in range(12, 200))])
    def test_any_tree_is_below_every_mixture(self, seed: int) -> None:
        """Whatever a file writes, each mixture satisfies some leaf."""
        pytest.importorskip("flint")
        from drcopt.certify.proof import contents, formulation_limits, points
        from drcopt.certify.writing import Writer
        from drcopt.checker import check

        rng = np.random.default_rng(seed)
        n, m, k, A = (int(v) for v in rng.integers(2, 5, size=4))
        W, d, table = rng.dirichlet(np.full(k, 0.5), n), rng.random((n, m)), rng.random((k, A))
        px = rng.dirichlet(np.ones(n))
        parts = mixture(rng, drcopt.Problem(px, np.full(m, 1 / m), W, d))
        law = sum(part.weight * part.coupling for part in parts).sum(axis=0)
        free = seed % 3 == 0 or not law.all()
        problem = drcopt.Problem(px, np.full(m, 1 / m) if free else law, W, d)
        for sees in ("Y", "YU"):
            asked = MapDecisions(problem, inf, inf, sees, laws=Free() if free else None, losses=table)
            cost, rate, loss = asked.values(parts)
            held = MapDecisions(
                problem, rate + 1e-12, loss + 1e-12, sees, laws=asked.laws, losses=table
            )  # fmt: skip
            tree = ActionTree(random_tree(rng, n, m, A, 4 if sees == "Y" else 0))
            data = contents(
                held, formulation_limits(held), held.objective, {"lower": "-inf", "upper": "inf"}, points(held, parts),
                Writer(held, 0.0).evidence(tree),
            )  # fmt: skip
            verdict = check(json.loads(json.dumps(data)))
            assert verdict.lower <= cost + 1e-11 and verdict.upper == pytest.approx(cost, abs=1e-9)
            assert verdict.lower <= verdict.upper
