import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from checkpoints import HEADER, HERE, TEXT, record, run
from fakes import without_seconds

from drcopt.problem import Problem
from drcopt.sweeps.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("fake")


@pytest.fixture
def problem():
    return Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.jsonl"


def interrupted(problem, path):
    """A checkpoint with the rows before R = 0.5 of the first chain."""
    with pytest.raises(KeyboardInterrupt):
        run(problem, path, engine="interrupts")
    return path.read_bytes()


def test_records_come_back_bit_for_bit(path):
    floats = [0.1 + 0.2, math.inf, -math.inf, -0.0, 5e-324, math.nan]
    warm = {"P": np.random.default_rng(1).normal(size=(2, 3, 1)), "none": np.empty((0, 2)), "scalar": np.array(math.pi)}
    with Checkpoint(path, HEADER, TEXT) as book:
        for row, a in enumerate(floats):
            book.append(record(row, a, 'tricky "≤"\n, ', warm))
    with Checkpoint(path, HEADER, TEXT) as book:
        assert [np.float64(r.cells["a"]).tobytes() for r in book.done.values()] == [
            np.float64(a).tobytes() for a in floats
        ]
        for r in book.done.values():
            assert r.cells["b"] == 'tricky "≤"\n, '
            assert r.warm.keys() == warm.keys()
            for name in warm:
                assert r.warm[name].dtype == np.float64
                assert r.warm[name].shape == warm[name].shape
                assert r.warm[name].tobytes() == warm[name].tobytes()
                assert r.warm[name].flags.writeable


def test_lines_are_json(path):
    with Checkpoint(path, HEADER, TEXT) as book:
        book.append(record(0))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert list(lines[0]) == ["drcopt_checkpoint", *HEADER, "crc32"]
    assert list(lines[1]) == ["cells", "warm", "crc32"]


def test_truncation_at_every_byte(path):
    """What is left after a cut anywhere is the whole records before it, and appending goes on from there."""
    with Checkpoint(path, HEADER, TEXT) as book:
        for row in range(3):
            book.append(record(row, warm={"w": np.array([row / 3])}))
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with Checkpoint(path, HEADER, TEXT) as book:
            kept = sum(end <= length for end in ends[1:])
            assert list(book.done) == [(row,) for row in range(kept)]
            assert path.stat().st_size == ends[kept]
            for row in range(kept, 3):
                book.append(record(row, warm={"w": np.array([row / 3])}))
        assert path.read_bytes() == whole


def test_sweep_resumes_from_its_last_record_cut_at_every_byte(problem, path):
    few = {"R": (0.0, 0.5), "C": math.inf}
    whole = without_seconds(run(problem, **few))
    run(problem, path, **few)
    content = path.read_bytes()
    last = content.rstrip(b"\n").rindex(b"\n") + 1
    for length in range(last, len(content) + 1):
        path.write_bytes(content[:length])
        assert without_seconds(run(problem, path, **few)) == whole


@pytest.mark.parametrize("rows", range(9))
def test_resuming_after_any_row_equals_never_stopping(problem, path, rows, tmp_path, monkeypatch):
    whole = without_seconds(run(problem))
    run(problem, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: 1 + rows]))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    assert without_seconds(run(problem, path)) == whole
    assert len((tmp_path / "log").read_text().splitlines() if rows < 8 else []) == 8 - rows
    assert without_seconds(run(problem, path)) == whole
    assert len((tmp_path / "log").read_text().splitlines() if rows < 8 else []) == 8 - rows, "computed twice"


def test_seconds_of_recorded_rows_are_kept(problem, path):
    first = run(problem, path)
    assert run(problem, path)["seconds"].tolist() == first["seconds"].tolist()


def test_a_failed_point_is_recorded_and_resumes_exactly(problem, path):
    whole = without_seconds(run(problem, engine="raises"))
    run(problem, path, engine="raises")
    lines = path.read_bytes().splitlines(keepends=True)
    for rows in range(len(lines)):
        path.write_bytes(b"".join(lines[: 1 + rows]))
        assert without_seconds(run(problem, path, engine="raises")) == whole


