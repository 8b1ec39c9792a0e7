import math
import os
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from drcopt import tables
from drcopt.errors import InputError, MissingExtraError
from drcopt.support import check
from drcopt.tables import COLUMNS, MEANINGS, TEXT_COLUMNS, frame, read_table, write_table

SUFFIXES = (".csv", ".parquet")
NASTY_TEXT = ("", "nan", "None", "1e5", ' a, "b"\nc\r\nd\r ', "≤ ∞", "'", ",", "\r")
NASTY_FLOATS = (math.inf, -math.inf, math.nan, -0.0, 5e-324, 1 / 3, 0.1 + 0.2, 1.7976931348623157e308, 1e22, 12345.0)


def nasty():
    rows = []
    for i in range(len(NASTY_FLOATS)):
        texts = {name: NASTY_TEXT[(i + j) % len(NASTY_TEXT)] for j, name in enumerate(sorted(TEXT_COLUMNS))}
        floats = {name: NASTY_FLOATS[(i + j) % len(NASTY_FLOATS)] for j, name in enumerate(COLUMNS)}
        rows.append({**floats, **texts})
    return frame(rows)


def bits(table):
    return [table[name].to_numpy().view(np.int64).tolist() for name in COLUMNS if name not in TEXT_COLUMNS]


def test_columns_are_the_contract():
    contract = (
        *("formulation", "classifier_sees", "rate_budget_bits", "classification_budget_bits", "distortion"),
        *("lower_bound", "gap", "rate_bits", "classification_loss_bits", "rate_multiplier"),
        *("classification_multiplier", "status", "termination", "engine", "seconds", "problem_fingerprint", "tol"),
        *("drcopt_version", "numpy_version", "scipy_version"),
        *("objective", "value", "distortion_budget", "perception_kind", "perception_budget", "perception", "accuracy"),
        *("law", "distortion_multiplier", "class_loss"),
    )
    assert contract == COLUMNS
    assert all(meaning and "\n" not in meaning for meaning in MEANINGS.values())
    assert TEXT_COLUMNS.issubset(COLUMNS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_of_nasty_values(tmp_path, suffix):
    table = nasty()
    path = tmp_path / f"table{suffix}"
    assert write_table(table, path) == path
    back = read_table(path)
    assert_frame_equal(back, table, check_exact=True)
    assert bits(back) == bits(table)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_of_no_rows(tmp_path, suffix):
    table = frame([])
    assert_frame_equal(read_table(write_table(table, tmp_path / f"table{suffix}")), table, check_exact=True)


@given(data=st.data())
@settings(derandomize=True, deadline=None, max_examples=25)
def test_round_trip_of_anything(tmp_path_factory, data):
    """read_table(write_table(t)) = t."""
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    row = st.fixed_dictionaries({name: text if name in TEXT_COLUMNS else st.floats() for name in COLUMNS})
    table = frame(data.draw(st.lists(row, max_size=3)))
    folder = tmp_path_factory.mktemp("tables")
    for suffix in SUFFIXES:
        back = read_table(write_table(table, folder / f"table{suffix}"))
        assert_frame_equal(back, table, check_exact=True)


def test_csv_is_plain_text_that_says_inf(tmp_path):
    path = write_table(nasty(), tmp_path / "t.csv")
    head, rows = path.read_text(encoding="utf-8").split("\n", 1)
    assert head == ",".join(COLUMNS)
    assert re.search(r"(^|,)-?inf(,|$)", rows, re.M)


def test_index_of_a_filtered_table_is_not_written(tmp_path):
    table = nasty()
    part = table[table["tol"] > 0]
    assert 0 < len(part) < len(table)
    assert_frame_equal(read_table(write_table(part, tmp_path / "t.csv")), part.reset_index(drop=True), check_exact=True)


def test_parquet_from_other_writers_with_nulls_for_nan(tmp_path):
    table = nasty()
    table.to_parquet(tmp_path / "t.parquet", index=False)  # pandas writes nan as null
    assert_frame_equal(read_table(tmp_path / "t.parquet"), table, check_exact=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file_alone(tmp_path, suffix, monkeypatch):
    path = write_table(nasty(), tmp_path / f"t{suffix}")
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_table(frame([]), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["table", "table.xlsx", "table.csv.gz"])
def test_unknown_suffix(tmp_path, name):
    path = tmp_path / name
    message = f"path must end in .csv or .parquet; it is {str(path)!r}. Give the file one of these suffixes."
    for call in (lambda: write_table(nasty(), path), lambda: read_table(path)):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message
    assert not path.exists()


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"must name a table that can be read; .*t\.csv cannot \(No such file"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"existing folder; .*nowhere is not one\. Create it first"):
        write_table(nasty(), tmp_path / "nowhere" / "t.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InputError, match=r"must name a file; .* is a folder"):
        write_table(nasty(), tmp_path / "d.csv")
    with pytest.raises(InputError, match=r"cannot \(Is a directory\)"):
        read_table(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.drop(columns="gap"), "it lacks gap"),
        (lambda t: t.rename(columns={"gap": "Gap"}), "it lacks gap and also has Gap"),
        (lambda t: pd.concat([t, t[["gap"]]], axis=1), "it has gap twice"),
        (lambda t: t.assign(gap="wide"), "column gap must hold float64; row 0 holds 'wide'"),
        (lambda t: t.assign(status=1.0), "column status must hold text; row 0 holds 1.0"),
    ],
)
def test_write_refuses_what_is_not_a_sweep_table(tmp_path, change, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)):
        write_table(change(nasty()), tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_read_refuses_other_columns(tmp_path, suffix):
    other = pd.DataFrame({"a": [1.0], "b": [2.0]})
    path = tmp_path / f"t{suffix}"
    other.to_csv(path, index=False) if suffix == ".csv" else other.to_parquet(path)
    with pytest.raises(InputError, match=r"must have the columns of a sweep .*it lacks formulation, .* also has a, b"):
        read_table(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00garbage", b"PAR1"])
def test_read_refuses_garbage(tmp_path, suffix, content):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_table(path)


def test_read_refuses_damaged_csv(tmp_path):
    path = write_table(frame(nasty().to_dict("records")[:1]).assign(termination="x"), tmp_path / "t.csv")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.rstrip("\n").rpartition(",")[0], encoding="utf-8")
    with pytest.raises(InputError, match=f"a row must have {len(COLUMNS)} cells; it has {len(COLUMNS) - 1}"):
        read_table(path)
    path.write_text(",".join(COLUMNS) + "\n" + ",".join("x" for _ in COLUMNS) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: rate_budget_bits must be a number; it is 'x'"):
        read_table(path)


def test_read_refuses_parquet_of_other_types(tmp_path):
    path = tmp_path / "t.parquet"
    frame([]).astype({"gap": "bool"}).to_parquet(path)
    with pytest.raises(InputError, match="column gap must hold float64; it holds bool"):
        read_table(path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    def without(module):
        raise ImportError(module)

    monkeypatch.setattr(check.importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow.*pip install 'drcopt\[parquet\]'"):
        tables.check_destination(tmp_path / "t.parquet")
    assert tables.check_destination(tmp_path / "t.csv") == tmp_path / "t.csv"


# -- what others wrote -----------------------------------------------------------------------------------------


def plain():
    """A table whose text survives any program."""
    texts = dict.fromkeys(TEXT_COLUMNS, "x") | {"termination": "it stopped, and said why"}
    return frame([{**dict.fromkeys(COLUMNS, number), **texts} for number in (0.25, math.inf, math.nan)])


@pytest.mark.parametrize(
    "write",
    [
        lambda t, path: t.to_csv(path),  # with its index
        lambda t, path: t.to_csv(path, index=False, encoding="utf-8-sig"),
        lambda t, path: t.to_csv(path, index=False, sep=";"),
        lambda t, path: t.to_csv(path, index=False, sep=";", decimal=","),
        lambda t, path: t.to_csv(path, index=False, sep="\t", lineterminator="\r\n"),
        lambda t, path: t[list(COLUMNS[::-1])].to_csv(path, index=False),
        lambda t, path: path.write_text("\ufeff" + t.to_csv(index=False) + "\n", encoding="utf-8"),
    ],
)
def test_what_pandas_and_spreadsheets_write_is_read(tmp_path, write):
    table = plain()
    write(table, tmp_path / "t.csv")
    assert_frame_equal(read_table(tmp_path / "t.csv")[list(COLUMNS)], table, check_exact=True)


def test_a_table_that_pandas_read_can_be_written(tmp_path):
    """Through read_csv: whole numbers become int64 and empty text nan, in the same table."""
    table = plain().iloc[:1].assign(termination="", rate_budget_bits=2.0)
    table.to_csv(tmp_path / "a.csv", index=False)
    again = pd.read_csv(tmp_path / "a.csv").assign(rate_budget_bits=2)
    assert_frame_equal(read_table(write_table(again, tmp_path / "b.csv")), table, check_exact=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_of_your_own_survive(tmp_path, suffix):
    table = plain().assign(
        codec=["a, b", "", "c"], seed=[1, 2, 3], psnr=[1.5, math.nan, math.inf], good=[True, False, True]
    )
    table.insert(0, "run", ["x", "y", "z"])
    back = read_table(write_table(table, tmp_path / f"t{suffix}"))
    assert_frame_equal(back.astype({"run": object, "codec": object}), table.astype({"run": object, "codec": object}))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_of_before_is_read(tmp_path, suffix):
    """Of the version that could minimise distortion only: the columns up to scipy_version."""
    path, table = tmp_path / f"t{suffix}", plain().assign(proved_lower_bound=0.0, proved_distortion=1.0, verified="yes")
    old = table[[*COLUMNS[: COLUMNS.index("objective")], *tables.VERIFIED_MEANINGS]]
    old.to_csv(path, index=False) if suffix == ".csv" else old.to_parquet(path, index=False)
    back = read_table(path)
    assert tuple(back.columns) == tables.VERIFIED_COLUMNS
    assert back["value"].equals(table["distortion"].rename("value"))
    first = back.iloc[0]
    assert (first["objective"], first["perception_kind"]) == ("distortion", "")
    assert first["distortion_budget"] == first["perception_budget"] == math.inf
    assert back[["perception", "accuracy", "distortion_multiplier"]].isna().all(axis=None)
    assert_frame_equal(read_table(write_table(old, tmp_path / f"again{suffix}")), back, check_exact=True)


def test_the_value_that_is_missing_is_that_of_the_objective(tmp_path):
    table = plain().assign(objective=["rate", "distortion", "speed"], rate_bits=3.0, distortion=4.0)
    back = read_table(write_table(table.drop(columns="value"), tmp_path / "t.csv"))
    assert back["value"].tolist()[:2] == [3.0, 4.0] and math.isnan(back["value"].iloc[2])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_where_it_came_from_stays_with_it(tmp_path, suffix):
    table = frame([{**dict.fromkeys(COLUMNS, 0.5), **dict.fromkeys(TEXT_COLUMNS, "x"), "problem_fingerprint": "ab"}])
    back = read_table(write_table(table, tmp_path / f"t{suffix}"))
    assert back.attrs["drcopt"]["problem_fingerprint"] == "ab" and back.attrs["drcopt"]["tol"] == 0.5
    if suffix == ".parquet":
        import pyarrow.parquet

        assert b"problem_fingerprint" in pyarrow.parquet.read_schema(tmp_path / "t.parquet").metadata[b"drcopt"]


class TestHostileFiles:
    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_what_is_no_regular_file_is_not_waited_for(self, tmp_path, suffix):
        pipe, device = tmp_path / f"pipe{suffix}", tmp_path / f"zero{suffix}"
        os.mkfifo(pipe)
        device.symlink_to("/dev/zero")
        for path in (pipe, device):
            with pytest.raises(InputError, match="no regular file"):
                read_table(path)

    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_more_bytes_than_are_read(self, tmp_path, monkeypatch, suffix):
        path = tmp_path / f"large{suffix}"
        path.write_bytes(b"x" * 101)
        monkeypatch.setattr("drcopt.tables._MOST_BYTES", 100)
        with pytest.raises(InputError, match="more than the 100 that are read"):
            read_table(path)

    def test_one_huge_line(self, tmp_path):
        path = tmp_path / "line.csv"
        path.write_bytes(b"x" * 2**20)
        with pytest.raises(InputError, match="must hold a sweep table"):
            read_table(path)

    @pytest.mark.parametrize(("text", "said"), [("x", "cells that are read"), ("x" * 10**6, "bytes that are read")])
    def test_parquet_that_unpacks_to_more(self, tmp_path, text, said):
        """One text said many times takes a few bytes."""
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        count = 2**24 + 1 if len(text) == 1 else 2000
        column = pyarrow.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), [text])
        path = tmp_path / "bomb.parquet"
        schema = pyarrow.schema([("status", pyarrow.dictionary(pyarrow.int32(), pyarrow.string()))])
        parquet.write_table(pyarrow.table([column], schema=schema), path, store_schema=False)
        assert path.stat().st_size < 2**21
        with pytest.raises(InputError, match=said):
            read_table(path)
