"""Cells with a β₀ of their own in proof files: the test in balls, what is written, and what a false one proves."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from honest import Proof, bare, problem
from tampering import _moved

from drcopt import InputError, sources
from drcopt.bounds import Leaf, PosteriorTree
from drcopt.certify import proof
from drcopt.certify.certificate import Certificate
from drcopt.checker import check
from drcopt.checker.balls import BITS, ball
from drcopt.checker.convexity import positive_definite, tangent_holds
from drcopt.formulations import SingleLetter


def in_effect(seed: int, n: int, m: int, k: int, above: float = 1.1) -> tuple[Certificate, Proof]:
    """A bound with β a little above what is convex, and its file."""
    p = problem(seed, n, m, k)
    alpha = 0.2
    leaf = Leaf(p.d.min(axis=1) + 0.1, alpha, above * alpha / p.contraction)
    certificate = bare(SingleLetter(p, 0.5 * p.entropy_x, 0.7 * p.entropy_s), PosteriorTree(leaf))
    return certificate, proof.to_dict(certificate)


def cells_of(data: Proof) -> list[Any]:
    nodes = data["evidence"]["nodes"]
    return [cell for node in nodes for letter in node.get("cells", ()) for cell in letter or ()]


def channel(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Rows of p(s|x): spread out, sparse, all but sure, or all but equal; in a box that they span."""
    W = rng.dirichlet(np.full(k, rng.choice([0.3, 1.0, 3.0])), size=n)
    kind = rng.integers(4)
    if kind == 1:
        W = np.where(W < 0.2, 0.0, W)
    elif kind == 2:
        W = W ** rng.choice([4.0, 30.0])
    elif kind == 3:
        W = W[:1] + 10.0 ** rng.uniform(-9, -2) * W
    W[:, ~W.any(axis=0)] = 1e-3
    return np.asarray(W / W.sum(axis=1, keepdims=True))


def violation(rng: np.random.Generator) -> tuple[bool, float]:
    """Whether a random cell is certified, and how far below the tangent at p₀ posteriors of the cell go."""
    n, k = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    W, p = channel(rng, n, k), rng.dirichlet(np.full(n, rng.choice([0.2, 1.0]))) + 1e-300
    tau, kappa = p @ W, 1.0 + 10.0 ** rng.uniform(-4, 1)
    reach = 10.0 ** rng.uniform(-2, 0.7)
    shift = np.exp(rng.choice([0.0, 0.5]) * rng.normal(size=k))  # τ₀ need not lie in the cell
    low, high = np.minimum(tau * shift * np.exp(-reach * rng.random(k)), 1.0), tau * shift * np.exp(reach)
    low[rng.random(k) < 0.1] = 0.0
    if not tangent_holds(*map(ball, (W, p, kappa, low, high))):
        return False, 0.0
    tilts = np.concatenate([0.5 * rng.normal(size=(60, k)), 4.0 * rng.normal(size=(60, k))])
    q = p * np.exp(tilts @ W.T)
    q = np.concatenate([q / q.sum(axis=1, keepdims=True), rng.dirichlet(np.ones(n), size=60)])
    posterior = q @ W
    q = q[((posterior >= low) & (posterior <= high)).all(axis=1)]
    if not len(q):
        return True, 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(q > 0, q * np.log(q / p), 0.0).sum(axis=1)
        t = q @ W
        after = np.where(t > 0, t * np.log(t / tau), 0.0).sum(axis=1)
    # D(q‖p₀) − κ D(Wᵀq‖τ₀) is what is left of G without its tangent, over α.
    return True, float((kappa * after - divergence).max())


class TestTangent:
    def trial(self, seed: int, many: int) -> int:
        import flint

        rng, found = np.random.default_rng(seed), 0
        with flint.ctx.workprec(BITS):
            for _ in range(many):
                certified, beyond = violation(rng)
                found += certified
                assert beyond <= 1e-13, seed
        return found

    def test_no_posterior_of_a_cell_goes_below(self) -> None:
        assert self.trial(0, 250) > 25

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(1, 9))
    def test_many_cells(self, seed: int) -> None:
        assert self.trial(seed, 2000) > 200

    def test_what_is_not_so_is_not_certified(self) -> None:
        """Two sure classes: (a q₁^κ + b q₂^κ)^(1/κ) is convex for every κ > 1, on however small a box."""
        W, p = ball(np.eye(2)), ball([0.5, 0.5])
        assert not tangent_holds(W, p, ball(1 + 2.0**-40), p, p)
        assert tangent_holds(W, p, ball(1.0), 0 * p, p + p)

    def test_the_box_counts(self) -> None:
        W, p = ball([[0.6, 0.4], [0.4, 0.6]]), ball([0.5, 0.5])
        tau, kappa = p @ W, ball(5.0)
        assert tangent_holds(W, p, kappa, tau, tau)
        assert not tangent_holds(W, p, kappa, 0 * tau, tau), "a class may be gone"
        assert not tangent_holds(W, p, kappa, tau / 8, tau)
        assert not tangent_holds(W, p, kappa, tau, 8 * tau)
        assert not tangent_holds(W, p, ball(26.0), tau, tau), "1/η is 25"

    def test_what_is_no_number_proves_nothing(self) -> None:
        import flint

        W, p = ball([[0.6, 0.4], [0.4, 0.6]]), ball([0.5, 0.5])
        tau, nan, wide = p @ W, flint.arb("nan"), flint.arb(0.5, 0.6)
        for bad in (nan, wide):
            q = np.array([bad, p[1]])
            assert not tangent_holds(W, q, ball(1.01), tau, tau)
            assert not tangent_holds(W, p, ball(1.01), tau, np.array([nan, tau[1]]))
        assert not tangent_holds(W, p, nan, tau, tau)

    def test_pivots(self) -> None:
        assert positive_definite(ball([[2.0, 1.0], [1.0, 0.6]]))
        assert not positive_definite(ball([[2.0, 1.0], [1.0, 0.5]]))
        assert not positive_definite(ball([[1.0, 2.0], [2.0, 1.0]]))
        assert positive_definite(ball(np.zeros((0, 0))))