def test_interrupt_keeps_what_is_done_and_is_not_swallowed(problem, path):
    content = interrupted(problem, path)
    assert content.count(b"\n") == 2  # the header and R = 0
    assert interrupted(problem, path) == content


def kill_loop(folder, kills, seed, *how):
    command = [sys.executable, "-W", "error", str(HERE / "kill_loop.py"), str(folder), str(kills), str(seed), *how]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    counts = json.loads(ran.stdout)
    assert counts["killed"] == kills
    assert counts["recorded"] >= kills / 2, "the kills came too early to try anything"
    # A point solved and killed before it was recorded is solved again; nothing else is.
    if not how:
        assert counts["rows"] <= counts["solved"] <= counts["rows"] + kills
    assert (folder / "resumed.csv").read_bytes() == (folder / "whole.csv").read_bytes()


def test_killed_again_and_again(tmp_path):
    kill_loop(tmp_path, kills=15, seed=1)


def test_killed_with_a_pool_it_goes_on(tmp_path):
    """Each life is too short for the first chain; what it has of one is not lost."""
    pytest.importorskip("fcntl")
    kill_loop(tmp_path, 4, 1, "pool")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_killed_two_hundred_times(tmp_path, seed):
    kill_loop(tmp_path, kills=200, seed=seed)


def counted(log):
    return log.read_text().count("\n") if log.exists() else 0


@pytest.mark.parametrize(
    "more",
    [
        {"R": [i / 8 for i in range(9)]},
        {"R": [0.25], "C": [0.5, 0.7, 2.0]},
        {"formulation": "one-shot"},
        {"classifier_sees": "YU", "formulation": "one-shot"},
        {"objective": "rate", "R": None, "D": [1.0, 2.0]},
    ],
)
def test_more_points_reuse_those_that_are_there(problem, path, more, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    first = run(problem, path)
    solved, begun = counted(tmp_path / "log"), path.read_bytes()
    table = run(problem, path, **more)
    for name in ("formulation", "classifier_sees", "objective"):  # not rows of another question
        assert set(table[name]) == {more.get(name, first[name].iloc[0])}
    asked = ["formulation", "classifier_sees", "objective", *(name for name in table if "budget" in name)]
    both = table.merge(first, how="left", on=asked, suffixes=("", "_first"))
    there = both["seconds_first"].notna()
    assert (both["seconds"] == both["seconds_first"])[there].all()
    assert counted(tmp_path / "log") - solved == (~there).sum(), "computed twice"
    assert path.read_bytes().startswith(begun)
    assert run(problem, path)["seconds"].tolist() == first["seconds"].tolist(), "lost what was not asked for"
    assert run(problem, path, **more).equals(table)


def test_a_chain_that_grew_resumes_exactly(problem, path):
    """Wherever it is cut, and whichever points it had before: on both sides of the new ones, infeasible or not."""
    grid = [i / 8 for i in range(13)]
    for begun in ([0.0, 1.0], grid[::3], grid[5:6], [1.5]):
        path.unlink(missing_ok=True)
        first = {"R": None, "D": begun, "C": 2.0, "objective": "rate"}
        run(problem, path, **first)
        size = path.read_bytes().count(b"\n")
        whole = without_seconds(run(problem, path, **first | {"D": grid}))
        lines = path.read_bytes().splitlines(keepends=True)
        for kept in range(size, len(lines)):
            path.write_bytes(b"".join(lines[:kept]))
            assert without_seconds(run(problem, path, **first | {"D": grid})) == whole


def test_a_budget_asked_twice_is_solved_once(problem, path, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    table = run(problem, path, R=[0.5, 0.0, 0.5], C=[None, None])
    assert counted(tmp_path / "log") == 2
    assert table["rate_budget_bits"].tolist() == [0.5, 0.0, 0.5] * 2
    assert table["seconds"].nunique() == 2
