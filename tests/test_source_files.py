"""Sources by name, and problems in files."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from drcopt import sources
from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.support.files import atomic_write

ARRAYS = ("px", "py", "ps_given_x", "d")


# Names and files


@pytest.mark.parametrize("name", sources.NAMES)
def test_every_name_builds(name: str) -> None:
    options = {"x_letters": 5, "y_letters": 4} if name.startswith("digits:") else {}
    first = sources.named(name, **options)
    assert first.fingerprint == sources.named(name, **options).fingerprint
    assert "\n" not in sources.NAMES[name]


def test_names_pass_their_options() -> None:
    assert sources.named("bernoulli", px=0.1).fingerprint == sources.bernoulli(px=0.1).fingerprint
    assert sources.named("gaussian", points=5).n == 5
    options = {"noise": 0.3, "x_letters": 3, "y_letters": 3}
    direct = sources.images("denoising", **options)
    assert sources.named("digits:denoising", **options).fingerprint == direct.fingerprint


@pytest.mark.parametrize("suffix", [".npz", ".json", ".JSON"])
def test_saved_problems_come_back(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(2)
    px, py, W = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(3), 6)
    problem = Problem(px, py, W, rng.random((6, 5)))
    path = tmp_path / f"problem{suffix}"
    sources.save(sources.bernoulli(), path)
    sources.save(problem, path)
    for found in (sources.named(path), sources.named(str(path))):
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(found, name), getattr(problem, name), rtol=1e-15)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_distortion_may_be_absent_or_a_name(tmp_path: Path) -> None:
    data = {"px": [0.5, 0.5], "py": [0.2, 0.3, 0.5], "ps_given_x": [[1, 0], [0, 1]]}
    squared = Problem(**data, d="squared-error").fingerprint
    for number, (extra, expected) in enumerate(
        [
            ({}, Problem(**data).fingerprint),
            ({"d": "hamming"}, Problem(**data).fingerprint),
            ({"d": "squared-error"}, squared),
            ({"d": [[0, 1, 4], [1, 0, 1]]}, squared),
        ]
    ):
        text, archive = tmp_path / f"{number}.json", tmp_path / f"{number}.npz"
        text.write_text(json.dumps({**data, **extra}))
        np.savez(archive, **data, **extra)
        assert sources.named(text).fingerprint == expected
        assert sources.named(archive).fingerprint == expected


GOOD = '{"px": [0.5, 0.5], "py": [1], "ps_given_x": [[1, 0], [0, 1]]'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"^source must be a readable file; .*No such file.*pass one of bernoulli, gaussian"),
        ("", r"must be valid JSON in UTF-8; it could not be read \(Expecting value"),
        ("{'px': 1}", r"must be valid JSON"),
        (b"\xff\xfe", r"must be valid JSON"),
        ("[" * 100_000, r"must be valid JSON"),
        ("[1, 2]", r"must hold a JSON object .*; it holds a list\."),
        ('{"px": [1], "p_y": [1]}', r"must hold px, py and ps_given_x; it lacks py, ps_given_x and holds px, p_y\."),
        ("{}", r"it lacks px, py, ps_given_x and holds nothing\."),
        (GOOD + ', "distortion": [[0], [1]]}', r"must hold px, .*, d and nothing else; it holds distortion\."),
        (GOOD + ', "d": "manhattan"}', r"^in .*bad.json, d must be one of 'hamming', .*; it is 'manhattan'"),
        (GOOD + ', "d": null}', r"^in .*, d must"),
        (GOOD.replace("0.5, 0.5", "0.5, 0.4") + "}", r"^in .*, px must sum to 1"),
        (GOOD.replace("0.5, 0.5", "NaN, 0.5") + "}", r"NaN is no number of JSON"),
        (GOOD.replace("0.5, 0.5", "1" + "0" * 400) + "}", r"px|fit a float"),
        (GOOD.replace("[0.5, 0.5]", "{}") + "}", r"^in .*, px must"),
    ],
)
def test_bad_json(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message) as caught:
        sources.named(path)
    assert "\n" not in str(caught.value)


def test_bad_npz(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            sources.named(path)
        assert "\n" not in str(caught.value)

    refused(r"No such file")
    for content in (b"", b"PK\x03\x04 no archive", b"text"):
        path.write_bytes(content)
        refused(r"must be an \.npz archive of numeric arrays; it could not be read")
    with path.open("wb") as handle:
        np.save(handle, np.ones(3))
    refused(r"it lacks px, py, ps_given_x and holds nothing")
    np.savez(path, px=np.array([{"a": 1}], dtype=object))
    refused(r"must be an \.npz archive of numeric arrays")
    sources.save(sources.bernoulli(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(r"could not be read")
    path.unlink()
    path.mkdir()
    refused(r"Is a directory|Permission denied")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("gausian", {}, r"^source must be a known name or a file .*; it is 'gausian'\. Pass one of"),
        ("digits:colouring", {}, r"it is 'digits:colouring'"),
        ("problem.csv", {}, r"it is 'problem\.csv'"),
        (5, {}, r"^source must be a name or a path; it is 5\."),
        ("bernoulli", {"p2": 1}, r"^options of source 'bernoulli' must be among px, py, p1; p2 arrived\."),
        ("digits:denoising", {"task": "inpainting"}, r"must be among x_letters, .*; task arrived"),
        ("problem.npz", {"px": 1}, r"^a source read from a file takes no options; px arrived\."),
    ],
)
def test_named_refuses(source: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sources.named(source, **options)


def test_save_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^path must end in \.npz or \.json; it is 'problem\.csv'\."):
        sources.save(sources.bernoulli(), "problem.csv")
    with pytest.raises(InputError, match=r"^path must be writable; .*No such file.*existing folder"):
        sources.save(sources.bernoulli(), tmp_path / "missing" / "problem.npz")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InputError, match=r"^path must name a regular file"):
        sources.save(sources.bernoulli(), tmp_path / "folder.json")


# Whole or not at all


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, interruption: type[BaseException]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(interruption), atomic_write(path) as handle:
        handle.write("half of the ne")
        raise interruption
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_shows_only_when_done(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with atomic_write(path) as handle:
        handle.write("é\r\n")
        assert not path.exists()
    assert path.read_bytes() == b"\xc3\xa9\r\n"
    with atomic_write(path, "wb") as binary:
        binary.write(b"\0\n")
        assert path.read_bytes() == b"\xc3\xa9\r\n"
    assert path.read_bytes() == b"\0\n"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_permissions_and_links_survive(tmp_path: Path) -> None:
    path, link, fresh = tmp_path / "real", tmp_path / "link", tmp_path / "fresh"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with atomic_write(link) as handle:
        handle.write("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    plain = tmp_path / "plain"
    plain.touch()
    with atomic_write(fresh) as handle:
        handle.write("")
    assert fresh.stat().st_mode == plain.stat().st_mode


def test_a_readme_in_an_archive_is_left_out(tmp_path):
    path = tmp_path / "mine.npz"
    problem = sources.bernoulli()
    sources.save(problem, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "mine")
    assert sources.named(path).fingerprint == problem.fingerprint


def test_a_byte_order_mark_is_no_matter(tmp_path):
    path = tmp_path / "mine.json"
    problem = sources.bernoulli()
    sources.save(problem, path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert sources.named(path).fingerprint == problem.fingerprint


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f4", "<f8", "<i8"])
def test_arrays_of_any_layout(tmp_path, order, dtype):
    W = np.array([[1, 0, 0], [0, 1, 0]], dtype=dtype, order=order)
    np.savez(tmp_path / "mine.npz", px=[0.5, 0.5], py=[0.5, 0.5], ps_given_x=W)
    assert sources.named(tmp_path / "mine.npz").ps_given_x.tolist() == W.tolist()
