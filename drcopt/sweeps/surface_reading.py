"""A surface from its proof file: every floor and ceiling is worked out anew, from multipliers and couplings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from drcopt.bounds import Leaf, PosteriorTree, Split
from drcopt.bounds.posterior import Node, leaf_piece
from drcopt.certify.certificate import repair
from drcopt.errors import InputError
from drcopt.formulations import Part, Question
from drcopt.law_session import session_for
from drcopt.perception import Perception
from drcopt.problem import Problem
from drcopt.questions import CLASSIFICATION_LOSS, DISTORTION, EVERY, PERCEPTION, Near, Piece, quantity
from drcopt.support.check import FloatArray
from drcopt.sweeps.envelopes import Proved, found
from drcopt.sweeps.refine import Axis, Box, Known, Refinement
from drcopt.sweeps.sheet import Surface


def surface_of(data: Any) -> Surface:
    """The surface of a file's contents (:func:`drcopt.checker.load`), in nats; the names of letters are not in it.

    That a box is known is taken from the file: check it first (:func:`drcopt.checker.check`).

    Raises
    ------
    InputError
        If it does not follow docs/proof-format.md.
    """
    try:
        return _surface(data)
    except (LookupError, TypeError, AttributeError, ValueError, StopIteration) as error:
        raise InputError(
            f"a surface's proof file must follow docs/proof-format.md; {error}. Write it anew with Surface.save."
        ) from None


def _surface(data: Mapping[str, Any]) -> Surface:
    given = data["problem"]
    px, W, d = (array(given[name]) for name in ("px", "ps_given_x", "d"))
    problem = Problem(px, None if given["py"] is None else array(given["py"]), W, d)
    perception, target = None, data.get("perception")
    if target is not None:
        ground = None if "ground" not in target else array(target["ground"])
        name = f"{PERCEPTION.name}_budget"
        budget, order = double(data.get(name) or data["ranges"][name][1]), double(target.get("order", "2"))
        perception = Perception(target["kind"], budget, array(target["target"]), ground, order)
        problem = Problem(px, array(target["target"]), W, d)
    settings = {
        "formulation": data["formulation"],
        "classifier_sees": data["classifier_sees"],
        "perception": perception,
    }
    objective = quantity(data["objective"].replace("-", "_"))
    question = session_for(problem, units="nats", **settings).question(objective)
    by_name = {f"{q.name.split('_')[0]}_budget": q for q in EVERY}
    fixed, axes = np.full(len(EVERY), math.inf), []
    for name, q in by_name.items():
        if data.get(name, "inf") != "inf":
            fixed[q.place] = double(data[name])
    for name, ends in data["ranges"].items():
        low, high = map(double, ends)
        axes.append(Axis(by_name[name], low, high, 0.0))
    near = None if perception is None else perception.near(problem, perception.budget)
    if any(axis.quantity is PERCEPTION for axis in axes):
        question = replace(question, laws=near)
    refinement = Refinement(Known(question), objective, axes, fixed, double(data["gap"]))
    for parts in data["points"]:
        point = repair(question, [_part(part) for part in parts])
        if point is None:
            raise ValueError("a point of it is none")
        excess = (point.spent.distortion_excess, point.spent.rate_excess, point.spent.loss_excess)
        refinement.known.ceiling.add(found(question, point.parts, point.spent.values, excess, near))
    for evidence in data["evidence"]:
        tree = PosteriorTree(_tree(iter(evidence["nodes"]), objective is DISTORTION, objective is CLASSIFICATION_LOSS))
        leaves = [node for node in evidence["nodes"] if "at" not in node]
        refinement.known.floor.add(Proved.of(tree, _pieces(question, tree, leaves), question.perception_budget))
    for box in data["boxes"]:
        made = Box(_shares(axes, box["low"]), _shares(axes, box["high"]), 0.0, -1, "corners" not in box)
        tau = box.get("tau")
        refinement.done.append(
            made if made.infeasible else replace(made, gap=refinement.tol, tangent=-1 if tau is None else tau)
        )
    boxes = refinement.done
    if boxes and all(box.low == box.high for box in boxes):
        refinement.grid = tuple(len({box.low[j] for box in boxes}) for j in range(len(axes)))
    ranges = {a.quantity.budget: (a.low, a.high) for a in axes}
    why = "read from a proof file"
    tol = refinement.tol
    return Surface(problem, objective.name, ranges, "nats", tol, tol, 0.0, why, settings, refinement)


@dataclass(frozen=True, eq=False)
class _Weighed(Near):
    """A ball whose multipliers are given."""

    weight: float = 0.0
    level: float = 0.0

    def halfspace(self, g: FloatArray) -> tuple[float, float]:
        """With those."""
        return self.priced(g, self.weight, self.level), self.weight


def _pieces(question: Question, tree: PosteriorTree, leaves: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """What the leaves of a tree prove with the multipliers of the file."""
    laws = question.laws
    if not isinstance(laws, Near):
        return tree.pieces(question)
    ball = laws.kind, laws.target, laws.budget, laws.ground, laws.order
    given = [tuple(double(leaf.get(name, "0")) for name in ("perception", "level")) for leaf in leaves]
    asked = [replace(question, laws=_Weighed(*ball, weight, level)) for weight, level in given]
    if len(set(given)) == 1:
        return tree.pieces(asked[0])
    walked = zip(reversed(asked), tree.leaves(question.problem), strict=True)  # the other way round than a file
    return [leaf_piece(each, leaf, box) for each, (leaf, box) in walked]


def _shares(axes: list[Axis], budgets: list[str]) -> tuple[float, ...]:
    pairs = zip(axes, map(double, budgets), strict=True)
    return tuple((b - axis.low) / (axis.high - axis.low) for axis, b in pairs)


def _part(part: Mapping[str, Any]) -> Part:
    letters = part.get("letters")
    named = None if letters is None else np.array(letters, dtype=np.intp)
    return Part(double(part["weight"]), array(part["coupling"]), letters=named)


def _tree(nodes: Iterator[Any], distortion: bool, loss: bool) -> Node:
    node = next(nodes)
    if "at" in node:
        low = _tree(nodes, distortion, loss)
        return Split(node["y"], node["s"], double(node["at"]), low, _tree(nodes, distortion, loss))
    beta = 1.0 if loss else double(node["classification"])
    own = double(node.get("distortion", "1" if distortion else "0"))
    return Leaf(array(node["f"]), double(node["rate"]), beta, own)


def double(text: str) -> float:
    """A number of a proof file as the nearest double."""
    value = float.fromhex(text) if "x" in text else float(Fraction(text))
    if not math.isfinite(value):
        raise ValueError(f"{text!r:.40} is not finite")
    return value


def array(values: Any) -> FloatArray:
    """Lists of them as an array."""
    return np.array([array(v) if isinstance(v, list) else double(v) for v in values], dtype=np.float64)
