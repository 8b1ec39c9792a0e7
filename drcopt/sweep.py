"""Many budgets, one table: in chains that start each point from the last, resumable, on any executor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from drcopt import words
from drcopt.decision_session import session_of
from drcopt.engines.base import INTERRUPTED
from drcopt.engines.earlier import parted, trees_of
from drcopt.formulations.decisions import table_of
from drcopt.information import from_nats, to_nats
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, PERCEPTION, QUANTITIES, quantity
from drcopt.questions.output import KINDS
from drcopt.session import Session
from drcopt.support import check
from drcopt.support.executors import Submits, executor_of, submitted
from drcopt.support.workers import follow_parent
from drcopt.sweeps.by_class import sweep_by_class
from drcopt.sweeps.chains import Block, following, plan, waves
from drcopt.sweeps.checkpoint import Checkpoint, Record, Warm
from drcopt.sweeps.monotone import agreed
from drcopt.sweeps.rows import (
    IDENTITY,
    Budgets,
    answered,
    cells,
    identity,
    limited,
    listed,
    outer,
    table,
    unanswered,
)  # fmt: skip
from drcopt.sweeps.rows import version as version
from drcopt.tables import frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SLICE", "Block", "Budgets", "following", "plan", "solve_points", "solve_slice", "sweep", "version"]

#: Seconds after which a worker hands over what it has of a chain: what is not handed over dies with its process.
SLICE = 0.5


def sweep(
    problem: Problem,
    *,
    R: Budgets = None,
    C: Budgets = None,
    D: Budgets = None,
    P: Budgets = None,
    objective: words.Objective = "distortion",
    kind: words.Divergence = "tv",
    target: ArrayLike | None = None,
    ground: ArrayLike | None = None,
    order: float = 2.0,
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    class_loss: words.ClassLoss | ArrayLike = "entropy",
    units: words.Units = "bits",
    engine: words.Engine = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: words.Verify | None = None,
    executor: Submits | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Solve a problem at every combination of budgets and tabulate the answers.

    Parameters
    ----------
    problem : Problem
        What to solve.
    R, C, D : float, None or sequence of them
        Rate and classification budgets in ``units``, and distortion budgets in the unit of d; None or inf means no
        such budget. What is minimised takes none. With several classes C is a mapping with their names, or several;
        for the least loss of one of them without that one's.
    P : float, None or sequence of them
        Perception budgets; None (the whole argument): none, and Y has the problem's law, or any where its py is None.
        In a sequence None or inf is a row where Y may have any law.
    objective : {"distortion", "rate", "classification_loss", "perception"}
        What to minimise at each combination of budgets on the others: D(R, C, P), R(D, C, P), the edge C_min(R, D, P)
        or P(R, D, C).
    kind, target, ground, order
        How perception is measured, as in :class:`drcopt.Perception`; the target is the problem's py unless given.
    formulation, classifier_sees, engine, tol, time_limit
        As in :func:`drcopt.solve`, for every point.
    class_loss : {"entropy", "error"} or (k, A) array
        What C limits, as in :func:`drcopt.solve`. Losses other than "entropy" and their budgets stand in the columns
        ``classification_loss_bits`` and ``classification_budget_bits`` in their own unit, not in bits.
    verify : {None, "interval"}
        "interval" has every row proved again in ball arithmetic, as in :func:`drcopt.solve`, and adds the columns
        of :data:`drcopt.tables.VERIFIED_MEANINGS`.
    units : str
        Units of ``R`` and ``C``, "bits" or "nats". The table is in bits either way.
    executor : concurrent.futures.Executor or Dask client, optional
        Runs chains of points side by side: a process pool, or anything whose ``submit`` returns a
        concurrent.futures.Future, as the executors of MPI (mpi4py.futures) and Ray do. It is
        not shut down. The points are grouped the same way without it, so the table is the same.
    checkpoint : path, optional
        A file that records each finished row: as soon as it is solved, with an executor every half second.
        If it exists, the rows that it has are taken from it and only the others are computed; the table of a sweep that
        was interrupted equals that of one that never was. It may have been begun with other budgets, another
        formulation or objective: rows that are not asked for now stay in it.
    progress : bool, optional
        Whether to draw a progress bar on stderr; None: if stderr is a terminal.

    Returns
    -------
    pandas.DataFrame
        A row per combination: for each P as given, for each C, for each R (or D); for the classification loss for each
        P, each D, each R; for the perception for each C, each D, each R. :data:`drcopt.tables.MEANINGS` explains the
        columns. A point that fails is a row with status "unknown" whose ``termination`` says why. A point that was
        found at tighter budgets, and a bound that was proved at looser ones, serve a row too if they are better than
        its own, and a row is infeasible if a looser one is: ``termination`` then names that row. Where a bound that an
        earlier point proved says enough at a row's budgets the row has that bound in its certificate, and where a point
        of other rows, or a mixture of two, comes near enough to it nothing is searched; ``termination`` says so.

    Raises
    ------
    InputError
        If an argument breaks a rule; nothing has been solved then.
    MissingExtraError
        If ``verify`` is asked for and python-flint is not installed; nothing has been solved then.
    CheckpointError
        If the checkpoint cannot be used, was begun with another problem or another ``engine``, ``tol``, ``time_limit``
        or ``verify``, or is deleted or replaced while the sweep runs.

    Notes
    -----
    A row lost with its worker process is "unknown" but not recorded in the checkpoint: running the sweep
    again computes it.

    Examples
    --------
    >>> from drcopt import sources
    >>> table = sweep(sources.bernoulli(), R=[0.2, 0.5], C=None)
    >>> print(table[["rate_budget_bits", "distortion", "status"]].round(6).to_string())
       rate_budget_bits  distortion   status
    0               0.2    0.185632  optimal
    1               0.5    0.074826  optimal
    >>> table = sweep(sources.bernoulli(), D=[0.1, 0.2], C=0.9, objective="rate")
    >>> print(table[["distortion_budget", "value", "status"]].round(6).to_string())
       distortion_budget     value   status
    0                0.1  0.412295  optimal
    1                0.2  0.174918  optimal
    >>> table = sweep(sources.bernoulli(px=0.3), R=0.5, P=[0, 0.05, None])
    >>> print(table[["perception_budget", "law", "distortion"]].round(6).to_string())
       perception_budget   law  distortion
    0               0.00  near    0.074826
    1               0.05  near    0.074169
    2                inf  free    0.074169
    """
    check.instance("problem", problem, Problem, "Build one with Problem(px, py, ps_given_x, d).")
    runner = executor_of(executor)
    check.choice("units", units, words.UNITS)
    minimised = quantity(objective)
    letters = {"D": D, "R": R, "C": C, "P": P}
    if problem.classes is not None:
        how: dict[str, Any] = {"formulation": formulation, "classifier_sees": classifier_sees, "engine": engine}
        how |= {"class_loss": class_loss, "tol": tol, "time_limit": time_limit}
        unused = {"P": P, "executor": executor, "checkpoint": checkpoint, "verify": verify}
        return sweep_by_class(problem, letters, minimised, how, units, unused, progress)
    bits = isinstance(class_loss, str) and check.choice("class_loss", class_loss, words.CLASS_LOSSES) == "entropy"
    given = {q: listed(q, letters[q.budget], units) for q in (*QUANTITIES, PERCEPTION)}
    if given[minimised] != [math.inf]:
        raise minimised.limited_itself(check.shown(letters[minimised.budget]))
    perception = None
    if P is not None or minimised is PERCEPTION:
        perception = Perception(kind, math.inf, target, ground, order)
        if KINDS[kind].informational:
            given[PERCEPTION] = [from_nats(to_nats(budget, units), "bits") for budget in given[PERCEPTION]]
    settings: dict[str, Any] = {
        "formulation": formulation,
        "classifier_sees": classifier_sees,
        "units": "bits",
        "engine": engine,
        "tol": check.positive("tol", tol),
        "time_limit": check.positive("time_limit", time_limit, allow_none=True),
    }
    if verify is not None:  # a checkpoint of a sweep without it says nothing of it
        settings["verify"] = verify
    if not bits:
        given[CLASSIFICATION_LOSS] = listed(CLASSIFICATION_LOSS, C, "bits")  # in a unit of their own
        settings["class_loss"] = class_loss if isinstance(class_loss, str) else table_of(class_loss, problem.k)
    columns = tuple(column.name for column in table(verify))
    plain = bits and perception is None and not problem.free and classifier_sees != "message"
    opening: Callable[..., Session] = Session if plain else session_of
    ascending, held, third = *limited(minimised), outer(minimised)
    chains = []
    for last, (limit, budgets) in product(
        dict.fromkeys(given[third]), plan(given[ascending], given[held], formulation, minimised)
    ):
        law = perception if minimised is PERCEPTION or perception is None else replace(perception, budget=last)
        chains.append(Block(opening, problem, settings, minimised, limit, budgets, last=last, perception=law))
    due = waves(given[held])
    # Refuses what it cannot solve now, rather than once for every row.
    chains[0].open().require(minimised)
    header: dict[str, Any] = {
        "problem": problem.fingerprint,
        **{name: settings[name] for name in ("engine", "tol", "time_limit", "verify") if name in settings},
        "identity": [column.name for column in IDENTITY],
        "columns": list(columns),
    }
    if isinstance(losses := settings.get("class_loss"), np.ndarray):  # rows say no more than that there is a table
        header["losses"] = losses.tolist()
    if perception is not None:  # what rows do not say of how it is measured
        header |= {
            name: np.asarray(value).tolist()
            for name, value in (("target", perception.target), ("ground", perception.ground), ("order", order))
            if value is not None and (name != "order" or kind == "renyi")
        }
    text = {column.name for column in table(verify) if column.text}
    with nullcontext() if checkpoint is None else Checkpoint(checkpoint, header, text) as book:
        done = {} if book is None else book.done
        blocks = []
        for block in chains:
            keys = enumerate(identity(block.asked(place)) for place in range(len(block.budgets)))
            blocks.append(block.with_known({place: done[key] for place, key in keys if key in done}))
        rows = {block.at(place): r.cells for block in blocks for place, r in block.known.items()}
        trees = {block.at(place): trees_of(r.warm) for block in blocks for place, r in block.known.items()}
        total = sum(len(block.budgets) for block in blocks)
        disable = None if progress is None else not progress
        with tqdm(total=total, initial=len(rows), unit="point", disable=disable) as bar:

            def keep(block: Block, place: int, record: Record, *, lost: bool = False) -> None:
                if book is not None and not lost:
                    book.append(record)
                rows[block.at(place)], trees[block.at(place)] = record.cells, trees_of(record.warm)
                bar.update()

            blocks = [block for block in blocks if block.next() is not None]
            for wave in sorted({due[block.limit] for block in blocks}):
                now = [block.with_bounds(trees, due) for block in blocks if due[block.limit] == wave]
                if runner is None:
                    for block in now:
                        for place, record in solve_points(block):
                            keep(block, place, record)
                else:
                    _run(now, runner, keep)
    found = [rows[at] for at in product(given[third], given[held], given[ascending])]
    tolerance = settings["tol"] * (problem.reduced().d_most if minimised is DISTORTION else 1.0)
    return frame(agreed(found, tolerance), columns)


