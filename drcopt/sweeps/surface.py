"""A floor and a ceiling of D(R, C), or of another of its inverses, that hold everywhere in a rectangle of budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from drcopt import words
from drcopt.errors import InputError
from drcopt.forbidden import refuse_surface
from drcopt.formulations import Question
from drcopt.information import NATS_PER
from drcopt.law_session import session_for
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, QUANTITIES, Quantity, quantity
from drcopt.session import Session
from drcopt.stakes import Stakes
from drcopt.support import check, clock
from drcopt.support.check import FloatArray
from drcopt.support.executors import Submits, executor_of
from drcopt.sweeps.asking import Asking
from drcopt.sweeps.checkpoint import Checkpoint
from drcopt.sweeps.nodes import descends
from drcopt.sweeps.records import Book
from drcopt.sweeps.refine import Axis, Known, Refinement
from drcopt.sweeps.rows import BUDGETS, limited

if TYPE_CHECKING:
    import pandas as pd

#: Boxes of budgets are no thinner than this share of an axis, of one alone and of two.
_ALONE, _TOGETHER = 2.0**-12, 2.0**-6
Limit = float | None | tuple[float, float]


@dataclass(frozen=True, eq=False)
class Surface:
    """What is known of the least of an objective, at every pair of budgets.

    Attributes
    ----------
    problem : Problem
        The data.
    objective : str
        "distortion", "rate" or "classification_loss".
    ranges : dict
        The rectangle: (least, most) by the letter of the budget, in ``units`` or the unit of d; a budget that does not
        vary has one number (inf: none).
    tol, tolerance : float
        The gap asked for, as given and in the unit of the objective.
    known, infeasible : float
        Shares of the rectangle: where the gap is proved to be ≤ ``tolerance``, and where no point meets the budgets
        (also proved, and counted in ``known``). What is left is open: along the edge of what is feasible, or not yet
        refined.
    gap : float
        The largest gap outside the boxes that the edge of what is feasible goes through.
    solves, descents, seconds : int, int, float
        What it took.
    termination : str
        Why it ended.

    Notes
    -----
    ``lower`` and ``upper`` hold at *all* budgets, those outside the rectangle as well.

    Examples
    --------
    >>> import drcopt
    >>> known = drcopt.surface(drcopt.sources.bernoulli(), R=(0.3, 0.8), C=(0.8, 0.9), tol=0.02)
    >>> bool(known.lower(0.5, 0.85) <= 0.074826 <= known.upper(0.5, 0.85))
    True
    >>> bool(known.edge(0.5)[0] <= 0.802758 <= known.edge(0.5)[1])
    True
    >>> known.coupling(0.5, 0.85).shape, len(known.table(5, 4))
    ((2, 2), 20)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     known.save(f"{folder}/surface.json")
    """

    problem: Problem
    objective: words.Objective
    ranges: Mapping[str, float | tuple[float, float]]
    units: words.Units
    tol: float
    tolerance: float
    seconds: float
    termination: str
    settings: Mapping[str, Any]
    refinement: Refinement

    @property
    def _quantity(self) -> Quantity:
        return quantity(self.objective)

    @property
    def _known(self) -> Known:
        return self.refinement.known

    @property
    def question(self) -> Question:
        """The question about letters with mass that the pieces and points are of, without limits."""
        return self._known.question

    @property
    def known(self) -> float:
        return math.fsum(box.share for box in self.refinement.done if box.gap <= self.refinement.tol)

    @property
    def infeasible(self) -> float:
        return math.fsum(box.share for box in self.refinement.done if box.infeasible)

    @property
    def gap(self) -> float:
        gaps = [box.gap for box in (*self.refinement.done, *self.refinement.boxes) if math.isfinite(box.gap)]
        return self._quantity.outside(max(gaps, default=math.inf), self.units)

    @property
    def solves(self) -> int:
        return self._known.solves

    @property
    def descents(self) -> int:
        return self._known.descents

    def lower(self, *budgets: ArrayLike) -> FloatArray:
        """A proved lower bound on the objective; inf: no point meets the budgets.

        Parameters
        ----------
        *budgets : array_like
            The budgets that vary, in the order R, D, C, in ``units`` or the unit of d; they are broadcast.

        Returns
        -------
        array
            In the unit of d, or in ``units``.
        """
        at, shape = self._budgets(budgets)
        found = self._known.floor.at(self._quantity, at)
        return self._outside(found, shape, -math.inf)

    def upper(self, *budgets: ArrayLike) -> FloatArray:
        """What a point is known to reach; inf: none is known to meet the budgets. Arguments as for :meth:`lower`."""
        at, shape = self._budgets(budgets)
        return self._outside(self.refinement.ceiling(at), shape, math.inf)

    def edge(self, budget: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Between what the least classification loss lies, where that is limited: (lower, upper) at the other budget.

        ``budget`` is one on the rate (or, where the rate is minimised, on E d). Below ``lower`` nothing meets a budget
        on the loss.
        """
        other = next(q for q in limited(self._quantity) if q is not CLASSIFICATION_LOSS)
        if self._quantity is CLASSIFICATION_LOSS:
            raise InputError("edge must be asked of a surface that limits the loss; this one minimises it. Use lower.")
        given = np.asarray(budget, dtype=np.float64)
        at = np.tile(self.refinement.fixed, (given.size, 1))
        at[:, other.place] = [other.inside(v, self.units) for v in given.ravel().tolist()]
        at[:, CLASSIFICATION_LOSS.place] = math.inf
        lower = self._known.floor.at(CLASSIFICATION_LOSS, at)
        ceiling = self._known.ceiling
        upper = ceiling.staircase(CLASSIFICATION_LOSS, at)
        for k, point in enumerate(ceiling.points):
            if math.isinf(point.asked[CLASSIFICATION_LOSS.place]):  # found where the loss was minimised, or free
                upper = np.minimum(upper, ceiling.mixed(CLASSIFICATION_LOSS, at, k))
        unit = NATS_PER[self.units]
        return (lower / unit).reshape(given.shape), (upper / unit).reshape(given.shape)

    def coupling(self, *budgets: float) -> FloatArray | None:
        """A coupling (n, m) that meets the budgets and has ``upper``; None if none is known."""
        at, _ = self._budgets(budgets)
        found = self.refinement.mixture(at[:1])
        if found is None:
            return None
        ceiling = self._known.ceiling
        mixed = sum(w * ceiling.question.coupling(ceiling.points[i].parts) for i, w in found)
        return self._session.restored(np.asarray(mixed))

    @cached_property
    def _session(self) -> Session:
        return session_for(self.problem, **self.settings)

    def table(self, *counts: int) -> pd.DataFrame:
        """Lower, upper and gap on a grid of ``counts`` budgets along the axes (default 20 each), a row each.

        Columns are named as in sweeps; information is in bits.
        """
        import pandas as pd

        axes = self.refinement.axes
        sizes = [*counts, *[20] * (len(axes) - len(counts))]
        ends = [(axis.quantity.outside(axis.low, "bits"), axis.quantity.outside(axis.high, "bits")) for axis in axes]
        grids = np.meshgrid(*[np.linspace(*end, size) for end, size in zip(ends, sizes, strict=True)], indexing="ij")
        at = np.tile(self.refinement.fixed, (grids[0].size, 1))
        columns: dict[str, Any] = {}
        for axis, grid in zip(axes, grids, strict=True):
            q = axis.quantity
            at[:, q.place] = np.minimum([q.inside(v, "bits") for v in grid.ravel().tolist()], axis.high)
        for q, name in BUDGETS.items():
            if q is not self._quantity:
                columns[name] = [q.outside(v, "bits") for v in at[:, q.place].tolist()]
        objective = self._quantity
        lower, upper = self._known.floor.at(objective, at), self.refinement.ceiling(at)
        unit = NATS_PER["bits"] if objective.informational else 1.0
        columns["objective"] = self.objective
        columns["lower_bound"], columns["value"] = lower / unit, upper / unit
        with np.errstate(invalid="ignore"):
            gap = upper - lower
        columns["gap"] = np.where(np.isposinf(lower), 0.0, gap) / unit
        states = np.where(gap <= self.refinement.tol, "known", np.where(np.isposinf(upper), "unknown", "open"))
        columns["status"] = np.where(np.isposinf(lower), "infeasible", states)
        return pd.DataFrame(columns)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything needed to believe this to one file, for ``drcopt check`` to verify.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        InputError
            If the file cannot be written.
        OutputError
            If writing fails half-way, as on a full disk.
        """
        from drcopt.sweeps.surface_proof import save

        save(self, path)

    def _budgets(self, given: Sequence[ArrayLike]) -> tuple[FloatArray, tuple[int, ...]]:
        axes = self.refinement.axes
        names = [axis.quantity.budget for axis in axes]
        if len(given) != len(axes):
            raise InputError(f"budgets must be given for {' and '.join(names)}; there are {len(given)}. Pass those.")
        arrays = np.broadcast_arrays(*[np.asarray(v, dtype=np.float64) for v in given])
        for name, array in zip(names, arrays, strict=True):
            if array.size and not (array >= 0).all():
                raise InputError(f"{name} must be nonnegative; it holds {array.min():.6g}. Pass budgets ≥ 0.")
        at = np.tile(self.refinement.fixed, (arrays[0].size, 1))
        for axis, array in zip(axes, arrays, strict=True):
            unit = NATS_PER[self.units] if axis.quantity.informational else 1.0
            at[:, axis.quantity.place] = array.ravel() * unit
        return at, arrays[0].shape

    def _outside(self, nats: FloatArray, shape: tuple[int, ...], towards: float) -> FloatArray:
        """In ``units``, rounded away from what is true."""
        if not self._quantity.informational or self.units == "nats":
            return nats.reshape(shape)
        return np.nextafter(np.nextafter(nats / NATS_PER[self.units], towards), towards).reshape(shape)

    def __repr__(self) -> str:
        spans = ", ".join(
            f"{name}={f'({v[0]:.6g}, {v[1]:.6g})' if isinstance(v, tuple) else f'{v:.6g}'}"
            for name, v in self.ranges.items()
        )
        unit = "" if self._quantity is DISTORTION else f" {self.units}"
        return (
            f"Surface({self.objective} over {spans} {self.units}: {self.known:.1%} known to {self.tolerance:.3g}{unit}"
            f", of it {self.infeasible:.1%} infeasible; {self.solves} answers, {self.descents} descents, "
            f"{self.seconds:.3g} s: {self.termination})"
        )


def surface(
    problem: Problem,
    *,
    R: Limit = None,
    C: Limit = None,
    D: Limit = None,
    objective: words.Objective = "distortion",
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    perception: Perception | tuple[words.Divergence, float] | None = None,
    units: words.Units = "bits",
    tol: float = 1e-3,
    resolution: float | None = None,
    time_limit: float | None = None,
    executor: Submits | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool | None = None,
) -> Surface:
    """The least of an objective everywhere in a rectangle of budgets, or along a line of them, to a proved gap.

    Every half-space that one answer proves holds at all budgets, and every point at all looser ones; mixtures of points
    hold in between (:mod:`drcopt.sweeps.envelopes`). Boxes of budgets are halved, and answers asked for where ceiling
    and floor lie apart, until the gap is small all over.

    Parameters
    ----------
    problem : Problem
        What to solve.
    R, C, D : (float, float), float or None
        Ranges of budgets, in ``units`` and the unit of d; one or two of them, refined up to where no point needs more.
        A number holds a budget, None is none. What is minimised takes none.
    objective : {"distortion", "rate", "classification_loss"}
        What is minimised: D(R, C), R(D, C) or C(R, D).
    tol : float
        The gap to reach everywhere: for a distortion as a share of the largest cost in d that couplings can avoid,
        outliers cut off (at most max d); for a rate or a loss in ``units``.
    resolution : float, optional
        Boxes are no thinner than this share of an axis, which limits what is spent along the edge of what is feasible
        and where the objective jumps (default: 1/64, of one axis alone 1/4096).
    time_limit : float, optional
        Seconds; what is known by then comes back.
    formulation, classifier_sees, perception, units
        As in :func:`drcopt.solve`; not "one-shot".
    executor, checkpoint, progress
        As in :func:`drcopt.sweep`: what may answer side by side, and a file to resume from. What is asked does not
        depend on them.

    Returns
    -------
    Surface

    Raises
    ------
    InputError
        If an argument breaks a rule; nothing has been solved then.
    CheckpointError
        If the checkpoint cannot be used, or was begun with another problem or other settings.

    Examples
    --------
    >>> import drcopt
    >>> curve = drcopt.surface(drcopt.sources.bernoulli(), R=(0.1, 0.8), tol=1e-3)
    >>> curve.known, bool(curve.lower(0.5) <= 0.074826 <= curve.upper(0.5))
    (1.0, True)
    """
    runner, started = executor_of(executor), clock.now()
    check.positive("tol", tol)
    check.positive("time_limit", time_limit, allow_none=True)
    check.positive("resolution", resolution, allow_none=True)
    check.choice("units", units, words.UNITS)
    minimised = quantity(objective)
    if minimised not in QUANTITIES:
        names = [q.name for q in QUANTITIES]
        raise InputError(f"objective must be one of {names} for a surface; it is {objective!r}. Pass one of them.")
    if formulation == "one-shot":
        raise InputError(
            "formulation must be 'single-letter' or 'time-sharing' for a surface; it is 'one-shot'. Sweep it instead."
        )
    settings = {"formulation": formulation, "classifier_sees": classifier_sees, "perception": perception}
    first = session_for(problem, units=units, **settings)
    refuse_surface(problem)
    if not np.isfinite(problem.d).all():
        raise InputError("d must be finite for a surface; it forbids pairs with inf. Sweep it instead.")
    given = dict(zip(QUANTITIES, (D, R, C), strict=True))
    if given[minimised] is not None:
        raise minimised.limited_itself(check.shown(given[minimised]))
    question = first.question(minimised)
    axes, fixed = _axes(given, units, resolution, question.most)
    tolerance = tol * Stakes(question.problem).scale if minimised is DISTORTION else minimised.inside(tol, units)
    refinement = Refinement(Known(question), minimised, axes, fixed, max(tolerance, 1e-300))
    # Where the loss has no limit a whole answer costs less than a descent.
    loss = CLASSIFICATION_LOSS.place
    binding = fixed[loss] < question.most[loss] or any(axis.quantity is CLASSIFICATION_LOSS for axis in axes)
    refinement.descending = descends(question) and (binding or minimised is CLASSIFICATION_LOSS)
    ranges: dict[str, Any] = {q.budget: given[q] for q in BUDGETS if q is not minimised and given[q] is not None}
    header = {
        "problem": problem.fingerprint,
        "surface": objective,
        **{name: list(v) if isinstance(v, tuple) else v for name, v in ranges.items()},
        **{name: value for name, value in settings.items() if name != "perception"},
        "perception": "" if perception is None else repr(perception),
        "units": units,
        "tol": float(tol),
        "resolution": [axis.resolution for axis in axes],
        "identity": ["asked"],
        "columns": ["asked", "text"],
    }
    deadline = math.inf if time_limit is None else started + time_limit
    asking = Asking(problem, settings, minimised, tol, tolerance, question, axes, deadline, runner)
    disable = None if progress is None else not progress
    with (
        nullcontext() if checkpoint is None else Checkpoint(checkpoint, header, {"asked", "text"}) as book,
        tqdm(unit="answer", disable=disable) as bar,
        clock.until(deadline),
    ):
        asking.book, asking.bar = None if book is None else Book(book), bar
        refinement.run(asking, clock.expired)
    refinement.known.question = question
    why = "the time limit was reached" if refinement.boxes else "every box is known, or as small as it may be"
    shown = {name: (float(v[0]), float(v[1])) if isinstance(v, tuple) else float(v) for name, v in ranges.items()}
    return Surface(
        problem,
        objective,
        shown,
        units,
        float(tol),
        minimised.outside(tolerance, units),
        clock.now() - started,
        why,
        settings,
        refinement,
    )


def _axes(
    given: Mapping[Quantity, Any], units: words.Units, resolution: float | None, most: Sequence[float]
) -> tuple[list[Axis], FloatArray]:
    """The budgets that vary, in the order of a sweep's, and those that do not, in nats."""
    fixed, ends = np.full(3, math.inf), {}
    for q in BUDGETS:
        value = given[q]
        if isinstance(value, (tuple, list, np.ndarray)) and np.ndim(value) == 1:
            if len(value) != 2:
                raise InputError(f"{q.budget} must be (least, most); it is {check.shown(value)}. Pass two numbers.")
            low, high = (check.budget(f"{q.budget}[{i}]", v) for i, v in enumerate(value))
            if not low < high < math.inf:
                raise InputError(
                    f"{q.budget} must be (least, most) with least < most, finite; it is {check.shown(value)}. "
                    "Pass e.g. (0.5, 1.0), or a number to hold it."
                )
            reach = most[q.place]
            if not q.inside(low, units) < reach:
                raise InputError(
                    f"{q.budget} must begin below {q.outside(reach, units):.6g}, which no point exceeds; it is "
                    f"{check.shown(value)}. Nothing changes from there on: pass a smaller least, or None."
                )
            ends[q] = q.inside(low, units), min(q.inside(high, units), reach)
        else:
            fixed[q.place] = q.inside(check.budget(q.budget, value), units)
    if not 1 <= len(ends) <= 2:
        raise InputError(
            f"one or two of R, C and D must be ranges (least, most); {len(ends)} are. Pass e.g. R=(0.1, 1.0)."
        )
    least = (_ALONE if len(ends) == 1 else _TOGETHER) if resolution is None else resolution
    return [Axis(q, *pair, least) for q, pair in ends.items()], fixed
