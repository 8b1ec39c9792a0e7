"""The ready-made problems: what they are made of, that they repeat, and what they refuse."""

from __future__ import annotations

import gzip
import itertools
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from drcopt import information, sources
from drcopt.errors import InputError, MissingExtraError
from drcopt.sources.gaussian import standard_grid
from drcopt.sources.images import TASKS

GRIDS = [(2, 1.0), (3, 4.0), (21, 4.0), (40, 4.0), (41, 5.0), (200, 12.0), (101, 60.0)]


def bits(nats: float) -> float:
    return information.from_nats(nats, "bits")


# Bernoulli


def test_bernoulli_is_the_talks_example_by_default() -> None:
    problem = sources.bernoulli()
    np.testing.assert_allclose(problem.px, [0.7, 0.3])
    np.testing.assert_allclose(problem.py, [0.75, 0.25])
    np.testing.assert_allclose(problem.ps_given_x, [[0.8, 0.2], [0.2, 0.8]])
    np.testing.assert_array_equal(problem.d, [[0, 1], [1, 0]])
    assert problem.ps[1] == pytest.approx(0.3 + 0.2 - 2 * 0.3 * 0.2)


@pytest.mark.parametrize("name", ["px", "py", "p1"])
@pytest.mark.parametrize(("value", "arrived"), [(1.5, "it is 1.5"), (-0.1, "-0.1"), (np.nan, "nan"), ("0.5", "'0.5'")])
def test_bernoulli_refuses_what_is_no_probability(name: str, value: object, arrived: str) -> None:
    with pytest.raises(InputError, match=rf"^{name} must be a number from 0 to 1; .*{arrived}"):
        sources.bernoulli(**{name: value})


def test_bernoulli_takes_the_ends() -> None:
    assert sources.bernoulli(px=0, py=1, p1=0.5).entropy_x == 0.0


# Gaussian


@pytest.mark.parametrize(("points", "span"), GRIDS)
def test_grid_is_standardised_symmetric_and_increasing(points: int, span: float) -> None:
    z, p = standard_grid(points, span)
    assert z.shape == p.shape == (points,)
    assert p.sum() == pytest.approx(1.0, abs=1e-14)
    assert p @ z == pytest.approx(0.0, abs=1e-15)
    assert p @ z**2 == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_array_equal(p, p[::-1])
    np.testing.assert_array_equal(z, -z[::-1])
    assert (np.diff(z) > 0).all()


def test_grid_masses_are_those_of_the_normal_law() -> None:
    _, p = standard_grid(8, 4.0)
    np.testing.assert_allclose(p.cumsum()[:-1], ndtr(np.arange(-3, 4)), atol=1e-15)


def test_grid_converges_to_the_normal_law() -> None:
    kurtosis_errors, cdf_errors = [], []
    for points in (11, 21, 41, 81, 161):
        z, p = standard_grid(points, 6.0)
        kurtosis_errors.append(abs(p @ z**4 - 3.0))
        cdf_errors.append(np.abs(p.cumsum() - p / 2 - ndtr(z)).max())
    # Both are of fourth and second order in the bin width: halving it divides them by about 16 and 4.
    assert all(fine < coarse / 8 for coarse, fine in itertools.pairwise(kurtosis_errors[:4]))
    assert all(fine < coarse / 3 for coarse, fine in itertools.pairwise(cdf_errors))


def test_gaussian_moments_are_exact_on_any_grid() -> None:
    rng = np.random.default_rng(0)
    for points in (2, 5, 41):
        sigma_x, sigma_y, sigma_s = rng.uniform(0.3, 3.0, 3)
        mu_x, mu_y = rng.normal(size=2)
        problem = sources.gaussian_grid(
            points, sigma_x=sigma_x, sigma_y=sigma_y, sigma_s=sigma_s, mu_x=mu_x, mu_y=mu_y, theta=0.0
        )
        # Theorem 4 at R = 0 and, as X and Y have one shape, at R = ∞, where the monotone coupling is optimal.
        assert problem.distortion(problem.independent) == pytest.approx((mu_x - mu_y) ** 2 + sigma_x**2 + sigma_y**2)
        monotone = np.diag(problem.px)
        assert problem.distortion(monotone) == pytest.approx((mu_x - mu_y) ** 2 + (sigma_x - sigma_y) ** 2)


