"""What is known of the least of an objective everywhere in a rectangle of budgets: floor, ceiling, table, picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from drcopt import words
from drcopt.errors import InputError
from drcopt.formulations import Question
from drcopt.information import NATS_PER
from drcopt.law_session import session_for
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, EVERY, PERCEPTION, Quantity, quantity
from drcopt.session import Session
from drcopt.support.check import FloatArray
from drcopt.sweeps.refine import Known, Refinement
from drcopt.sweeps.rows import BUDGETS, MEASURED, inside, limited
from drcopt.sweeps.surface_proof import save

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Budgets along an axis of a picture, by how many axes there are.
_DRAWN = {1: 400, 2: 64}


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
        Shares of the rectangle, or of the grid that was asked about: where the gap is proved to be ≤ ``tolerance``, and
        where no point meets the budgets (also proved, and counted in ``known``). What is left is open: along the edge
        of what is feasible, or not yet refined.
    gap : float
        The largest gap outside the boxes that the edge of what is feasible goes through; of a grid, at its places.
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
        return self.refinement.share(box for box in self.refinement.done if box.gap <= self.refinement.tol)

    @property
    def infeasible(self) -> float:
        return self.refinement.share(box for box in self.refinement.done if box.infeasible)

    @property
    def share(self) -> str:
        """``known`` in words."""
        grid = "\N{MULTIPLICATION SIGN}".join(map(str, self.refinement.grid))
        return f"{self.known:.1%} of {grid} budgets" if grid else f"{self.known:.1%}"

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
            The budgets that vary, in the order R, D, C, P, in ``units`` or the unit of d; they are broadcast.

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
        on the loss. A budget on the perception must be held.
        """
        if any(axis.quantity is PERCEPTION for axis in self.refinement.axes):
            raise InputError("edge must be asked of a surface that holds P; this one varies it. Use lower.")
        other = next(q for q in limited(self._quantity) if q is not CLASSIFICATION_LOSS)
        if self._quantity is CLASSIFICATION_LOSS:
            raise InputError("edge must be asked of a surface that limits the loss; this one minimises it. Use lower.")
        given = np.asarray(budget, dtype=np.float64)
        inside = [other.inside(v, self.units) for v in given.ravel().tolist()]
        lower, upper = (v / NATS_PER[self.units] for v in self._edge(np.array(inside)))
        return lower.reshape(given.shape), upper.reshape(given.shape)

    def _edge(self, inside: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same in nats, at budgets (Q,) in nats or the unit of d."""
        other = next(q for q in limited(self._quantity) if q is not CLASSIFICATION_LOSS)
        at = np.tile(self.refinement.fixed, (len(inside), 1))
        at[:, other.place] = inside
        at[:, CLASSIFICATION_LOSS.place] = math.inf
        lower = self._known.floor.at(CLASSIFICATION_LOSS, at)
        ceiling = self._known.ceiling
        upper = ceiling.staircase(CLASSIFICATION_LOSS, at)
        for k, point in enumerate(ceiling.points):
            if math.isinf(point.asked[CLASSIFICATION_LOSS.place]):  # found where the loss was minimised, or free
                upper = np.minimum(upper, ceiling.mixed(CLASSIFICATION_LOSS, at, k))
        return lower, upper

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
        """Lower, upper and gap on a grid of ``counts`` budgets along the axes, a row each.

        The default is the grid that was asked about, or 20 budgets along each axis.

        Columns are named as in sweeps; information is in bits.
        """
        import pandas as pd

        axes = self.refinement.axes
        usual = self.refinement.grid or (20,) * len(axes)
        sizes = [*counts, *usual[len(counts) :]]
        bits = {q: inside(q, self.settings["perception"], "bits") for q in EVERY}
        ends = [(axis.low / bits[axis.quantity], axis.high / bits[axis.quantity]) for axis in axes]
        grids = np.meshgrid(*[np.linspace(*end, size) for end, size in zip(ends, sizes, strict=True)], indexing="ij")
        at = np.tile(self.refinement.fixed, (grids[0].size, 1))
        columns: dict[str, Any] = {}
        for axis, grid in zip(axes, grids, strict=True):
            q = axis.quantity
            at[:, q.place] = np.minimum(grid.ravel() * bits[q], axis.high)
        for q, name in BUDGETS.items():
            columns[name] = at[:, q.place] / bits[q]
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

    def plot(
        self,
        *,
        title: str | None = None,
        ax: Axes | None = None,
        size: tuple[float, float] | None = None,
    ) -> Figure:
        """The ceiling as a heat map with contours, or along one budget as a curve with the floor below it.

        Where floor and ceiling lie further apart than ``tolerance`` the map is dotted; hatched is what is proved
        infeasible, grey where neither is known. The line is the proved edge: below it nothing meets the budgets.

        Parameters
        ----------
        title : str, optional
            Above the picture; default: in how much of the rectangle the objective is known, and how well.
        ax : matplotlib Axes, optional
            Where to draw.
        size : (width, height), optional
            Of the figure, in inches.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.

        Examples
        --------
        >>> import drcopt
        >>> curve = drcopt.surface(drcopt.sources.bernoulli(), R=(0.1, 0.8), tol=1e-2)
        >>> curve.plot(size=(3.4, 2.6)).axes[0].get_xlabel()
        'rate budget R (bits)'
        """
        import pandas as pd

        from drcopt import plotting

        axes = self.refinement.axes
        if len(axes) > 2:
            raise InputError(
                "at most two budgets must vary for a picture; here three do. Plot a surface that holds one."
            )
        table = self.table(*(self.refinement.grid or [_DRAWN[len(axes)]] * len(axes)))
        if title is None:
            unit = "" if self._quantity is DISTORTION else f" {self.units}"
            title = f"{self.share} known within {self.tolerance:.3g}{unit}"
        if len(axes) == 1:
            letter: Any = axes[0].quantity.budget
            table[MEASURED[self._quantity]] = table["value"]
            return plotting.curve(table, x=letter, title=title, ax=ax, size=size)
        edge = None
        if axes[1].quantity is CLASSIFICATION_LOSS:
            first = BUDGETS[axes[0].quantity]
            at = table[first].unique()
            inside = [axes[0].quantity.inside(v, "bits") for v in at.tolist()]
            bits = [v / NATS_PER["bits"] for v in self._edge(np.array(inside))]
            edge = pd.DataFrame({first: at, BUDGETS[CLASSIFICATION_LOSS]: bits[1], "lower_bound_bits": bits[0]})
        return plotting.surface(table, edge=edge, title=title, ax=ax, size=size)

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
        save(self.refinement, path)

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
            unit = inside(axis.quantity, self.settings["perception"], self.units)
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
            f"Surface({self.objective} over {spans} {self.units}: {self.share} known to {self.tolerance:.3g}{unit}"
            f", of it {self.infeasible:.1%} infeasible; {self.solves} answers, {self.descents} descents, "
            f"{self.seconds:.3g} s: {self.termination})"
        )
