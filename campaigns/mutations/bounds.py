"""Lines that a bound rests on."""

from __future__ import annotations

from campaigns.mutations.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # Information and units.
    Mutant("log base of bits", "information.py", '"bits": math.log(2.0)', '"bits": math.log(10.0)'),
    Mutant("nats to bits the wrong way", "information.py", "return value / NATS_PER", "return value * NATS_PER"),
    Mutant("bits to nats the wrong way", "information.py", "return value * NATS_PER", "return value / NATS_PER"),
    Mutant("entropy in bits", "information.py", "-float(xlogy(p, p).sum())", "-float((p * np.log2(p)).sum())"),
    Mutant(
        "H(Y|S) for H(S|Y)",
        "information.py",
        "rel_entr(joint, joint.sum(axis=0))",
        "rel_entr(joint, joint.sum(axis=1, keepdims=True))",
    ),
    Mutant("rate without tiny marginals", "information.py", "if not math.isfinite(total):", "if False:", False),
    Mutant("eta rounded down", "information.py", "min(1.0, best + 1e-9)", "0.99 * best"),
    Mutant(
        "leaves apart in mixed laws",
        "bounds/posterior.py",
        "        if _mixes_laws(question, leaves):\n            return question",
        "        if False:\n            return question",
    ),
    Mutant(
        "leaves of several directions in mixtures",
        "bounds/posterior.py",
        'if question.name == "time-sharing" and len({',
        'if question.name == "nothing" and len({',
    ),
    Mutant(
        "a place holder for Y's law in map trees",
        "bounds/maps.py",
        "over_laws, least",
        "float(letters @ problem.py), least",
    ),
    Mutant(
        "what couplings of py reach for any law",
        "bounds/maps.py",
        "self.leaves(question.problem, question.laws is None)",
        "self.leaves(question.problem)",
    ),
    Mutant(
        "cells' duals for any law",
        "bounds/cells.py",
        "if question.laws is not None:\n            return -math.inf",
        "if False:\n            return -math.inf",
    ),
    # What every bound is lowered by, and the budgets it uses.
    Mutant("ROUNDING dropped", "questions/region.py", "ROUNDING = 64 * 2.0**-53", "ROUNDING = 0.0"),
    Mutant("bounds rounded up", "questions/region.py", "return total - ROUNDING", "return total + ROUNDING"),
    Mutant("NaN for a bound", "questions/region.py", "if math.isnan(total):", "if False:", False),
    Mutant(
        "budgets too small",
        "formulations/base.py",
        "0.0 if q.place == self.objective.place else min(b, most)",
        "0.0 if q.place == self.objective.place else 0.99 * min(b, most)",
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
    Mutant(
        "swapped marginals",
        "bounds/posterior.py",
        "dtype=np.float64) * question.problem.px",
        "dtype=np.float64) * question.problem.py[: len(leaf.f)]",
    ),
    Mutant("the cost's weight ignored", "bounds/posterior.py", "else w * d) - f", "else d) - f"),
    Mutant(
        "framed as if d had the weight 1",
        "bounds/posterior.py",
        "node.distortion * change.row",
        "change.row",
    ),
    Mutant(
        "negative multipliers taken",
        "bounds/posterior.py",
        "all(0 <= v < math.inf for v in weights)",
        "all(v < math.inf for v in weights)",
    ),
    Mutant("best leaf for the worst", "bounds/posterior.py", "return heap[0][0]", "return max(heap)[0]"),
    Mutant(
        "another leaf may be lower",
        "bounds/posterior.py",
        "heapq.heapreplace(heap, (max(bound, question.bound(piece)), i, left - 1))",
        "return max(bound, question.bound(piece))",
    ),
    Mutant(
        "range of W too small",
        "problem.py",
        "np.stack([self.ps_given_x.min(axis=0)",
        "np.stack([self.ps_given_x.mean(axis=0)",
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
        "cost, curved, betas, box",
        "cost, curved, 2 * betas, box",
    ),
    Mutant(
        "leaf's box not enforced",
        "bounds/posterior.py",
        "problem, cost, curved, betas, box, tol=room",
        "problem, cost, curved, betas, None, tol=room",
        False,
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
    Mutant("low cells not taken", "bounds/subsets.py", "np.add(F[without], G[A]", "np.add(F[without], G[0]"),
    Mutant("least maps of other multipliers", "bounds/maps.py", "linear.ravel(), gamma, [alpha]", "gamma, [alpha]"),
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
    # The loss of the best decision.
    Mutant(
        "the dearest action",
        "bounds/decisions.py",
        "np.minimum(least[y]",
        "np.maximum(np.nan_to_num(least[y], posinf=0)",
    ),
    Mutant(
        "actions under a law of one's choice",
        "bounds/decisions.py",
        "question.law.least(least)]",
        "question.law.least(least) + 0.1 * np.ptp(least)]",
    ),
    Mutant("an action less in both halves", "bounds/decisions.py", "only[node.y] &=", "only[node.y] &= False &"),
    Mutant(
        "splits where the message is read",
        "bounds/decisions.py",
        "if isinstance(self.root, ActionSplit) and not question.split",
        "if False",
    ),
    Mutant(
        "maps without the actions' loss",
        "bounds/decisions.py",
        "np.full(problem.m, beta), 0)",
        "np.full(problem.m, 2 * beta), 0)",
    ),
    Mutant(
        "parts in leaves of several weights",
        "bounds/decisions.py",
        "if isinstance(question, SharedDecisions) and",
        "if False and",
    ),
    Mutant("the dearest action of a set", "bounds/decisions.py", "costs[row].min(axis=0)", "costs[row].max(axis=0)"),
    Mutant(
        "letters' multipliers for nothing",
        "bounds/decisions.py",
        "question.law.least(nu), least",
        "abs(question.law.least(nu)), least",
    ),
    Mutant(
        "maps' multipliers for couplings",
        "bounds/decisions.py",
        "usable and isinstance(question, MapDecisions)",
        "usable",
    ),
    Mutant("losses beyond C", "decision_session.py", "loss - question.budgets", "loss - 9 * question.budgets"),
    # Upper bounds on entries.
    Mutant("entries' prices unpaid", "bounds/capped.py", "rest = value - paid -", "rest = value -"),
    Mutant("a limit without the prices", "bounds/capped.py", "else 0.0) + paid", "else 0.0)"),
    Mutant("prices of any sign", "bounds/capped.py", "and self.cost.min() >= 0.0", ""),
    Mutant(
        "prices in other questions",
        "bounds/capped.py",
        "if not isinstance(question, Capped) or self.cost",
        "if self.cost",
    ),
    Mutant(
        "room for more than py",
        "bounds/capped.py",
        "np.minimum(problem.py, most)",
        "0.5 * np.minimum(problem.py, most)",
    ),
    Mutant("entries beyond their bounds", "capped_session.py", "if over > _CLOSE:", "if False:", False),
    # Several classes.
    Mutant("the entropy of the label kept", "bounds/pricing/classes.py", "priced.lower - constant", "priced.lower"),
    Mutant(
        "boxes of equal weights", "bounds/pricing/classes.py", "scale = weights[of]", "scale = 1.0 + 0.0 * weights[of]"
    ),
    Mutant("boxes cut to less than w", "bounds/pricing/classes.py", "np.minimum(most, 1.0 -", "np.minimum(most, 0.9 -"),
    Mutant(
        "one class's budget for all",
        "formulations/several.py",
        "self.losses[j], objective",
        "self.losses[0], objective",
    ),
    Mutant(
        "H(Y) limits the rate of a message of several classes",
        "formulations/several.py",
        'kind = Message if self.classifier_sees == "message" else SingleLetter',
        "kind = SingleLetter",
    ),
    Mutant(
        "a sum of weights rounded up", "certify/writing.py", "math.nextafter(math.fsum(betas), 0.0)", "math.fsum(betas)"
    ),
    Mutant("of one class Y's law is given", "formulations/several.py", "laws=self.laws", "laws=None"),
    Mutant("the least excess of all classes", "certify/several.py", "if max(s.loss_excess", "if min(s.loss_excess"),
    Mutant(
        "the first class's loss as the least",
        "certify/several.py",
        "found[place - CLASSIFICATION_LOSS.place]",
        "found[0]",
    ),
    Mutant("another class's loss for this", "bounds/several.py", "if same or bound == math.inf", "if True"),
    Mutant(
        "posteriors of few dimensions left out",
        "bounds/pricing/hull.py",
        "equal[np.arange(len(rest)), rest] = 1.0",
        "equal[np.arange(len(rest)), rest] = 0.9",
        False,
    ),
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
    Mutant(
        "mass moved at no cost", "questions/divergences.py", "t * np.minimum(c, weight)", "t * np.maximum(c, weight)"
    ),
    Mutant("a budget never paid", "questions/divergences.py", "level) - weight * self.budget", "level)"),
    Mutant(
        "a parabola past its top", "questions/divergences.py", "np.where(a <= 2.0 * weight,", "np.where(a <= weight,"
    ),
    Mutant(
        "a penalty for nothing", "questions/divergences.py", "return root - weight - level,", "return root - level,"
    ),
    Mutant(
        "a law beyond its ball",
        "formulations/base.py",
        "paid.append(piece.perception",
        "paid.append(0.0 * piece.perception",
    ),
    Mutant("the least rate is any", "coupling.py", "* allowed, np.log(a)", "* allowed, 2.0 * np.log(a)", bound=False),
)
