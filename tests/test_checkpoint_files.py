"""Checkpoints that are not resumed from: of others, damaged, or where they cannot be written."""

import json
import os
import re
import subprocess
import sys

import pytest
from checkpoints import HEADER, HERE, TEXT, record, run
from fakes import FakeSession, without_seconds

from drcopt.errors import CheckpointError
from drcopt.problem import Problem
from drcopt.sweeps.checkpoint import Checkpoint, _line
from drcopt.tables import TEXT_COLUMNS

pytestmark = pytest.mark.usefixtures("fake")


@pytest.fixture
def problem():
    return Problem([0.5, 0.5], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.jsonl"


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"tol": 1e-7}, "tol is 1e-06 there and 1e-07 here"),
        ({"engine": "slow"}, "engine is 'auto' there and 'slow' here"),
        ({"time_limit": 3}, "time_limit is None there and 3.0 here"),
    ],
)
def test_other_settings_are_refused_by_name(problem, path, change, difference):
    run(problem, path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError) as error:
        run(problem, path, **change)
    assert difference in str(error.value)
    assert str(error.value).startswith(f"checkpoint {path} belongs to another sweep: ")
    assert str(error.value).endswith("or give this sweep another file.")
    assert path.read_bytes() == before


def test_another_problem_is_refused(problem, path):
    run(problem, path)
    other = Problem([0.25, 0.75], [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]])
    with pytest.raises(
        CheckpointError, match=f"problem is '{problem.fingerprint}' there and '{other.fingerprint}' here"
    ):
        run(other, path)


def test_the_same_budgets_in_other_units_resume(problem, path):
    nats = run(problem, path, R=[0.3, 0.6], C=None, units="nats")
    bits = run(problem, path, R=nats["rate_budget_bits"].tolist(), C=None)
    assert bits["seconds"].tolist() == nats["seconds"].tolist()


def test_another_version_of_the_format_is_refused(path, monkeypatch):
    with Checkpoint(path, HEADER, TEXT):
        pass
    monkeypatch.setattr("drcopt.sweeps.checkpoint.FORMAT", 4)
    with pytest.raises(CheckpointError, match="has format version 3; this drcopt reads version 4"):
        Checkpoint(path, HEADER, TEXT)


def test_one_of_an_earlier_drcopt_is_refused(problem, path):
    run(problem, path)
    header = json.loads(path.read_bytes().splitlines()[0])
    del header["crc32"]
    path.write_bytes(_line(header | {"drcopt_checkpoint": 1}))
    with pytest.raises(CheckpointError, match=r"version 1; this drcopt reads version 3\. Resume it with"):
        run(problem, path)


@pytest.mark.parametrize("content", [b"notes", b"notes\n", b"{}\n", b"\n", b'{"a":1}\n{"b":2}\n', b"\xff\x00"])
def test_somebody_elses_file_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a drcopt checkpoint; it was left as it is"):
        Checkpoint(path, HEADER, TEXT)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_refused(path):
    with Checkpoint(path, HEADER, TEXT) as book:
        for row in range(3):
            book.append(record(row))
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    end = whole.index(b"\n", start)
    for position in range(start, end):
        for flip in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match="is damaged at line 2 of 4"):
                Checkpoint(path, HEADER, TEXT)
            assert path.read_bytes() == damaged
    path.write_bytes(whole + whole[start : end + 1])
    with pytest.raises(CheckpointError, match="is damaged at line 5 of 5"):
        Checkpoint(path, HEADER, TEXT)


@pytest.mark.parametrize(
    "change",
    [{"cells": cells} for cells in ([0, "0.1", "x"], [0, 0.1, 2], [0, True, "x"], [0, [0.1], "x"], [0, None, "x"])]
    + [{"cells": cells} for cells in ({"a": 0.1}, [0, 0.1], [[0], 0.1, "x"], None)]
    + [{"warm": warm} for warm in ([1], {"P": [[3], "AAAA"]}, {"P": 1})],
)
def test_a_line_of_the_wrong_kind_is_damage_however_it_checks(path, change):
    """Written by somebody who knows how to sum."""
    with Checkpoint(path, HEADER, TEXT) as book:
        book.append(record(0))
    head, line = path.read_bytes().splitlines(keepends=True)
    values = json.loads(line)
    del values["crc32"]
    path.write_bytes(head + _line(values | change))
    with pytest.raises(CheckpointError, match="is damaged at line 2 of 2"):
        Checkpoint(path, HEADER, TEXT)


def test_more_than_is_read_is_refused(path, monkeypatch):
    with Checkpoint(path, HEADER, TEXT) as book:
        book.append(record(0))
    monkeypatch.setattr("drcopt.sweeps.checkpoint.MOST_BYTES", 100)
    with pytest.raises(CheckpointError, match="more than the 100 that are read"):
        Checkpoint(path, HEADER, TEXT)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device")
def test_a_device_is_refused(path):
    path.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match=r"regular file|can be written"):
        Checkpoint(path, HEADER, TEXT)


