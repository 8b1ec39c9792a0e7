"""The command that trains codecs, and runs of it that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import drcopt

torch = pytest.importorskip("torch", reason="the extra neural is not installed")
pytest.importorskip("constriction", reason="the extra neural is not installed")

from drcopt import cli  # noqa: E402
from drcopt.neural import table  # noqa: E402

pytestmark = pytest.mark.neural


class TestCommand:
    def test_restore(self, tmp_path, capfd):
        out, picture = tmp_path / "table.csv", tmp_path / "images.png"
        args = ["restore", "--rates", "2", "--steps", "20", "--out", out, "--pictures", picture, "--no-progress"]
        assert cli.main([*map(str, args), "--summary", str(tmp_path / "means.csv")]) == 0
        assert "wrote 3 rows" in capfd.readouterr().err
        assert len(table.read_table(out)) == 3 and picture.stat().st_size > 1000
        assert (tmp_path / "means.csv").exists()

    @pytest.mark.faults
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["mnist:super-resolution"], "data must be given for mnist"),
            (["digits:sharpening"], "task must be one of"),
            (["cifar:denoising"], "dataset must be one of"),
            (["--rates", "2.5"], "rates must be a whole number"),
            (["--lambda-p", "-1"], "lambda_p must be a number from 0"),
            (["--mixed-precision"], "must go with device 'cuda'"),
            (["--out", "table.txt"], "must end in .csv"),
        ],
    )
    def test_refuses(self, args, message, capfd):
        assert cli.main(["restore", *args]) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert message in err


@pytest.mark.slow
def test_killed_runs_end_with_the_weights_of_whole_ones(tmp_path):
    command = [sys.executable, "-m", "drcopt", "restore", "--rates", "3,4", "--steps", "600", "--no-progress"]
    environment = {**os.environ, "PYTHONPATH": str(Path(drcopt.__file__).parents[1])}

    def start(name):
        where = ["--out", f"{name}.csv", "--checkpoint", name]
        return subprocess.Popen([*command, *where], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    killed = 0
    generator = np.random.default_rng(0)
    while (run := start("killed")) and killed < 12:
        try:
            run.wait(timeout=float(generator.uniform(3, 15)))
            break
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            killed += 1
    assert run.wait() == 0
    assert killed > 1
    whole, resumed = (
        table.read_table(tmp_path / f"{name}.csv").drop(columns="seconds") for name in ("whole", "killed")
    )
    assert resumed.equals(whole)
