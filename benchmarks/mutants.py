"""Does the suite notice? ``python -m benchmarks.mutants`` breaks the package in one place at a time and runs tests.

Each mutant replaces one text, found exactly once, in a copy of the package; the tests that are to notice it run there,
nearest first, until one fails. A mutant that no test kills survives. Those that could make a bound false must all be
killed, and of all of them 95 %: otherwise this exits with 1. A test that runs past ``--timeout`` counts as a kill.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The least share of mutants that must be killed.
SHARE = 0.95


@dataclass(frozen=True)
class Mutant:
    """One fault: in ``file`` (of the package) ``old`` becomes ``new``; ``bound`` if a claim could become false."""

    name: str
    file: str
    old: str
    new: str
    bound: bool = True


#: Tests that are to notice a fault in a file (the longest prefix counts), nearest first.
TESTS: dict[str, tuple[str, ...]] = {
    "information.py": ("information", "problem", "certificate", "engines"),
    "coupling.py": ("forbidden", "certificate", "soundness"),
    "problem.py": ("problem", "engines", "certificate", "soundness"),
    "session.py": ("limits", "verify", "engines", "questions", "certificate", "global", "soundness"),
    "certify/verify.py": ("verify",),
    "bounds/pricing/hull.py": ("hull", "pricing", "cells", "global"),
    "bounds/pricing/dispatch.py": ("limits", "pricing", "certificate"),
    "bounds/": (
        "pricing",
        "certificate",
        "cells",
        "one_shot",
        "one_shot_engine",
        "global",
        "proof",
        "checker",
        "soundness",
    ),
    "bounds/posterior.py": ("certificate", "corners", "pricing", "global", "proof", "checker", "soundness"),
    "bounds/pricing/corners.py": ("corners", "pricing"),
    "bounds/pricing/convexity.py": ("convexity", "pricing"),
    "questions/": ("questions", "pricing", "certificate", "proof", "checker", "soundness"),
    "bounds/exact.py": ("certificate", "engines", "free_law", "soundness"),
    "bounds/maps.py": ("one_shot", "one_shot_engine", "proof", "checker", "soundness"),
    "bounds/subsets.py": ("one_shot", "one_shot_engine"),
    "bounds/cells.py": ("cells", "one_shot_engine", "proof", "checker"),
    "engines/search.py": ("global", "sweep", "certificate"),
    "engines/branch.py": ("global", "certificate"),
    "engines/map": ("one_shot_engine",),
    "certify/witness.py": ("certificate", "answers", "questions", "witness", "soundness"),
    "stakes.py": ("witness",),
    "engines/points.py": ("global", "certificate"),
    "certify/certificate.py": ("certificate", "one_shot_engine", "proof", "witness", "soundness"),
    "formulations/base.py": ("questions", "certificate", "engines", "soundness"),
    "formulations/": ("one_shot", "one_shot_engine", "certificate", "engines", "soundness"),
    "certify/proof": ("proof", "proof_format", "law_proofs", "tampering"),
    "certify/exactly.py": ("exactly",),
    "checker/": ("proof", "proof_format", "checker", "law_proofs", "tampering"),
    "checker/perception.py": ("law_proofs",),
    "checker/point.py": ("proof", "law_proofs", "checker"),
    "least_perception.py": ("least_perception",),
    "law_session.py": ("laws",),
    "sweeps/checkpoint.py": ("checkpoint",),
    "support/files.py": ("tables", "proof"),
    "sweep.py": ("sweep", "checkpoint", "verify"),
    "tables.py": ("tables",),
    "statistics/": ("statistics",),
    "bounds/decisions.py": ("decisions",),
    "decision_session.py": ("decisions",),
    "bounds/stranded.py": ("forbidden",),
    "bounds/pricing/allowed.py": ("forbidden",),
    "forbidden.py": ("forbidden",),
    "sweeps/monotone.py": ("monotone",),
    "sweeps/rows.py": ("checkpoint", "sweep"),
    "closed_forms/": ("closed_forms", "closed_forms_free"),
}

MUTANTS: tuple[Mutant, ...] = (
    # The loss of the best decision.
    Mutant(
        "the dearest action",
        "bounds/decisions.py",
        "np.minimum(least[y]",
        "np.maximum(np.nan_to_num(least[y], posinf=0)",
    ),
    Mutant("an action less in both halves", "bounds/decisions.py", "only[node.y] &=", "only[node.y] &= False &"),
    Mutant(
        "splits where the message is read",
        "bounds/decisions.py",
        "if message and isinstance(self.root, ActionSplit)",
        "if False",
    ),
    Mutant("losses beyond C", "decision_session.py", "loss - question.budgets", "loss - 9 * question.budgets"),
    # Forbidden pairs.
    Mutant(
        "a letter priced as if all were allowed", "bounds/pricing/allowed.py", "paid = -alpha", "paid = -2.0 * alpha"
    ),
    Mutant(
        "an allowed posterior that is not in its box",
        "bounds/pricing/allowed.py",
        "np.where(inside, value, np.inf)",
        "np.where(inside, np.inf, value)",
    ),
    Mutant(
        "letters stranded by less than they hold",
        "bounds/stranded.py",
        "if mass - room > _SURELY",
        "if mass - 0.5 * room > _SURELY",
    ),
    Mutant(
        "mass on forbidden pairs",
        "coupling.py",
        "P = np.where(allowed, np.maximum(P, 0.0), 0.0)",
        "P = np.maximum(P, 0.0)",
    ),
    Mutant("the least rate is any", "coupling.py", "* allowed, np.log(a)", "* allowed, 2.0 * np.log(a)", bound=False),
    # What samples prove.
    Mutant("half of Hoeffding", "statistics/means.py", "-math.log(delta) / (2 * N)", "-math.log(delta) / (8 * N)"),
    Mutant("Bernstein without its range", "statistics/means.py", "+ b * (2.0 * L", "+ 0.0 * b * (2.0 * L"),
    Mutant(
        "four bounds at one's confidence",
        "statistics/tested.py",
        "(1.0 - level(confidence)) / 4.0",
        "(1.0 - level(confidence)) / 0.5",
    ),
    Mutant(
        "a draw that moves no information",
        "statistics/below.py",
        "+ (alpha + beta) / scale",
        "+ 0.0 * (alpha + beta) / scale",
    ),
    Mutant("a small ball", "statistics/ball.py", "(2.0 * samples)))", "(8.0 * samples)))"),
    Mutant(
        "a rate that no law moves",
        "statistics/ball.py",
        "+ radius * math.log(letters)",
        "+ 0.0 * radius * math.log(letters)",
    ),
    # What rows of one sweep take from each other.
    Mutant(
        "points for tighter budgets", "sweeps/monotone.py", "(budgets <= budgets[i]).all", "(budgets >= budgets[i]).all"
    ),
    Mutant(
        "bounds for looser budgets", "sweeps/monotone.py", "(budgets >= budgets[i]).all", "(budgets <= budgets[i]).all"
    ),
    Mutant(
        "one budget looser is enough",
        "sweeps/monotone.py",
        "(budgets >= budgets[i]).all",
        "(budgets >= budgets[i]).any",
    ),
    Mutant(
        "one budget tighter is enough",
        "sweeps/monotone.py",
        "(budgets <= budgets[i]).all",
        "(budgets <= budgets[i]).any",
    ),
    Mutant("an excess carried", "sweeps/monotone.py", "tighter &= met", "pass"),
    Mutant("an excess forgotten", "sweeps/monotone.py", 'new["status"] == "near-feasible" and value == own', "False"),
    Mutant("a point declared infeasible", "sweeps/monotone.py", "and values[i] == math.inf", "and True"),
    Mutant(
        "verified by one of two", "sweeps/monotone.py", '"yes" if all(row["verified"]', '"yes" if any(row["verified"]'
    ),
    Mutant("contradictions carried", "sweeps/monotone.py", "<= value * (1 + 1e-12)", "<= math.inf"),
    # Information and units.
    Mutant("log base of bits", "information.py", '"bits": math.log(2.0)', '"bits": math.log(10.0)'),
    Mutant("nats to bits the wrong way", "information.py", "return value / NATS_PER", "return value * NATS_PER"),
    Mutant("bits to nats the wrong way", "information.py", "return value * NATS_PER", "return value / NATS_PER"),
    Mutant("entropy in bits", "information.py", "-float(xlogy(p, p).sum())", "-float((p * np.log2(p)).sum())"),
    Mutant(
        "H(Y|S) for H(S|Y)",
        "information.py",
        "np.broadcast_to(joint.sum(axis=0), joint",
        "np.broadcast_to(joint.sum(axis=1, keepdims=True), joint",
    ),
    Mutant("rate without tiny marginals", "information.py", "if not math.isfinite(total):", "if False:", False),
    Mutant("eta rounded down", "information.py", "min(1.0, best + 1e-9)", "0.99 * best"),
    # What every bound is lowered by, and the budgets it uses.
    Mutant("ROUNDING dropped", "questions/region.py", "ROUNDING = 64 * 2.0**-53", "ROUNDING = 0.0"),
    Mutant("bounds rounded up", "questions/region.py", "return total - ROUNDING", "return total + ROUNDING"),
    Mutant("NaN for a bound", "questions/region.py", "if math.isnan(total):", "if False:", False),
    Mutant(
        "budgets too small",
        "formulations/base.py",
        "0.0 if q is self.objective else min(b, most)",
        "0.0 if q is self.objective else 0.99 * min(b, most)",
    ),
    Mutant(
        "H(S|X) for H(S)",
        "formulations/base.py",
        "min(problem.entropy_x, entropy_y), problem.entropy_s\n",
        "min(problem.entropy_x, entropy_y), problem.entropy_s_given_x\n",
    ),
    Mutant("budgets received for paid", "formulations/base.py", "*(-p for p in paid)", "*paid"),
    Mutant("the objective's weight ignored", "formulations/base.py", "value = rest / weight", "value = rest"),
    Mutant(
        "infeasible at a hair", "formulations/base.py", "math.inf if rest > 0 else", "math.inf if rest > -1e-3 else"
    ),
    Mutant("bounds not rounded down", "formulations/base.py", "for p in paid)]), *paid)", "for p in paid)]))"),
    Mutant(
        "too much for what the deadline left",
        "bounds/pricing/dispatch.py",
        "cost[:, done:] + beta * (1 - 1e-14)",
        "cost[:, done:] + 2 * beta * (1 - 1e-14)",
    ),
    # Posterior trees.
    Mutant("swapped marginals", "bounds/posterior.py", "*(f * problem.px),", "*(f * problem.py[: problem.n]),"),
    Mutant("the cost's weight ignored", "bounds/posterior.py", "finite = w * np.where", "finite = np.where"),
    Mutant(
        "framed as if d had the weight 1",
        "bounds/posterior.py",
        "node.distortion * change.row",
        "change.row",
    ),
    Mutant(
        "negative multipliers taken",
        "bounds/posterior.py",
        "all(0 <= v < math.inf for v in (w, alpha, beta))",
        "all(v < math.inf for v in (w, alpha, beta))",
    ),
    Mutant("best leaf for the worst", "bounds/posterior.py", "return heap[0][0]", "return max(heap)[0]"),
    Mutant(
        "another leaf may be lower",
        "bounds/posterior.py",
        "heapq.heapreplace(heap, (max(bound, question.bound(piece)), i, True))",
        "return max(bound, question.bound(piece))",
    ),
    Mutant(
        "time-sharing across leaves",
        "bounds/posterior.py",
        'question.name == "time-sharing"',
        'question.name == "time"',
    ),
    Mutant(
        "range of W too small",
        "bounds/posterior.py",
        "np.stack([W.min(axis=0), W.max(axis=0)]",
        "np.stack([W.mean(axis=0), W.max(axis=0)]",
    ),
    Mutant(
        "halves that do not cover",
        "bounds/posterior.py",
        "part[node.y, node.s, side] = node.at",
        "part[node.y, node.s, side] = node.at + (0.02, -0.02)[side]",
    ),
    Mutant(
        "loss counted twice",
        "bounds/posterior.py",
        "price(problem, cost, curved, beta, box",
        "price(problem, cost, curved, 2 * beta, box",
    ),
    Mutant(
        "leaf's box not enforced",
        "bounds/posterior.py",
        "price(problem, cost, curved, beta, box, tol",
        "price(problem, cost, curved, beta, None, tol",
        False,
    ),
    # Pricing.
    Mutant(
        "chord direction, two classes",
        "bounds/pricing/line.py",
        "chord = np.minimum(np.minimum(at_a + ha",
        "chord = np.maximum(np.minimum(at_a + ha",
    ),
    Mutant("convexity taken for granted", "bounds/pricing/line.py", "convex = self.alpha >=", "convex = np.inf >="),
    Mutant(
        "concavity taken for granted", "bounds/pricing/line.py", "concave = self.alpha * spread <=", "concave = 0 <="
    ),
    Mutant("best point for a bound", "bounds/pricing/line.py", "np.minimum(closed, best) -", "best -"),
    Mutant("all but straight", "bounds/pricing/line.py", "if off <= _STRAIGHT", "if off <= 1e-3"),
    Mutant(
        "curvature halved",
        "bounds/pricing/line.py",
        "(self.direction[used] ** 2 /",
        "(0.5 * self.direction[used] ** 2 /",
    ),
    Mutant(
        "least curvature too large",
        "bounds/pricing/line.py",
        "np.abs(self.on.direction).sum() ** 2)",
        "4 * np.abs(self.on.direction).sum() ** 2)",
    ),
    Mutant(
        "interval too short",
        "bounds/pricing/line.py",
        "(ends[:, :, 1] + room).min(axis=1)",
        "(ends[:, :, 1] - 0.02).min(axis=1)",
    ),
    Mutant("floor of the most uncertain row", "bounds/pricing/line.py", ".sum(axis=1).min())", ".sum(axis=1).max())"),
    Mutant("slopes known exactly", "bounds/pricing/line.py", "best) - 4 * 2.0**-53 * steepest", "best) - 0 * steepest"),
    Mutant(
        "chord direction, more classes",
        "bounds/pricing/spatial.py",
        "a = np.minimum(at_low - b * low",
        "a = np.maximum(at_low - b * low + 0.01",
    ),
    Mutant(
        "eta off in pricing",
        "bounds/pricing/spatial.py",
        "min(beta, alpha / contraction)",
        "min(beta, 4 * alpha / contraction)",
    ),
    Mutant(
        "cells of a smaller box",
        "bounds/pricing/spatial.py",
        "covered = (low >= start.box[:, :, 0]).all(axis=1) & (high <= start.box[:, :, 1]).all(axis=1)",
        "covered = np.ones(m, dtype=bool)",
    ),
    Mutant(
        "the other half's bound",
        "bounds/pricing/spatial.py",
        "np.maximum(halves.bound, np.tile(cells.bound, 2)[kept])",
        "np.maximum(halves.bound, np.tile(cells.bound[::-1], 2)[kept])",
    ),
    Mutant(
        "a half left out",
        "bounds/pricing/spatial.py",
        "kept, low, high = _tightened(*both",
        "kept, low, high = _tightened(*(e[: len(cells.y)] for e in both)",
    ),
    Mutant("facets short of the rows", "bounds/pricing/hull.py", "(A @ W.T).max(axis=1) +", "(A @ W.T).mean(axis=1) +"),
    Mutant("facets' room, sign", "bounds/pricing/hull.py", "[:, :, None] + least", "[:, :, None] - least"),
    Mutant(
        "facets cut too deep",
        "bounds/pricing/hull.py",
        "np.minimum(high, most + 1e-14)",
        "np.minimum(high, most - 1e-3)",
    ),
    Mutant("empty as soon as near", "bounds/pricing/hull.py", "return self.distance > 0", "return self.distance > -1"),
    Mutant("separated by half a box", "bounds/pricing/hull.py", "+ np.abs(away) @ half)", "- np.abs(away) @ half)"),
    Mutant(
        "copies permuted",
        "bounds/pricing/dispatch.py",
        "Priced(priced.lower[copies],",
        "Priced(priced.lower[copies[::-1]],",
    ),
    Mutant(
        "bound in another unit",
        "bounds/pricing/dispatch.py",
        "return Priced(priced.lower * unit,",
        "return Priced(priced.lower,",
    ),
    Mutant("gradient's cost dropped", "bounds/pricing/spatial.py", "bound = height + loss -", "bound = height -"),
    Mutant(
        "entropy paid for the wrong way",
        "bounds/pricing/dispatch.py",
        "priced.lower + alpha * float",
        "priced.lower - alpha * float",
    ),
    Mutant("concave all but for its bend", "bounds/pricing/convexity.py", "matrix = first - second", "matrix = first"),
    Mutant(
        "concave at its middle only",
        "bounds/pricing/convexity.py",
        "up = np.log(np.maximum(high, tau) / tau)",
        "up = 0.0 * np.log(np.maximum(high, tau) / tau)",
    ),
    Mutant("concave by a hair", "bounds/pricing/convexity.py", "> (_MARGIN + blur) * trace", "> -1e-5 * trace"),
    Mutant("edges that few constraints hold", "bounds/pricing/corners.py", ".T >= n - 2)", ".T >= n - 1)"),
    Mutant(
        "no edge from close to a face", "bounds/pricing/corners.py", "flatnonzero(gap > 0.0)", "flatnonzero(gap > _ON)"
    ),
    Mutant("corners on a face left out", "bounds/pricing/corners.py", "inside = gap >= -_ON", "inside = gap > _ON"),
    Mutant(
        "tangents above the divergence",
        "bounds/posterior.py",
        "(tangents.sum(axis=0) * problem.px[:, None])",
        "problem.px[:, None]",
    ),
    Mutant("a face of the box forgotten", "bounds/pricing/vertices.py", "for side in (0, 1)\n", "for side in (0,)\n"),
    Mutant(
        "soft minimum too high",
        "bounds/pricing/gibbs.py",
        "np.asarray(-alpha * (top + np.log(",
        "np.asarray(-alpha * (top + 0.999 * np.log(",
    ),
    # One-shot bounds.
    Mutant(
        "chords above eta",
        "bounds/cells.py",
        "base = np.where(wide, entr(low) - slope * low",
        "base = np.where(wide, entr(high) - slope * low",
    ),
    Mutant("negative multipliers taken, cells", "bounds/cells.py", "or min(weights) < 0:", "or min(weights) < -9e9:"),
    Mutant("the cost's weight ignored, cells", "bounds/cells.py", "(w * problem.d - self.f", "(problem.d - self.f"),
    Mutant("posterior box too small", "bounds/maps.py", "ends[..., 0] -= _SLACK", "ends[..., 0] += 1e-3"),
    Mutant("chord direction, maps", "bounds/maps.py", "ends.min(axis=-1).sum", "ends.max(axis=-1).sum"),
    Mutant(
        "H(S|Y) priced where U is seen", "bounds/maps.py", "leaf.posterior.max() <= 0)", "leaf.posterior.max() <= 9e9)"
    ),
    Mutant(
        "least multiplier for the largest",
        "bounds/maps.py",
        "(leaf.posterior + leaf.conditional).max()",
        "(leaf.posterior + leaf.conditional).min()",
    ),
    Mutant("the cost's weight ignored, maps", "bounds/maps.py", "leaf.distortion * problem.d +", "problem.d +"),
    Mutant("partitions at their worst", "bounds/subsets.py", "np.minimum(min_plus(f1", "np.maximum(min_plus(f1"),
    Mutant(
        "independent where it need not be",
        "bounds/exact.py",
        "alone = question.rate_budget == 0 or",
        "alone = question.rate_budget <= 1 or",
    ),
    Mutant(
        "a rate for what is independent",
        "bounds/exact.py",
        "question.bound(Piece((0.0, 1.0, 0.0), 0.0))",
        "question.bound(Piece((0.0, 1.0, 0.0), 0.1))",
    ),
    # The judge.
    Mutant(
        "engine's optimal believed",
        "certify/certificate.py",
        "return replace(certificate, lower=min(lower, upper))",
        "return replace(certificate, lower=upper)",
    ),
    Mutant(
        "bound not recomputed",
        "bounds/base.py",
        "value = float(evidence.bound(question))",
        "value = float(evidence.bound(question)) + 1e-9",
    ),
    Mutant(
        "repair skipped",
        "certify/certificate.py",
        "None if point is None else point.parts, evidence",
        "tuple(parts) if parts else None, evidence",
    ),
    Mutant(
        "rate not repaired", "certify/witness.py", "if now.rate_excess == 0.0:", "if now.rate_excess >= 0.0:", False
    ),
    Mutant(
        "budgets unchecked",
        "certify/witness.py",
        "max(formulation.most[0], 1e-300)) <= CLOSE",
        "max(formulation.most[0], 1e-300)) <= 9e9",
    ),
    Mutant(
        "loss budget unchecked",
        "certify/witness.py",
        "max(self.distortion_excess, self.rate_excess, self.loss_excess)",
        "max(self.distortion_excess, self.rate_excess)",
    ),
    Mutant(
        "distortion budget unchecked",
        "certify/witness.py",
        "max(self.distortion_excess, self.rate_excess, self.loss_excess)",
        "max(self.rate_excess, self.loss_excess)",
    ),
    Mutant(
        "infeasible too easily",
        "certify/certificate.py",
        "question.most[question.objective.place] * (1.0 + _BEYOND)",
        "question.most[question.objective.place] * (1.0 - 0.5)",
    ),
    Mutant(
        "NaN proves everything",
        "bounds/base.py",
        "return -math.inf if math.isnan(value)",
        "return math.inf if math.isnan(value)",
    ),
    Mutant(
        "contradictions reported",
        "certify/certificate.py",
        "if lower > upper + 1e-9",
        "if False and lower > upper + 1e-9",
    ),
    Mutant("negative weights", "certify/certificate.py", "weights.min() < -1e-9", "weights.min() < -1e9"),
    Mutant("maps not checked", "certify/certificate.py", "if not _maps_hold(formulation, fixed):", "if False:"),
    Mutant(
        "maps with too much mass on a letter",
        "certify/certificate.py",
        "shrink = min(1.0, float(np",
        "shrink = max(1.0, float(np",
    ),
    Mutant("negative entries kept", "coupling.py", "P = np.maximum(P, 0.0)\n", "P = np.array(P)\n"),
    Mutant(
        "what is missing not added",
        "coupling.py",
        "P += np.outer(missing_x, missing_y / total)",
        "P += 0 * np.outer(missing_x, missing_y / total)",
    ),
    # Problems, formulations, solving.
    Mutant("zero atoms kept", "problem.py", "np.flatnonzero(self.px > 0)", "np.flatnonzero(self.px >= 0)", False),
    Mutant("zero atoms of S kept", "problem.py", "np.flatnonzero(self.ps > 0)", "np.flatnonzero(self.ps >= 0)", False),
    Mutant(
        "standard d forgets a column",
        "problem.py",
        "Standard(scale, row, column)",
        "Standard(scale, row, 0 * column + 0.1)",
    ),
    Mutant(
        "weights ignored",
        "formulations/time_sharing.py",
        "sum(p.weight * self.problem.rate(p.coupling)",
        "sum(0.5 * self.problem.rate(p.coupling)",
    ),
    Mutant(
        "H(S|Y,U) for H(S|Y)",
        "formulations/one_shot.py",
        'if self.classifier_sees == "Y":',
        'if self.classifier_sees == "X":',
    ),
    Mutant("evidence not framed", "session.py", "return evidence.framed(self._stakes.standard[1])", "return evidence"),
    Mutant(
        "optimal too easily",
        "session.py",
        "certificate.lower <= enough else",
        "certificate.lower <= 1e3 * enough else",
    ),
    Mutant(
        "a larger d believed",
        "certify/certificate.py",
        "if relaxed is not None and not (relaxed.d <= question.problem.d).all():",
        "if False:",
    ),
    Mutant("costs raised where they were to be cut", "stakes.py", "np.minimum(p.d, cut)", "np.maximum(p.d, cut)"),
    Mutant("optimal however small D is", "stakes.py", "min(tol * self.stake, 1e-3 * abs(value))", "tol * self.stake"),
    Mutant(
        "edge in the wrong unit",
        "session.py",
        "lower_bound=objective.outside(certificate.lower, self.units)",
        "lower_bound=certificate.lower",
    ),
    Mutant(
        "multipliers in the wrong unit",
        "session.py",
        "m * sizes[objective.place] / size for",
        "m / sizes[objective.place] * size for",
        False,
    ),
    Mutant("rejection ignored", "certify/verify.py", 'if solution.status == "optimal":', "if False:"),
    Mutant("false infeasibility kept", "certify/verify.py", 'elif solution.status == "infeasible":', "elif False:"),
    Mutant(
        "proved loss rounded up",
        "certify/verify.py",
        "math.nextafter(value, -math.inf)",
        "math.nextafter(value, math.inf)",
    ),
    # Engines only propose: at worst an answer is weak.
    Mutant(
        "a warm tree's other half",
        "engines/search.py",
        "zip(self.children, (1, 0), strict",
        "zip(self.children, (1, 1), strict",
        False,
    ),
    Mutant(
        "the edge before rounding",
        "engines/points.py",
        "P = self._repaired(answer.P)\n",
        "P = answer.P\n",
        False,
    ),
    Mutant(
        "no time to judge",
        "engines/map_programs.py",
        "self.exact = self.pricing.exact and",
        "self.exact = self.pricing.exact or",
        False,
    ),
    # Proof files and their checker.
    Mutant("claims leave no room", "certify/proof.py", "number(lower - room)", "number(lower + room)", False),
    Mutant("checker rounds inward", "checker/balls.py", "while not (arb(value)", "while False and not (arb(value)"),
    Mutant("checker prints the wrong way", "checker/balls.py", '"ROUND_CEILING" if up', '"ROUND_CEILING" if not up'),
    Mutant(
        "checker: least is most",
        "checker/balls.py",
        "reduce(lambda u, v: u.min(v), balls)",
        "reduce(lambda u, v: u.max(v), balls)",
    ),
    Mutant("checker: boxes shrink to the grid", "checker/balls.py", "scaled.ceil() if up", "scaled.ceil() if not up"),
    Mutant(
        "checker: a double too precise",
        "checker/schema.py",
        r"(\.[0-9a-f]{1,13})?p",
        r"(\.[0-9a-f]{1,19})?p",
    ),
    Mutant("checker: underflow to 0", "checker/schema.py", "-1022 <= int(double[2])", "-1999 <= int(double[2])"),
    Mutant("checker: true for 1", "checker/schema.py", "type(value) is not int", "not isinstance(value, int)"),
    Mutant("checker: lists of any length", "checker/schema.py", "size not in (None, len(value))", "False"),
    Mutant("checker: unknown fields", "checker/schema.py", "not in required and name not in optional", "not in value"),
    Mutant("checker: a tree with an appendix", "checker/schema.py", "        if not missing:", "        if False:"),
    Mutant("checker: half a tree", "checker/schema.py", "    if missing:", "    if False:"),
    Mutant("checker: negative multipliers", "checker/schema.py", "    if value < 0:", "    if value < -9:"),
    Mutant("checker: sums not normalised", "checker/schema.py", "found[i] = row / total", "found[i] = row + 0 * total"),
    Mutant("checker: bits without end", "checker/schema.py", "if total.height_bits() > MOST_BITS:", "if False:", False),
    Mutant("checker: a key twice", "checker/reading.py", "        if name in found:", "        if False:"),
    Mutant("checker: any amount of values", "checker/reading.py", "    if values > most:", "    if False:", False),
    Mutant(
        "checker: any amount of work", "checker/evidence.py", "        if self.budget < 0:", "        if False:", False
    ),
    Mutant("checker: ends swapped", "checker/question.py", "else to_float(least, False)", "else to_float(least, True)"),
    Mutant("checker: excess forgiven", "checker/question.py", "excess = bool(over)", "excess = False"),
    Mutant("checker: excess unchecked", "checker/question.py", "if excess <= tolerance * self", "if True or self"),
    Mutant(
        "checker: claims unchecked",
        "checker/question.py",
        "if not miss <= tolerance",
        "if False and not miss <= tolerance",
    ),
    Mutant(
        "checker: budgets rounded up",
        "checker/question.py",
        "self.budgets[q], False) for q",
        "self.budgets[q], True) for q",
    ),
    Mutant(
        "checker: own budget a limit",
        "checker/question.py",
        "if q != self.aim and not weight.is_zero():",
        "if not weight.is_zero():",
    ),
    Mutant("checker: emptiness for nothing", "checker/question.py", "None if rest > 0 else", "None if rest > -9 else"),
    Mutant("checker: weight ignored", "checker/question.py", "return rest / own", "return rest"),
    Mutant("checker: sign of budgets", "checker/question.py", "rest -= weight", "rest += weight"),
    Mutant(
        "checker: any leaf will do", "checker/question.py", "bounds.append(least_of(inside)", "bounds.append(inside[0]"
    ),
    Mutant("checker: infeasible unproved", "checker/question.py", "(own is None or not least > own)", "own is None"),
    Mutant(
        "checker: beta0 unchecked",
        "checker/evidence.py",
        "beta0 * p.contraction <= alpha",
        "0 * p.contraction <= alpha",
    ),
    Mutant("checker: eta off", "checker/problem.py", "return most.min(arb(1))", "return most.min(arb(1)) * 0.9"),
    Mutant(
        "checker: chord above eta",
        "checker/evidence.py",
        "map(smaller, at_low - b * low,",
        "map(smaller, at_high - b * low,",
    ),
    Mutant(
        "checker: time-sharing across leaves",
        "checker/evidence.py",
        'reader.half_spaces(nodes, kind == "time-sharing")',
        'reader.half_spaces(nodes, kind == "time")',
    ),
    Mutant(
        "checker: H(S|Y) priced where U is seen",
        "checker/evidence.py",
        "if self.by_part and any(b > 0 for b in beta):",
        "if False:",
    ),
    Mutant(
        "checker: maps out of reach",
        "checker/evidence.py",
        "found = linear.min(axis=1).sum()",
        "found = linear.max(axis=1).sum()",
    ),
    Mutant(
        "checker: rounding of doubles",
        "checker/evidence.py",
        "- (2 * p.n + 8 * p.m + 16) * arb(float(size)) / 2**52",
        "",
    ),
    Mutant(
        "checker: independent at any rate",
        "checker/evidence.py",
        'name == "independent" and still',
        'name == "independent"',
    ),
    Mutant("checker: a leaf left out", "checker/evidence.py", "for side in (0, 1)]", "for side in (0, 0)]"),
    Mutant("checker: ratios rounded up", "checker/evidence.py", "c.lower() for c in", "c.upper() + 1e-9 for c in"),
    Mutant(
        "checker: rate not repaired",
        "checker/point.py",
        "    if most is not None and not rate <= most:\n        keep",
        "    if False:\n        keep",
        False,
    ),
    # Laws of Y that are not given, and messages.
    Mutant("checker: messages capped by H(Y)", "checker/question.py", "p.HX if self.message else p.HX", "p.HX"),
    Mutant("checker: one letter, many messages", "checker/question.py", "(p.m == 1 and not self.message)", "p.m == 1"),
    Mutant("checker: a message in halves", "checker/evidence.py", "if not (reader.message and len(nodes) > 1)", "if p"),
    Mutant(
        "checker: the dearest law",
        "checker/evidence.py",
        "return least(g) if self.per",
        "return -least(-g) if self.per",
    ),
    Mutant(
        "checker: a mixture's law in one leaf",
        "checker/evidence.py",
        "reduce(np.frompyfunc(smaller, 2, 1), sums)",
        "sums[0]",
    ),
    Mutant("checker: no letter off the target", "checker/perception.py", "np.full(len(g), True)", "self.there"),
    Mutant("checker: any distance for nothing", "checker/perception.py", "v.min(w) for v in c", "v for v in c"),
    Mutant("checker: an infinite distance", "checker/perception.py", "if (has & ~self.there).any():", "if False:"),
    Mutant("checker: what a plan leaves", "checker/perception.py", "rest.max(arb(0)) *", "rest.min(arb(0)) *"),
    Mutant(
        "checker: perception for nothing", "checker/point.py", "arb(keep) * rate, arb(keep) * phi if", "rate, arb(0) if"
    ),
    Mutant("checker: ground cost on the spot", "checker/perception.py", "if not all(cost.is_zero()", "if not any(True"),
    Mutant("perception unjudged", "certify/exactly.py", "return bool(spent <= budget)", "return True"),
    Mutant(
        "offsets of columns", "law_session.py", "return rest, row, np.zeros(self.m)", "return rest, row, rest[0]", False
    ),
    Mutant(
        "checker: independence misread",
        "checker/point.py",
        "        rate *= arb(keep)",
        "        rate *= 0 * arb(keep)",
    ),
    Mutant(
        "checker: dear maps dearer",
        "checker/evidence.py",
        "np.minimum(linear, linear.min(",
        "np.maximum(linear, linear.min(",
    ),
    Mutant("checker: an entry below 0", "checker/along.py", " or any(entry < 0 for entry in kept.flat)", ""),
    Mutant("checker: lacks forgotten", "checker/along.py", "None if any(missing) or", "None if False or"),
    Mutant(
        "meant: an entry below 0",
        "certify/witness.py",
        "if near and min(kept.ravel()) >= 0 else P + spread",
        "if near else P + spread",
    ),
    Mutant("meant: S is never told", "certify/witness.py", "formulation.problem.k == 1", "formulation.problem.k >= 1"),
    Mutant("meant: a hair for nothing", "certify/witness.py", "if room[0] > _ROUGH * ordinary", "if False"),
    Mutant("Ctrl-C for one part", "session.py", "if met or proposal.termination == INTERRUPTED", "if met", False),
    # Sweeps, checkpoints, tables.
    Mutant(
        "torn record kept",
        "sweeps/checkpoint.py",
        "self._length = len(content) - len(torn)",
        "self._length = len(content)",
        False,
    ),
    Mutant(
        "checksum unread",
        "sweeps/checkpoint.py",
        'return values if _line(values) == line + b"\\n" else None',
        "return values",
        False,
    ),
    Mutant("other settings accepted", "sweeps/checkpoint.py", "        if differences:", "        if False:", False),
    Mutant("not forced to disk", "sweeps/checkpoint.py", "os.fsync(self._descriptor)", "pass", False),
    Mutant(
        "a lock that two can hold",
        "sweeps/checkpoint.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        False,
    ),
    Mutant(
        "a failed write left behind",
        "sweeps/checkpoint.py",
        "            with suppress(OSError):\n                self._cut()\n",
        "",
        False,
    ),
    Mutant("cold after a resume", "sweep.py", "None if start is None else dict(start)", "None", False),
    Mutant("lost rows recorded", "sweep.py", "if book is not None and not lost:", "if book is not None:", False),
    Mutant("a start of one infeasible", "sweep.py", "below is None or self._infeasible(below)", "below is None", False),
    Mutant("too few starts sent", "sweep.py", "if {p - 1, p + 1} &", "if {p - 1} &", False),
    Mutant("a file gone unseen", "sweeps/checkpoint.py", "        if not same:", "        if False:", False),
    Mutant(
        "formulations taken for one",
        "sweeps/rows.py",
        '("problem_fingerprint", "tol") and',
        '("formulation", "tol") and',
        False,
    ),
    Mutant("digits lost in CSV", "tables.py", "else repr(cell) for", 'else f"{cell:.15g}" for', False),
    # Closed forms.
    Mutant("D_C without its scale", "closed_forms/binary.py", " / (1.0 - 2.0 * self.p1))", ")", False),
    Mutant(
        "free law everywhere", "closed_forms/binary_perception.py", "if source.p - free <= distance:", "if True:", False
    ),
    Mutant("erasure of any mass", "closed_forms/erasure.py", 'if sees == "Y" and', "if False and", False),
    Mutant(
        "rows of any P alike",
        "sweeps/monotone.py",
        '(*columns.BUDGETS.values(), "perception_budget")',
        "columns.BUDGETS.values()",
        False,
    ),
    Mutant(
        "least perception: high end",
        "least_perception.py",
        "self.lower, self._evidence = low,",
        "self.lower, self._evidence = high,",
    ),
    Mutant(
        "least perception: any point", "least_perception.py", "if met is not None and met.spent.excess == 0.0 and", "if"
    ),
    Mutant("W2 for its square", "closed_forms/gaussian_perception.py", "math.sqrt(radius)", "radius", False),
    Mutant(
        "rate uncounted", "closed_forms/vector_gaussian.py", "return -0.5 * math.fsum(", "return -math.fsum(", False
    ),
    Mutant(
        "written in place",
        "support/files.py",
        'temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")',
        "temporary = target",
        False,
    ),
)


def tests_of(mutant: Mutant) -> list[str]:
    """The files of the tests that are to notice it, as pytest takes them."""
    key = max((prefix for prefix in TESTS if mutant.file.startswith(prefix)), key=len)
    return [f"tests/test_{name}.py" for name in TESTS[key]]


def mutated(mutant: Mutant, package: Path) -> str:
    """The text of the file with the fault in it.

    Raises
    ------
    ValueError
        If what it replaces is not there exactly once, or what comes out is no Python.
    """
    text = (package / mutant.file).read_text(encoding="utf-8")
    count = text.count(mutant.old)
    if count != 1:
        raise ValueError(f"{mutant.name}: {mutant.old!r} is {count} times in {mutant.file} and must be there once")
    text = text.replace(mutant.old, mutant.new)
    try:
        compile(text, mutant.file, "exec")
    except SyntaxError as error:
        raise ValueError(f"{mutant.name}: {mutant.file} would be no Python ({error})") from None
    return text


@dataclass(frozen=True)
class Result:
    """What became of a mutant: "killed" by a test (or by "timeout"), or "survived"."""

    mutant: Mutant
    killer: str
    seconds: float

    @property
    def killed(self) -> bool:
        return bool(self.killer)


def pytest(folder: Path, tests: Sequence[str], timeout: float) -> tuple[int, str]:
    """Exit code (0 passed, 1 failed, −1 past the timeout) and output of pytest in ``folder``, stopping at a failure."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, ""
    return done.returncode, done.stdout + done.stderr


