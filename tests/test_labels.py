"""The door: names of letters kept and aligned, problems from joint tables and from samples."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import drcopt
from drcopt import Problem
from drcopt.errors import InputError
from drcopt.labels import Labels

ABC = ["a", "b", "c"]
PX = pd.Series([0.2, 0.3, 0.5], index=ABC)
W = pd.DataFrame([[0.1, 0.9], [0.5, 0.5], [0.7, 0.3]], index=ABC, columns=["u", "v"])

# 592 students by hair (black, brown, red, blond) and eyes (brown, blue, hazel, green): men, then women (R datasets).
HAIR, EYES = ["black", "brown", "red", "blond"], ["brown", "blue", "hazel", "green"]
MEN = [[32, 11, 10, 3], [53, 50, 25, 15], [10, 10, 7, 7], [3, 30, 5, 8]]
WOMEN = [[36, 9, 5, 2], [66, 34, 29, 14], [16, 7, 7, 7], [4, 64, 5, 8]]


def shuffled(frame: pd.DataFrame | pd.Series, seed: int = 0) -> pd.DataFrame | pd.Series:
    return frame.sample(frac=1.0, random_state=seed)


class TestAlignment:
    def test_order_does_not_matter(self) -> None:
        straight = Problem(PX, PX, W)
        for seed in range(4):
            turned = Problem(PX, PX, shuffled(W, seed)[["v", "u"]], labels={"s": ["u", "v"]})
            assert turned == straight

    def test_the_first_that_names_letters_gives_the_order(self) -> None:
        problem = Problem(PX[::-1], [0.2, 0.8], W, [[1, 2], [3, 4], [5, 6]])
        assert problem.labels == Labels(x=("c", "b", "a"), s=("u", "v"))
        np.testing.assert_array_equal(problem.ps_given_x, W[::-1])
        np.testing.assert_array_equal(problem.d, [[1, 2], [3, 4], [5, 6]])  # an array has no names: by position

    def test_labels_give_the_order(self) -> None:
        assert Problem(PX, PX, W, labels={"x": ["b", "a", "c"]}).px.tolist() == [0.3, 0.2, 0.5]

    def test_one_alphabet_has_one_order(self) -> None:
        problem = Problem(PX, shuffled(PX, 1), W)
        assert problem.labels.y == problem.labels.x and problem == Problem(PX, PX, W)
        d = np.ones((3, 3))  # a matrix settles nothing: Y is as its law has it
        assert Problem(PX, PX[::-1], W, d).labels.y == ("c", "b", "a")

    def test_d_may_carry_names(self) -> None:
        d = pd.DataFrame([[0, 1], [2, 3], [4, 5]], index=["c", "b", "a"], columns=["q", "r"])
        problem = Problem(PX, pd.Series([0.4, 0.6], index=["r", "q"]), W, d)
        np.testing.assert_array_equal(problem.d, [[5, 4], [3, 2], [1, 0]])

    def test_a_mismatch_shows_both(self) -> None:
        with pytest.raises(InputError, match=r"index of px has 'a', 'b', 'c'; the index of ps_given_x has 'a', 'b'"):
            Problem(PX, PX, W.rename(index={"c": "z"}))

    @pytest.mark.parametrize(
        ("labels", "match"),
        [
            ({"x": ["a"]}, "must name the 2 letters of X"),
            ({"x": ["a", "a"]}, "'a' occurs twice"),
            ({"x": ["a", None]}, "None is missing"),
            ({"z": ["a", "b"]}, "keys x, y and s"),
            ({"x": "ab"}, "list of names"),
            ({"x": [{}, {}]}, "text or numbers"),
            (["a", "b"], "must be a mapping"),
        ],
    )
    def test_bad_labels(self, labels: object, match: str) -> None:
        with pytest.raises(InputError, match=match):
            Problem([0.5, 0.5], [0.5, 0.5], np.eye(2), labels=labels)  # type: ignore[arg-type]

    def test_pandas_default_index_names_nothing(self) -> None:
        assert not Problem(pd.Series([0.5, 0.5]), [0.5, 0.5], pd.DataFrame(np.eye(2))).labels


class TestDistortionOfNames:
    def test_hamming_compares_names(self) -> None:
        problem = Problem(PX, pd.Series([0.4, 0.6], index=["c", "a"]), W)
        np.testing.assert_array_equal(problem.d, [[1, 0], [1, 1], [0, 1]])

    def test_alphabets_without_a_common_letter(self) -> None:
        with pytest.raises(InputError, match=r"none is in both.*pass d as an array"):
            Problem(PX, pd.Series([0.5, 0.5], index=["q", "r"]), W)

    def test_squared_error_compares_values(self) -> None:
        problem = Problem([0.5, 0.5], [1.0], np.eye(2), "squared-error", labels={"x": [10, 13], "y": [12]})
        np.testing.assert_array_equal(problem.d, [[4], [1]])
        with pytest.raises(InputError, match="must compare numbers"):
            Problem(PX, PX, W, "squared-error")

    def test_a_function_of_two_names(self) -> None:
        problem = Problem(PX, PX, W, lambda a, b: abs(ord(a) - ord(b)))
        np.testing.assert_array_equal(problem.d[0], [0, 1, 2])


class TestFromJoint:
    def test_hair_and_eyes(self) -> None:
        men = pd.DataFrame(MEN, index=HAIR, columns=EYES)
        women = pd.DataFrame(WOMEN, index=HAIR, columns=EYES).sum(axis=1)
        problem = Problem.from_joint(shuffled(men), shuffled(women), labels={"x": HAIR, "y": HAIR}, name="hair")
        np.testing.assert_allclose(problem.px, np.array([56, 143, 34, 46]) / 279, rtol=1e-15)
        np.testing.assert_allclose(problem.py, np.array([52, 143, 37, 81]) / 313, rtol=1e-15)
        np.testing.assert_allclose(problem.ps_given_x[0], np.array(MEN[0]) / 56, rtol=1e-15)
        assert problem.labels == Labels(tuple(HAIR), tuple(HAIR), tuple(EYES))
        # Without a rate budget it is total variation: what must change colour.
        solution = drcopt.solve(problem)
        assert solution.distortion == pytest.approx(np.abs(problem.px - problem.py).sum() / 2, abs=1e-9)

    def test_scale_does_not_matter(self) -> None:
        for scale in (1e-300, 1.0, 1e306):
            problem = Problem.from_joint(np.array(MEN) * scale, "px")
            np.testing.assert_allclose(problem.px, np.array([56, 143, 34, 46]) / 279, rtol=1e-14)

    def test_a_letter_that_never_occurs(self) -> None:
        problem = Problem.from_joint([[1, 3], [0, 0], [4, 0]], "px")
        assert problem.px.tolist() == [0.5, 0.0, 0.5]
        np.testing.assert_array_equal(problem.ps_given_x[1], problem.ps)
        assert drcopt.solve(problem, R=0.2).status == "optimal"

    @pytest.mark.parametrize(
        ("pxs", "py", "match"),
        [
            (np.zeros((2, 2)), "px", "pxs must hold some mass"),
            ([[1, -1]], "px", "nonnegative"),
            (MEN, "py", "'px' for the law of X"),
            (MEN, [0, 0, 0, 0], "py must hold some mass"),
            ([1, 2], "px", "shape"),
        ],
    )
    def test_refused(self, pxs: object, py: object, match: str) -> None:
        with pytest.raises(InputError, match=match):
            Problem.from_joint(pxs, py)  # type: ignore[arg-type]


class TestFromSamples:
    #: Berkeley 1973 (R datasets): applicants of the two largest departments by sex and outcome.
    ADMISSIONS = pd.DataFrame(
        [("A", "male", "yes", 512), ("A", "male", "no", 313), ("A", "female", "yes", 89), ("A", "female", "no", 19),
         ("F", "male", "yes", 22), ("F", "male", "no", 351), ("F", "female", "yes", 24), ("F", "female", "no", 317)],
        columns=["dept", "sex", "admitted", "n"],
    )  # fmt: skip

    def test_columns_of_a_frame(self) -> None:
        problem = Problem.from_samples("dept", "admitted", py="px", data=self.ADMISSIONS, weights="n")
        assert problem.labels == Labels(("A", "F"), ("A", "F"), ("no", "yes"))
        np.testing.assert_allclose(problem.px, np.array([933, 714]) / 1647)
        np.testing.assert_allclose(problem.ps_given_x[:, 1], [601 / 933, 46 / 714])

    def test_several_columns_are_one_letter(self) -> None:
        problem = Problem.from_samples(["dept", "sex"], "admitted", py="px", data=self.ADMISSIONS, weights="n")
        assert problem.labels.x == (("A", "female"), ("A", "male"), ("F", "female"), ("F", "male"))
        np.testing.assert_allclose(problem.ps_given_x[:, 1], [89 / 108, 512 / 825, 24 / 341, 22 / 373])

    def test_all_kinds_of_columns_agree(self) -> None:
        x, s = ["b", "a", "b", "c"], [1, 0, 1, 1]
        expected = Problem.from_samples(x, s, py="px")
        as_series, as_arrays = pd.Series(x, index=[7, 3, 1, 2]), np.array(x)
        assert Problem.from_samples(as_series, pd.Series(s), py="px") == expected
        assert Problem.from_samples(as_arrays, np.array(s), py="px") == expected
        assert Problem.from_samples("x", "s", py="px", data={"x": x, "s": s}) == expected
        assert Problem.from_samples(pd.DataFrame({"x": x}), pd.Series(s), py="px") == expected

    def test_samples_of_y(self) -> None:
        problem = Problem.from_samples(["a", "b"], [0, 1], ["b", "b", "c"])
        assert problem.labels.y == ("b", "c") and problem.py.tolist() == [2 / 3, 1 / 3]
        np.testing.assert_array_equal(problem.d, [[1, 1], [0, 1]])

    def test_categories_that_never_occur_stay(self) -> None:
        x = pd.Series(pd.Categorical(["lo", "hi", "hi"], categories=["lo", "mid", "hi"]))
        problem = Problem.from_samples(x, [0, 1, 0], py="px")
        assert problem.labels.x == ("lo", "mid", "hi") and problem.px[1] == 0

    def test_squared_error_of_values_and_vectors(self) -> None:
        assert Problem.from_samples([1.5, 4.0], [0, 1], py="px", d="squared-error").d[0, 1] == 6.25
        vectors = np.array([[0, 0], [3, 4]])
        assert Problem.from_samples(vectors, [0, 1], py="px", d="squared-error").d[0, 1] == 25

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ({"x": ["a"], "s": [0]}, "neither arrived"),
            ({"x": ["a"], "s": [0], "y": ["a"], "py": "px"}, "both arrived"),
            ({"x": ["a", "b"], "s": [0], "py": "px"}, "one length"),
            ({"x": ["a", None], "s": [0, 1], "py": "px"}, "x must have a letter"),
            ({"x": [1.0, np.nan], "s": [0, 1], "py": "px"}, "x must have a letter"),
            ({"x": [], "s": [], "py": "px"}, "at least one sample"),
            ({"x": "ab", "s": [0, 1], "py": "px"}, "data=frame"),
            ({"x": 5, "s": [0, 1], "py": "px"}, "sequence of letters"),
            ({"x": ["a"], "s": [0], "py": "px", "weights": [1, 2]}, "one for each sample"),
            ({"x": ["a"], "s": [0], "py": "px", "weights": [-1]}, "nonnegative"),
            ({"x": "hue", "s": "sex", "py": "px", "data": ADMISSIONS}, "must name a column of data"),
            ({"x": [[{}]], "s": [0], "py": "px"}, "text, numbers or tuples"),
        ],
    )
    def test_refused(self, arguments: dict[str, object], match: str) -> None:
        with pytest.raises(InputError, match=match):
            Problem.from_samples(**arguments)  # type: ignore[arg-type]


def test_a_confusion_matrix_is_a_problem() -> None:
    """S the truth, X what the classifier said: H(S|X) is what its answers leave unknown."""
    confusion = pd.DataFrame([[50, 3], [2, 45]], index=["cat", "dog"], columns=["cat", "dog"])  # truth by answer
    problem = Problem.from_joint(confusion.T, "px")
    p = confusion.to_numpy() / 100
    expected = -(p * np.log(p / p.sum(axis=0))).sum()
    assert problem.entropy_s_given_x == pytest.approx(expected, abs=1e-12)


class TestEmptyRows:
    @pytest.mark.parametrize("row", [[np.nan, np.nan], [0, 0], [np.nan, 1]])
    def test_any_row_will_do_where_px_is_zero(self, row: list[float]) -> None:
        problem = Problem([0.0, 0.25, 0.75], [0.5, 0.5], [row, [1, 0], [0, 1]], np.ones((3, 2)))
        np.testing.assert_array_equal(problem.ps_given_x[0], [0.25, 0.75])

    def test_but_not_where_it_is_positive(self) -> None:
        with pytest.raises(InputError, match=r"ps_given_x must be finite; ps_given_x\[1, 0\] is nan"):
            Problem([0.0, 1.0], [1.0], [[1, 0], [np.nan, 1]], [[0], [1]])


class TestEquality:
    def test_by_content(self) -> None:
        one, two = (Problem(PX, PX, W, name=name) for name in ("one", "two"))
        assert one == two and hash(one) == hash(two) and len({one, two}) == 1
        assert one != Problem(PX.to_numpy(), PX.to_numpy(), W.to_numpy())  # its letters have no names
        assert one != Problem(PX, PX, W, 2 - 2 * np.eye(3)) and one != "one"

    @pytest.mark.parametrize("twin", [lambda p: pickle.loads(pickle.dumps(p)), copy.copy, copy.deepcopy])
    def test_copies_keep_names(self, twin) -> None:
        problem = Problem(PX, PX, W, name="three letters", units="mm²")
        assert twin(problem) == problem
        assert (twin(problem).name, twin(problem).units) == ("three letters", "mm²")

    def test_reduction_keeps_names(self) -> None:
        problem = Problem(PX * [1, 0, 1] / 0.7, PX, W)
        assert problem.reduced().labels == Labels(("a", "c"), ("a", "b", "c"), ("u", "v"))

    def test_it_is_shown(self) -> None:
        problem = Problem(PX, PX, W, name="three <letters>")
        assert repr(problem).startswith("Problem('three <letters>', n=3")
        assert "three &lt;letters&gt;" in problem._repr_html_() and "a, b, c" in problem._repr_html_()

    @pytest.mark.parametrize("units", ["bits", 3])
    def test_units_are_those_of_d(self, units: object) -> None:
        with pytest.raises(InputError, match="units must"):
            Problem(PX, PX, W, units=units)  # type: ignore[arg-type]
