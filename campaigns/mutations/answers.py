"""Lines between a question and its answer: problems, engines, the judge."""

from __future__ import annotations

from campaigns.mutations.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
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
    Mutant("tails of sums dropped", "certify/rounding.py", "head.astype(WIDE) + tail", "head.astype(WIDE) + 0 * tail"),
    Mutant("negative entries kept", "coupling.py", "np.maximum(P, 0.0, order", "np.array(P, order"),
    Mutant(
        "what is missing not added",
        "coupling.py",
        "dger(1.0, missing_y / total",
        "dger(0.0, missing_y / total",
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
    Mutant("meant: S is never told", "certify/witness.py", ".sum(axis=0) <= 1).all()", ".sum(axis=0) <= 9).all()"),
    Mutant(
        "no rate whatever the coupling",
        "certify/witness.py",
        "if excess[1] > 0.0 and _apart(",
        "if excess[1] > 0.0 or _apart(",
    ),
    Mutant("meant: a hair for nothing", "certify/witness.py", "if rough and _affordable", "if False and _affordable"),
    Mutant("Ctrl-C for one part", "session.py", "if met or proposal.termination == INTERRUPTED", "if met", False),
)