def solve_points(block: Block) -> Iterator[tuple[int, Record]]:
    """Solve what is left of a chain, point by point; a point that raises becomes a row that says so."""
    session = None
    while (place := block.next()) is not None:
        asked, warm = block.asked(place), None
        started = time.perf_counter()
        try:
            answer = block.settled(place)
            if answer is not None:
                answer = {**answer, "seconds": time.perf_counter() - started}
            else:
                if session is None:
                    session = block.open()
                # Set even where it would be the same: a resumed chain has nothing else to start from.
                start = block.start(place)
                session.warm = {**(start or {}), **block.bounds(place)} or None
                limits = {q.budget: limit for q, limit in asked.budgets.items() if q is not PERCEPTION}
                solution = session.ask(block.objective, **limits, on_failure="return")
                if solution.termination.startswith(INTERRUPTED):
                    raise KeyboardInterrupt  # a single solve hands back what it has; a sweep stops
                answer, warm = (
                    answered(solution),
                    _canonical({**(parted(session.warm)[0] or {}), **session.rows.left} or None),
                )
        except Exception as error:  # whatever it is, the other points are not to suffer
            answer = unanswered(asked, f"{type(error).__name__}: {error}", time.perf_counter() - started)
            # Whatever state it is in, the next point must not depend on it: a resumed chain could not.
            session = None
        record = Record(cells(asked, answer), warm)
        block = block.with_known({place: record})
        yield place, record


