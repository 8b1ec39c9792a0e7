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
    Mutant(
        "a mixture's own loss averaged",
        "sweeps/envelopes.py",
        "return CLASSIFICATION_LOSS.place in (place, *limited)",
        "return CLASSIFICATION_LOSS.place in limited",
    ),
    Mutant(
        "losses of a mixture averaged",
        "sweeps/envelopes.py",
        "table[:, CLASSIFICATION_LOSS.place] = self.losses(k)",
        "pass",
    ),
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
    Mutant("places counted twice", "checker/surface.py", "other == sides or all(", "all("),
    Mutant("ceilings beyond their limits", "checker/surface.py", "and not spent[q] <= limits[q]:", "and False:"),
    Mutant("shares that are claimed", "checker/surface.py", "if total < known or empty < nothing:", "if False:"),
    Mutant(
        "laws at no distance",
        "sweeps/envelopes.py",
        "far = near.budget, _far(near, letters, about, whole)",
        "far = near.budget, 0.0",
    ),
    Mutant(
        "descents at no distance from the target",
        "sweeps/nodes.py",
        "(found(free, point.parts, spent.values, excess, near),), trees",
        "(found(free, point.parts, spent.values, excess),), trees",
    ),
    Mutant(
        "what is proved of the target's law alone",
        "sweeps/nodes.py",
        "return replace(question, laws=task.at_target.near(task.problem, AT_TARGET)), AT_TARGET",
        "return question, AT_TARGET",
    ),
    Mutant(
        "floors that weigh no perception", "sweeps/envelopes.py", "[[*p.weights, p.perception]", "[[*p.weights, 0.0]"
    ),
    Mutant(
        "a divergence of any law", "sweeps/nodes.py", "replace(wanted, budget=task.budgets[PERCEPTION.place])", "wanted"
    ),
    Mutant("mixtures of laws beyond their limit", "checker/surface.py", "for q in range(4):", "for q in range(3):"),
    Mutant(
        "a leaf's own weight of the perception",
        "sweeps/surface_proof.py",
        "self._levels[place] = level + (weight * self.P if weight > 0 else 0.0)",
        "self._levels[place] = level + 2.0 * weight * self.P if weight > 0 else level",
    ),
)
