"""Ways to falsify a proof file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

Proof = dict[str, Any]
Tamper = Callable[[Proof, np.random.Generator], None]


def _moved(text: str, rng: np.random.Generator) -> str:
    """Another number: a little or a lot larger or smaller, or of the other sign."""
    value = float.fromhex(text)
    kind = rng.integers(4)
    if kind == 0:
        return (-value).hex()
    if kind == 1:
        return (value * float(rng.choice([0.0, 0.5, 2.0, 1e3]))).hex()
    return (value + float(rng.choice([-1, 1]) * 10.0 ** rng.uniform(-13, 0.5))).hex()


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a number in nested lists and dicts."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += [(value, key)] if isinstance(item, str) and "0x" in item else _spots(item)
    return found


def _somewhere(part: Callable[[Proof], Any]) -> Tamper:
    def tamper(proof: Proof, rng: np.random.Generator) -> None:
        spots = _spots(part(proof))
        if spots:
            container, key = spots[rng.integers(len(spots))]
            container[key] = _moved(container[key], rng)

    return tamper


def _nodes(proof: Proof) -> list[Any]:
    return (proof["evidence"] or {}).get("nodes", [])  # type: ignore[no-any-return]


def _leaf_numbers(*names: str) -> Tamper:
    def tamper(proof: Proof, rng: np.random.Generator) -> None:
        leaves = [node for node in _nodes(proof) if all(name in node for name in names)]
        if leaves:
            leaf = leaves[rng.integers(len(leaves))]
            name = names[rng.integers(len(names))]
            if isinstance(leaf[name], str):
                leaf[name] = _moved(leaf[name], rng)
            else:
                _somewhere(lambda _: leaf[name])(proof, rng)

    return tamper


def _claim(proof: Proof, rng: np.random.Generator) -> None:
    """A bound claimed better than it is by 1e-11 to 1, relative to max d."""
    claim = proof["claim"]
    if claim.get("infeasible"):
        return
    size = max(float.fromhex(v) for row in proof["problem"]["d"] for v in row if v != "inf")
    name, sign = [("lower", 1), ("upper", -1)][rng.integers(2)]
    if "0x" in claim[name]:
        claim[name] = (float.fromhex(claim[name]) + sign * size * 10.0 ** rng.uniform(-11, 0)).hex()


def _say_infeasible(proof: Proof, rng: np.random.Generator) -> None:
    proof["claim"] = {"infeasible": True}
    if rng.random() < 0.7:
        proof["objective"] = "classification-loss"


def _say_feasible(proof: Proof, rng: np.random.Generator) -> None:
    proof["claim"] = {"lower": "-inf", "upper": float(rng.random()).hex(), "excess": "0x0.0p+0"}
    proof["objective"] = "distortion"
    n, m = len(proof["problem"]["px"]), len(proof["problem"]["d"][0])
    proof["point"] = [{"weight": "1", "coupling": [[float(v).hex() for v in row] for row in rng.random((n, m))]}]


def _swap_children(proof: Proof, rng: np.random.Generator) -> None:
    nodes = _nodes(proof)
    if len(nodes) > 1:
        i, j = rng.choice(len(nodes), 2, replace=False)
        nodes[i], nodes[j] = nodes[j], nodes[i]


def _drop(proof: Proof, rng: np.random.Generator) -> None:
    nodes = _nodes(proof)
    if nodes:
        del nodes[rng.integers(len(nodes))]


def _drop_branch(proof: Proof, rng: np.random.Generator) -> None:
    """A split and one of its two leaves gone: a well-formed tree that says less."""
    nodes = _nodes(proof)
    for i in rng.permutation(len(nodes)):
        if "at" in nodes[i] and "at" not in nodes[i + 1]:
            del nodes[i : i + 2]
            return


def _repeat(proof: Proof, rng: np.random.Generator) -> None:
    nodes = _nodes(proof)
    if nodes:
        nodes.append(copy.deepcopy(nodes[rng.integers(len(nodes))]))


def _move_split(proof: Proof, rng: np.random.Generator) -> None:
    splits = [node for node in _nodes(proof) if "at" in node]
    if splits:
        split = splits[rng.integers(len(splits))]
        kind = rng.integers(3)
        if kind == 0:
            split["at"] = _moved(split["at"], rng)
        elif kind == 1:
            split["y"] = int(rng.integers(-1, len(proof["problem"]["d"][0]) + 1))
        else:
            W = proof["problem"]["ps_given_x"]
            k = len(W[0]) if isinstance(W, list) else sum(len(rows[0]) for rows in W.values())
            split["s"] = int(rng.integers(-1, k + 1))


def _drop_cells(proof: Proof, rng: np.random.Generator) -> None:
    leaves = [node for node in _nodes(proof) if node.get("cells")]
    if leaves:
        leaf = leaves[rng.integers(len(leaves))]
        y = int(rng.integers(len(leaf["cells"])))
        kind = rng.integers(3)
        if kind == 0:
            leaf["cells"][y] = None
        elif kind == 1:
            del leaf["cells"][y]
        elif leaf["cells"][y]:
            del leaf["cells"][y][rng.integers(len(leaf["cells"][y]))]


def _garbage(proof: Proof, rng: np.random.Generator) -> None:
    spots = _spots(proof)
    container, key = spots[rng.integers(len(spots))]
    junk = ["nan", "inf", "-inf", "0x1.0p+2000", "1/0", "", "1e5", None, 1.0, [], {}, True, "0x1p", "-0x0.0p+0"]
    container[key] = junk[rng.integers(len(junk))]


def _drop_key(proof: Proof, rng: np.random.Generator) -> None:
    del proof[list(proof)[rng.integers(len(proof))]]


def _objective(proof: Proof, rng: np.random.Generator) -> None:
    if rng.random() < 0.5:
        proof["objective"] = str(rng.choice(["distortion", "rate", "classification-loss", "perception"]))
    if rng.random() < 0.7:
        kind = str(rng.choice(["independent", "data-processing", "map-tree", "posterior-tree", "cell-dual"]))
        proof["evidence"] = {"kind": kind} if rng.random() < 0.5 else (proof["evidence"] or {}) | {"kind": kind}


def _weight(proof: Proof, rng: np.random.Generator) -> None:
    """The weight of E d moved, left out, or said where it need not be."""
    evidence = proof["evidence"] or {}
    parts = [part for part in [*evidence.get("nodes", []), evidence] if "rate" in part]
    if parts:
        part = parts[rng.integers(len(parts))]
        kind = rng.integers(3)
        if kind == 0:
            part.pop("distortion", None)
        else:
            part["distortion"] = _moved(part.get("distortion", "0x1.0p+0"), rng) if kind == 1 else "0x0.0p+0"


def _distortion_budget(proof: Proof, rng: np.random.Generator) -> None:
    """The budget on E d left out, or one that was not there."""
    if rng.random() < 0.5:
        proof.pop("distortion_budget", None)
    else:
        proof["distortion_budget"] = float(rng.random()).hex()


def _formulation(proof: Proof, rng: np.random.Generator) -> None:
    kinds = [("time-sharing", "Y"), ("one-shot", "Y"), ("one-shot", "YU"), ("single-letter", "YU")]
    kinds += [("single-letter", "Y"), ("single-letter", "message")]
    proof["formulation"], proof["classifier_sees"] = kinds[rng.integers(len(kinds))]


def _shuffle_coupling(proof: Proof, rng: np.random.Generator) -> None:
    for part in proof["point"] or []:
        for name in ("coupling", "map", "letters", "plan"):
            if name in part:
                part[name] = [part[name][i] for i in rng.permutation(len(part[name]))]


def _budgets(proof: Proof, rng: np.random.Generator) -> None:
    names = [key for key in proof if key.endswith("_budget")]
    name = str(rng.choice(names))
    if "0x" in proof[name]:
        factor = rng.choice([0.0, 0.5, 0.9, 1 - 1e-9, 1 + 1e-9, 1.1, 2.0])
        proof[name] = float(float.fromhex(proof[name]) * factor).hex()
    if rng.random() < 0.2:
        proof[name] = "inf"


def _law_multipliers(proof: Proof, rng: np.random.Generator) -> None:
    """What prices the law of Y moved, left out, or from nowhere."""
    evidence = proof["evidence"] or {}
    parts = [part for part in [*evidence.get("nodes", []), evidence] if "perception" in part]
    if parts:
        part, name = parts[rng.integers(len(parts))], str(rng.choice(["perception", "level"]))
        if rng.random() < 0.2:
            part.pop(name, None)
        else:
            part[name] = _moved(part.get(name, "0x0.0p+0"), rng)


def _law(proof: Proof, rng: np.random.Generator) -> None:
    """Another law, or other laws, of Y."""
    m, kind = len(proof["problem"]["d"][0]), rng.integers(5)
    if kind == 0:
        proof["problem"]["py"] = [float(v).hex() for v in rng.dirichlet(np.ones(m))]
    elif kind == 1:
        proof["problem"]["py"] = None
    elif kind == 2:
        proof.pop("perception", None)
    elif kind == 3:
        proof.pop("perception_budget", None)
    if kind in (0, 2, 4) and rng.random() < 0.7:
        proof.pop("perception", None)
        proof.pop("perception_budget", None)
    proof["drcopt-proof"] = int(rng.choice([1, 2, 2, 2]))


def _perception(proof: Proof, rng: np.random.Generator) -> None:
    """Another kind, target, ground cost, order or budget."""
    if "perception" not in proof:
        return
    kinds = ["tv", "kl", "reverse-kl", "chi2", "reverse-chi2", "hellinger", "renyi", "wasserstein"]
    if rng.random() < 0.4:
        proof["perception"]["kind"] = str(rng.choice(kinds))
        proof["perception"].pop("ground", None)
        proof["perception"].pop("order", None)
        if proof["perception"]["kind"] == "renyi":
            proof["perception"]["order"] = "0x1.8p+0"
    else:
        _somewhere(lambda proof: proof["perception"])(proof, rng)


def _letters(proof: Proof, rng: np.random.Generator) -> None:
    """The letter of a message's atom."""
    for part in proof["point"] or []:
        if "letters" in part:
            at = rng.integers(len(part["letters"]))
            part["letters"][at] = int(rng.integers(-1, len(proof["problem"]["d"][0]) + 1))


