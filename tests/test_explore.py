"""Pages to explore tables, surfaces and proofs: self-contained, drawn by their own scripts alone, text as text."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import drcopt
from drcopt import explore
from drcopt.cli import main
from drcopt.errors import InputError

HOSTILE = "</script><script>document.body.dataset.hacked='yes'</script><!--"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def problem() -> drcopt.Problem:
    source = drcopt.sources.bernoulli()
    labels = {"x": [HOSTILE, "=1+1"], "s": ["cat", "dog"]}
    return drcopt.Problem(source.px, source.py, source.ps_given_x, source.d, labels=labels)


@pytest.fixture(scope="module")
def surface() -> drcopt.Surface:
    return drcopt.surface(problem(), R=(0.3, 0.8), C=(0.75, 0.9), tol=0.02, resolution=1 / 8)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return drcopt.sweep(drcopt.sources.bernoulli(), R=[0.2, 0.5], C=[0.75, 0.9])


def large(rows: int) -> pd.DataFrame:
    """A table that looks like a sweep's, of so many rows."""
    side = int(np.sqrt(rows))
    R, C = (v.ravel() for v in np.meshgrid(np.linspace(0.1, 2, side), np.linspace(0.2, 1, side)))
    value = np.exp(-R) + 0.1 * (1 - C)
    return pd.DataFrame(
        {
            "rate_budget_bits": R, "classification_budget_bits": C, "distortion_budget": np.inf,
            "objective": "distortion", "value": value, "lower_bound": value - 1e-6, "status": "optimal",
        }
    )  # fmt: skip


class Scripts(HTMLParser):
    """The scripts of a page, those that run and those that hold data, and whatever it would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.run: list[str] = []
        self.data: list[str] = []
        self.fetched: list[str] = []
        self.policy = ""
        self._into: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [str(given[name]) for name in ("src", "href", "action") if name in given]
        assert not any(name.startswith("on") for name in given)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(given["content"])
        if tag == "script":
            self._into = self.data if given.get("type") == "application/json" else self.run

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)


class TestThePage:
    def test_it_needs_nothing_else(self, surface: drcopt.Surface) -> None:
        page = explore.page(surface)
        found = Scripts(page)
        assert found.fetched == []
        assert len(found.run) == 2 and len(found.data) == 1
        assert len(page.encode()) < explore.MOST_BYTES
        for script in found.run:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in found.policy
            assert not re.search(r"\beval\(|new Function|base64", script)
        assert "default-src 'none'" in found.policy
        assert "unsafe-eval" not in found.policy and "script-src 'unsafe" not in found.policy

    def test_labels_are_data(self, surface: drcopt.Surface) -> None:
        page = explore.page(surface, title=HOSTILE)
        found = Scripts(page)
        assert len(found.run) == 2
        data = json.loads(found.data[0])
        assert data["title"] == HOSTILE and data["labels"]["x"][0] == HOSTILE[:80]
        assert "hacked" not in "".join(found.run)

    def test_numbers_are_rounded_outward(self, surface: drcopt.Surface) -> None:
        data = json.loads(Scripts(explore.page(surface)).data[0])
        (series,) = data["series"]
        shown = surface.table(60, 60)
        for i in range(0, len(shown), 7):
            row = shown.iloc[i]
            if row["status"] == "infeasible":
                assert data["statuses"][series["status"][i]] == "infeasible" and series["lower"][i] is None
                continue
            assert series["lower"][i] <= row["lower_bound"]
            assert series["upper"][i] is None or series["upper"][i] >= row["value"]

    def test_couplings_meet_the_budgets_that_they_stand_for(self, surface: drcopt.Surface) -> None:
        data = json.loads(Scripts(explore.page(surface)).data[0])
        bits = drcopt.information.NATS_PER["bits"]
        assert data["points"]
        for point in data["points"]:
            P = np.array(point["coupling"])
            assert P.sum() == pytest.approx(1.0, abs=1e-3)
            assert surface.problem.rate(P / P.sum()) / bits <= point["a"] + 5e-3
            assert surface.problem.distortion(P) == pytest.approx(point["value"], abs=1e-3)

    def test_a_table_and_a_solution(self, table: pd.DataFrame) -> None:
        data = json.loads(Scripts(explore.page(table)).data[0])
        assert [axis["letter"] for axis in data["axes"]] == ["R", "C"]
        assert len(data["series"][0]["a"]) == 4 and data["points"] == []
        solution = drcopt.solve(problem(), R=0.5, C=0.9)
        data = json.loads(Scripts(explore.page(solution)).data[0])
        assert data["points"][0]["value"] == pytest.approx(solution.distortion, rel=1e-8)

    @pytest.mark.parametrize("name", ["name", "label"])  # pictures take both too
    def test_codecs(self, table: pd.DataFrame, name: str) -> None:
        codecs = pd.DataFrame({"rate": [0.4], "distortion": [0.2], "loss": [0.8], name: [HOSTILE]})
        data = json.loads(Scripts(explore.page(table, codecs=codecs)).data[0])
        assert data["codecs"] == [{"name": HOSTILE[:80], "a": 0.4, "b": 0.8, "value": 0.2}]

    def test_many_rows(self) -> None:
        page = explore.page(large(10_000))
        assert len(page.encode()) < explore.MOST_BYTES
        with pytest.raises(InputError, match="1 to 20000 rows"):
            explore.page(large(22_500))


class TestRefused:
    """One clear error, and no page."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"problem_fingerprint": ["a", "b", "a", "a"]}, "must be about one problem"),
            ({"objective": ["rate", "distortion", "distortion", "distortion"]}, "must be about one objective"),
            ({"objective": "perception"}, "the objective must be one of"),
            ({"status": HOSTILE}, "status must be one of"),
            ({"value": HOSTILE}, "the column value must hold numbers"),
        ],
    )
    def test_a_table(self, table: pd.DataFrame, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            explore.page(table.assign(**changes))

    def test_an_old_table(self, table: pd.DataFrame) -> None:
        with pytest.raises(InputError, match="lacks the columns objective"):
            explore.page(table.drop(columns=["objective"]))

    def test_no_table(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="must be a table, a Surface or a Solution"):
            explore.page([1, 2])  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"must end in \.html"):
            explore.save(large(4), tmp_path / "page.exe")

    @pytest.mark.parametrize(
        "codecs", [3, pd.DataFrame({"rate": [1]}), pd.DataFrame({"rate": ["x"], "distortion": [1]})]
    )
    def test_codecs(self, codecs: Any) -> None:
        with pytest.raises(InputError, match="codecs must"):
            explore.page(large(4), codecs=codecs)


