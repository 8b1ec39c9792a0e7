"""Proof files: everything needed to believe an answer, for ``drcopt check`` and :mod:`drcopt.checker` to verify.

``docs/proof-format.md`` is the specification. A claim's bounds are the certificate's, moved apart by :data:`ROOM` times
max d: the checker adds no tolerance, so room is left for the rounding of doubles. With many classes a lower bound is
weaker by up to :data:`SHORTFALL` times max d, or :data:`SHARE` of the gap.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from drcopt.bounds import DataProcessing, Evidence, Leaf, PosteriorTree, among, bound_of
from drcopt.bounds import floors as of_each
from drcopt.bounds.decisions import ActionTree
from drcopt.certify.writing import ROOM as ROOM
from drcopt.certify.writing import Writer as Writer
from drcopt.certify.writing import by_class, has_own_shares
from drcopt.certify.writing import number as number
from drcopt.certify.writing import numbers as numbers
from drcopt.coupling import leaves_first, send_along
from drcopt.formulations import Decided, Part, Question, Several
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, Near, Quantity
from drcopt.stakes import Stakes
from drcopt.support.check import FloatArray
from drcopt.support.files import atomic_write

if TYPE_CHECKING:
    from drcopt.checker.question import Verdict

#: The versions of files about a given law of Y that the classifier reads, no cell of which has a β₀ of its own, and of
#: all others.
VERSION, LAWS_VERSION = 1, 2
#: Each bound claimed is ROOM times max d weaker than the certificate's, a lower bound with more than two classes as
#: much as SHORTFALL, or SHARE of the gap, where cells that prove more are too many.
SHORTFALL, SHARE = 2e-8, 1e-3
#: A proof that C cannot be met may prove so much less than the least loss known, in nats.
EDGE_ROOM = 1e-7


class Evident(Protocol):
    """What has evidence about a question."""

    @property
    def formulation(self) -> Question: ...
    @property
    def parts(self) -> tuple[Part, ...] | None: ...
    @property
    def evidence(self) -> tuple[Evidence, ...]: ...
    @property
    def upper(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def relaxed(self) -> Problem | None: ...


class Certificate(Evident, Protocol):
    """What a proof is written from: see :class:`drcopt.certify.certificate.Certificate`."""

    @property
    def objective(self) -> Quantity: ...
    @property
    def excess(self) -> float: ...
    @property
    def infeasible(self) -> bool: ...


def save(certificate: Certificate, path: str | os.PathLike[str]) -> None:
    """Write a proof file, whole or not at all.

    Parameters
    ----------
    certificate : Certificate
        ``solution.certificate``.
    path : str or path
        The file.

    Raises
    ------
    InputError
        If ``path`` cannot be written.
    OutputError
        If writing fails half-way, as on a full disk.

    Examples
    --------
    >>> import drcopt
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(solution.certificate, f"{folder}/point.json")
    """
    write(to_dict(certificate), path)


def write(proof: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the contents of a proof file; see :func:`save`."""
    text = json.dumps(proof, indent=None, separators=(",", ":"))
    with atomic_write(path) as handle:
        handle.write(text + "\n")


def interval(certificate: Certificate) -> tuple[float, float]:
    """Rigorous bounds on the optimum, rounded outward, from :func:`drcopt.checker.check`.

    Parameters
    ----------
    certificate : Certificate
        ``solution.certificate``.

    Returns
    -------
    lower, upper : float
        (inf, inf) if it is proved that no point meets the budgets; ``upper`` is inf without a point that does.

    Raises
    ------
    MissingExtraError
        Without python-flint.

    Examples
    --------
    >>> import drcopt
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> [round(end, 4) for end in interval(solution.certificate)]
    [0.0525, 0.0525]
    """
    found = verdict(certificate)
    return found.lower, found.upper


def verdict(certificate: Certificate) -> Verdict:
    """What :func:`drcopt.checker.check` says of the proof file of a certificate, without a file.

    Parameters
    ----------
    certificate : Certificate
        ``solution.certificate``.

    Examples
    --------
    >>> import drcopt
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> verdict(solution.certificate).accepted
    True
    """
    from drcopt.checker import check

    return check(to_dict(certificate))


