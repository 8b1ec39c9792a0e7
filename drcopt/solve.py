"""The questions that can be asked, as functions: each is a few statements around a session."""

from __future__ import annotations

import math
from collections.abc import Mapping

from numpy.typing import ArrayLike

from drcopt import words
from drcopt.classes import others
from drcopt.decision_session import session_of
from drcopt.law_session import session_for
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, PERCEPTION, RATE
from drcopt.solution import Solution

__all__ = ["min_classification_loss", "min_perception", "min_rate", "solve", "solve_drc"]


def solve_drc(
    px: ArrayLike,
    py: ArrayLike | None,
    ps_given_x: ArrayLike | Mapping[str, ArrayLike],
    R: float | None,
    C: words.LossBudget,
    *,
    d: ArrayLike | words.Distortion = "hamming",
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    class_loss: words.ClassLoss | ArrayLike = "entropy",
    perception: Perception | tuple[words.Divergence, float] | None = None,
    upper: ArrayLike | None = None,
    units: words.Units = "bits",
    engine: words.Engine = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: words.Verify | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution:
    """The least E d(X,Y) with I(X;Y) ≤ R and H(S|Y) ≤ C, with a coupling and a proved lower bound.

    Parameters
    ----------
    px : (n,) array
        Source pmf.
    py : (m,) array or None
        Reconstruction pmf; None: Y may have any law on the letters of d. With ``perception`` it is the target.
    ps_given_x : (n, k) array, or a mapping of such arrays
        Channel p(s|x) from source letter to class; rows sum to 1. Several classes: a channel for each, by name.
    R, C : float or None
        Rate and classification budgets in ``units``; None (or inf) for no such budget. With several classes C is a
        mapping with their names: single-letter, with a finite d.
    d : (n, m) array or "hamming" or "squared-error"
        Distortion d(x, y) ≥ 0; inf forbids a pair.
    formulation : {"single-letter", "time-sharing", "one-shot"}
        See :mod:`drcopt.formulations`.
    classifier_sees : {"Y", "YU", "message"}
        One-shot: whether the budget limits H(S|Y) or H(S|Y,U). Single-letter: "message" lets the classifier read all
        that the decoder decodes, V, of which the letter y is a function: I(X;V) ≤ R and H(S|V) ≤ C, a convex problem;
        ``solution.message`` lists its atoms.
    class_loss : {"entropy", "error"} or (k, A) array
        What C limits: H(S|Y) in ``units``; the Bayes error 1 − Σ_y max_s p(s,y); or Σ_y min_a Σ_s p(s,y) ℓ(s,a) for a
        table ℓ ≥ 0 of what each action costs in each class, in its unit; in every formulation, by branch and bound on
        the actions of letters.
    perception : drcopt.Perception or (kind, budget), optional
        Y's law must lie near py instead of being it, e.g. ("tv", 0.05); in a mixture on average, as where py is None.
    upper : (n, m) array, optional
        Upper bounds on the entries of the coupling, p(x, y) ≤ upper[x, y]; inf: none, 0 forbids the pair.
        Single-letter, with a given py and "entropy". Where C binds as well a gap may remain. No proof files.
    units : {"bits", "nats"}
        Of budgets, rates, losses and multipliers.
    engine : str
        "auto" chooses; ``drcopt.engines.ENGINES`` lists the names.
    tol : float
        Gap wanted, relative to what is at stake: E d of independent X and Y above what no coupling can avoid, outliers
        in d cut off.
    time_limit : float or None
        Seconds; at the limit the best point and the valid bound found so far come back.
    verify : {None, "interval"}
        "interval" has every answer proved again in exact and ball arithmetic by the checker of ``drcopt check``
        (extra ``proof``; takes time of its own). The solution then has ``proved_lower_bound``,
        ``proved_distortion`` and ``verified``; where the checker disagrees "optimal" becomes "feasible" and
        "infeasible" becomes "unknown", and ``termination`` says why.
    on_failure : {"raise", "return"}
        Whether "infeasible" and "unknown" raise or come back as a Solution.

    Raises
    ------
    InputError
        Before anything is solved, if an argument breaks a rule.
    InfeasibleError
        If no coupling meets the budgets; it names the least C that can be met.
    NotSolvedError
        If neither a point nor a proof of infeasibility was found.
    MissingExtraError
        If ``verify`` or the engine needs a package that is not installed.

    Examples
    --------
    >>> solution = solve_drc([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], R=0.5, C=None)
    >>> solution.status, round(solution.distortion, 6)
    ('optimal', 0.110028)
    """
    return solve(
        Problem(px, py, ps_given_x, d),
        R=R,
        C=C,
        formulation=formulation,
        classifier_sees=classifier_sees,
        class_loss=class_loss,
        perception=perception,
        upper=upper,
        units=units,
        engine=engine,
        tol=tol,
        time_limit=time_limit,
        verify=verify,
        on_failure=on_failure,
    )


def solve(
    problem: Problem,
    *,
    R: float | None = None,
    C: words.LossBudget = None,
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    class_loss: words.ClassLoss | ArrayLike = "entropy",
    perception: Perception | tuple[words.Divergence, float] | None = None,
    upper: ArrayLike | None = None,
    units: words.Units = "bits",
    engine: words.Engine = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: words.Verify | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution:
    """:func:`solve_drc` for a :class:`Problem`; keywords as there.

    Parameters
    ----------
    problem : Problem
        The data.
    R, C : float or None
        Rate and classification budgets in ``units``; None (or inf): none.
    formulation, classifier_sees, class_loss, perception, upper, units, engine, tol, time_limit, verify, on_failure
        As in :func:`solve_drc`, and the errors too.

    Examples
    --------
    >>> problem = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
    >>> solution = solve(problem, R=0.5)
    >>> solution.status, round(solution.distortion, 6)
    ('optimal', 0.110028)
    """
    session = session_of(
        problem,
        class_loss=class_loss,
        perception=perception,
        upper=upper,
        formulation=formulation,
        classifier_sees=classifier_sees,
        units=units,
        engine=engine,
        tol=tol,
        time_limit=time_limit,
        verify=verify,
    )
    return session.solve(R, C, on_failure=on_failure)


def min_rate(
    problem: Problem,
    *,
    D: float | None = None,
    C: words.LossBudget = None,
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    class_loss: words.ClassLoss | ArrayLike = "entropy",
    perception: Perception | tuple[words.Divergence, float] | None = None,
    upper: ArrayLike | None = None,
    units: words.Units = "bits",
    engine: words.Engine = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: words.Verify | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution:
    """The least I(X;Y) of a coupling with E d(X,Y) ≤ D and H(S|Y) ≤ C: the function R(D, C).

    Parameters
    ----------
    problem : Problem
        The data.
    D : float or None
        Distortion budget, in the unit of d; None (or inf) for none.
    C : float or None
        Classification budget, in ``units``.
    tol : float
        Absolute gap wanted, in ``units``.
    formulation, classifier_sees, class_loss, perception, upper, units, engine, time_limit, verify, on_failure
        As in :func:`solve_drc`.

    Returns
    -------
    Solution
        ``objective`` is "rate"; ``value`` (also ``rate``) is reached by its coupling and ``lower_bound`` is proved,
        both in ``units``. ``multipliers.distortion`` is −∂R/∂D and ``multipliers.classification`` −∂R/∂C.

    Raises
    ------
    InputError, InfeasibleError, NotSolvedError
        As in :func:`solve_drc`; an InfeasibleError names D where no rate would do, else C.

    Examples
    --------
    >>> problem = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
    >>> least = min_rate(problem, D=0.110027864)
    >>> least.status, round(least.rate, 5)
    ('optimal', 0.5)
    """
    session = session_of(
        problem,
        class_loss=class_loss,
        perception=perception,
        upper=upper,
        formulation=formulation,
        classifier_sees=classifier_sees,
        units=units,
        engine=engine,
        tol=tol,
        time_limit=time_limit,
        verify=verify,
    )
    return session.ask(RATE, D=D, C=C, on_failure=on_failure)


def min_classification_loss(
    problem: Problem,
    *,
    R: float | None = None,
    D: float | None = None,
    of: str | None = None,
    C: words.LossBudget = None,
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    class_loss: words.ClassLoss | ArrayLike = "entropy",
    perception: Perception | tuple[words.Divergence, float] | None = None,
    upper: ArrayLike | None = None,
    units: words.Units = "bits",
    engine: words.Engine = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: words.Verify | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution:
    """The least H(S|Y) of a coupling with I(X;Y) ≤ R and E d(X,Y) ≤ D: the edge of the feasible set, C_min(R, D).

    Parameters
    ----------
    problem : Problem
        The data.
    R : float or None
        Rate budget, in ``units``; None (or inf) for none.
    D : float or None
        Distortion budget, in the unit of d.
    tol : float
        Absolute gap wanted, in ``units``.
    formulation, classifier_sees, class_loss, perception, upper, units, engine, time_limit, verify, on_failure
        As in :func:`solve_drc`.

    Returns
    -------
    Solution
        ``objective`` is "classification_loss"; ``value`` (also ``classification_loss``) is reached by its coupling and
        ``lower_bound`` is proved, both in ``units``.

    Raises
    ------
    InputError, InfeasibleError, NotSolvedError
        As in :func:`solve_drc`; an InfeasibleError names D, or with several classes whichever budget cannot be met.

    Examples
    --------
    >>> problem = Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
    >>> edge = min_classification_loss(problem, R=0.5)
    >>> edge.status, round(edge.classification_loss, 5)
    ('optimal', 0.69732)
    >>> two = Problem([0.5, 0.5], [0.5, 0.5], {"a": [[0.9, 0.1], [0.1, 0.9]], "b": [[0.8, 0.2], [0.1, 0.9]]})
    >>> edge = min_classification_loss(two, R=0.5, of="a", C={"b": 0.85})
    >>> edge.status, edge.of, round(edge.value, 5)
    ('optimal', 'a', 0.69732)
    """
    session = session_of(
        problem,
        class_loss=class_loss,
        perception=perception,
        upper=upper,
        formulation=formulation,
        classifier_sees=classifier_sees,
        units=units,
        engine=engine,
        tol=tol,
        time_limit=time_limit,
        verify=verify,
    )
    return session.ask(CLASSIFICATION_LOSS, R=R, D=D, C=others(problem, of, C), on_failure=on_failure)


def min_perception(
    problem: Problem,
    *,
    kind: words.Divergence = "tv",
    R: float | None = None,
    D: float | None = None,
    C: words.LossBudget = None,
    target: ArrayLike | None = None,
    ground: ArrayLike | None = None,
    order: float = 2.0,
    formulation: words.Formulation = "single-letter",
    classifier_sees: words.ClassifierSees = "Y",
    units: words.Units = "bits",
    tol: float = 1e-6,
    time_limit: float | None = None,
    verify: words.Verify | None = None,
    on_failure: words.OnFailure = "raise",
) -> Solution:
    """The least divergence φ(pY, t) of Y's law from a target, of a coupling within budgets: the function P(R, D, C).

    Parameters
    ----------
    problem : Problem
        The data; its py is the target unless ``target`` is given.
    kind, target, ground, order
        Which divergence, and from what: as in :class:`Perception`.
    R, D, C : float or None
        Rate, distortion and classification budgets, as in :func:`solve_drc` and :func:`min_rate`; None: none.
    tol : float
        Absolute gap wanted, in the unit of φ ("wasserstein": times the largest ground cost).
    formulation, classifier_sees
        As in :func:`solve_drc`; φ is that of the average law of a mixture.
    units, time_limit, verify, on_failure
        As in :func:`solve_drc`; φ is in ``units`` too for "kl", "reverse-kl" and "renyi".

    Returns
    -------
    Solution
        ``objective`` is "perception"; ``value`` (also ``perception``) is reached by its coupling and ``lower_bound`` is
        proved: no law of Y that lies within it of the target meets the budgets. ``multipliers`` are −∂P/∂budget.

    Raises
    ------
    InputError, InfeasibleError, NotSolvedError
        As in :func:`solve_drc`; an InfeasibleError names the budget that no law of Y meets.

    Notes
    -----
    "kl" and "chi2" are infinite where Y uses letters that the target lacks; budgets that need such letters are
    infeasible. A limit on the law of Y alone is operational with common randomness.

    Examples
    --------
    >>> problem = Problem([0.7, 0.3], [0.7, 0.3], [[1, 0], [0, 1]])
    >>> least = min_perception(problem, R=0.417674389, D=0.1)
    >>> least.status, round(least.perception, 5)
    ('optimal', 0.02)
    """
    session = session_for(
        problem,
        perception=Perception(kind, math.inf, target, ground, order),
        formulation=formulation,
        classifier_sees=classifier_sees,
        units=units,
        tol=tol,
        time_limit=time_limit,
        verify=verify,
    )
    return session.ask(PERCEPTION, R=R, D=D, C=C, on_failure=on_failure)
