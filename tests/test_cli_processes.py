"""The command line in processes of its own: imports, exit codes, interrupts and kills."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fakes import without_seconds

from drcopt import cli
from drcopt.tables import COLUMNS, read_table

HERE = Path(__file__).parent


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}


#: The command line with the fake engine, in a process of its own.
FAKE = """
import sys, fakes, drcopt.cli, drcopt.sweep
sys.modules["drcopt.sweep"].Session = fakes.FakeSession
sys.exit(drcopt.cli.main())
"""


class TestProcess:
    def start(self, *args, program=None, **options):
        command = ["-m", "drcopt"] if program is None else ["-c", program]
        return subprocess.Popen(
            [sys.executable, "-W", "error", *command, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | options.pop("env", {}),
            # What runs in the background of a script ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **options,
        )

    def test_imports_are_lazy(self):
        program = (
            "import drcopt.cli, sys; print({'cvxpy', 'pandas', 'sklearn', 'matplotlib', 'pyarrow'} & set(sys.modules))"
        )
        assert self.start(program=program).communicate() == ("set()\n", "")

    def test_module_and_exit_code(self):
        process = self.start("solve", "nothing")
        out, err = process.communicate()
        assert (process.returncode, out, err.count("\n")) == (2, "", 1)

    def test_a_reader_that_leaves(self):
        args = ("sweep", "bernoulli", "--R", "0:2:0.001", "--C", "inf", "--jobs", 1)
        with self.start(*args, program=FAKE) as process:
            assert process.stdout.readline() == ",".join(COLUMNS) + "\n"
            process.stdout.close()
            assert process.stderr.read() == ""
            assert process.wait() == 141

    def in_workers(self, tmp_path, *args, delay=0.05):
        """A sweep in two worker processes that has begun."""
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        process = self.start(
            *("sweep", "bernoulli", "--R", "0:2:0.1", "--C", "0.8,0.9", "--jobs", 2, *args),
            program=FAKE,
            start_new_session=True,
            env={"FAKE_LOG": str(log), "FAKE_DELAY": str(delay)},
        )
        until = time.monotonic() + 300
        while not log.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        assert log.exists(), process.communicate()
        return process

    def test_ctrl_c(self, tmp_path):
        process = self.in_workers(tmp_path, "--checkpoint", tmp_path / "rows", delay=1.0)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process there is
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (130, "")
        assert err == "drcopt: error: interrupted; the same command resumes\n"

    def test_killed_with_workers_and_run_again(self, tmp_path, fake):
        args = ("--checkpoint", tmp_path / "rows", "--out", tmp_path / "t.csv")
        process = self.in_workers(tmp_path, *args)
        until = time.monotonic() + 300
        while (tmp_path / "rows").read_bytes().count(b"\n") < 2 and time.monotonic() < until:  # no chain recorded yet
            time.sleep(0.02)
        process.kill()
        # Workers hold the pipes too: they end with their parent, or this waits in vain.
        process.communicate(timeout=300)
        assert not (tmp_path / "t.csv").exists()
        process = self.in_workers(tmp_path, *args)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (0, "")
        assert err == f"drcopt: wrote 42 rows to {tmp_path / 't.csv'}: 42 optimal\n"
        assert len((tmp_path / "log").read_text().splitlines()) < 42, "it began again from nothing"
        fresh = ["sweep", "bernoulli", "--R", "0:2:0.1", "--C", "0.8,0.9", "--jobs", "1", "--out"]
        assert cli.main([*fresh, str(tmp_path / "fresh.csv")]) == 0
        assert without_seconds(read_table(tmp_path / "t.csv")) == without_seconds(read_table(tmp_path / "fresh.csv"))
