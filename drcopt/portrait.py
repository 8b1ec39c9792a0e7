"""How a problem is shown: on one line and as a table."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from drcopt import information
from drcopt.support import html
from drcopt.support.check import FloatArray


def line(problem: Any) -> str:
    """What ``repr`` says of it."""

    def bits(nats: float) -> str:
        return f"{information.from_nats(nats, 'bits'):.4f} bits"

    name = f"{problem.name!r}, " if problem.name else ""
    entropy_y = "free" if problem.free else bits(problem.entropy_y)
    forbidden = f", {int(problem.forbidden.sum())} pairs forbidden" if problem.forbidden.any() else ""
    k, entropy_s = problem.k, f"H(S)={bits(problem.entropy_s)}"
    if problem.classes is not None:
        k = "+".join(str(W.shape[1]) for W in problem.classes.values())
        entropy_s = ", ".join(f"H({of})={bits(nats)}" for of, nats in _entropies(problem).items())
    return (
        f"Problem({name}n={problem.n}, m={problem.m}, k={k}, H(X)={bits(problem.entropy_x)}, "
        f"H(Y)={entropy_y}, {entropy_s}, max d={problem.d_most:g}{forbidden})"
    )


def page(problem: Any) -> str:
    """The table of a notebook."""

    def bits(nats: float) -> str:
        return f"{information.from_nats(nats, 'bits'):.6g} bits"

    of_s = {"H(S), H(S|X)": f"{bits(problem.entropy_s)}, {bits(problem.entropy_s_given_x)}"}
    if problem.classes is not None:
        of_s = {f"H({of})": bits(nats) for of, nats in _entropies(problem).items()}
    rows = {
        "letters": f"n = {problem.n} of X, m = {problem.m} of Y, k = {problem.k} of S",
        "H(X), H(Y)": f"{bits(problem.entropy_x)}, {'Y free' if problem.free else bits(problem.entropy_y)}",
        **of_s,
        "d(x,y)": f"from {problem.d.min():.6g} to {problem.d_most:.6g}"
        + (f"; {int(problem.forbidden.sum())} pairs forbidden" if problem.forbidden.any() else ""),
        "E d of independent X, Y": "Y free" if problem.free else f"{problem.distortion(problem.independent):.6g}",
        "fingerprint": problem.fingerprint,
    }
    for axis in "xys":
        if (letters := getattr(problem.labels, axis)) is not None:
            rows[f"letters of {axis.upper()}"] = ", ".join(map(str, letters[:12])) + ", …" * (len(letters) > 12)
    return html.table(f"Problem {problem.name}".strip(), rows)


def fingerprint(*arrays: FloatArray) -> str:
    """A hash of arrays, 16 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]


def _entropies(problem: Any) -> dict[str, float]:
    """H(S_j) of every class."""
    return {name: information.entropy(problem.px @ W) for name, W in problem.classes.items()}
