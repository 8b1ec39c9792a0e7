"""Lines of proof files and of their checker."""

from __future__ import annotations

from campaigns.mutations.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
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
    Mutant(
        "checker: boxes shrink to the grid",
        "checker/balls.py",
        "scaled // value.q) if up",
        "scaled // value.q) if not up",
    ),
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
    Mutant(
        "checker: forbidden pairs as free ones",
        "checker/problem.py",
        "Origins(self, column) for",
        "Origins(self, column & (np.cumsum(column) < 2)) for",
    ),
    Mutant("checker: mass on forbidden pairs", "checker/point.py", "if any(P[~p.allowed[:, letters]]):", "if False:"),
    Mutant(
        "checker: independence fills forbidden pairs",
        "checker/point.py",
        "not rate <= most and _free(p, law):",
        "not rate <= most:",
    ),
    Mutant(
        "checker: letters with room are stranded",
        "checker/evidence.py",
        "p.px[letters].sum() > sum(p.py[reached]",
        "p.px[letters].sum() >= sum(p.py[reached]",
    ),
    Mutant(
        "checker: any law reaches what it may not",
        "checker/evidence.py",
        "nowhere = not reached.any()",
        "nowhere = True",
    ),
    Mutant(
        "checker: boxes of letters that cannot be",
        "checker/problem.py",
        "span(self.w[x]) if len(x)",
        "span(self.w[x[:1]]) if len(x)",
    ),
    Mutant(
        "checker: forbidden pairs in version 1",
        "checker/question.py",
        '"perception" in data or forbidden):',
        '"perception" in data):',
    ),
    Mutant(
        "checker: forbidden pairs move with the marginals",
        "checker/problem.py",
        "        if not self.allowed.all():",
        "        if False:",
    ),
    Mutant(
        "checker: independence with a forbidden pair",
        "checker/evidence.py",
        "if not some.any() or not (p.PY is None or some.all()):",
        "if not some.any() or p.PY is not None:",
    ),
    # The loss of the best decision.
    Mutant("checker: the dearest action", "checker/decisions.py", "least(softmin(", "-least(-softmin("),
    Mutant(
        "checker: an action less in both halves", "checker/decisions.py", "only[node.y] &=", "only[node.y] &= False &"
    ),
    Mutant(
        "checker: decisions at any distance", "checker/decisions.py", "(*weights, arb(omega))", "(*weights, arb(0))"
    ),
    Mutant(
        "checker: actions of messages in halves",
        "checker/decisions.py",
        "mute = (reader.message or reader.by_part) and",
        "mute = False and",
    ),
    Mutant(
        "checker: actions of maps in halves",
        "checker/decisions.py",
        "(reader.message or reader.by_part)",
        "reader.message",
    ),
    Mutant(
        "checker: actions' parts in leaves of several weights",
        "checker/decisions.py",
        'mute |= kind == "time-sharing" and',
        "mute |= False and",
    ),
    Mutant("checker: maps for couplings", "checker/decisions.py", 'reader.maps > 0 and kind != "one-shot"', "False"),
    Mutant(
        "checker: the dearest action of a set",
        "checker/maps.py",
        "costs[left].min(axis=0)",
        "costs[left].max(axis=0)",
    ),
    Mutant(
        "checker: doubt for loss",
        "checker/decisions.py",
        "[h for h in always(p) if h.weights[2].is_zero()]",
        "[*always(p)]",
    ),
    Mutant(
        "checker: decisions independent at any rate",
        "checker/decisions.py",
        'name == "independent" and still',
        'name == "independent"',
    ),
    Mutant("checker: a loss counted low", "checker/decisions.py", "if found <= self.most else", "if False else", False),
    Mutant(
        "checker: no more loss than the least",
        "checker/decisions.py",
        "self.most = arb(min(",
        "self.most = arb(0 * min(",
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
        "beta0 * (shares @ p.contractions) <= alpha",
        "0 * (shares @ p.contractions) <= alpha",
    ),
    Mutant(
        "checker: one class's cells for all",
        "checker/evidence.py",
        "for c in self.p.columns:",
        "for c in self.p.columns[:1]:",
    ),
    Mutant(
        "checker: budgets of classes in any order",
        "checker/problem.py",
        "[value[name] for name in self.names]",
        "[*value.values()]",
    ),
    Mutant(
        "checker: boxes of several classes sum to one",
        "checker/halfspaces.py",
        "own = next(c for c in p.columns if split.s < c.stop)",
        "own = slice(None)",
    ),
    Mutant("checker: eta off", "checker/problem.py", "return most.min(arb(1))", "return most.min(arb(1)) * 0.9"),
    Mutant(
        "checker: chord above eta",
        "checker/balls.py",
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
    Mutant("checker: a leaf left out", "checker/halfspaces.py", "for side in (0, 1)]", "for side in (0, 0)]"),
    Mutant("checker: ratios rounded up", "checker/evidence.py", "c.lower() for c in", "c.upper() + 1e-9 for c in"),
    Mutant(
        "checker: rate not repaired",
        "checker/point.py",
        "    if most is not None and not rate <= most and _free(p, law):\n        keep",
        "    if False:\n        keep",
        False,
    ),
    # A β₀ of a cell's own.
    Mutant("checker: any pivot will do", "checker/convexity.py", "if not rest[i, i] > 0:", "if False:"),
    Mutant("checker: κ of 2 is convex", "checker/convexity.py", "if kappa <= 1:", "if kappa <= 2:"),
    Mutant("checker: convex all but for its bend", "checker/convexity.py", "matrix - (kappa - 1) *", "matrix - 0 *"),
    Mutant("checker: a box without its low end", "checker/convexity.py", "end.min(t) / t", "t / t"),
    Mutant(
        "checker: a class gone", "checker/convexity.py", "                return arb(0)", "                continue"
    ),
    Mutant("checker: a box without its high end", "checker/convexity.py", "(u.max(t) / t)", "(t / t)"),
    Mutant("checker: more convex than β", "checker/evidence.py", "if beta0 < own <= beta:", "if beta0 < own:"),
    Mutant(
        "checker: every cell's β₀ believed",
        "checker/evidence.py",
        "if tangent_holds(drawn, weights / total, own / alpha, lows, highs):",
        "if True:",
    ),
    Mutant("checker: a cell's β₀ in version 1", "checker/evidence.py", "if lifted and self.version == 1:", "if False:"),
)
