"""The data of a distortion-rate-classification problem, validated once and frozen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from drcopt import _html, information
from drcopt._check import FloatArray, channel, freeze, pmf
from drcopt.distortion import matrix


class Problem:
    """Source X, reconstruction Y, class S with S - X - Y Markov, and a distortion.

    Parameters
    ----------
    px : (n,) array
        Source pmf p(x).
    py : (m,) array
        Reconstruction pmf p(y).
    ps_given_x : (n, k) array
        Channel W = p(s|x); rows sum to 1.
    d : (n, m) array or str
        Distortion d(x, y) ≥ 0, or a name: "hamming" or "squared-error" (letters compared by index).

    Raises
    ------
    InputError
        If an argument has non-finite or negative entries, the wrong shape, or does not sum to 1
        within 1e-6 (within it, it is normalised, and ``normalisation`` records by how much).

    Notes
    -----
    Arrays are copied and read-only. Letters without mass are kept here; :meth:`reduced` drops them.

    Examples
    --------
    >>> problem = Problem([0.7, 0.3], [0.75, 0.25], [[0.8, 0.2], [0.2, 0.8]])
    >>> problem
    Problem(n=2, m=2, k=2, H(X)=0.8813 bits, H(Y)=0.8113 bits, H(S)=0.9580 bits, max d=1)
    """

    px: FloatArray
    py: FloatArray
    ps_given_x: FloatArray
    d: FloatArray
    #: Amount by which the sums of px, py and the rows of ps_given_x were off 1 on arrival.
    normalisation: dict[str, float]

    def __init__(self, px: ArrayLike, py: ArrayLike, ps_given_x: ArrayLike, d: ArrayLike | str = "hamming") -> None:
        set_ = object.__setattr__
        px_, px_off = pmf("px", px)
        py_, py_off = pmf("py", py)
        W, W_off = channel("ps_given_x", ps_given_x, len(px_))
        set_(self, "px", px_)
        set_(self, "py", py_)
        set_(self, "ps_given_x", W)
        set_(self, "d", matrix(d, len(px_), len(py_)))
        set_(self, "normalisation", {"px": px_off, "py": py_off, "ps_given_x": W_off})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Problem is frozen: cannot set {name!r}. Build a new Problem.")

    def __reduce__(self) -> tuple[object, ...]:
        # Through the constructor: pickling alone would hand back writeable arrays.
        return (Problem, (self.px, self.py, self.ps_given_x, self.d))

    def __repr__(self) -> str:
        def bits(nats: float) -> str:
            return f"{information.from_nats(nats, 'bits'):.4f} bits"

        return (
            f"Problem(n={self.n}, m={self.m}, k={self.k}, H(X)={bits(self.entropy_x)}, "
            f"H(Y)={bits(self.entropy_y)}, H(S)={bits(self.entropy_s)}, max d={self.d.max():g})"
        )

    def _repr_html_(self) -> str:
        def bits(nats: float) -> str:
            return f"{information.from_nats(nats, 'bits'):.6g} bits"

        rows = {
            "letters": f"n = {self.n} of X, m = {self.m} of Y, k = {self.k} of S",
            "H(X), H(Y)": f"{bits(self.entropy_x)}, {bits(self.entropy_y)}",
            "H(S), H(S|X)": f"{bits(self.entropy_s)}, {bits(self.entropy_s_given_x)}",
            "d(x,y)": f"from {self.d.min():.6g} to {self.d.max():.6g}",
            "E d of independent X, Y": f"{self.distortion(self.independent):.6g}",
            "fingerprint": self.fingerprint,
        }
        return _html.table("Problem", rows)

    @property
    def n(self) -> int:
        """Letters of X."""
        return len(self.px)

    @property
    def m(self) -> int:
        """Letters of Y."""
        return len(self.py)

    @property
    def k(self) -> int:
        """Letters of S."""
        return int(self.ps_given_x.shape[1])

    @cached_property
    def ps(self) -> FloatArray:
        """Class pmf p(s), shape (k,)."""
        return freeze(self.px @ self.ps_given_x)

    @cached_property
    def independent(self) -> FloatArray:
        """The coupling px pyᵀ of independent X and Y, shape (n, m)."""
        return freeze(np.outer(self.px, self.py))

    @cached_property
    def entropy_x(self) -> float:
        """H(X) in nats."""
        return information.entropy(self.px)

    @cached_property
    def entropy_y(self) -> float:
        """H(Y) in nats."""
        return information.entropy(self.py)

    @cached_property
    def entropy_s(self) -> float:
        """H(S) in nats: the classification loss when Y says nothing."""
        return information.entropy(self.ps)

    @cached_property
    def entropy_s_given_x(self) -> float:
        """H(S|X) in nats: the least classification loss any reconstruction could have."""
        return information.conditional_entropy((self.px[:, None] * self.ps_given_x).T)

    @cached_property
    def contraction(self) -> float:
        """Strong data-processing constant η of p(s|x), rounded up: I(S;Y) ≤ η I(X;Y) for every reconstruction."""
        return information.contraction_coefficient(self.ps_given_x)

    def distortion(self, coupling: FloatArray) -> float:
        """E d(X,Y) of a coupling of shape (n, m)."""
        return float((self.d * coupling).sum())

    def rate(self, coupling: FloatArray) -> float:
        """I(X;Y) of a coupling, in nats."""
        return information.mutual_information(coupling)

    def classification_loss(self, coupling: FloatArray) -> float:
        """H(S|Y) of a coupling, in nats."""
        return information.conditional_entropy(self.ps_given_x.T @ coupling)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the arrays (16 hex digits) that names the problem in tables and checkpoints."""
        digest = hashlib.sha256()
        for array in (self.px, self.py, self.ps_given_x, self.d):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def support(self) -> Support:
        """The letters that carry mass."""
        return Support(
            np.flatnonzero(self.px > 0), np.flatnonzero(self.py > 0), np.flatnonzero(self.ps > 0), (self.n, self.m)
        )

    def reduced(self) -> Problem:
        """The same problem on the letters that carry mass (itself if all do)."""
        s = self.support
        if (len(s.x), len(s.y), len(s.s)) == (self.n, self.m, self.k):
            return self
        return Problem(self.px[s.x], self.py[s.y], self.ps_given_x[np.ix_(s.x, s.s)], self.d[np.ix_(s.x, s.y)])

    def standardised(self) -> tuple[Problem, Standard]:
        """The same problem with d in [0, 1]: d = scale · d' + row ⊕ column, the sum costing every coupling the same.

        Solvers see d' only, so an offset of 1e8 or a scale of 1e-8 cannot drown or inflate the part that
        couplings can change. A constant d' becomes 0 with scale 1.
        """
        row = self.d.min(axis=1)
        column = (self.d - row[:, None]).min(axis=0)
        rest = np.maximum(self.d - row[:, None] - column, 0.0)
        largest = float(rest.max())
        if largest <= 4e-16 * float(self.d.max()):  # what is left is rounding
            rest, largest = np.zeros_like(rest), 0.0
        scale = largest or 1.0
        return Problem(self.px, self.py, self.ps_given_x, rest / scale), Standard(scale, row, column)


@dataclass(frozen=True, eq=False)
class Standard:
    """How :meth:`Problem.standardised` changed d."""

    scale: float
    row: FloatArray
    column: FloatArray


@dataclass(frozen=True, eq=False)
class Support:
    """Indices of the letters of X, Y and S with positive mass, and how to put results back."""

    x: np.ndarray
    y: np.ndarray
    s: np.ndarray
    shape: tuple[int, int]

    def restore(self, coupling: FloatArray) -> FloatArray:
        """A coupling of the reduced problem as one of the full problem, zero elsewhere."""
        if coupling.shape == self.shape:
            return coupling.copy()
        full = np.zeros(self.shape)
        full[np.ix_(self.x, self.y)] = coupling
        return full
