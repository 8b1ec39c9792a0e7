"""Lines that floors, ceilings and proofs of whole surfaces rest on."""

from __future__ import annotations

from campaigns.mutations.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a tree as good as its best leaf",
        "sweeps/envelopes.py",
        "np.minimum.reduceat(value",
        "np.maximum.reduceat(value",
    ),
    Mutant(
        "budgets added to a level",
        "sweeps/envelopes.py",
        "rest = levels[:, None] - paid.sum(axis=1)",
        "rest = levels[:, None] + paid.sum(axis=1)",
    ),
    Mutant(
        "points for tighter budgets on a surface",
        "sweeps/envelopes.py",
        "met = (self.values[None, :, others] <= part[:, None, others]).all(axis=2)",
        "met = (self.values[None, :, others] >= part[:, None, others]).all(axis=2)",
    ),
    Mutant("losses of a mixture averaged", "sweeps/envelopes.py", "table[:, 2] = self.losses(k)", "pass"),
    Mutant(
        "mixtures beyond their budgets",
        "sweeps/envelopes.py",
        "met = (spent <= budgets[i : i + step, None]).all(axis=2) & np.isfinite(value)",
        "met = np.isfinite(value)",
    ),
    Mutant("known at its best corner", "sweeps/refine.py", "mine]).max(axis=2)", "mine]).min(axis=2)"),
    Mutant("an infeasible share of all", "sweeps/surface_proof.py", "box.share * box.infeasible", "box.share"),
    Mutant("any gap is small", "checker/surface.py", "bool(upper - least_of(said) <= gap)", "True"),
    Mutant("boxes counted twice", "checker/surface.py", "if _overlap(corners):", "if False:"),
    Mutant("ceilings beyond their limits", "checker/surface.py", "and not spent[q] <= limits[q]:", "and False:"),
    Mutant("shares that are claimed", "checker/surface.py", "if total < known or empty < nothing:", "if False:"),
)