def _forbid(proof: Proof, rng: np.random.Generator) -> None:
    """Another pair forbidden, one that was allowed, or pairs of other letters."""
    d, kind = proof["problem"]["d"], rng.integers(4)
    x, y = int(rng.integers(len(d))), int(rng.integers(len(d[0])))
    if kind == 0:
        d[x][y] = "inf" if d[x][y] != "inf" else "0x0.0p+0"
    elif kind == 1:
        d[x] = [d[x][i] for i in rng.permutation(len(d[x]))]
    elif kind == 2:
        proof["problem"]["d"] = [["0x1.0p+0" if v == "inf" else v for v in row] for row in d]
    else:
        d[x][y] = str(rng.choice(["-inf", "nan", "Infinity"]))
    if rng.random() < 0.2:
        proof["drcopt-proof"] = 1


def _stranded(proof: Proof, rng: np.random.Generator) -> None:
    """Letters of X said to have nowhere to go."""
    n = len(proof["problem"]["px"])
    letters = [int(x) for x in np.flatnonzero(rng.random(n) < 0.6)] if rng.random() < 0.8 else [0, n]
    proof["evidence"] = {"kind": "stranded", "letters": letters}
    if rng.random() < 0.5:
        proof["claim"], proof["point"] = {"infeasible": True}, None


