"""How a theorem is judged, the user's own among them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import theorem_verdicts
from theorem_verdicts import VERDICTS

from drcopt import sources, theorems
from drcopt.errors import InputError
from drcopt.solve import solve
from drcopt.theorems import compare

registry = pytest.fixture(theorem_verdicts.registry)


@pytest.mark.parametrize(
    ("computed", "predicted", "relation", "verdict"),
    [
        (1.0, 1.0 + 1e-6, "==", "holds"),
        (1.0, 1.1, "==", "fails"),
        ((1.0, 1.1), 1.05, "==", "undecided"),
        ((1.0, 1.1), 1.2, "==", "fails"),
        ((1.0, 1.1), 1.2, "<=", "holds"),
        ((1.0, 1.1), 0.9, "<=", "fails"),
        ((1.0, 1.1), 1.05, "<=", "undecided"),
        ((1.0, 1.1), 0.9, ">=", "holds"),
        ((1.0, 1.1), (0.9, 1.05), ">=", "undecided"),
        ((1.0, 1.1), (1.2, 1.3), ">=", "fails"),
        (math.inf, math.inf, "==", "holds"),
        (math.inf, 0.1, "==", "fails"),
        (0.1, math.inf, "==", "fails"),
        (0.1, math.inf, "<=", "holds"),
        (math.inf, 0.1, "<=", "fails"),
        (0.05, -math.inf, "<=", "fails"),
        ((0.1, math.inf), math.inf, "==", "undecided"),
        ((0.1, math.inf), 0.2, "<=", "undecided"),
        ((-math.inf, math.inf), 0.2, "==", "undecided"),
    ],
)
def test_a_comparison_is_decided_only_by_what_is_certain(computed, predicted, relation, verdict):
    assert compare(computed, predicted, "", relation=relation).verdict(1e-5) == verdict


def test_a_solution_counts_as_its_certified_interval():
    problem = sources.bernoulli()
    solution = solve(problem, R=0.5)
    assert compare(solution, 0.0, "").computed == (solution.lower_bound, solution.distortion)
    assert "engine newton" in compare(solution, 0.0, "").certificate
    infeasible = compare(solve(problem, R=0.1, C=0.75, on_failure="return"), 0.0, "")
    assert infeasible.computed == (math.inf, math.inf)
    assert re.search(r"infeasible \(proved: classification loss ≥ 0\.\d+ bits\)", infeasible.certificate)


@pytest.mark.parametrize(
    ("computed", "said"),
    [
        (math.nan, "computed must be a number or lower ≤ upper; it is nan"),
        ((1.0, 0.0), r"computed must be a number or lower ≤ upper; it is \(1.0, 0.0\)"),
        ("one", "computed must be a Solution, a number or"),
        ((1.0, 2.0, 3.0), "computed must be a Solution, a number or"),
        (None, "computed must be a Solution, a number or"),
    ],
)
def test_what_is_no_number_is_refused(computed, said):
    with pytest.raises(InputError, match=said):
        compare(computed, 1.0, "")


def test_an_unknown_relation_is_refused():
    with pytest.raises(InputError, match="relation must be one of '==', '<=', '>='"):
        compare(1.0, 1.0, "", relation="<")


def mine(name, items, **more):
    """Register a theorem that yields these."""

    @theorems.theorem(name=name, statement="s", where="w", **more)
    def function(rng, instances):
        yield from items

    return theorems.validate(name).iloc[0]


def test_a_true_theorem_of_the_user_holds(registry):
    @theorems.theorem(name="mine", statement="D(0) is that of independence", where="my notes")
    def zero_rate(rng, instances):
        for _ in range(instances):
            problem = theorems.random_problem(rng, 2, 3)
            yield solve(problem, R=0.0), problem.distortion(problem.independent), problem

    row = theorems.validate("mine", instances=5, seed=7).iloc[0]
    assert row["verdict"] == "holds"
    assert row["tried"] == "5 instances (seed 7): 5 hold, 0 fail, 0 undecided"
    assert row["largest_deviation"] < 1e-12


def test_a_false_theorem_of_the_user_fails_at_its_first_instance(registry):
    row = mine("mine", [(0.5, 0.5, "first"), (0.5, 0.6, "second"), ((0.3, 0.4), 9.0, "third")])
    assert row["verdict"] == "fails"
    assert row["counterexample"] == "second"
    assert (row["computed_lower"], row["computed_upper"], row["predicted_lower"]) == (0.5, 0.5, 0.6)
    assert row["largest_deviation"] == pytest.approx(8.6)


def test_a_theorem_beyond_the_certified_resolution_is_undecided(registry):
    row = mine("mine", [(0.5, 0.5, "first"), ((0.4, 0.6), 0.5, "second")])
    assert row["verdict"] == "undecided"
    assert row["counterexample"] == "second"
    # A prediction within the gap stays open however strict the tolerance is.
    solution = solve(sources.gaussian_grid(11), R=0.5, tol=0.1)
    assert mine("other", [((solution.lower_bound - 0.1, solution.distortion), solution.lower_bound, "")])[
        "verdict"
    ] == ("undecided")


def test_a_theorem_that_yields_nothing_is_undecided(registry):
    row = mine("mine", [])
    assert row["verdict"] == "undecided"
    assert math.isnan(row["largest_deviation"])


class TestTimeLimit:
    @pytest.fixture
    def time(self, monkeypatch):
        """A clock that the theorems tried move."""
        seconds = [0.0]
        monkeypatch.setattr("drcopt.support.clock.now", lambda: seconds[0])
        return seconds

    def tried(self, items, **more):
        @theorems.theorem(name="mine", statement="s", where="w", **more)
        def function(rng, instances):
            yield from items()

        return theorems.validate("mine", time_limit=5.0).iloc[0]

    @pytest.mark.parametrize(("first", "verdict"), [(0.5, "undecided"), (0.6, "fails")])
    def test_what_is_finished_late_counts_for_nothing(self, registry, time, first, verdict):
        def items():
            yield theorems.compare(0.5, first, "first", condition=False)
            yield theorems.compare(0.5, 0.5, "second", condition=True)
            time[0] = 6.0
            yield theorems.compare(0.5, 0.7, "third", condition=True)

        row = self.tried(items, condition="A")
        assert row["verdict"] == verdict
        assert row["tried"].startswith("2 instances (seed 0): ")
        assert row["tried"].endswith("; the time limit was reached")

    def test_a_solve_that_the_limit_stops_is_no_error(self, registry, time):
        def items():
            time[0] = 6.0
            problem = theorems.random_problem(np.random.default_rng(0), 4, 4)
            loss = (problem.entropy_s + problem.entropy_s_given_x) / 2 / math.log(2.0)
            yield solve(problem, R=0.3, C=loss, time_limit=100.0), 0.0, "one"

        row = self.tried(items)
        assert (row["verdict"], row["tried"][:11]) == ("undecided", "0 instances")

    def test_within_it_nothing_changes(self, registry, time):
        row = self.tried(lambda: iter([(0.5, 0.5, "")]))
        assert (row["verdict"], row["tried"]) == ("holds", "1 instances (seed 0): 1 hold, 0 fail, 0 undecided")

    def test_an_error_in_time_is_an_error(self, registry, time):
        with pytest.raises(InputError, match="must yield"):
            self.tried(lambda: iter([1]))


def test_a_condition_saves_only_what_it_covers(registry):
    inside, outside = compare(1.0, 1.0, "", condition=True), compare(1.0, 2.0, "out", condition=False)
    assert mine("a", [inside, outside], condition="A")["verdict"] == "holds under: A"
    assert mine("b", [outside], condition="A")["verdict"] == "fails"
    assert mine("c", [inside, compare(1.0, 2.0, "", condition=True)], condition="A")["verdict"] == "fails"
    assert mine("d", [outside, compare((0.0, 9.0), 2.0, "", condition=True)], condition="A")["verdict"] == "fails"
    assert mine("e", [inside], condition="A")["verdict"] == "holds"
    assert mine("f", [inside, outside])["verdict"] == "fails"


@pytest.mark.parametrize("item", [1.0, (1.0, 2.0), (1.0, 2.0, "", "==")])
def test_what_is_no_comparison_is_refused(registry, item):
    with pytest.raises(InputError, match="theorem 'mine' must yield"):
        mine("mine", [item])


def test_a_name_can_be_registered_again_by_its_own_function_only(registry):
    for _ in range(2):
        mine("mine", [(1.0, 1.0, "")])  # a notebook cell that is run again
    with pytest.raises(InputError, match="name must be new; there is a theorem 'no-budgets' already"):
        mine("no-budgets", [])
    theorems.forget("mine")
    assert "mine" not in theorems.names()
    with pytest.raises(InputError, match="'mine' is none"):
        theorems.forget("mine")


def test_names_and_patterns():
    exact = [name for name in VERDICTS if name.startswith("bernoulli-exact-")]
    assert [known.name for known in theorems.select(["no-budgets", "bernoulli-exact-*"])] == [*exact, "no-budgets"]
    with pytest.raises(InputError, match=r"patterns that match some; 'fermat' is none\. Known: "):
        theorems.validate(["no-budgets", "fermat"])


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"instances": 0}, "instances must be a whole number of at least 1"),
        ({"instances": 2.5}, "instances must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_wrong_counts_are_refused(keywords, said):
    with pytest.raises(InputError, match=said):
        theorems.validate("gaussian-printed-zero", **keywords)
