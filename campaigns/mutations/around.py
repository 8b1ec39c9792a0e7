"""Lines of what is built around answers: sweeps, tables, closed forms, samples."""

from __future__ import annotations

from campaigns.mutations.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
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
    Mutant("cold after a resume", "sweep.py", "**(start or {}), ", "", False),
    Mutant("lost rows recorded", "sweep.py", "if book is not None and not lost:", "if book is not None:", False),
    Mutant(
        "a start of one infeasible",
        "sweeps/chains.py",
        "below is None or self._infeasible(below)",
        "below is None",
        False,
    ),
    Mutant("too few starts sent", "sweeps/chains.py", "if {p - 1, p + 1} &", "if {p - 1} &", False),
    Mutant("a file gone unseen", "sweeps/checkpoint.py", "        if not same:", "        if False:", False),
    Mutant(
        "formulations taken for one",
        "sweeps/rows.py",
        '("problem_fingerprint", "tol") and',
        '("formulation", "tol") and',
        False,
    ),
    Mutant("digits lost in CSV", "tables.py", "else repr(cell) for", 'else f"{cell:.15g}" for', False),
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
    # Closed forms.
    Mutant("D_C without its scale", "closed_forms/binary.py", " / (1.0 - 2.0 * self.p1))", ")", False),
    Mutant(
        "free law everywhere", "closed_forms/binary_perception.py", "if source.p - free <= distance:", "if True:", False
    ),
    Mutant("erasure of any mass", "closed_forms/erasure.py", 'if sees == "Y" and', "if False and", False),
    Mutant(
        "rows of any P alike",
        "sweeps/monotone.py",
        "limits = columns.BUDGETS.values()",
        "limits = list(columns.BUDGETS.values())[:3]",
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
)