class TestTheCommand:
    def test_a_table(self, table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        drcopt.tables.write_table(table, tmp_path / "table.csv")
        assert main(["explore", str(tmp_path / "table.csv"), "-o", str(tmp_path / "page.html")]) == 0
        assert Scripts((tmp_path / "page.html").read_text()).data
        assert main(["explore", str(tmp_path / "table.csv"), "-o", str(tmp_path / "page.html")]) == 2
        assert "--force" in capsys.readouterr().err

    def test_proofs(self, surface: drcopt.Surface, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("flint")
        surface.save(tmp_path / "surface.json")
        assert main(["explore", str(tmp_path / "surface.json"), "-o", str(tmp_path / "surface.html")]) == 0
        read = json.loads(Scripts((tmp_path / "surface.html").read_text()).data[0])
        (series,) = read["series"]
        shown = surface.table(60, 60)
        for i in range(0, len(shown), 11):
            if series["upper"][i] is not None and series["lower"][i] is not None:
                answer = float(shown["value"].iloc[i]), float(shown["lower_bound"].iloc[i])
                assert series["lower"][i] <= answer[0] and series["upper"][i] >= answer[1]
        solution = drcopt.solve(problem(), R=0.5, C=0.9)
        solution.certificate.save(tmp_path / "point.json")
        assert main(["explore", str(tmp_path / "point.json"), "-o", str(tmp_path / "point.html")]) == 0
        proof = json.loads((tmp_path / "surface.json").read_text()) | {"known": "1"}
        (tmp_path / "forged.json").write_text(json.dumps(proof))
        assert main(["explore", str(tmp_path / "forged.json"), "-o", str(tmp_path / "forged.html")]) == 2
        assert "must be accepted" in capsys.readouterr().err
        assert not (tmp_path / "forged.html").exists()


def test_a_page_of_a_grid_shows_its_places() -> None:
    grid = drcopt.surface(drcopt.sources.bernoulli(), R=(0.3, 0.8), C=(0.75, 0.9), tol=1e-2, at=(5, 4))
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', explore.page(grid), re.S)
    data = json.loads(text)
    table = grid.table()
    assert data["series"][0]["a"] == pytest.approx(table["rate_budget_bits"].tolist())
    assert data["notes"][0] == "100.0% of 5×4 budgets are known to 0.01."
    feasible = table[table["status"] == "known"]
    assert sorted(p["value"] for p in data["points"]) == pytest.approx(sorted(feasible["value"]))
    assert all(v is None or v >= 0.75 for v in data["edge"]["lower"] + data["edge"]["upper"])


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to draw pages with: apt-get install chromium")
class TestInABrowser:
    def drawn(self, page: str, tmp_path: Path, *, width: int = 1200, script: str = "") -> str:
        """The page as it is once its scripts have run, and then ``script``, which the test's policy allows."""
        if script:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            page = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
            page = page.replace("</body>", f"<script>{script}</script></body>")
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},1200", "--virtual-time-budget=8000", "--enable-logging=stderr", "--dump-dom",
            path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not said, said
        return done.stdout

    def test_it_draws_and_runs_nothing_else(self, surface: drcopt.Surface, tmp_path: Path) -> None:
        codecs = pd.DataFrame({"rate": [0.4], "distortion": [0.2], "loss": [0.8], "name": [HOSTILE]})
        script = (
            "document.querySelectorAll('details').forEach((d) => { d.open = true; });"
            "document.getElementById('at-b').value = 40;"
            "document.getElementById('at-b').dispatchEvent(new Event('input'));"
            "setTimeout(() => { document.body.dataset.wide = document.documentElement.scrollWidth;"
            "document.body.dataset.csv = csv('coupling'); document.body.dataset.svg = svg('map').slice(0, 60); }, 50);"
        )
        page = explore.page(surface, codecs=codecs, title=HOSTILE)
        dom = self.drawn(page, tmp_path, width=500, script=script)
        assert 'data-ready="yes"' in dom and "data-hacked" not in dom
        assert dom.count("<svg") >= 6
        assert int(re.search(r'data-wide="(\d+)"', dom)[1]) <= 500  # type: ignore[index]
        assert "&#39;=1+1" in dom or "'=1+1" in dom  # no formula in a spreadsheet
        assert re.search(r'data-svg="(<|&lt;)\?xml', dom)
        assert dom.count("<td>") > 100

    def test_captions_say_what_is_there(self, surface: drcopt.Surface, tmp_path: Path) -> None:
        codecs = pd.DataFrame({"rate": [0.4], "distortion": [0.2], "loss": [0.8], "name": ["mine"]})
        for page, words in ((explore.page(surface), ""), (explore.page(surface, codecs=codecs), " Diamonds: codecs.")):
            (said,) = re.findall(r'<figcaption id="map-caption">([^<]*)<', self.drawn(page, tmp_path))
            assert words in said and ("Diamonds" in said) == bool(words)
            assert said.startswith("Grey: no point meets the budgets") and "Lines: the least loss" in said

    def test_the_coupling_shown_meets_the_chosen_budgets(self, surface: drcopt.Surface, tmp_path: Path) -> None:
        script = (
            "const asked = [];"
            "const move = (id, value) => { document.getElementById(id).value = value;"
            "document.getElementById(id).dispatchEvent(new Event('input')); };"
            "for (const a of [20, 40, 60]) for (const b of [20, 40, 60]) { move('at-a', a); move('at-b', b);"
            "const p = pointed(); asked.push([state.a, state.b, p.a, p.b, p.value, meets(p)]); }"
            "document.body.dataset.asked = JSON.stringify(asked);"
        )
        page = explore.page(surface)
        (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
        dom = self.drawn(page, tmp_path, script=script)
        (asked,) = re.findall(r'data-asked="([^"]*)"', dom)
        for R, C, a, b, value, met in json.loads(html.unescape(asked)):
            within = [p["value"] for p in json.loads(data)["points"] if p["a"] <= R and p["b"] <= C]
            assert met == (a <= R and b <= C) == bool(within)
            assert not met or value == min(within)

    def test_many_rows(self, tmp_path: Path) -> None:
        dom = self.drawn(explore.page(large(10_000)), tmp_path)
        assert 'data-ready="yes"' in dom
        assert dom.count("<rect") > 9_000
