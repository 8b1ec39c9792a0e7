"""Labelled images from files, whole and broken; and files of arrays. None of this needs PyTorch."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from drcopt import neural
from drcopt.errors import CheckpointError, InputError, MissingExtraError
from drcopt.neural import data, store, table
from drcopt.neural.config import Settings, Task, fingerprint

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (60, 10, 12), np.uint8)
LABELS = (np.arange(60) % 4).astype(np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    for stem, array in (
        ("train-images-idx3", IMAGES), ("train-labels-idx1", LABELS),
        ("t10k-images-idx3", IMAGES[:20]), ("t10k-labels-idx1", LABELS[:20]),
    ):  # fmt: skip
        (tmp_path / f"{stem}-ubyte").write_bytes(idx_bytes(array))
    return tmp_path


def write_pngs(folder: Path, images: np.ndarray) -> None:
    image = pytest.importorskip("PIL.Image")
    for i, pixels in enumerate(images):
        (folder / f"class{i % 2}").mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(folder / f"class{i % 2}" / f"{i:03}.png")


class TestReads:
    def test_idx_with_and_without_gz(self, mnist: Path) -> None:
        plain = data.load("mnist", mnist)
        for path in list(mnist.iterdir()):
            path.with_name(path.name.replace("-idx", ".idx") + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        assert data.load("mnist", mnist) == plain
        assert plain.shape == (1, 10, 12) and plain.classes == ("0", "1", "2", "3")
        assert (len(plain.train), len(plain.validation), len(plain.test)) == (54, 6, 20)
        assert np.array_equal(plain.test.images[:, 0], IMAGES[:20])

    def test_svhn(self, tmp_path: Path) -> None:
        from scipy import io

        colour = RANDOM.integers(0, 256, (32, 32, 3, 40), np.uint8)
        labels = (np.arange(40) % 10 + 1).astype(np.uint8)[:, None]
        for name in ("train_32x32.mat", "test_32x32.mat"):
            io.savemat(tmp_path / name, {"X": colour, "y": labels}, do_compression=True)
        found = data.load("svhn", tmp_path)
        assert found.shape == (3, 32, 32) and len(found.classes) == 10
        assert np.array_equal(found.test.images, colour.transpose(3, 2, 0, 1))
        assert found.test.labels[9] == 0  # 10 stands for 0

    @pytest.mark.parametrize("shape", [(24, 6, 7), (24, 6, 7, 3)])
    def test_folders_of_pngs(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        images = RANDOM.integers(0, 256, shape, np.uint8)
        write_pngs(tmp_path, images)
        found = data.load("folder", tmp_path)
        parts = (found.train, found.validation, found.test)
        assert found.classes == ("class0", "class1") and sum(map(len, parts)) == 24
        every = np.concatenate([part.images for part in parts]).transpose(0, 2, 3, 1).reshape(shape)
        assert {image.tobytes() for image in every} == {image.tobytes() for image in images}

    def test_folders_with_a_test_set(self, tmp_path: Path) -> None:
        write_pngs(tmp_path / "train", IMAGES)
        write_pngs(tmp_path / "test", IMAGES[:8])
        assert len(data.load("folder", tmp_path).test) == 8

    def test_arrays(self) -> None:
        found = data.from_arrays(IMAGES / 255.0, list("abcd") * 15)
        assert found == data.from_arrays(IMAGES, list("abcd") * 15) != data.from_arrays(IMAGES, LABELS)
        assert not found.train.images.flags.writeable
        assert pickle.loads(pickle.dumps(found)) == found

    def test_colour_digits(self, mnist: Path) -> None:
        pytest.importorskip("sklearn")
        found = data.load("colour-digits", mnist)
        assert found.shape == (3, 32, 32) and found == data.load("colour-digits", mnist)

    def test_parts_are_apart_and_depend_on_the_seed(self) -> None:
        marked = np.zeros((100, 4, 4), np.uint8)
        marked[:, 0, 0] = np.arange(100)
        found = data.from_arrays(marked, np.arange(100) % 2)
        ids = [set(part.images[:, 0, 0, 0].tolist()) for part in (found.train, found.validation, found.test)]
        assert [len(part) for part in ids] == [72, 8, 20] and len(set.union(*ids)) == 100
        assert data.from_arrays(marked, np.arange(100) % 2, seed=1) != found

    def test_limits(self) -> None:
        found = data.from_arrays(IMAGES, LABELS).limited(10, 5)
        assert (len(found.train), len(found.test)) == (10, 5)
        assert found == data.from_arrays(IMAGES, LABELS).limited(10, 5)


class TestRefuses:
    @pytest.mark.parametrize(
        ("images", "labels", "message"),
        [
            (IMAGES[0], LABELS, "must have shape"),
            (IMAGES[:0], LABELS[:0], "none of them 0"),
            (IMAGES.astype(np.int64), LABELS, "must be uint8"),
            (IMAGES.astype(float), LABELS, r"must lie in \[0, 1\]"),
            (np.full(IMAGES.shape, np.nan), LABELS, r"must lie in \[0, 1\]"),
            (IMAGES, LABELS[:50], "60 images and 50 labels"),
            (IMAGES, LABELS / 2, "one integer or string"),
            (IMAGES, np.zeros(60, int), "two classes"),
            (IMAGES[:5], LABELS[:5], "two images or more in each part"),
            ([[1], [1, 2]], LABELS, "must be an array"),
        ],
    )
    def test_arrays(self, images: np.ndarray, labels: np.ndarray, message: str) -> None:
        with pytest.raises(InputError, match=message):
            data.from_arrays(images, labels)

    def test_test_images_of_other_kinds(self) -> None:
        with pytest.raises(InputError, match="given together"):
            data.from_arrays(IMAGES, LABELS, IMAGES)
        with pytest.raises(InputError, match="of the training images' size"):
            data.from_arrays(IMAGES, LABELS, IMAGES[:, :5], LABELS)
        with pytest.raises(InputError, match="every class"):
            data.from_arrays(IMAGES, LABELS, IMAGES, LABELS + 1)

    @pytest.mark.parametrize("name", ["mnist", "svhn", "folder", "colour-digits"])
    def test_no_folder_and_an_empty_one(self, name: str, tmp_path: Path) -> None:
        for path in (None, tmp_path / "missing", tmp_path):
            with pytest.raises((InputError, MissingExtraError)):
                data.load(name, path)

    @pytest.mark.parametrize("place", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
    @pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"\x1f\x8b\x08", b"<html>", bytes(500)])
    def test_broken_idx(self, mnist: Path, place: str, content: bytes) -> None:
        (mnist / place).write_bytes(content)
        with pytest.raises(InputError):
            data.load("mnist", mnist)

    def test_a_small_idx_file_that_unpacks_to_gigabytes(self, mnist: Path) -> None:
        squeezed = zlib.compressobj(1, zlib.DEFLATED, 31)
        head = squeezed.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 60, 10, 12)) + squeezed.flush(
            zlib.Z_FULL_FLUSH
        )
        million = squeezed.compress(bytes(2**20)) + squeezed.flush(
            zlib.Z_FULL_FLUSH
        )  # stands for itself, again and again
        (mnist / "train-images-idx3-ubyte").write_bytes(head + 1200 * million + squeezed.flush())
        with_little_memory(f"data.load('mnist', {str(mnist)!r})", "must hold 7216 bytes")
        claim = struct.pack(">3I", 2**31, 2**15, 2**15)
        (mnist / "train-images-idx3-ubyte").write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + claim))
        with_little_memory(f"data.load('mnist', {str(mnist)!r})", "It is truncated")

    def test_a_pipe_is_not_waited_for(self, mnist: Path, tmp_path: Path) -> None:
        path = mnist / "train-images-idx3-ubyte"
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(InputError, match="no regular file"):
            data.load("mnist", mnist)
        with pytest.raises(CheckpointError, match="must be a regular file"):
            store.read(path)

    def test_broken_matlab(self, tmp_path: Path) -> None:
        from scipy import io

        colour, labels = np.zeros((32, 32, 3, 20), np.uint8), np.ones((20, 1))
        path = tmp_path / "train_32x32.mat"
        io.savemat(path, {"X": colour, "y": labels}, do_compression=True)
        whole = path.read_bytes()
        damaged = [whole[: len(whole) // 2], whole[:100], b"", b"\0" * 300, whole[:200] + b"\xff" * 40 + whole[240:]]
        for content in damaged:
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"train_32x32\.mat must hold X"):
                data.load("svhn", tmp_path)
        for wrong in ({"X": colour}, {"X": colour.astype(float), "y": labels}, {"X": colour, "y": labels[:5]}):
            io.savemat(path, wrong)
            with pytest.raises(InputError, match=r"train_32x32\.mat must hold X"):
                data.load("svhn", tmp_path)

    def test_a_matlab_file_that_claims_more_than_it_can_hold(self, tmp_path: Path) -> None:
        from scipy import io

        io.savemat(tmp_path / "train_32x32.mat", {"X": np.zeros((32, 32, 3, 20), np.uint8), "y": np.ones((20, 1))})
        whole = (tmp_path / "train_32x32.mat").read_bytes()
        shape = struct.pack("<4i", 32, 32, 3, 20)
        assert whole.count(shape) == 1
        (tmp_path / "train_32x32.mat").write_bytes(whole.replace(shape, struct.pack("<4i", 32, 32, 3, 2**30)))
        with_little_memory(f"data.load('svhn', {str(tmp_path)!r})", "train_32x32.mat must hold X")

    def test_broken_pngs(self, tmp_path: Path) -> None:
        write_pngs(tmp_path, IMAGES)
        path = tmp_path / "class1" / "003.png"
        whole = path.read_bytes()
        for content in (whole[:40], b"", b"GIF89a", whole[:30] + b"\0\0" + whole[32:]):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"003\.png must be a PNG like the others"):
                data.load("folder", tmp_path)
        huge = whole[:16] + struct.pack(">2I", 2**30, 2**30) + whole[24:29]
        huge += struct.pack(">I", zlib.crc32(huge[12:29])) + whole[33:]
        for name in ("003.png", "001.png"):  # not the first of all, and the first of a class
            (path.parent / name).write_bytes(huge)
        for other in (tmp_path / "class0").iterdir():
            other.write_bytes(huge)
        with pytest.raises(InputError, match="must be a PNG like the others"):
            data.load("folder", tmp_path)

    def test_pngs_of_several_sizes(self, tmp_path: Path) -> None:
        write_pngs(tmp_path / "class2", IMAGES[:4, :5])
        write_pngs(tmp_path, IMAGES)
        (tmp_path / "class0" / "zz.png").write_bytes((tmp_path / "class2" / "class0" / "000.png").read_bytes())
        with pytest.raises(InputError, match="its height, width and channels are"):
            data.load("folder", tmp_path)


def with_little_memory(call: str, message: str) -> None:
    """The call, in a process of 1 GB, must end in an InputError that says ``message``."""
    code = (
        "import resource; from drcopt.neural import data; from drcopt.errors import InputError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        f"try: {call}\nexcept InputError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(neural.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert message in done.stdout, done.stdout + done.stderr


class TestStore:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(7), "c": np.zeros((0, 2), np.float32)}
        store.write(tmp_path / "file", arrays, {"kind": "test", "list": [1, None]})
        return tmp_path / "file"

    def test_comes_back(self, path: Path) -> None:
        arrays, meta = store.read(path)
        assert meta == {"kind": "test", "list": [1, None]}
        assert np.array_equal(arrays["a"], np.arange(6.0).reshape(2, 3))
        assert (arrays["b"].shape, int(arrays["b"]), arrays["c"].shape) == ((), 7, (0, 2))

    def test_every_damage_is_noticed(self, path: Path) -> None:
        whole = path.read_bytes()
        for place in range(len(whole)):
            broken = bytearray(whole)
            broken[place] ^= 0x10
            path.write_bytes(bytes(broken))
            with pytest.raises(CheckpointError):
                store.read(path)
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(CheckpointError):
                store.read(path)

    @pytest.mark.parametrize(
        "entry",
        [
            ["a", "<f8", [2**62]],
            ["a", "<f8", [-1]],
            ["a", "|O", [1]],
            ["a", "<f8", "x"],
            ["a", "<f8"],
            ["a", "<f8", [1.5]],
        ],
    )
    def test_hostile_headers(self, tmp_path: Path, entry: list[object]) -> None:
        header = json.dumps({"meta": {}, "arrays": [entry]}).encode()
        deep = b"[" * 100_000
        for content in (header, deep, b"9" * 10_000, b"null", b'{"meta":1,"arrays":[]}'):
            start = store.MAGIC + len(content).to_bytes(8, "little") + content + bytes(64)
            (tmp_path / "file").write_bytes(start + hashlib.sha256(start).digest())
            with pytest.raises(CheckpointError, match="is damaged"):
                store.read(tmp_path / "file")


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"dimensions": 0}, "dimensions must be a whole number"),
            ({"levels": 1}, "levels must be a whole number from 2"),
            ({"common_randomness": False}, "common_randomness must be one of"),
            ({"lambda_p": -1}, "lambda_p must be a number from 0"),
            ({"joint_classifier": "False"}, "must be True or False; it is 'False'"),
            ({"learning_rate": 0}, "learning_rate must be a number strictly between"),
            ({"mixed_precision": True}, "must go with device 'cuda'"),
            ({"seed": 1.5}, "seed must be a whole number"),
        ],
    )
    def test_are_checked(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(InputError, match=message):
            Settings(**change)  # type: ignore[arg-type]

    def test_rates(self) -> None:
        for rate in (1, 2, 7, 32):
            assert Settings().at(rate).rate == rate
        for rate in (0, 2.5, "8", True):
            with pytest.raises(InputError, match="rates must be a whole number"):
                Settings().at(rate)
        with pytest.raises(InputError, match="a setting must be one of"):
            Settings().at(8, lamda_p=1)

    def test_tasks(self) -> None:
        assert Task.named("denoising-supervised", noise=0.1) == Task("denoising", supervised=True, noise=0.1)
        with pytest.raises(InputError, match="Did you mean 'denoising'"):
            Task.named("denoise")
        with pytest.raises(InputError, match="factor must be a whole number"):
            Task(factor=1)

    def test_fingerprints(self) -> None:
        assert fingerprint(Settings()) == fingerprint(Settings())
        assert len({fingerprint(Settings(seed=seed), Task()) for seed in range(5)}) == 5


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from drcopt import neural\nfrom drcopt.errors import MissingExtraError\n"
        "neural.Settings()\n"
        "try: neural.train\nexcept MissingExtraError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(neural.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.strip().endswith("pip install 'drcopt[neural]'"), done.stderr


def test_columns_that_sweep_tables_have_too() -> None:
    from drcopt import tables

    shared = {"rate_budget_bits", "rate_bits", "distortion", "classification_loss_bits", "lower_bound", "status",
              "termination", "seconds", "drcopt_version", "numpy_version"}  # fmt: skip
    assert shared <= set(tables.MEANINGS) & set(table.MEANINGS)
