"""Checks proof files (docs/proof-format.md) with no code that made them: exact rationals and balls.

Upper bound: the file's couplings are moved exactly onto the marginals and, if they spend more than
R, mixed with independence (maps: with constant maps); what is left is evaluated (:mod:`.point`).

Lower bound: every leaf of the evidence proves a half-space (:mod:`.evidence`), and
:mod:`.question` turns these into a bound on what is minimised. For a leaf (w, f, α, β) and its box
of class posteriors τ_y, with c = w d(·,y) − f,

  w E d + α I(X;Y) + β H(S|Y) ≥ Σ f px + Σ_y py(y) V_y,
  V_y = min over pmfs p of ⟨c, p⟩ + α D(p‖px) + β H(Wᵀp).

The file cuts each letter's box into cells l ≤ τ ≤ u with a vector ν each, and β into β₀ + β₁ with
β₀ ≤ α/η, η the largest ratio of divergences after and before W (two inputs reach it: Ordentlich and
Polyanskiy, 2021). Then ⟨c,p⟩ + α D(p‖px) + β₀ H(Wᵀp) is convex; its tangent at
p₀ ∝ px exp((Wν − c)/α) and chords a_s + b_s t ≤ −t log t on [l_s, u_s] give, whatever ν is,

  V_y ≥ −α log Σ px exp((Wν − c)/α) + β₁ Σ a_s
        + min over τ in the cell of Σ_s τ_s (ν_s − β₀ log Wᵀp₀(s) + β₁ b_s).

A cell may have a larger β₀ of its own if its tangent holds there all the same (:mod:`.convexity`).

With weight v > 0 on what is minimised, v · minimum ≥ Λ − Σ weight · budget over the other two; with
v = 0 and a positive right side no point meets the budgets. One-shot codes: ``Evidence.map_leaf``;
losses of decisions: :mod:`.decisions`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drcopt.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from drcopt.checker.question import Verdict

__all__ = ["check", "load"]

#: Most bytes of a file, and values in it (numbers, lists, objects).
MOST_BYTES, MOST_VALUES = 2**26, 2**21
#: A rejected proof is checked again with so many times the bits, if few operations are asked for.
MORE_BITS, FEW_OPERATIONS = 20, 2**20


def check(
    proof: str | Path | dict[str, Any],
    tolerance: float = 0.0,
    bits: int = 128,
    operations: float | None = None,
) -> Verdict:
    """Check a proof file in exact and ball arithmetic.

    Parameters
    ----------
    proof : path or dict
        A file, or its contents.
    tolerance : float
        Accept a claim still if its point may exceed a budget by so many nats, or if it is better
        than what is proved by so many times max d. The verdict's bounds are strict all the same.
    bits : int
        Precision of the balls.
    operations : float or None
        Most operations on balls that the evidence may ask for (None: ``schema.MOST_OPERATIONS``, a
        minute or two).

    Raises
    ------
    InputError
        For what does not follow the format to the letter, or asks for more than is allowed.
    MissingExtraError
        Without python-flint.

    Examples
    --------
    >>> import drcopt
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> solution.certificate.save(f"{folder.name}/point.json")
    >>> verdict = check(load(f"{folder.name}/point.json"))
    >>> verdict.accepted, len(verdict.statements) > 0
    (True, True)
    >>> folder.cleanup()
    """
    try:
        import flint
    except ImportError:
        raise MissingExtraError(
            "checking a proof needs python-flint. Run: pip install 'drcopt[proof]'"
        ) from None
    from drcopt.checker import schema
    from drcopt.checker.question import Question
    from drcopt.checker.surface import Surface

    allowed = schema.MOST_OPERATIONS if operations is None else operations
    try:
        data = proof if isinstance(proof, dict) else load(proof)
        for precision in (bits, MORE_BITS * bits):
            # What overflows proves nothing, and is caught.
            with flint.ctx.workprec(precision), np.errstate(all="ignore"):
                whole = isinstance(data, dict) and "drcopt-surface" in data
                question = Surface(data, allowed) if whole else Question(data, allowed)
                verdict = question.verdict(tolerance)
            if verdict.accepted or allowed - question.evidence.budget > FEW_OPERATIONS:
                break
        return verdict
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"a proof file must follow docs/proof-format.md; {error}. "
            "Write it anew with drcopt solve --certificate."
        ) from None
    except MemoryError:
        raise InputError(
            "a proof file must fit in memory; this one does not. Check it on a larger machine."
        ) from None


def load(path: str | Path) -> Any:
    """The contents of a proof file, nothing of which is checked yet.

    Parameters
    ----------
    path : str or path
        A proof file.

    Raises
    ------
    InputError
        If it cannot be read, is no JSON text, or is larger than a proof file may be.

    Examples
    --------
    >>> import drcopt
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> solution = drcopt.solve(drcopt.sources.bernoulli(), R=0.6, C=0.85)
    >>> solution.certificate.save(f"{folder.name}/point.json")
    >>> sorted(load(f"{folder.name}/point.json"))[:3]
    ['claim', 'classification_budget', 'classifier_sees']
    >>> folder.cleanup()
    """
    from drcopt.checker import reading

    try:
        return reading.strict_json(reading.read_bytes(path, MOST_BYTES), MOST_VALUES)
    except OSError as error:
        what = error.strerror or str(error)
        raise InputError(
            f"proof must be a file that can be read; {path} is not ({what}). Check the path."
        ) from None
    except ValueError as error:
        what = " ".join(str(error).split())
        raise InputError(
            f"proof must be a file of JSON text; {path} is not ({what}). "
            "Write it anew with drcopt solve --certificate."
        ) from None


def __getattr__(name: str) -> Any:
    if name == "Verdict":  # needs python-flint
        from drcopt.checker.question import Verdict

        return Verdict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
