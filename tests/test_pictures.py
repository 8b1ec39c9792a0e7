"""Pictures in files, in notebooks and on the command line; solutions in HTML."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest
from plotted import PROBLEM, component, grid, row

from drcopt import plotting
from drcopt.cli import main
from drcopt.errors import MissingExtraError
from drcopt.solution import Mixture
from drcopt.solve import solve
from drcopt.tables import frame, write_table
from drcopt.theorems import FIGURES

pytest.importorskip("matplotlib").use("Agg")

# -- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_files_are_what_their_suffix_says_and_always_the_same(tmp_path, suffix, start):
    paths = [plotting.save(plotting.surface(grid()), tmp_path / f"{i}{suffix}") for i in range(2)]
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(start)
    assert first == second


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "old.png"
    target.write_bytes(b"old")
    figure = plotting.curve(grid())

    def fail(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="No space left"):
        plotting.save(figure, target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]


def test_figures_show_in_notebooks_without_pyplot():
    assert plotting.curve(grid())._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", FIGURES)
def test_the_example_figures_can_be_drawn(name, tmp_path):
    title, build = FIGURES[name]
    figure = plotting.curve(build(), title=title)
    assert figure.axes[0].get_title() == title
    assert plotting.save(figure, tmp_path / "figure.svg").stat().st_size > 1000


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'drcopt\[plot\]'"):
        plotting.curve(grid())


# -- the command -----------------------------------------------------------------------------------------------


def run(capsys, *args):
    code = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_plot_writes_a_picture(tmp_path, capsys, suffix):
    table, picture = write_table(grid(), tmp_path / "table.csv"), tmp_path / f"picture{suffix}"
    assert run(capsys, "plot", table, "-o", picture, "--title", "T") == (0, "", f"drcopt: wrote {picture}\n")
    assert picture.stat().st_size > 1000


def test_plot_takes_several_tables(tmp_path, capsys):
    tables = [
        write_table(grid(formulation=name), tmp_path / f"{name}.csv") for name in ("single-letter", "time-sharing")
    ]
    picture = tmp_path / "picture.svg"
    assert run(capsys, "plot", *tables, "-o", picture, "--kind", "curve")[0] == 0
    ElementTree.parse(picture)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["TABLE", "-o", "picture.gif"], "path must end in .png, .svg, .pdf; it is 'picture.gif'"),
        (["TABLE", "-o", "missing/picture.png"], "path must be writable; missing/picture.png is not"),
        (["absent.csv", "-o", "picture.png"], "absent.csv cannot (No such file or directory)"),
        (["TABLE", "-o", "picture.png", "--kind", "pie"], "'pie' is not one of"),
        (["TABLE"], "Missing option '-o' / '--out'"),
        (["-o", "picture.png"], "Missing argument 'TABLE...'"),
        (["LINE", "-o", "picture.png", "--kind", "surface"], "two finite R and two finite C; it spans 1 and 1"),
    ],
)
def test_plot_errors_are_one_line(tmp_path, capsys, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    write_table(grid(), tmp_path / "TABLE.csv")
    write_table(frame([row(0.5, 0.5, 0.1)]), tmp_path / "LINE.csv")
    code, out, err = run(capsys, "plot", *(f"{arg}.csv" if arg.isupper() else arg for arg in args))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("drcopt: error: ")
    assert said in err
    assert not (tmp_path / "picture.png").exists()


# -- rich representations --------------------------------------------------------------------------------------


def cells(html):
    tree = ElementTree.fromstring(html)
    return {r.findtext("th"): r.findtext("td") for r in tree.iter("tr") if r.find("td") is not None}


def test_a_solution_in_html():
    solution = solve(PROBLEM, R=0.5, C=None)
    shown = cells(solution._repr_html_())
    assert shown["status"].startswith("optimal: ")
    assert shown["distortion"] == f"{solution.distortion:.8g}"
    assert shown["rate"] == "0.5 bits (budget 0.5)"
    assert shown["classification loss H(S|Y)"].endswith("bits (budget ∞)")
    assert "mixture" not in shown


def test_an_infeasible_solution_in_html():
    shown = cells(solve(PROBLEM, R=0.0, C=0.1, on_failure="return")._repr_html_())
    assert shown["status"].startswith("infeasible: ")
    assert shown["distortion"] == "∞"


def test_text_in_html_is_escaped():
    from dataclasses import replace

    solution = replace(solve(PROBLEM, R=0.5), termination="<script> & gap < tol", mixture=Mixture((component(1.0),)))
    html = solution._repr_html_()
    assert "<script>" not in html
    shown = cells(html)
    assert shown["engine"].endswith("<script> & gap < tol")
    assert shown["mixture"] == "1 component"


def test_a_problem_in_html():
    shown = cells(PROBLEM._repr_html_())
    assert shown["letters"] == "n = 2 of X, m = 2 of Y, k = 2 of S"
    assert shown["H(X), H(Y)"] == "0.881291 bits, 0.970951 bits"
    assert shown["fingerprint"] == PROBLEM.fingerprint


@pytest.mark.parametrize(("objective", "budgets", "axis"), [
    ("rate", {"D": [0.1, 0.2], "C": None}, "distortion budget D"),
    ("classification_loss", {"R": [0.2, 0.4]}, "rate budget R (bits)"),
])  # fmt: skip
def test_other_objectives_are_drawn_over_what_is_limited(objective, budgets, axis):
    import drcopt
    from drcopt import plotting

    table = drcopt.sweep(drcopt.sources.bernoulli(), **budgets, objective=objective, time_limit=1.0, progress=False)
    drawn = plotting.plot(table).axes[0]
    assert drawn.get_xlabel() == axis
    assert drawn.get_ylabel() == {"rate": "rate (bits)"}.get(objective, "classification loss (bits)")