def copied(folder: Path) -> Path:
    """The package, its tests and what they need, in ``folder``."""
    skip = shutil.ignore_patterns("__pycache__", "*.svg")
    for name in ("drcopt", "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def trial(mutant: Mutant, folder: Path, timeout: float) -> Result:
    """Put the fault into the copy in ``folder``, run the tests and take it out again."""
    path = folder / "drcopt" / mutant.file
    whole, started = path.read_text(encoding="utf-8"), time.monotonic()
    path.write_text(mutated(mutant, folder / "drcopt"), encoding="utf-8")
    try:
        code, output = pytest(folder, tests_of(mutant), timeout)
    finally:
        path.write_text(whole, encoding="utf-8")
    if code not in (-1, 0, 1, 2):
        raise RuntimeError(f"pytest could not run ({code}): {output[-2000:]}")
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    killer = "timeout" if code == -1 else "" if code == 0 else found[1] if found else "import"
    return Result(mutant, killer.removeprefix("tests/"), time.monotonic() - started)


def judged(results: Sequence[Result]) -> int:
    """The exit code: 0 if at least :data:`SHARE` of the mutants and all that touch a bound are killed."""
    killed = sum(result.killed for result in results)
    missed = [result for result in results if result.mutant.bound and not result.killed]
    return int(killed < SHARE * len(results) or bool(missed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all mutants, or those whose names contain what is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description="Does the suite notice?")
    parser.add_argument("names", nargs="*", help="only mutants whose names contain one of these")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for a mutant's tests (default 600)")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if not options.names or any(part in m.name for part in options.names)]
    for mutant in chosen:
        mutated(mutant, ROOT / "drcopt")
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:42}{mutant.file:30}{'bound' if mutant.bound else ''}")
        return 0
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = copied(Path(temporary))
        code, output = pytest(folder, sorted({test for m in chosen for test in tests_of(m)}), 10 * options.timeout)
        if code != 0:
            print(f"without a fault the tests must pass; they do not:\n{output[-2000:]}", file=sys.stderr)
            return 1
        for mutant in chosen:
            results.append(trial(mutant, folder, options.timeout))
            last = results[-1]
            fate = f"killed by {last.killer}" if last.killed else "SURVIVED"
            print(f"{mutant.name:42}{'bound' if mutant.bound else '':7}{last.seconds:6.1f} s  {fate}", flush=True)
    bounds = [result for result in results if result.mutant.bound]
    print(
        f"{sum(r.killed for r in results)} of {len(results)} mutants killed; "
        f"of those that touch a bound {sum(r.killed for r in bounds)} of {len(bounds)}"
    )
    return judged(results)


if __name__ == "__main__":
    raise SystemExit(main())
