"""Lines of pricing, on which every bound rests."""

from __future__ import annotations

from campaigns.mutations.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    # Pricing.
    Mutant(
        "chord direction, two classes",
        "bounds/pricing/line.py",
        "chord = np.minimum(np.minimum(at_a + ha",
        "chord = np.maximum(np.minimum(at_a + ha",
    ),
    Mutant(
        "cells set aside forgotten",
        "bounds/pricing/spatial.py",
        "cells = cells.join(later) if len(later.y) else cells",
        "pass",
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
        "np.maximum(found.bound, parts.bound)",
        "np.maximum(found.bound, parts.bound[::-1])",
    ),
    Mutant(
        "a half left out",
        "bounds/pricing/spatial.py",
        "kept, low, high = _tightened(*both",
        "kept, low, high = _tightened(*(e[: len(cells.y)] for e in both)",
    ),
    Mutant("facets short of the rows", "bounds/pricing/hull.py", "(A @ W.T).max(axis=1) +", "(A @ W.T).mean(axis=1) +"),
    Mutant("facets' room, sign", "bounds/pricing/hull.py", "b - low @ np.maximum", "b - high @ np.maximum"),
    Mutant(
        "facets cut too deep",
        "bounds/pricing/hull.py",
        "initial=np.inf) + 1e-14",
        "initial=np.inf) - 1e-3",
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
    Mutant(
        "simplices judged by one vertex",
        "bounds/pricing/unconfined.py",
        ".sum(axis=2).max(axis=1)",
        ".sum(axis=2)[:, 0]",
    ),
    Mutant(
        "convex whatever β", "bounds/pricing/unconfined.py", "enough = max(alpha, beta * contraction)", "enough = alpha"
    ),
    Mutant(
        "the tangent without its slope",
        "bounds/pricing/unconfined.py",
        "least - self.beta * np.log((tau / np.exp(logs)).max(axis=1))",
        "least",
    ),
    Mutant(
        "a basin as wide as it likes",
        "bounds/pricing/unconfined.py",
        "room = -np.log(self.kappa[y] * second * _NEARLY)",
        "room = 3.0 - np.log(self.kappa[y] * second * _NEARLY)",
    ),
    Mutant(
        "simplices in a basin by their class posteriors alone",
        "bounds/pricing/unconfined.py",
        "near = self.kappa[y] * (most - mean)",
        "near = 0.0 * (most - mean)",
    ),
    Mutant(
        "tangents as high as what was met",
        "certify/bottleneck_curve.py",
        "least, _, y, p = letters.search(tol, *near)",
        "_, least, y, p = letters.search(tol, *near)\n                least = least + 1e-3",
    ),
    Mutant(
        "a tangent that costs less than it says",
        "bottleneck_curve.py",
        "paid = limits[:, None] * (self.alpha",
        "paid = 0.99 * limits[:, None] * (self.alpha",
    ),
    Mutant("edges that few constraints hold", "bounds/pricing/corners.py", ".T >= n - 2)", ".T >= n - 1)"),
    Mutant(
        "no edge from close to a face", "bounds/pricing/corners.py", "flatnonzero(gap > 0.0)", "flatnonzero(gap > _ON)"
    ),
    Mutant(
        "what was cut away comes back",
        "bounds/pricing/corners.py",
        "return  # what was cut away does not come back",
        "pass",
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
        "top - alpha * np.log(total)",
        "top - 1.001 * alpha * np.log(total)",
    ),
    # Few letters of X, several classes.
    Mutant(
        "slopes of losses counted twice",
        "bounds/pricing/few_letters.py",
        "gibbs(-costs - slopes",
        "gibbs(-costs - 2 * slopes",
    ),
    Mutant(
        "faces between vertices left out",
        "bounds/pricing/few_letters.py",
        "np.where(outward > 0.0, inward / (inward + outward), 0.0)",
        "np.where(outward > 0.0, 0.0, 0.0)",
    ),
    Mutant(
        "simplices beyond one vertex",
        "bounds/pricing/few_letters.py",
        "some = (beyond.min(axis=1) <= 0.0)",
        "some = (beyond[:, 0] <= 0.0)",
    ),
    Mutant(
        "losses in the middle of simplices",
        "bounds/pricing/few_letters.py",
        "tangent) + loss, beyond",
        "tangent) + loss.max(axis=1)[:, None], beyond",
    ),
)
