"""A floor and a ceiling of D(R, C, P), or of one of its inverses, that hold everywhere in a rectangle of budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from drcopt import words
from drcopt.errors import InputError
from drcopt.forbidden import refuse_surface
from drcopt.law_session import session_for
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, EVERY, PERCEPTION, QUANTITIES, Quantity, quantity
from drcopt.stakes import Stakes
from drcopt.support import check, clock
from drcopt.support.check import FloatArray
from drcopt.support.executors import Submits, executor_of
from drcopt.sweeps.asking import Asking
from drcopt.sweeps.checkpoint import Checkpoint
from drcopt.sweeps.nodes import descends
from drcopt.sweeps.records import Book
from drcopt.sweeps.refine import Axis, Known, Refinement
from drcopt.sweeps.rows import BUDGETS, inside
from drcopt.sweeps.sheet import Surface

#: Boxes of budgets are no thinner than this share of an axis, by how many there are.
_RESOLUTION = {1: 2.0**-12, 2: 2.0**-6, 3: 2.0**-4}
#: Places of a grid.
_MOST_PLACES = 2**14
Limit = float | None | tuple[float, float]


def surface(
    problem: Problem,
    *,
    R: Limit = None,
    C: Limit = None,
    D: Limit = None,
    P: Limit = None,
    kind: words.Divergence = "tv",
    target: ArrayLike | None = None,
    ground: ArrayLike | None = None,
    order: float = 2.0,
    objective: words.Objective = "distortion",
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    perception: Perception | tuple[words.Divergence, float] | None = None,
    units: words.Units = "bits",
    tol: float = 1e-3,
    at: int | Sequence[int] | None = None,
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
    R, C, D, P : (float, float), float or None
        Ranges of budgets, in ``units`` and the unit of d; one to three of them, refined up to where no point needs
        more. A number holds a budget, None is none. What is minimised takes none. At P = 0 Y has the target's law.
    kind, target, ground, order
        How perception is measured where P is given, as in :class:`drcopt.Perception`; the target is the problem's py
        unless given.
    objective : {"distortion", "rate", "classification_loss"}
        What is minimised: D(R, C), R(D, C) or C(R, D).
    tol : float
        The gap to reach everywhere: for a distortion as a share of the largest cost in d that couplings can avoid,
        outliers cut off (at most max d); for a rate or a loss in ``units``.
    at : int or tuple of int, optional
        So many budgets along each axis, its ends among them: only this grid is to be known, several times as cheap
        where ``tol`` is small. The default is everywhere; what is known holds everywhere in either case.
    resolution : float, optional
        Boxes are no thinner than this share of an axis, which limits what is spent along the edge of what is feasible
        and where the objective jumps (default: 1/64, of one axis alone 1/4096, of three 1/16).
    time_limit : float, optional
        Seconds; what is known by then comes back.
    formulation, classifier_sees, perception, units
        As in :func:`drcopt.solve`; not "one-shot". ``perception`` holds a budget, where P is not given.
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
    >>> grid = drcopt.surface(drcopt.sources.bernoulli(), R=(0.3, 0.6), C=(0.8, 0.9), at=(4, 3))
    >>> grid.known, len(grid.table())
    (1.0, 12)
    >>> near = drcopt.surface(drcopt.sources.bernoulli(px=0.3), R=(0.4, 0.6), P=(0.01, 0.1), tol=5e-3)
    >>> bool(0.069 < near.lower(0.5, 0.05) <= near.upper(0.5, 0.05) < 0.079)
    True
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
    wanted = None if perception is None else Perception.of(perception)
    if P is not None:
        if wanted is not None:
            raise InputError("perception must not be given where P is; both are. Name its kind and target, or drop P.")
        wanted = Perception(kind, math.inf if np.ndim(P) else P, target, ground, order)  # type: ignore[arg-type]
    elif wanted is not None:
        P = wanted.budget
    settings: dict[str, Any] = {"formulation": formulation, "classifier_sees": classifier_sees, "perception": wanted}
    first = session_for(problem, units=units, **settings)
    refuse_surface(problem)
    if not np.isfinite(problem.d).all():
        raise InputError("d must be finite for a surface; it forbids pairs with inf. Sweep it instead.")
    given = dict(zip(EVERY, (D, R, C, P), strict=True))
    if given[minimised] is not None:
        raise minimised.limited_itself(check.shown(given[minimised]))
    question = first.question(minimised)
    unit = {q: inside(q, wanted, units) for q in EVERY}
    most = (*question.most, math.inf if wanted is None else wanted.near(problem, 1.0).farthest)
    axes, fixed = _axes(given, unit, resolution, most)
    for axis in axes:
        if axis.quantity is PERCEPTION and wanted is not None:
            laws = wanted.near(problem, axis.high)
            if axis.low == 0.0 and (formulation == "time-sharing" or not laws.target.all()):
                raise InputError(
                    "P must begin above 0 with formulation='time-sharing', and where the target has letters without "
                    f"mass; it is {check.shown(P)}. Pass e.g. 1e-6."
                )
            question = replace(question, laws=laws)
            settings["perception"] = replace(wanted, budget=axis.high / unit[PERCEPTION])
    tolerance = tol * Stakes(question.problem).scale if minimised is DISTORTION else minimised.inside(tol, units)
    refinement = Refinement(Known(question), minimised, axes, fixed, max(tolerance, 1e-300), _grid(at, len(axes)))
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
        "perception": "" if wanted is None else repr(wanted),
        "units": units,
        "tol": float(tol),
        "resolution": [axis.resolution for axis in axes],
        **({"at": list(refinement.grid)} if refinement.grid else {}),
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
    why = (
        "every place is known, or was asked about"
        if refinement.grid
        else "every box is known, or as small as it may be"
    )
    why = "the time limit was reached" if refinement.boxes else why
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
    given: Mapping[Quantity, Any], unit: Mapping[Quantity, float], resolution: float | None, most: Sequence[float]
) -> tuple[list[Axis], FloatArray]:
    """The budgets that vary, in the order of a sweep's, and those that do not, in nats."""
    fixed, ends = np.full(len(EVERY), math.inf), {}
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
            reach, per = most[q.place], unit[q]
            if not low * per < reach:
                raise InputError(
                    f"{q.budget} must begin below {reach / per:.6g}, which no point exceeds; it is "
                    f"{check.shown(value)}. Nothing changes from there on: pass a smaller least, or None."
                )
            ends[q] = low * per, min(high * per, reach)
        else:
            fixed[q.place] = check.budget(q.budget, value) * unit[q]
    if not ends:
        raise InputError("one to three of R, C, D and P must be ranges (least, most); none is. Pass e.g. R=(0.1, 1.0).")
    least = _RESOLUTION[len(ends)] if resolution is None else resolution
    return [Axis(q, *pair, least) for q, pair in ends.items()], fixed


def _grid(at: int | Sequence[int] | None, axes: int) -> tuple[int, ...]:
    """How many budgets along each axis count; empty: all do."""
    if at is None:
        return ()
    counts: tuple[Any, ...] = tuple(at) if isinstance(at, Sequence) and not isinstance(at, str) else (at,) * axes
    good = len(counts) == axes and all(isinstance(n, (int, np.integer)) and n >= 2 for n in counts)
    if not good or math.prod(counts) > _MOST_PLACES:
        raise InputError(
            f"at must be how many budgets along each of {axes} axes, at least 2 and {_MOST_PLACES} places in all; it "
            f"is {check.shown(at)}. Pass e.g. 20."
        )
    return tuple(int(n) for n in counts)
