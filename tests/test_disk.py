"""A disk that fails, a folder that cannot be written, two writers: whole files or none, and a word about it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeSession, without_seconds

import drcopt
from drcopt import tables
from drcopt.cli import main
from drcopt.errors import CheckpointError, InputError, OutputError

ROOT = Path(__file__).parents[1]
BERNOULLI = drcopt.sources.bernoulli()
BUDGETS: dict[str, Any] = {"R": [0.1, 0.2, 0.3, 0.4], "C": None}
SWEEP = ["sweep", "bernoulli", "--R", "0.1,0.2,0.3,0.4", "--C", "inf", "--jobs", "1"]


def fail(monkeypatch: pytest.MonkeyPatch, call: str, code: int, after: int = 0) -> None:
    """Has ``os.<call>`` fail with an error code once it has worked ``after`` times."""
    real, count = getattr(os, call), 0

    def failing(*args: Any, **settings: Any) -> Any:
        nonlocal count
        count += 1
        if count > after:
            raise OSError(code, os.strerror(code))
        return real(*args, **settings)

    monkeypatch.setattr(os, call, failing)


def csv(path: Path) -> None:
    tables.write_table(drcopt.sweep(BERNOULLI, R=0.3), path.with_suffix(".csv"))


def parquet(path: Path) -> None:
    pytest.importorskip("pyarrow")
    tables.write_table(drcopt.sweep(BERNOULLI, R=0.3), path.with_suffix(".parquet"))


def certificate(path: Path) -> None:
    drcopt.solve(BERNOULLI, R=0.3).certificate.save(path.with_suffix(".json"))


WRITERS = [csv, parquet, certificate]


@pytest.mark.parametrize("write", WRITERS)
class TestFiles:
    @pytest.mark.parametrize("call", ["fsync", "replace"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
    def test_the_old_one_stays(
        self, write: Callable[[Path], None], call: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "file")
        (before,) = tmp_path.iterdir()
        content = before.read_bytes()
        fail(monkeypatch, call, code)
        with pytest.raises(OutputError, match=rf"could not be written \({os.strerror(code)}\)\. What was there"):
            write(tmp_path / "file")
        assert list(tmp_path.iterdir()) == [before]
        assert before.read_bytes() == content

    def test_a_full_disk_in_the_middle(
        self, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bytes are refused by the system, not by a fake: a limit on the size of files."""
        resource = pytest.importorskip("resource")
        write(tmp_path / "file")
        (before,) = tmp_path.iterdir()
        content, limit = before.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, limit[1]))
        try:
            with pytest.raises(OutputError, match=os.strerror(errno.EFBIG)):
                write(tmp_path / "file")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert list(tmp_path.iterdir()) == [before]
        assert before.read_bytes() == content

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
    def test_a_folder_that_takes_nothing(
        self, write: Callable[[Path], None], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fail(monkeypatch, "open", code)  # root may write anywhere, so a mode would not do
        with pytest.raises(InputError, match=f"path must be writable; .* is not \\({os.strerror(code)}\\)"):
            write(tmp_path / "file")
        assert list(tmp_path.iterdir()) == []


class TestCheckpoint:
    @pytest.fixture(autouse=True)
    def _fake(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.modules["drcopt.sweep"], "Session", FakeSession)

    @pytest.mark.parametrize("call", ["write", "fsync", "ftruncate"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
    @pytest.mark.parametrize("after", range(6))
    def test_what_was_recorded_is_safe(
        self, call: str, code: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whichever of the calls fails: an error that says so, and a resumed table that is the uninterrupted one."""
        path = tmp_path / "rows.jsonl"
        whole = without_seconds(drcopt.sweep(BERNOULLI, **BUDGETS))
        enough = after >= 5  # a header and four rows
        with monkeypatch.context() as patch:
            fail(patch, call, code, after)
            with nullcontext() if enough else pytest.raises(CheckpointError, match=os.strerror(code)):
                drcopt.sweep(BERNOULLI, **BUDGETS, checkpoint=path)
        assert without_seconds(drcopt.sweep(BERNOULLI, **BUDGETS, checkpoint=path)) == whole

    def test_what_is_torn_cannot_be_cut_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "rows.jsonl"
        drcopt.sweep(BERNOULLI, **BUDGETS, checkpoint=path)
        path.write_bytes(path.read_bytes()[:-5])
        fail(monkeypatch, "ftruncate", errno.EIO)
        with pytest.raises(CheckpointError, match="The 3 rows recorded before are safe"):
            drcopt.sweep(BERNOULLI, **BUDGETS, checkpoint=path)

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
    def test_a_folder_that_takes_nothing(self, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
        with monkeypatch.context() as patch:
            fail(patch, "open", code)
            with pytest.raises(CheckpointError, match=f"is not \\({os.strerror(code)}\\)"):
                drcopt.sweep(BERNOULLI, **BUDGETS, checkpoint=tmp_path / "rows.jsonl")
        assert list(tmp_path.iterdir()) == []  # nothing was solved either


class TestCommand:
    @pytest.mark.faults  # one line, not where it came from
    @pytest.mark.parametrize("arguments", [["--out", "table.csv"], ["--checkpoint", "rows.jsonl"]])
    def test_one_line(
        self,
        arguments: list[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        fail(monkeypatch, "fsync", errno.ENOSPC)
        assert main([*SWEEP, *arguments]) != 0
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("drcopt: error: ") and err.count("\n") == 1
        assert "No space left on device" in err


class TestTwoWriters:
    def test_of_a_checkpoint(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The second process is refused while the first works on, and both then give the same table."""
        pytest.importorskip("fcntl")
        path, log = tmp_path / "rows.jsonl", tmp_path / "log"
        program = "import sys; sys.path.append(sys.argv[1]); import fakes; import drcopt.sweep; "
        program += "sys.modules['drcopt.sweep'].Session = fakes.FakeSession; "
        program += "from drcopt.cli import main; sys.exit(main(sys.argv[2:]))"
        command = [*SWEEP, "--checkpoint", str(path)]
        environment = {**os.environ, "FAKE_DELAY": "0.5", "FAKE_LOG": str(log)}
        environment["PYTHONPATH"] = os.pathsep.join([*(p for p in sys.path if p), str(ROOT)])
        with subprocess.Popen(
            [sys.executable, "-c", program, str(ROOT / "tests"), *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        ) as first:  # fmt: skip
            while not log.exists() and first.poll() is None:
                time.sleep(0.01)
            assert main(command) == 2
            assert "is in use by another sweep" in capsys.readouterr().err
            out, err = first.communicate(timeout=300)
        assert first.returncode == 0, err
        assert out.count("\n") == 5
        assert path.read_bytes().count(b"\n") == 5

    def test_of_a_table(self, tmp_path: Path) -> None:
        """Whoever reads sees one of the two, whole."""
        path = tmp_path / "table.csv"
        both = [drcopt.sweep(BERNOULLI, R=[0.1] * rows) for rows in (1, 30)]
        tables.write_table(both[0], path)

        def write(table: Any) -> None:
            for _ in range(50):
                tables.write_table(table, path)

        threads = [threading.Thread(target=write, args=(table,)) for table in both]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            found = tables.read_table(path)
            assert any(found.equals(table) for table in both)
        for thread in threads:
            thread.join()
        assert list(tmp_path.iterdir()) == [path]