def solve_slice(block: Block) -> list[tuple[int, Record]]:
    """Solve a part of a chain in a worker, which must not outlive the one that asked, whosever pool it is of."""
    follow_parent()
    started, found = time.perf_counter(), []
    for answer in solve_points(block):
        found.append(answer)
        if time.perf_counter() - started >= SLICE:
            break
    return found


def _run(blocks: Iterable[Block], executor: Submits, keep: Callable[..., None]) -> None:
    waiting: dict[Future[list[tuple[int, Record]]], Block] = {}

    def submit(block: Block) -> None:
        try:
            waiting[submitted(executor, solve_slice, block.light())] = block
        except BrokenExecutor as error:
            _lose(block, error, keep)

    try:
        for block in blocks:
            submit(block)
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                block = waiting.pop(future)
                try:
                    answers = future.result()
                except Exception as error:  # solve_slice raises none: its worker is broken
                    _lose(block, error, keep)
                    continue
                for place, record in answers:
                    keep(block, place, record)
                block = block.with_known(dict(answers))
                if block.next() is not None:
                    submit(block)
    except KeyboardInterrupt:
        for future in [f for f in waiting if f.done() and not f.cancelled() and f.exception() is None]:
            block = waiting.pop(future)
            for place, record in future.result():
                keep(block, place, record)
        raise
    finally:
        for future in waiting:
            future.cancel()


def _lose(block: Block, error: Exception, keep: Callable[..., None]) -> None:
    for place in sorted(set(range(len(block.budgets))) - set(block.known)):
        asked = block.asked(place)
        answer = unanswered(asked, f"{type(error).__name__}: {error}", math.nan)
        keep(block, place, Record(cells(asked, answer), None), lost=True)


def _canonical(warm: Warm) -> Warm:
    # Copies in one layout: what is read back from a checkpoint must not differ in the order of a sum, and
    # the session may overwrite its own arrays.
    if warm is None:
        return None
    return {name: np.array(value, dtype=np.float64, order="C") for name, value in warm.items()}