def test_gaussian_class_is_the_binned_gaussian() -> None:
    classes, span, sigma_s = 16, 4.0, 0.7
    theta = -0.9 * 2.0 * sigma_s
    errors = []
    for points in (21, 41, 81):
        problem = sources.gaussian_grid(points, sigma_x=2.0, sigma_s=sigma_s, theta=theta, classes=classes)
        edges = np.linspace(-span, span, classes + 1)[1:-1]
        errors.append(np.abs(problem.ps - np.diff(ndtr(edges), prepend=0.0, append=1.0)).max())
        # A negative covariance: larger letters of X make small letters of S likelier.
        assert (np.diff(problem.ps_given_x.cumsum(axis=1)[:, :-1], axis=0) > -1e-15).all()
    assert errors[0] < 1e-4
    assert errors[2] < 2e-6
    two = sources.gaussian_grid()
    np.testing.assert_allclose(two.ps, 0.5, atol=1e-15)
    assert two.k == 2


@pytest.mark.parametrize("rho", [0.6, 0.9])
def test_gaussian_meets_the_closed_forms_at_the_gaussian_coupling(rho: float) -> None:
    """The Gibbs coupling ∝ exp(−d/ε) of correlation ρ solves the rate-only problem at its own rate."""
    sigma_x, sigma_y, theta, classes, span = 1.5, 0.8, 0.9, 64, 5.0
    problem = sources.gaussian_grid(
        61, sigma_x=sigma_x, sigma_y=sigma_y, mu_x=0.4, theta=theta, classes=classes, span=span
    )
    kernel = np.exp(-problem.d * rho / (2 * sigma_x * sigma_y * (1 - rho**2)))
    a = b = np.ones(61)
    for _ in range(500):
        a = 1 / (kernel @ (problem.py * b))
        b = 1 / (kernel.T @ (problem.px * a))
    P = problem.independent * a[:, None] * kernel * b
    remaining = np.exp(-2 * problem.rate(P))
    assert problem.rate(P) == pytest.approx(-np.log(1 - rho**2) / 2, abs=1e-5)
    assert problem.distortion(P) == pytest.approx(
        0.4**2 + sigma_x**2 + sigma_y**2 - 2 * sigma_x * sigma_y * np.sqrt(1 - remaining), abs=1e-5
    )
    width = 2 * span / classes
    differential = np.log(2 * np.pi * np.e) / 2 + np.log(1 - (theta / sigma_x) ** 2 * (1 - remaining)) / 2
    assert problem.classification_loss(P) + np.log(width) == pytest.approx(differential, abs=2e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, r"^points must be a whole number of at least 2; it is 1\."),
        ({"points": 4.0}, r"^points must be a whole number of at least 2; it is 4\.0\."),
        ({"points": True}, r"^points must be a whole number"),
        ({"classes": 1}, r"^classes must be a whole number of at least 2; it is 1\."),
        ({"sigma_x": 0}, r"^sigma_x must be a finite number greater than 0; it is 0\."),
        ({"sigma_y": -1}, r"^sigma_y must be"),
        ({"sigma_s": np.inf}, r"^sigma_s must be"),
        ({"span": 0.0}, r"^span must be"),
        ({"mu_x": np.nan}, r"^mu_x must be a finite number; it is nan\."),
        ({"mu_y": 10**400}, r"^mu_y must be a finite number"),
        ({"theta": 1.0}, r"^theta must be less than sigma_x \* sigma_s = 1 in absolute value; it is 1\."),
    ],
)
def test_gaussian_refuses(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sources.gaussian_grid(**options)


# Images


@pytest.fixture(scope="module")
def toy() -> tuple[np.ndarray, np.ndarray]:
    """Forty random 4×6 images of three classes."""
    rng = np.random.default_rng(1)
    return rng.random((40, 4, 6)), np.array(["b", "a", "c"])[rng.integers(0, 3, 40)]


@pytest.mark.parametrize("task", TASKS)
def test_digits_are_a_problem_with_the_right_shapes(task: str) -> None:
    source = sources.image_source(task, x_letters=12, y_letters=9)
    problem = source.problem
    assert (problem.n, problem.m, problem.k) == (12, 9, 10)
    assert source.shape == (8, 8)
    assert source.x_codewords.shape == ((12, 4, 4) if task == "super-resolution" else (12, 8, 8))
    assert source.x_means.shape == (12, 8, 8)
    assert source.y_codewords.shape == (9, 8, 8)
    np.testing.assert_array_equal(source.classes, np.arange(10))
    assert problem.px.min() > 0
    assert problem.py.min() > 0
    assert 0 < problem.entropy_s_given_x < problem.entropy_s
    assert bits(problem.entropy_s) == pytest.approx(np.log2(10), abs=1e-3)
    for array in (source.x_codewords, source.x_means, source.y_codewords, source.classes):
        assert not array.flags.writeable
    for codewords in (source.x_means, source.y_codewords):
        assert 0 <= codewords.min() <= codewords.max() <= 1


@pytest.mark.parametrize("task", TASKS)
def test_images_repeat_whatever_the_threads(task: str) -> None:
    first = sources.image_source(task)
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            assert sources.images(task).fingerprint == first.problem.fingerprint
    assert sources.images(task, seed=1).fingerprint != first.problem.fingerprint
    likeliest = first.problem.ps_given_x.argmax(axis=1)
    assert (np.diff(likeliest) >= 0).all(), "letters are ordered by their most frequent class"


@pytest.mark.parametrize("task", TASKS)
def test_distortion_and_cell_variance_make_the_true_error(task: str, toy: tuple[np.ndarray, np.ndarray]) -> None:
    data, labels = toy
    source = sources.image_source(task, x_letters=7, y_letters=5, data=data, labels=labels)
    problem = source.problem
    # Y independent of the image: its error needs no knowledge of which cell an image is in.
    true = ((data[:, None] - source.y_codewords) ** 2).mean(axis=(0, 2, 3)) @ problem.py
    assert problem.distortion(problem.independent) + source.cell_variance == pytest.approx(true, rel=1e-12)
    np.testing.assert_allclose(np.tensordot(problem.px, source.x_means, 1), data.mean(axis=0))
    np.testing.assert_allclose(np.tensordot(problem.py, source.y_codewords, 1), data.mean(axis=0))
    np.testing.assert_array_equal(source.classes, ["a", "b", "c"])
    np.testing.assert_allclose(problem.ps, [(labels == name).mean() for name in "abc"])


def test_every_image_its_own_letter_shows_the_degradations(toy: tuple[np.ndarray, np.ndarray]) -> None:
    data, labels = toy[0][:6], np.arange(6)  # one class an image: letters are in the order of the images
    everything = {"x_letters": 6, "y_letters": 6, "data": data, "labels": labels}

    blocks = sources.image_source("super-resolution", **everything)
    np.testing.assert_allclose(blocks.x_codewords[:, 1, 2], data[:, 2:4, 4:6].mean(axis=(1, 2)))
    np.testing.assert_array_equal(blocks.problem.ps_given_x, np.eye(6))
    np.testing.assert_array_equal(blocks.x_means, data)
    np.testing.assert_array_equal(blocks.y_codewords, data)
    assert blocks.cell_variance == 0
    assert np.diag(blocks.problem.d).max() == 0

    noisy = sources.image_source("denoising", noise=0.1, **everything)
    residual = noisy.x_codewords - data
    assert residual.std() == pytest.approx(0.1, rel=0.2)
    assert np.abs(residual).min() > 0

    masked = sources.image_source("inpainting", **everything).x_codewords
    hole = np.zeros((4, 6), dtype=bool)
    hole[1:3, 2:4] = True
    assert (masked[:, hole] == 0).all()
    np.testing.assert_array_equal(masked[:, ~hole], data[:, ~hole])


def test_bytes_and_fractions_are_the_same_images(toy: tuple[np.ndarray, np.ndarray]) -> None:
    as_bytes = (toy[0] * 255).astype(np.uint8)
    options = {"x_letters": 4, "y_letters": 4, "labels": toy[1]}
    before = as_bytes.copy()
    one = sources.images(data=as_bytes, **options)
    assert one.fingerprint == sources.images(data=as_bytes / 255, **options).fingerprint
    np.testing.assert_array_equal(as_bytes, before)


def test_image_source_survives_pickling(toy: tuple[np.ndarray, np.ndarray]) -> None:
    source = sources.image_source(x_letters=4, y_letters=4, data=toy[0], labels=toy[1])
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.y_codewords, source.y_codewords)
    assert not copy.y_codewords.flags.writeable
    assert copy.cell_variance == source.cell_variance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "colouring"}, r"^task must be one of 'super-resolution', .*; it is 'colouring'"),
        ({"noise": 0.1}, r"^noise must not be given for task 'super-resolution'; it is 0.1\. Leave it out"),
        ({"task": "denoising", "noise": 0}, r"^noise must be a finite number greater than 0; it is 0\."),
        ({"task": "inpainting", "mask": 1.0}, r"^mask must be a number strictly between 0 and 1; it is 1\."),
        ({"factor": 3}, r"^factor must divide the height and width of the images, 4 and 6; it is 3\."),
        ({"x_letters": 0}, r"^x_letters must be a whole number of at least 1; it is 0\."),
        ({"y_letters": 41}, r"^y_letters must be at most the number of distinct images it stands for, 40; it is 41\."),
        ({"seed": -1}, r"^seed must be a whole number from 0 to 4294967295; it is -1\."),
        ({"labels": None}, r"^data and labels must be given together; only data arrived\."),
        ({"data": None}, r"only labels arrived"),
        ({"labels": [1, 2]}, r"^labels must be one integer or string per image, shape \(40,\); .* shape \(2,\)"),
        ({"labels": np.zeros(40)}, r"^labels must be .* type float64"),
        ({"data": np.zeros((40, 24))}, r"^data must be images of shape \(N, height, width\), .* shape \(40, 24\)"),
        ({"data": np.zeros((40, 4, 6), dtype=int)}, r"^data must be uint8 .*its type is int64"),
        ({"data": np.full((40, 4, 6), 2.0)}, r"^data of floats must lie in \[0, 1\]; .* 2 and 2\."),
        ({"data": np.full((40, 4, 6), np.nan)}, r"^data of floats must lie in \[0, 1\]"),
        ({"data": [[1], [1, 2]]}, r"^data must be an array; it could not be read as one"),
    ],
)
def test_images_refuse(toy: tuple[np.ndarray, np.ndarray], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sources.images(**{"data": toy[0], "labels": toy[1], "x_letters": 4, "y_letters": 4, **options})


def test_images_name_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'drcopt\[images\]'"):
        sources.images()


def test_import_loads_no_optional_dependency() -> None:
    code = "import sys, drcopt.sources; print([m for m in ('sklearn', 'threadpoolctl', 'cvxpy') if m in sys.modules])"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif("DRCOPT_MNIST" not in os.environ, reason="DRCOPT_MNIST names no folder with MNIST's test set")
def test_mnist_runs() -> None:
    folder = Path(os.environ["DRCOPT_MNIST"])
    data = sources.idx.read(folder / "t10k-images-idx3-ubyte.gz")
    labels = sources.idx.read(folder / "t10k-labels-idx1-ubyte.gz")
    assert data.shape == (10000, 28, 28)
    source = sources.image_source(data=data[:2000], labels=labels[:2000])
    assert source.x_codewords.shape == (32, 14, 14)
    assert 0.5 < bits(source.problem.entropy_s_given_x) < 1.5


# IDX


def idx_bytes(array: np.ndarray, code: int) -> bytes:
    header = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_idx_round_trip(tmp_path: Path, code: int, dtype: str, compressed: bool) -> None:
    array = np.arange(-12, 12).reshape(2, 3, 4).astype(dtype)
    content = idx_bytes(array, code)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = sources.idx.read(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.writeable


LABELS = idx_bytes(np.array([3, 1, 2], dtype=np.uint8), 0x08)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"^path must be a readable file; .*No such file"),
        (b"", r"must be an IDX file.* it begins with nothing\."),
        (b"\x89PNG....", r"must be an IDX file.* it begins with 89 50 4e 47\."),
        (b"\0\0\x07\x01" + LABELS[4:], r"must have an IDX type code among 0x08, .*its third byte is 0x07"),
        (b"\0\0\x08\x00", r"must have 1 to 32 axes; its fourth byte says 0"),
        (b"\0\0\x08\xff", r"its fourth byte says 255"),
        (LABELS[:6], r"must hold a header of 8 bytes for its 1 axes; it ends after 6"),
        (LABELS[:-1], r"must hold 11 bytes for shape \(3,\) of uint8; it holds 10\. It is truncated"),
        (LABELS + b"\0", r"it holds 12\. Remove what follows"),
        (b"\0\0\x0e\x03" + b"\xff" * 12, r"It is truncated"),
        (gzip.compress(LABELS, mtime=0)[:-9], r"must be a whole gzip file; it is damaged"),
        (gzip.compress(LABELS, mtime=0)[:-8] + bytes(8), r"must be a whole gzip file; it is damaged"),
        (b"\x1f\x8b" + b"\xff" * 30, r"must be a whole gzip file; it is damaged"),
    ],
)
def test_idx_refuses(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "labels"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        sources.idx.read(path)
    assert "\n" not in str(caught.value)