def differences(proof: dict[str, Any], problem: Problem) -> list[str]:
    """Where the arrays of a proof differ from a problem's, on letters with mass, entry by entry and exactly.

    An empty list means that the proof is about this problem. A hash that matches is not asked: it could be made to.
    Where Y may have any law, the target of a perception stands for py, if the problem has one. Needs python-flint;
    ``proof`` must be one that :func:`drcopt.checker.check` could read.

    Examples
    --------
    >>> import drcopt
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> differences(to_dict(solution.certificate), drcopt.sources.bernoulli())
    []
    >>> differences(to_dict(solution.certificate), drcopt.sources.bernoulli(px=0.4))[:1]
    ['px[0] is 0x1.6666666666666p-1 in the proof and np.float64(0.6) in the problem']
    """
    from drcopt.checker.schema import number as read

    found, given, some = [], proof["problem"], problem.support
    x, s = some.x, some.s
    y = some.y if given["py"] is not None else np.arange(problem.m)
    pairs: dict[str, tuple[Any, Any]] = {"px": (given["px"], problem.px[x])}
    channels = given["ps_given_x"]
    classes = channels if isinstance(channels, dict) else {None: channels}
    own = {None: problem.ps_given_x[np.ix_(x, s)]} if problem.classes is None else problem.classes.take(x, s)
    if list(classes) != list(own):
        return [f"the classes are {[*classes]} in the proof and {[*own]} in the problem"]
    for name, W in own.items():
        pairs["ps_given_x" if name is None else f"ps_given_x[{name!r}]"] = classes[name], W
    pairs["d"] = given["d"], problem.d[np.ix_(x, y)]
    target = proof["perception"]["target"] if "perception" in proof else given["py"]
    if (target is None) != problem.free and not ("perception" in proof and problem.free):
        words = ("any law", "a given law")
        found.append(f"Y has {words[target is not None]} in the proof and {words[not problem.free]} in the problem")
    elif not problem.free:
        pairs["py"] = (target, problem.py[y])
    for name, (written, array) in pairs.items():
        texts = np.array(written, dtype=object)
        if texts.shape != array.shape:
            found.append(f"{name} has shape {texts.shape} in the proof and {array.shape} in the problem")
            continue
        for where in np.ndindex(texts.shape):
            here = number(float(array[where]))
            if texts[where] != here and ("inf" in (texts[where], here) or read(texts[where]) != read(here)):
                entry = f"{name}[{', '.join(map(str, where))}]"
                found.append(f"{entry} is {texts[where]} in the proof and {array[where]!r} in the problem")
                break
    return found


def to_dict(certificate: Certificate) -> dict[str, Any]:
    """The contents of a proof file.

    Parameters
    ----------
    certificate : Certificate
        ``solution.certificate``.

    Examples
    --------
    >>> import drcopt
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> "problem" in to_dict(solution.certificate)
    True
    """
    formulation, infeasible = certificate.formulation, certificate.infeasible
    problem, losses = formulation.problem, losses_of(formulation)
    question, goal = _missed(certificate) if infeasible else (formulation, certificate.lower)
    size = 1.0 if losses is None else float(losses.max())  # of what is no distortion
    room = ROOM * (max(Stakes(problem).scale, abs(certificate.lower)) if question.objective is DISTORTION else size)
    found, least = best(certificate, question)
    # What cannot be met is shown by the least value known, but not to its last digits.
    writer = Writer(
        question, max(goal, least - EDGE_ROOM) if infeasible else goal - 0.5 * room, _cut(certificate, question, found)
    )
    evidence = writer.evidence(found)
    claim: dict[str, Any] = {"infeasible": True}
    parts = None
    if not infeasible:
        lower = certificate.lower
        gap = certificate.upper - lower
        most = max(SHORTFALL / ROOM * room, SHARE * gap)
        if 0.0 < lower - writer.reached <= most:
            lower = writer.reached
        # A point that exceeds a budget is shown for what it is worth, and the checker says so; it bounds nothing.
        upper = math.inf if certificate.excess else certificate.upper + max(room, ROOM * abs(certificate.upper))
        claim = {"lower": number(lower - room), "upper": number(upper)}
    if certificate.parts is not None and not all(map(partial(_moved, formulation), certificate.parts)):
        claim["upper"] = "inf"  # a checker has no exact coupling to look at
    elif certificate.parts is not None:
        parts = points(formulation, certificate.parts)
    return contents(formulation, formulation_limits(formulation), question.objective, claim, parts, evidence)


def _cut(certificate: Certificate, question: Question, evidence: Evidence) -> Problem | None:
    """The problem with costs cut off, if that is where the evidence proves most."""
    relaxed = certificate.relaxed
    if relaxed is None or bound_of(evidence, question.with_problem(relaxed)) < bound_of(evidence, question):
        return None
    return relaxed


def formulation_limits(question: Question) -> dict[str, float]:
    """The budgets of a file about the question."""
    limits = {} if question.distortion_budget == math.inf else {"distortion_budget": question.distortion_budget}
    limits |= {"rate_budget": question.rate_budget, "classification_budget": question.classification_budget}
    return limits | ({"perception_budget": question.laws.budget} if isinstance(question.laws, Near) else {})


def contents(
    question: Question, limits: dict[str, float], objective: Quantity, claim: Any, parts: Any, evidence: Any
) -> dict[str, Any]:
    """The fields of a file in their order."""
    problem, losses = question.problem, losses_of(question)
    arrays: dict[str, Any] = {name: numbers(getattr(problem, name)) for name in ("px", "py", "ps_given_x", "d")}
    if problem.classes is not None:
        arrays["ps_given_x"] = {name: numbers(W) for name, W in problem.classes.items()}
    plain = question.laws is None and question.classifier_sees != "message" and losses is None
    plain = plain and not problem.forbidden.any() and problem.classes is None
    return {
        "drcopt-proof": VERSION if plain and not has_own_shares(evidence) else LAWS_VERSION,
        "problem": arrays if question.laws is None else arrays | {"py": None},
        "formulation": question.name,
        "classifier_sees": question.classifier_sees,
        **{name: number(limit) for name, limit in limits.items()},
        **_losses_limited(question, objective),
        **perception_of(question),
        **({} if losses is None else {"losses": numbers(losses)}),
        "objective": objective.name.replace("_", "-"),
        "claim": claim,
        "point": parts,
        "evidence": evidence,
    }