def _actions(proof: Proof, rng: np.random.Generator) -> None:
    """Another letter or action in a split of actions, or another table."""
    splits, kind = [node for node in _nodes(proof) if "a" in node], rng.integers(4)
    if splits and kind < 2:
        name = ["y", "a"][kind]
        splits[rng.integers(len(splits))][name] = int(rng.integers(-1, 4))
    elif kind == 2 and "losses" in proof:
        proof["losses"] = [row[::-1] for row in proof["losses"]]
    else:
        proof.pop("losses", None)


def _by_class(proof: Proof, rng: np.random.Generator) -> None:
    """What is said of two classes exchanged, said of one only, or of one that there is not."""
    W, kind = proof["problem"]["ps_given_x"], rng.integers(4)
    if not isinstance(W, dict):
        return
    leaves = [node for node in _nodes(proof) if "classification" in node]
    said = [W, proof["classification_budget"], *(leaf["classification"] for leaf in leaves)]
    some = said[min(rng.integers(len(said) + 1), len(said) - 1)]
    first, *_, last = some
    if kind < 2:
        some[first], some[last] = some[last], some[first]
    elif kind == 2:
        del some[first]
    else:
        some["another"] = some[last]


def _class(proof: Proof, rng: np.random.Generator) -> None:
    """Another class is minimised, or one in no order of theirs; or all of them are one."""
    W = proof["problem"]["ps_given_x"]
    if not isinstance(W, dict):
        return
    kind = rng.integers(4)
    if kind == 0:
        proof["problem"]["ps_given_x"] = dict(reversed(W.items()))
    elif kind == 1:
        proof["problem"]["ps_given_x"] = np.hstack([*W.values()]).tolist()
    else:
        proof["objective"] = "classification-loss"
        proof["class"] = [*W, "another"][rng.integers(len(W) + 1)]


