"""The data of a distortion-rate-classification problem, validated once and frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drcopt import classes, information, portrait, samples
from drcopt.classes import Classes
from drcopt.coordinates import Standard as Standard
from drcopt.coordinates import Support as Support
from drcopt.distortion import any_law, largest, matrix
from drcopt.errors import InputError
from drcopt.labels import Labels, align, check_lengths
from drcopt.support.check import FloatArray, channel, freeze, pmf, real_array, text

#: A distortion: a name, a matrix, or (where letters have names) a function of two of them.
Distortion = ArrayLike | str | Callable[[Any, Any], float]

#: Names of letters by alphabet, "x", "y" and "s", or some of them.
LabelsLike = Labels | Mapping[str, Sequence[Any]] | None

#: The least mass of a letter that engines see.
_LEAST_MASS = 1e-250


class Problem:
    """Source X, reconstruction Y, class S with S - X - Y Markov, and a distortion.

    Parameters
    ----------
    px : (n,) array
        Source pmf p(x).
    py : (m,) array or None
        Reconstruction pmf p(y). None: any law on the columns of d (the letters of X where d is a name); ``py`` is NaN.
    ps_given_x : (n, k) array, or a mapping of such arrays
        Channel W = p(s|x); rows sum to 1. A row may be empty (zeros or NaN) where px is 0. Several classes: one for
        each, by name, kept in ``classes``; ``ps_given_x`` is then that of a class drawn at random with its letter.
    d : (n, m) array, str or function
        Distortion d(x, y) ≥ 0, or a name: "hamming" or "squared-error". A name compares the names of the letters
        where X and Y have them, else their indices; a function is called with two names. An entry may be inf, a pair
        that is forbidden: x must not become y.
    labels : mapping, optional
        Names of the letters: a list for each of "x", "y" and "s", or some of them. A Series or DataFrame brings its
        own (pandas' default 0, 1, 2 … names nothing). Where several arguments name an alphabet they are brought into
        one order, that of ``labels`` or of the first.
    name : str
        What tables and pictures call the problem.
    units : str
        Unit of d, for pictures, such as "mm²".

    Raises
    ------
    InputError
        If an argument has non-finite (but inf in d) or negative entries, the wrong shape, or does not sum to 1
        within 1e-6 (within it, it is normalised, and ``normalisation`` records by how much); if two arguments name
        different letters.

    Notes
    -----
    Arrays are copied and read-only; :meth:`reduced` drops letters without mass. Equal arrays and labels are equal.

    Examples
    --------
    >>> problem = Problem([0.7, 0.3], [0.75, 0.25], [[0.8, 0.2], [0.2, 0.8]])
    >>> problem
    Problem(n=2, m=2, k=2, H(X)=0.8813 bits, H(Y)=0.8113 bits, H(S)=0.9580 bits, max d=1)
    >>> P = problem.reduced().independent
    >>> [round(value, 4) for value in (problem.distortion(P), problem.rate(P), problem.classification_loss(P, "bits"))]
    [0.4, 0.0, 0.958]
    """

    px: FloatArray
    py: FloatArray
    ps_given_x: FloatArray
    d: FloatArray
    labels: Labels
    name: str
    units: str
    #: The channels by name where there are several classes, else None.
    classes: Classes | None
    #: Amount by which the sums of px, py and the rows of ps_given_x were off 1 on arrival.
    normalisation: dict[str, float]

    def __init__(
        self,
        px: ArrayLike,
        py: ArrayLike | None,
        ps_given_x: ArrayLike | Mapping[str, ArrayLike],
        d: Distortion = "hamming",
        *,
        labels: LabelsLike = None,
        name: str = "",
        units: str = "",
    ) -> None:
        set_ = object.__setattr__
        several = ps_given_x if isinstance(ps_given_x, Mapping) else None
        channels, letters = ({"ps_given_x": ps_given_x}, {}) if several is None else classes.arguments(several)
        aligned, names = align({"px": px, "py": py, **channels, "d": d}, labels, alike=isinstance(d, str))
        px_, px_off = pmf("px", aligned["px"], beside=("py", aligned["py"]))
        py_, py_off = pmf("py", aligned["py"]) if py is not None else (any_law(aligned["d"], len(px_), names.y), 0.0)
        if several is None:
            W, W_off = channel("ps_given_x", aligned["ps_given_x"], px_)
            set_(self, "classes", None)
        else:
            found, W_off = classes.read(several, aligned, px_)
            W, names = found.stacked, Labels(names.x, names.y, classes.labelled(found, letters, names.s))
            set_(self, "classes", found)
        if isinstance(d, str) and len(px_) == len(py_):  # one alphabet, named once
            names = Labels(names.x or names.y, names.y or names.x, names.s)
        check_lengths(names, {"x": len(px_), "y": len(py_), "s": W.shape[1]})
        set_(self, "px", px_)
        set_(self, "py", py_)
        set_(self, "ps_given_x", W)
        set_(self, "d", matrix(aligned["d"], len(px_), len(py_), names.x, names.y))
        set_(self, "labels", names)
        set_(self, "name", text("name", name))
        set_(self, "units", text("units", units))
        if units in information.NATS_PER:
            raise InputError(
                f"units must name the unit of d, such as 'mm²'; it is {units!r}. Budgets have their units in the call: "
                f"drcopt.solve(problem, units={units!r})."
            )
        set_(self, "normalisation", {"px": px_off, "py": py_off, "ps_given_x": W_off})

    @classmethod
    def from_joint(
        cls,
        pxs: ArrayLike,
        py: ArrayLike | None,
        d: Distortion = "hamming",
        *,
        labels: LabelsLike = None,
        name: str = "",
        units: str = "",
    ) -> Problem:
        """The problem of a joint table of source letters and classes: p(x,s), or counts of it.

        Parameters
        ----------
        pxs : (n, k) array or DataFrame
            p(x, s), or any nonnegative table proportional to it; index and columns name the letters of X and S.
            A letter that never occurs is kept, without mass.
        py : (m,) array, Series, "px" or None
            The law that Y must have, or counts of it; "px": the law of X, on the letters of X; None: any law.
        d, labels, name, units
            As in :class:`Problem`.

        Raises
        ------
        InputError
            If the table holds nothing, or an argument breaks a rule of :class:`Problem`.

        Examples
        --------
        Men by hair and eye colour; reproduce the hair with the colours that women have:

        >>> Problem.from_joint([[56, 20], [143, 33], [34, 40]], [88, 119, 106])
        Problem(n=3, m=3, k=2, H(X)=1.4555 bits, H(Y)=1.5741 bits, H(S)=0.8625 bits, max d=1)
        """
        aligned, names = align({"pxs": pxs, "py": py, "d": d}, labels, alike=isinstance(d, str))
        joint = real_array("pxs", aligned["pxs"], 2)
        joint = joint / (joint.max() or 1.0)  # counts near the largest float have no finite sum
        rows = joint.sum(axis=1)
        if not rows.any():
            raise InputError("pxs must hold some mass; all its entries are 0. Pass p(x,s), or counts of it.")
        with np.errstate(invalid="ignore"):
            W = joint / rows[:, None]
        px = rows / math.fsum(rows)
        law = samples.law_given(py, aligned["py"], px)
        if isinstance(py, str):
            names = Labels(names.x, names.y or names.x, names.s)
        return cls(px, law, W, aligned["d"], labels=names, name=name, units=units)

    @classmethod
    def from_samples(
        cls,
        x: Any,
        s: Any,
        y: Any = None,
        *,
        py: ArrayLike | None = None,
        d: Distortion = "hamming",
        data: Any = None,
        weights: Any = None,
        labels: LabelsLike = None,
        name: str = "",
        units: str = "",
    ) -> Problem:
        """The problem of samples: p(x,s) is how often each pair occurs.

        Parameters
        ----------
        x, s : sequences of N letters, or names of columns of ``data``
            Samples of the pair (X, S), row by row: text, numbers, tuples, a Series (a categorical keeps its order
            and the letters that never occur), or a frame of several columns, whose rows are then the letters.
        y : sequence of letters, or the name of a column, optional
            Samples of the reconstruction, whose law Y must have. They need not be paired with x, nor as many.
        py : (m,) array, Series or "px"
            Instead of ``y``: the law of Y as in :meth:`from_joint`.
        d : (n, m) array, str or function
            As in :class:`Problem`; letters are compared by their values.
        data : DataFrame or mapping of columns, optional
            The table whose columns x, s, y and weights name.
        weights : sequence of N numbers, or the name of a column, optional
            How often each sample counts.
        labels, name, units
            As in :class:`Problem`; ``labels`` gives the order of the letters.

        Raises
        ------
        InputError
            If letters are missing, lengths differ, or neither or both of y and py are given.

        Examples
        --------
        >>> problem = Problem.from_samples(["a", "b", "b", "c"], [0, 1, 1, 0], py="px")
        >>> problem.labels
        Labels(x=('a', 'b', 'c'), y=('a', 'b', 'c'), s=(0, 1))
        >>> problem.px
        array([0.25, 0.5 , 0.25])
        """
        if (y is None) == (py is None):
            both = "both arrived" if y is not None else "neither arrived"
            raise InputError(
                f"one of y (samples of the reconstruction) and py (its law) must be given; {both}. Pass py='px' for "
                "the law of X."
            )
        columns = {key: samples.column(key, value, data) for key, value in (("x", x), ("s", s))}
        coded = {key: samples.code(key, value) for key, value in columns.items()}
        weighed = None if weights is None else samples.column("weights", weights, data)
        counts = samples.count(coded["x"], coded["s"], weighed)
        pxs = samples.Counted(counts, coded["x"][0], coded["s"][0])
        if y is None:
            law: Any = py
        else:
            named = samples.column("y", y, data)
            y_coded = samples.code("y", named)
            law = samples.Counted(samples.law(y_coded, weighed if named is not y else None), y_coded[0])
        return cls.from_joint(pxs, law, d, labels=labels, name=name, units=units)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Problem is frozen: cannot set {name!r}. Build a new Problem.")

    def __reduce__(self) -> tuple[object, ...]:
        # Through the constructor: pickling alone would hand back writeable arrays.
        return (_rebuilt, (self.px, self.py, self.channels, self.d, self.labels, self.name, self.units))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Problem):
            return NotImplemented
        return self.fingerprint == other.fingerprint and self.labels == other.labels

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return portrait.line(self)

    def _repr_html_(self) -> str:
        return portrait.page(self)

    @property
    def n(self) -> int:
        """Letters of X."""
        return len(self.px)

    @property
    def m(self) -> int:
        """Letters of Y."""
        return len(self.py)

    @property
    def free(self) -> bool:
        """Whether Y may have any law."""
        return bool(np.isnan(self.py[0]))

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
    def posterior_range(self) -> FloatArray:
        """The least and the greatest p(s|x) of every class, shape (k, 2): posteriors given Y lie between them."""
        return freeze(np.stack([self.ps_given_x.min(axis=0), self.ps_given_x.max(axis=0)], axis=-1))

    @cached_property
    def d_most(self) -> float:
        """The largest d of a pair that is not forbidden."""
        return largest(self.d)

    @cached_property
    def forbidden(self) -> NDArray[np.bool_]:
        """Which pairs must not occur, shape (n, m): those with d = inf."""
        return np.isposinf(self.d)

    @cached_property
    def floors(self) -> tuple[tuple[float, FloatArray], ...]:
        """Σ px f and min_x d(x, y) − f(x) for each y, for f = min_y d and for f = 0: E d ≥ Σ px f + Σ py(y) min_x."""
        rows = self.d.min(axis=1)
        rest = freeze((self.d - rows[:, None]).min(axis=0))
        return (math.fsum(self.px * rows), rest), (0.0, freeze(self.d.min(axis=0)))

    @cached_property
    def contraction(self) -> float:
        """Strong data-processing constant η of p(s|x), rounded up: I(S;Y) ≤ η I(X;Y) for every reconstruction."""
        return information.contraction_coefficient(self.ps_given_x)

    def distortion(self, coupling: FloatArray) -> float:
        """E d(X,Y) of a coupling of shape (n, m)."""
        if (forbidden := self.forbidden).any():
            return math.inf if coupling[forbidden].any() else float(self.d[~forbidden] @ coupling[~forbidden])
        return float(np.einsum("xy,xy->x", self.d, coupling).sum())

    def rate(self, coupling: FloatArray, units: information.Units = "nats") -> float:
        """I(X;Y) of a coupling, in nats (or ``units``)."""
        return information.from_nats(information.mutual_information(coupling), units)

    def classification_loss(self, coupling: FloatArray, units: information.Units = "nats") -> float:
        """H(S|Y) of a coupling, in nats (or ``units``)."""
        if self.classes is not None:
            raise InputError(
                "classification_loss is of one class; this problem has several. Ask classification_losses."
            )
        return information.from_nats(information.conditional_entropy(self.ps_given_x.T @ coupling), units)

    def classification_losses(self, coupling: FloatArray, units: information.Units = "nats") -> dict[str, float]:
        """H(S_j|Y) of a coupling by class, in nats (or ``units``); "S" where there is one class only.

        >>> problem = Problem([0.5, 0.5], [0.5, 0.5], {"same": np.eye(2), "none": np.full((2, 2), 0.5)})
        >>> {name: round(loss, 3) for name, loss in problem.classification_losses(np.eye(2) / 2, "bits").items()}
        {'same': 0.0, 'none': 1.0}
        """
        if self.classes is None:
            return {"S": self.classification_loss(coupling, units)}
        return {name: information.from_nats(nats, units) for name, nats in self.classes.losses(coupling).items()}

    @property
    def channels(self) -> FloatArray | Classes:
        """p(s|x) as it was given: ``ps_given_x``, or ``classes`` where there are several."""
        return self.ps_given_x if self.classes is None else self.classes

    def of_class(self, name: str | None) -> Problem:
        """The same problem with the class of this ``name`` alone (None: with none, S a constant).

        >>> Problem([0.5, 0.5], [0.5, 0.5], {"same": np.eye(2)}).of_class("same").k
        2
        """
        known: dict[str | None, Problem] = self.__dict__.setdefault("_of_class", {})
        if name not in known:
            W = np.ones((self.n, 1)) if name is None or self.classes is None else self.classes[name]
            known[name] = Problem(self.px, None if self.free else self.py, W, self.d)
        return known[name]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the arrays (16 hex digits) that names the problem in tables and checkpoints."""
        W = [self.ps_given_x] if self.classes is None else [*self.classes.values()]
        return portrait.fingerprint(self.px, self.py, *W, self.d)

    @cached_property
    def support(self) -> Support:
        """The letters that carry mass."""
        return Support(
            np.flatnonzero(self.px > 0), np.flatnonzero(~(self.py <= 0)), np.flatnonzero(self.ps > 0), (self.n, self.m)
        )

    def reduced(self) -> Problem:
        """The same problem on the letters that carry mass (itself if all do)."""
        s = self.support
        if (len(s.x), len(s.y), len(s.s)) == (self.n, self.m, self.k):
            return self
        return Problem(
            self.px[s.x],
            None if self.free else self.py[s.y],
            self.ps_given_x[np.ix_(s.x, s.s)] if self.classes is None else self.classes.take(s.x, s.s),
            self.d[np.ix_(s.x, s.y)],
            labels=self.labels.take(s.x, s.y, s.s),
            name=self.name,
            units=self.units,
        )

    @cached_property
    def avoidable(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What couplings can change of d, ≥ 0, and the row ⊕ column that costs every coupling the same."""
        row = _finite(self.d.min(axis=1))
        column = _finite((self.d - row[:, None]).min(axis=0))
        rest = np.maximum(self.d - row[:, None] - column, 0.0)
        if float(rest.max()) <= 4e-16 * self.d_most:  # what is left is rounding
            rest = np.zeros_like(rest)
        return rest, row, column

    def standardised(self, most: float = math.inf) -> tuple[Problem, Standard]:
        """The same problem with d in [0, 1]: d = scale · d' + row ⊕ column, the sum costing every coupling the same.

        Solvers see d' only, so an offset of 1e8 or a scale of 1e-8 cannot drown or inflate the part that
        couplings can change. A constant d' becomes 0 with scale 1. Costs are cut off at ``most``, above row ⊕ column.
        Masses below 1e-250, whose reciprocals and products leave the range of doubles, are raised to that: points
        are moved back onto px and py, and multipliers prove what they prove there.
        """
        rest, row, column = self.avoidable
        rest = np.minimum(rest, most)
        scale = float(rest.max()) or 1.0
        px, py = (np.where(p > 0, np.maximum(p, _LEAST_MASS), 0.0) for p in (self.px, self.py))
        return Problem(px, py, self.channels, rest / scale), Standard(scale, row, column)


def _finite(array: FloatArray) -> FloatArray:
    return np.where(np.isfinite(array), array, 0.0)


def _rebuilt(px: Any, py: Any, ps_given_x: Any, d: Any, labels: Labels, name: str, units: str) -> Problem:
    return Problem(px, None if np.isnan(py).all() else py, ps_given_x, d, labels=labels, name=name, units=units)