def _losses_limited(question: Question, objective: Quantity) -> dict[str, Any]:
    """The budgets of several classes, and which of them is minimised, if one is."""
    if not isinstance(question, Several):
        return {}
    own = objective.place - CLASSIFICATION_LOSS.place
    named = {"class": list(question.classes)[own]} if own >= 0 else {}
    return {"classification_budget": by_class(question.problem, question.losses)} | named


def losses_of(question: Question) -> FloatArray | None:
    """The table of losses of actions, if C limits the loss of the best one."""
    return question.losses if isinstance(question, Decided) else None


def points(question: Question, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The parts of a point, and how its law is moved to the target if that must be shown."""
    written = [_part(part) for part in parts]
    if isinstance(question.laws, Near) and question.laws.ground is not None:
        written[0]["plan"] = numbers(question.laws.plan(question.coupling(parts).sum(axis=0)))
    return written


def _moved(question: Question, part: Part) -> bool:
    """Whether the marginals can be met exactly on the pairs that a coupling has, if they must be."""
    problem = question.problem
    if question.laws is not None or not problem.forbidden.any():
        return True
    at = np.arange(problem.m) if part.letters is None else part.letters
    doubles = np.zeros((problem.m, problem.n))
    np.add.at(doubles, at, part.coupling.T)
    P = np.full((problem.n, problem.m), Fraction(0), dtype=object)
    for column, y in zip(part.coupling.T.tolist(), at, strict=True):
        P[:, y] += [Fraction(v) for v in column]
    px, py = ([Fraction(v) / sum(map(Fraction, p)) for v in p] for p in (problem.px.tolist(), problem.py.tolist()))
    missing = [goal - sum(row) for goal, row in zip([*px, *py], [*P, *P.T], strict=True)]
    send_along(P, missing, leaves_first(doubles.T))
    return not any(missing) and min(P.flat) >= 0


def _part(part: Part) -> dict[str, Any]:
    written: dict[str, Any] = {"weight": number(part.weight)}
    if part.map is not None:
        return written | {"map": part.map.tolist()}
    letters = {} if part.letters is None else {"letters": part.letters.tolist()}
    return written | {"coupling": numbers(part.coupling)} | letters


def perception_of(question: Question) -> dict[str, Any]:
    """The ball that Y's law lies in, if it does."""
    laws = question.laws
    if not isinstance(laws, Near):
        return {}
    ball: dict[str, Any] = {"kind": laws.kind, "target": numbers(laws.target)}
    if laws.ground is not None:
        ball["ground"] = numbers(laws.ground)
    if laws.kind == "renyi":
        ball["order"] = number(laws.order)
    return {"perception": ball}


def _missed(certificate: Certificate) -> tuple[Question, float]:
    """For a question whose limits cannot be met: one for the least value of a limited quantity, and that limit."""
    asked = certificate.formulation
    pairs = zip(asked.quantities, asked.budgets, strict=True)
    ways = [(asked.minimising(q), b) for q, b in pairs if math.isfinite(b)]
    bounds = [best(certificate, question)[1] for question, _ in ways]
    for most in (math.nextafter(math.inf, 0.0), math.inf):  # where the others can be met, if they can
        for (question, limit), bound in reversed([*zip(ways, bounds, strict=True)]):  # the loss where it will do
            if limit < bound <= most:
                return question, limit
    if not ways or best(certificate, asked)[1] == math.inf:  # no coupling is left, whatever it is for
        return asked, math.inf
    return ways[-1]


def best(certificate: Evident, question: Question) -> tuple[Evidence, float]:
    """The evidence that bounds the question's objective best, what holds of every problem included, and that bound."""
    problem, relaxed, known = question.problem, certificate.relaxed, certificate.evidence
    nothing: Any = 0.0
    floors: list[Evidence] = [DataProcessing()]
    if isinstance(question, Several):
        known = tuple(among(one, question.classes) for one in known)
        nothing, floors = np.zeros(len(question.classes)), [*of_each(question)]
    cheapest = [Leaf(f, 0.0, nothing) for f in (np.zeros(problem.n), problem.d.min(axis=1))]
    if losses_of(question) is not None:
        floors = [ActionTree(leaf) for leaf in cheapest]
    elif question.name != "one-shot":
        floors += [PosteriorTree(leaf) for leaf in cheapest]
    asked = [question] if relaxed is None else [question, question.with_problem(relaxed)]
    bounds = [(one, max(bound_of(one, each) for each in asked)) for one in (*known, *floors)]
    return max(bounds, key=lambda pair: pair[1])