def _budget_of_class(proof: Proof, rng: np.random.Generator) -> None:
    budgets = proof["classification_budget"]
    if isinstance(budgets, dict):
        name = str(rng.choice(list(budgets)))
        if "0x" in budgets[name]:
            factor = rng.choice([0.0, 0.5, 0.9, 1 - 1e-9, 1 + 1e-9, 1.1, 2.0])
            budgets[name] = float(float.fromhex(budgets[name]) * factor).hex()
        if rng.random() < 0.2:
            budgets[name] = "inf"


#: What there is in files about several classes only.
CLASS_TAMPERS: dict[str, Tamper] = {"by-class": _by_class, "class": _class, "budget-of-class": _budget_of_class}
#: What there is in files about decisions only.
DECISION_TAMPERS: dict[str, Tamper] = {
    "actions": _actions,
    "losses": _somewhere(lambda proof: proof.get("losses", [])),
}
#: What there is in files about forbidden pairs only.
FORBIDDEN_TAMPERS: dict[str, Tamper] = {"forbid": _forbid, "forbid-again": _forbid, "stranded": _stranded}
#: What there is in files of version 2 only.
LAW_TAMPERS: dict[str, Tamper] = {
    "law": _law,
    "law-multipliers": _law_multipliers,
    "perception": _perception,
    "letters": _letters,
    "plan": _somewhere(lambda proof: [part.get("plan", []) for part in proof["point"] or []]),
}

#: Name → what it does to a proof.
TAMPERS: dict[str, Tamper] = {
    "f": _leaf_numbers("f"),
    "multipliers": _leaf_numbers("rate", "classification"),
    "convex": _leaf_numbers("convex"),
    "map-multipliers": _leaf_numbers("nu", "rate", "conditional", "posterior", "slopes"),
    "evidence": _somewhere(lambda proof: proof["evidence"]),
    "slopes": _somewhere(lambda proof: [node["cells"] for node in _nodes(proof) if "cells" in node]),
    "split": _move_split,
    "swap": _swap_children,
    "drop": _drop,
    "drop-branch": _drop_branch,
    "repeat": _repeat,
    "cells": _drop_cells,
    "claim": _claim,
    "claim-again": _claim,
    "infeasible": _say_infeasible,
    "feasible": _say_feasible,
    "point": _somewhere(lambda proof: proof["point"]),
    "shuffle": _shuffle_coupling,
    "garbage": _garbage,
    "key": _drop_key,
    "objective": _objective,
    "formulation": _formulation,
    "distortion-weight": _weight,
    "distortion-budget": _distortion_budget,
    "budgets": _budgets,
    "px": _somewhere(lambda proof: proof["problem"]["px"]),
    "channel": _somewhere(lambda proof: proof["problem"]["ps_given_x"]),
    "d": _somewhere(lambda proof: proof["problem"]["d"]),
}
ALL_TAMPERS = TAMPERS | LAW_TAMPERS | FORBIDDEN_TAMPERS | DECISION_TAMPERS | CLASS_TAMPERS


def tampered(proof: Proof, name: str, seed: int) -> Proof:
    """A copy of ``proof`` with one thing changed; the same for the same arguments."""
    copied = copy.deepcopy(proof)
    ALL_TAMPERS[name](copied, np.random.default_rng([seed, len(name)]))
    return copied
