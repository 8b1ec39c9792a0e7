"""Files made to do harm: each is refused in one named error, within a gigabyte of memory and a time limit."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flint")

#: Reads every path in a process of its own with a gigabyte of address space; prints name, error and seconds.
READ = """
import json, os, resource, signal, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from drcopt.checker import check
from drcopt.errors import DrcoptError
from drcopt.sources import idx, named
import drcopt.checker.question
seconds = int(sys.argv[1])
for path in sys.argv[2:]:
    read = {"proof": check, "idx": idx.read}.get(path.rsplit(".", 1)[-1], named)
    started = time.process_time()
    signal.alarm(seconds)
    try:
        found = read(path)
        said = f"accepted {getattr(found, 'accepted', '')}"
    except DrcoptError as error:
        said = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    print(json.dumps([path, said, time.process_time() - started]), flush=True)
"""


def proof(**changes: Any) -> dict[str, Any]:
    """A small proof file."""
    return {
        "drcopt-proof": 1,
        "problem": problem(2, 2, 2),
        "formulation": "single-letter",
        "classifier_sees": "Y",
        "rate_budget": "inf",
        "classification_budget": "inf",
        "objective": "distortion",
        "claim": {"lower": "0", "upper": "inf"},
        "point": None,
        "evidence": None,
    } | changes  # fmt: skip


def problem(n: int, m: int, k: int) -> dict[str, Any]:
    rows = [["1"] * k for _ in range(n)]
    return {"px": ["1"] * n, "py": ["1"] * m, "ps_given_x": rows, "d": [["1"] * m for _ in range(n)]}


def leaf(n: int, m: int, cells: Any = None) -> dict[str, Any]:
    numbers = {"rate": "1", "classification": "1", "convex": "1"}
    return {"f": ["0"] * n, "cells": [cells] * m} | numbers


def map_tree(n: int, m: int, k: int, leaves: int = 1) -> dict[str, Any]:
    rows = {"nu": ["0"] * m, "conditional": ["1"] * m, "posterior": ["0"] * m, "slopes": [["0"] * k] * m, "rate": "1"}
    nodes = [{"y": 0, "s": 0, "at": "1/2"}] * (leaves - 1) + [rows] * leaves
    return proof(problem=problem(n, m, k), formulation="one-shot", evidence={"kind": "map-tree", "nodes": nodes})


def posterior_tree(n: int, m: int, k: int, nodes: Any) -> dict[str, Any]:
    return proof(problem=problem(n, m, k), evidence={"kind": "posterior-tree", "nodes": nodes})


def near(n: int, m: int, kind: str = "tv", part: Any = None, **more: Any) -> dict[str, Any]:
    """One about laws near a target, with a leaf that weighs the distance and a point."""
    whole = posterior_tree(n, m, 2, [leaf(n, m) | {"perception": "1", "level": "1"} | more.pop("leaf", {})])
    ball = {"kind": kind, "target": ["1"] * m} | more
    point = [{"weight": "1", "coupling": [["1"] * m] * n} | (part or {})]
    changes = {"drcopt-proof": 2, "perception": ball, "perception_budget": "1/2", "point": point}
    return whole | {"problem": problem(n, m, 2) | {"py": None}} | changes


def message(n: int, columns: int, letters: Any) -> dict[str, Any]:
    point = [{"weight": "1", "coupling": [["1"] * columns] * n, "letters": letters}]
    whole = proof(problem=problem(n, 2, 2) | {"py": None}, classifier_sees="message", point=point)
    return whole | {"drcopt-proof": 2}


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(shape: str, descr: str = "'<f8'", data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def idx(*shape: int, data: bytes = b"") -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def denominators(count: int, digits: int) -> list[str]:
    return [f"1/{10 ** (digits - 1) + 2 * i + 1}" for i in range(count)]


def small() -> Iterator[tuple[str, bytes]]:
    """Names (the suffix says who reads) and contents."""
    whole = json.dumps(proof()).encode()
    yield "empty.proof", b""
    yield "nothing.json", b""
    yield "nothing.npz", b""
    yield "nothing.idx", b""
    yield "deep.proof", b"[" * 100_000
    yield "deep.json", b'{"px":' + b"[" * 100_000
    yield "deep-objects.proof", b'{"a":' * 100_000
    yield "deep-inside.proof", json.dumps(proof()).replace("null", "[" * 900 + "]" * 900, 1).encode()
    yield "huge-int.proof", whole.replace(b'"drcopt-proof": 1', b'"drcopt-proof": ' + b"9" * 5000)
    yield "huge-version.proof", whole.replace(b'"drcopt-proof": 1', b'"drcopt-proof": ' + b"9" * 4000)
    yield "huge-int.json", b'{"px":[' + b"9" * 4000 + b'],"py":[1],"ps_given_x":[[1]]}'
    yield "longer-int.json", b'{"px":[' + b"9" * 40000 + b'],"py":[1],"ps_given_x":[[1]]}'
    yield "nan.proof", whole.replace(b'"0", "upper"', b'NaN, "upper"')
    yield "nan.json", b'{"px":[NaN],"py":[1],"ps_given_x":[[1]]}'
    yield "infinite.json", b'{"px":[1],"py":[Infinity],"ps_given_x":[[1]]}'
    yield "big-float.json", b'{"px":[1e999],"py":[1],"ps_given_x":[[1]]}'
    yield "text.json", b'{"px":["0.5",0.5],"py":[1],"ps_given_x":[[1],[1]]}'
    yield "true.json", b'{"px":[true],"py":[1],"ps_given_x":[[1]]}'
    yield "twice.json", b'{"px":[1],"px":[1],"py":[1],"ps_given_x":[[1]]}'
    yield "twice.proof", whole.replace(b'"point": null', b'"point": null, "point": null')
    yield "latin.proof", whole.replace(b"inf", b"\xff\xfe")
    yield "utf16.json", '{"px":[1]}'.encode("utf-16")
    yield "exponent.proof", json.dumps(proof(rate_budget="0x1p+999999999999")).encode()
    yield "digits.proof", json.dumps(proof(rate_budget="1" * 10**6)).encode()
    yield "denominators.proof", json.dumps(proof(problem=problem(4, 2, 2) | {"px": denominators(4, 1900)})).encode()
    yield "slots.proof", json.dumps(proof(problem=problem(400, 2, 2) | {"px": denominators(400, 20)})).encode()
    yield "negative.proof", json.dumps(proof(problem=problem(2, 2, 2) | {"px": ["-1", "2"]})).encode()
    yield "ragged.proof", json.dumps(proof(problem=problem(2, 2, 2) | {"d": [["1", "1"], ["1"]]})).encode()
    yield "nested.proof", json.dumps(proof(problem=problem(2, 2, 2) | {"px": [["1"], ["1"]]})).encode()
    yield "object.proof", json.dumps(proof(point={"weight": "1"})).encode()
    yield "index.proof", json.dumps(posterior_tree(2, 2, 2, [{"y": 10**30, "s": 0, "at": "0"}])).encode()
    yield "map-tree.proof", json.dumps(map_tree(21, 2, 30)).encode()
    yield "splits.proof", json.dumps(posterior_tree(2, 2, 2, [{"y": 0, "s": 0, "at": "1/2"}] * 20000)).encode()
    yield "no-target.proof", json.dumps(near(2, 2, target=["0", "0"])).encode()
    yield "longer-target.proof", json.dumps(near(2, 2, target=["1"] * 3)).encode()
    yield "target-bits.proof", json.dumps(near(2, 400, target=denominators(400, 20))).encode()
    yield "no-ground.proof", json.dumps(near(2, 2, "wasserstein")).encode()
    yield "wide-ground.proof", json.dumps(near(1, 600, "wasserstein", ground=[["0"] * 600] * 600)).encode()
    yield "no-plan.proof", json.dumps(near(2, 2, "wasserstein", ground=[["0"] * 2] * 2)).encode()
    yield "order-of-tv.proof", json.dumps(near(2, 2, order="2")).encode()
    yield "order-of-none.proof", json.dumps(near(2, 2, "renyi", order="0")).encode()
    yield "negative-order.proof", json.dumps(near(2, 2, "renyi", order="-2")).encode()
    yield "order.proof", json.dumps(near(2, 2, "renyi", order="0x1p-1022")).encode()
    yield "large-order.proof", json.dumps(near(2, 2, "renyi", order="0x1p+1023")).encode()
    yield "weight.proof", json.dumps(near(2, 3, "kl", leaf={"perception": "0x1p-1022"})).encode()
    yield "level.proof", json.dumps(near(2, 3, "reverse-chi2", leaf={"level": "0x1p+1023"})).encode()
    yield "negative-weight.proof", json.dumps(near(2, 2, leaf={"perception": "-1"})).encode()
    yield "kind.proof", json.dumps(near(2, 2, "distance")).encode()
    yield "kind-list.proof", json.dumps(near(2, 2, kind=["tv"])).encode()
    yield "letters-of-none.proof", json.dumps(message(2, 2, [0])).encode()
    yield "letters-beyond.proof", json.dumps(message(2, 2, [0, 10**30])).encode()
    yield "letters-as-text.proof", json.dumps(message(2, 2, "01")).encode()
    yield "letters-true.proof", json.dumps(message(2, 2, [0, True])).encode()
    yield "no-columns.proof", json.dumps(message(2, 0, [])).encode()
    yield "old-laws.proof", json.dumps(near(2, 2) | {"drcopt-proof": 1}).encode()
    yield "empty-row.proof", json.dumps(near(2, 2, part={"coupling": [["0", "0"], ["1", "1"]]})).encode()
    yield "folder-of-one.npz", archive(px=npy("(1,)", data=b"\0" * 8))
    yield "shape.npz", archive(px=npy("(1099511627776,)"))
    yield "shape-of-zero.npz", archive(px=npy("(4611686018427387904, 0)"))
    yield "negative-shape.npz", archive(px=npy("(-1,)"))
    yield "item.npz", archive(px=npy("(1,)", "'V2000000000'"))
    yield "objects.npz", archive(px=npy("(1,)", "'|O'", b"x" * 8))
    yield "header.npz", archive(px=npy("(" * 5000))
    yield "no-header.npz", archive(px=b"\x93NUMPY\x09\x00")
    yield "short.npz", archive(px=b"\x93NUM")
    yield "cut.npz", archive(px=npy("(2,)", data=b"\0" * 16))[:-20]
    yield "crc.npz", archive(px=npy("(2,)", data=b"\0" * 16)).replace(b"NUMPY", b"NUMPX")
    yield "bomb.npz", archive(px=npy("(37500000,)") + b"\0" * 300_000_000)
    yield "many.npz", archive(**{f"a{i}": b"" for i in range(1000)})
    yield "axes.idx", bytes([0, 0, 8, 255]) + b"\xff" * 1020
    yield "promise.idx", idx(2**32 - 1, 2**32 - 1)
    yield "promise-gz.idx", gzip.compress(idx(2**16, 2**16))
    yield "promise-gigabyte-gz.idx", gzip.compress(idx(2**29))
    yield "bomb.idx", gzip.compress(b"\0" * 100_000_000)
    yield "bomb-that-fits.idx", gzip.compress(idx(10) + b"\0" * 100_000_000)
    yield "cut-gz.idx", gzip.compress(idx(10, data=b"\0" * 10))[:-9]
    yield "not-gz.idx", b"\x1f\x8b" + b"\0" * 100


def heavy() -> Iterator[tuple[str, bytes]]:
    """The same, where making or refusing them takes longer."""
    yield "values.proof", b"[" + b"[]," * 2**22 + b"[]]"
    yield "objects.proof", b"[" + b"{}," * 2**20 + b"{}]"
    yield "keys.proof", b"{" + b",".join(b'"%x":{}' % i for i in range(2**19)) + b"}"
    yield "strings.json", b'{"px":[' + b'"",' * 2**21 + b'""]}'
    yield "bytes.proof", b" " * (2**26 + 1)
    yield "letters.proof", json.dumps(proof(problem=problem(1, 1, 1) | {"px": ["1"] * 2**19})).encode()
    yield "square.proof", json.dumps(proof(problem=problem(513, 513, 1))).encode()
    yield "classes.proof", json.dumps(proof(problem=problem(500, 2, 500))).encode()
    yield "atoms.proof", json.dumps(message(2, 2**17, [0] * 2**17)).encode()
    yield "more-atoms.proof", json.dumps(message(3, 2**17, [0] * 2**17)).encode()
    ground = [["0" if x == y else "1" for x in range(512)] for y in range(512)]
    yield "moved.proof", json.dumps(near(1, 512, "wasserstein", {"plan": ground}, ground=ground)).encode()
    splits = [{"y": 0, "s": 0, "at": "1"}] * 500
    many = near(1, 512, "wasserstein", {"plan": ground}, ground=ground)
    many["evidence"]["nodes"] = splits + many["evidence"]["nodes"] * 501
    yield "moved-by-many.proof", json.dumps(many).encode()
    cells = [{"nu": ["0", "0"]}]
    for _ in range(12):
        cells = [{"s": 0, "at": "1/2"}, *cells, *cells]
    yield "cells.proof", json.dumps(posterior_tree(1000, 1, 2, [leaf(1000, 1, cells)])).encode()
    yield "contraction.proof", json.dumps(posterior_tree(150, 1, 1700, [leaf(150, 1)])).encode()
    yield "map-trees.proof", json.dumps(map_tree(16, 3, 2, leaves=5000)).encode()
    yield (
        "bits.proof",
        json.dumps(proof(problem=problem(400, 2, 400) | {"ps_given_x": [denominators(400, 20)] * 400})).encode(),
    )
    parts = [{"weight": "1", "map": [0] * 20}] * 20000
    yield "parts.proof", json.dumps(proof(problem=problem(20, 100, 2), formulation="one-shot", point=parts)).encode()


def refused(folder: Path, files: Iterator[tuple[str, bytes]], seconds: int, special: bool) -> list[str]:
    """What is wrong: read files that should not be, errors of another kind, time."""
    paths = []
    for name, content in files:
        (folder / name).write_bytes(content)
        paths.append(str(folder / name))
    for suffix in ("proof", "json", "npz", "idx") if special else ():
        os.mkfifo(folder / f"pipe.{suffix}")
        (folder / f"folder.{suffix}").mkdir()
        (folder / f"zero.{suffix}").symlink_to("/dev/zero")
        paths += [str(folder / f"{name}.{suffix}") for name in ("pipe", "folder", "zero", "absent")]
    run = subprocess.run(
        [sys.executable, "-c", READ, str(seconds), *paths],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    said = [json.loads(line) for line in run.stdout.splitlines()]
    wrong = [f"{path}: {text}" for path, text, _ in said if not text.startswith("InputError: ") or "\n" in text]
    if len(said) < len(paths):
        wrong.append(f"{paths[len(said)]}: {run.returncode} {run.stderr[-500:]}")
    print(
        *sorted((f"{took:6.2f} s {Path(path).name}: {text[:150]}" for path, text, took in said), reverse=True), sep="\n"
    )
    return wrong


#: Large but within bounds, or out of reach for the sharp bound: a verdict in time, not an error.
WEAK = {"map-tree.proof", "map-trees.proof", "cells.proof", "classes.proof", "atoms.proof"}
WEAK |= {"/order.proof", "large-order.proof", "/weight.proof", "/level.proof", "moved.proof"}


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")
class TestHostile:
    def test_small(self, tmp_path: Path) -> None:
        wrong = refused(tmp_path, small(), 20, special=True)
        assert [text for text in wrong if not any(name in text for name in WEAK)] == []

    @pytest.mark.slow
    def test_heavy(self, tmp_path: Path) -> None:
        wrong = refused(tmp_path, heavy(), 200, special=False)
        assert [text for text in wrong if not any(name in text for name in WEAK)] == []