def test_damage_in_the_header_is_refused(path):
    with Checkpoint(path, HEADER, TEXT) as book:
        book.append(record(0))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"abc", b"abd"))
    with pytest.raises(CheckpointError, match="is not a drcopt checkpoint"):
        Checkpoint(path, HEADER, TEXT)


@pytest.mark.parametrize("what", ["deleted", "replaced"])
@pytest.mark.skipif(os.name == "nt", reason="there an open file cannot be deleted")
def test_a_file_that_goes_away_under_a_sweep_is_noticed(problem, path, monkeypatch, what):
    real = Checkpoint.append

    def append(self, record):
        if len(self.done) == 3:
            path.unlink()
            if what == "replaced":  # by a second writer, whom no lock kept out
                monkeypatch.undo()
                monkeypatch.setattr(sys.modules["drcopt.sweep"], "Session", FakeSession)
                run(problem, path)
        real(self, record)

    monkeypatch.setattr(Checkpoint, "append", append)
    with pytest.raises(CheckpointError, match="was deleted or replaced while its sweep ran, so its 3 rows are in no"):
        run(problem, path)
    assert path.exists() == (what == "replaced")


def test_a_place_that_cannot_be_written_is_refused_before_solving(problem, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    (tmp_path / "file").write_text("")
    for place, reason in [
        (tmp_path / "file" / "rows", "Not a directory"),
        (tmp_path / "nowhere" / "rows", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ]:
        with pytest.raises(CheckpointError) as error:
            run(problem, place)
        assert str(error.value) == (
            f"checkpoint must be a file that can be written; {place} is not ({reason}). "
            f"Choose a file in an existing, writable folder."
        )
    assert not (tmp_path / "log").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(problem, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="Permission denied"):
            run(problem, tmp_path / "rows")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="must be a regular file"):
        Checkpoint(tmp_path / "pipe", HEADER, TEXT)


def test_a_second_writer_is_refused(problem, path):
    pytest.importorskip("fcntl")
    run(problem, path)
    header = json.loads(path.read_bytes().splitlines()[0])
    del header["drcopt_checkpoint"], header["crc32"]
    with (
        Checkpoint(path, header, TEXT_COLUMNS),
        pytest.raises(CheckpointError, match=f"{re.escape(str(path))} is in use by another sweep"),
    ):
        run(problem, path)
    run(problem, path)


def test_a_forked_worker_that_outlives_its_parent_does_not_hold_the_lock(path):
    pytest.importorskip("fcntl")
    program = f"""
import os, signal, time
from drcopt.sweeps.checkpoint import Checkpoint
from drcopt.tables import TEXT_COLUMNS
header = {{"columns": [], "identity": []}}
book = Checkpoint({str(path)!r}, header, TEXT_COLUMNS)
said, say = os.pipe()
worker = os.fork()
if worker == 0:
    os.write(say, b"here")
    time.sleep(60)
    os._exit(0)
os.read(said, 4)
try:
    book.close()
    Checkpoint({str(path)!r}, header, TEXT_COLUMNS)
    print("free")
finally:
    os.kill(worker, signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-u", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.stdout == "free\n", ran.stderr


def test_a_disk_that_fills_up(problem, path, monkeypatch):
    whole = without_seconds(run(problem))
    run(problem, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    real, written = os.write, 0

    def write(descriptor, data):
        nonlocal written
        written += 1
        if written == 4:  # half of the third row
            return real(descriptor, data[: len(data) // 2])
        if written > 4:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(CheckpointError) as error:
        run(problem, path)
    assert str(error.value) == (
        f"checkpoint {path} could not be written (No space left on device). The 2 rows recorded before are safe: "
        f"make room and run the same sweep again."
    )
    monkeypatch.undo()
    assert len(path.read_bytes().splitlines()) == 3
    assert path.read_bytes().endswith(b"\n")
    assert path.read_bytes().splitlines(keepends=True)[0] == lines[0]
    monkeypatch.setattr(sys.modules["drcopt.sweep"], "Session", FakeSession)
    assert without_seconds(run(problem, path)) == whole


def test_a_file_size_limit(problem, path):
    resource = pytest.importorskip("resource")
    whole = without_seconds(run(problem))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"could not be written \(File too large\)"):
            run(problem, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes().endswith(b"\n")
    assert without_seconds(run(problem, path)) == whole


def test_a_write_that_was_interrupted_leaves_no_residue(path, monkeypatch):
    """An append after an interrupted one must not leave the tail of the longer record behind it."""
    with Checkpoint(path, HEADER, TEXT) as book:
        with monkeypatch.context() as patch:

            def interrupt(descriptor):
                raise KeyboardInterrupt

            patch.setattr(os, "fsync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                book.append(record(0, b="long" * 100))
        book.append(record(1))
    with Checkpoint(path, HEADER, TEXT) as book:
        assert list(book.done) == [(1,)]