class TestProof:
    def test_a_file_proves_what_pricing_did(self) -> None:
        certificate, data = in_effect(0, 5, 3, 3)
        shares = [cell for cell in cells_of(data) if "convex" in cell]
        assert shares and data["drcopt-proof"] == 2
        verdict = check(data)
        assert verdict.accepted, verdict.reason
        assert certificate.lower - 1e-10 <= verdict.lower <= certificate.lower + 1e-9
        for cell in shares:
            del cell["convex"]
        assert check(data).lower < certificate.lower - 1e-3

    def test_whatever_is_changed_it_proves_no_more(self) -> None:
        certificate, data = in_effect(0, 5, 3, 3)
        rng = np.random.default_rng(0)
        for _ in range(15):
            false = copy.deepcopy(data)
            cells = cells_of(false)
            cell = cells[rng.integers(len(cells))]
            if "at" in cell:
                cell["at"] = _moved(cell["at"], rng)
            elif rng.random() < 0.3:
                s = rng.integers(len(cell["nu"]))
                cell["nu"][s] = _moved(cell["nu"][s], rng)
            else:
                cell["convex"] = abs(float.fromhex(_moved(cell.get("convex", "0x1p-2"), rng))).hex()
            assert check(false).lower <= certificate.lower + 1e-9

    def test_all_of_it_convex_is_not_believed(self) -> None:
        """Half as much β again, and every cell said to be convex in effect: of most nothing is certified."""
        certificate, data = in_effect(0, 5, 3, 3, above=3.0)
        leaf, data["drcopt-proof"] = data["evidence"]["nodes"][0], 2
        for cells in leaf["cells"]:
            cells[:] = [{"nu": ["0"] * 3, "convex": leaf["classification"]}]
        assert check(data).lower <= certificate.lower + 1e-9

    def test_no_more_than_all_of_it(self) -> None:
        """β₀ ≤ α is convex whatever the cell is, but more than β would count losses that have no weight."""
        data = in_effect(0, 5, 3, 3)[1] | {"drcopt-proof": 2}
        leaf = data["evidence"]["nodes"][0]
        leaf["classification"] = leaf["convex"] = (0.2 * float.fromhex(leaf["rate"])).hex()
        found = []
        for own in ({}, {"convex": leaf["rate"]}):
            leaf["cells"] = [[{"nu": ["0"] * 3} | own] for _ in leaf["cells"]]
            found.append(check(data).lower)
        assert found[0] == found[1]

    def test_what_is_not_of_the_format(self) -> None:
        data = in_effect(0, 5, 3, 3)[1]
        cell = next(cell for cell in cells_of(data) if "convex" in cell)
        for version, text, message in (
            (1, cell["convex"], "its version is 1"),
            (2, "-0x1.0p-3", "negative"),
            (2, "nan", "written exactly"),
        ):
            with pytest.raises(InputError, match=message):
                check(data | {"drcopt-proof": version, **_with(data, cell, text)})

    def test_the_work_is_counted_first(self) -> None:
        data = in_effect(0, 5, 3, 3)[1]
        n, k, shares = 5, 3, sum("convex" in cell for cell in cells_of(data))
        with pytest.raises(InputError, match="more operations"):
            check(data, operations=shares * n * 2 * k**2)

    @pytest.mark.slow
    def test_tight_digits(self) -> None:
        """16×16 letters, ten classes, C in the midst of what is near: the file proves the answer to 1e-6."""
        import drcopt

        p = sources.images("super-resolution", x_letters=32, y_letters=32)
        solution = drcopt.solve(p, R=1.5, C=2.0132, time_limit=60)
        data = json.loads(json.dumps(proof.to_dict(solution.certificate)))
        verdict = check(data)
        assert verdict.accepted, verdict.reason
        assert verdict.lower >= solution.lower_bound - 1e-6
        assert math.isfinite(verdict.upper) and verdict.upper - verdict.lower <= 1e-6


def _with(data: Proof, cell: Any, text: str) -> Proof:
    """The evidence with another β₀ in one cell."""
    evidence = copy.deepcopy(data["evidence"])
    for node in evidence["nodes"]:
        for letter in node.get("cells", ()):
            for other in letter or ():
                if other == cell:
                    other["convex"] = text
    return {"evidence": evidence}
