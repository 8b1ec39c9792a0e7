"""Labelled images in three parts, from files that the user has. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drcopt.errors import InputError
from drcopt.sources import idx
from drcopt.sources._arguments import whole
from drcopt.support.check import choice, require, shown

__all__ = ["MOST_BYTES", "NAMES", "Dataset", "Images", "Labels", "Part", "from_arrays", "load"]

#: The datasets that have a name, and what is read.
NAMES: dict[str, str] = {
    "digits": "the 1797 grey 8x8 digits that scikit-learn carries",
    "mnist": "--data: a folder with the four IDX files of MNIST or its relatives, with or without .gz",
    "colour-digits": "the same digits on crops of two photographs that scikit-learn carries, 32x32",
    "svhn": "--data: a folder with train_32x32.mat and test_32x32.mat",
    "folder": "--data: a folder of PNGs, CLASS/*.png, or train/CLASS/*.png and test/CLASS/*.png",
}

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

#: No file is taken for more than this many bytes of pixels.
MOST_BYTES = 4 * 2**30
#: Deflate makes nothing more than this many times smaller; a file that claims it is hostile.
_DEFLATE = 1032
_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Part:
    """Images (n, c, h, w) uint8 and, for each, the place of its class in ``Dataset.classes``. Read-only."""

    images: Images
    labels: Labels

    def __post_init__(self) -> None:
        self.images.flags.writeable = self.labels.flags.writeable = False

    def __reduce__(self) -> tuple[object, ...]:
        return (Part, (self.images, self.labels))

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, most: int | None) -> Part:
        """``most`` of the images, always the same; all of them if None or fewer."""
        if most is None or most >= len(self):
            return self
        # Not the first: files have easy halves.
        chosen = np.sort(np.random.default_rng(0).permutation(len(self))[:most])
        return Part(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on, to look at while choosing settings, and to report on once.

    Attributes
    ----------
    name : str
    train, validation, test : Part
    classes : tuple of str
    """

    name: str
    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @cached_property
    def sha256(self) -> str:
        """Of all pixels and labels, in hexadecimal."""
        digest = hashlib.sha256(repr((self.classes, self.shape)).encode())
        for part in (self.train, self.validation, self.test):
            for array in (part.images, part.labels.astype("<i8")):
                digest.update(str(array.shape).encode() + array.tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and (self is other or self.sha256 == other.sha256)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def limited(self, train: int | None = None, test: int | None = None) -> Dataset:
        """The same with at most ``train`` images to train on and ``test`` to report on."""
        for name, value in (("train", train), ("test", test)):
            if value is not None:
                whole(f"{name} images", value, 2)
        return replace(self, train=self.train.sample(train), test=self.test.sample(test))

    def __reduce__(self) -> tuple[object, ...]:
        return (Dataset, tuple(getattr(self, field.name) for field in fields(self)))


def load(name: str, path: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Dataset:
    """The dataset of a name in :data:`NAMES`, from the folder ``path`` if it needs one.

    A tenth of the training images, chosen by ``seed``, is for validation; where there is no test set, a fifth of all is
    for testing.

    Raises
    ------
    InputError
        If there is no such name, or a file is missing, broken or something else.
    MissingExtraError
        If scikit-learn or Pillow is needed and not installed.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.shape, len(digits.train), len(digits.validation), len(digits.test)
    ((1, 8, 8), 1294, 144, 359)
    """
    choice("dataset", name, NAMES)
    seed = whole("seed", seed, 0, 2**31 - 1)
    if name == "digits":
        if path is not None:
            raise InputError(
                f"data must not be given for digits, which are bundled; it is {os.fspath(path)!r}. Leave it out."
            )
        return _digits(seed)
    if path is None:
        raise InputError(f"data must be given for {name}: {NAMES[name].removeprefix('--data: ')}. Pass that folder.")
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"data must be a folder; {path} is not one. Pass the folder that holds the files.")
    readers: dict[str, Callable[[Path, int], Dataset]] = {
        "mnist": _mnist, "colour-digits": _colour_digits, "svhn": _svhn, "folder": _folder,
    }  # fmt: skip
    return readers[name](path, seed)


def from_arrays(
    images: ArrayLike,
    labels: ArrayLike,
    test_images: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    *,
    name: str = "arrays",
    seed: int = 0,
) -> Dataset:
    """A dataset from images (n, h, w) or (n, h, w, 3 or 1), uint8 or floats in [0, 1], and a label for each.

    Floats are rounded to 8 bits. Without test images a fifth, chosen by ``seed``, is for testing.

    Raises
    ------
    InputError
        If shapes, types or values are others, or a class of the test images is not among the training images.
    """
    pixels, named = _pixels("images", images), _labels("labels", labels)
    _same_length("images", pixels, named)
    generator = np.random.default_rng(seed)
    if (test_images is None) != (test_labels is None):
        raise InputError("test_images and test_labels must be given together; one of them is None. Pass both.")
    if test_images is None or test_labels is None:
        order = generator.permutation(len(pixels))
        cut = round(2 * _SHARE * len(order))
        tested, tested_as = pixels[order[:cut]], named[order[:cut]]
        pixels, named = pixels[order[cut:]], named[order[cut:]]
    else:
        tested, tested_as = _pixels("test_images", test_images), _labels("test_labels", test_labels)
        _same_length("test_images", tested, tested_as)
    if tested.shape[1:] != pixels.shape[1:]:
        raise InputError(
            f"test_images must be of the training images' size, {pixels.shape[1:]} (channels, height, width); they are "
            f"{tested.shape[1:]}. Resize them."
        )
    order = generator.permutation(len(pixels))
    cut = round(_SHARE * len(order))
    classes = np.unique(named)
    if len(classes) < 2 or min(cut, len(tested), len(order) - cut) < 2:
        raise InputError(
            f"there must be two classes and two images or more in each part; there are {len(classes)} and "
            f"{len(order) - cut}, {cut} and {len(tested)}. Pass more images."
        )
    unknown = np.setdiff1d(tested_as, classes)
    if len(unknown):
        raise InputError(
            f"every class of the test images must be among the training images'; {unknown[0]!r} is not. "
            "Check that both are of one dataset."
        )

    def part(images: Images, labels: NDArray[Any]) -> Part:
        return Part(np.ascontiguousarray(images), np.searchsorted(classes, labels).astype(np.int64))

    kept, held = order[cut:], order[:cut]
    return Dataset(
        name,
        part(pixels[kept], named[kept]),
        part(pixels[held], named[held]),
        part(tested, tested_as),
        tuple(str(label) for label in classes),
    )


def _pixels(name: str, value: ArrayLike) -> Images:
    """Images as (n, c, h, w) uint8."""
    array = _array(name, value)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or array.size == 0:
        raise InputError(
            f"{name} must have shape (n, height, width) or (n, height, width, 1 or 3), none of them 0; the shape is "
            f"{np.shape(array)}. Reshape it, channels last."
        )
    if array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):
            raise InputError(
                f"{name} of floats must lie in [0, 1]; the least and largest are {array.min():.6g} and "
                f"{array.max():.6g}. Divide by the largest possible value."
            )
        array = np.round(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise InputError(
            f"{name} must be uint8 (0..255) or floats in [0, 1]; the type is {array.dtype.name}. Convert it."
        )
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def _labels(name: str, value: ArrayLike) -> NDArray[Any]:
    array = _array(name, value)
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise InputError(
            f"{name} must be one integer or string per image, shape (n,); the shape is {array.shape} and the type "
            f"{array.dtype.name}. Pass the class of each image."
        )
    return array


def _array(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as reason:
        raise InputError(f"{name} must be an array; it is {shown(value)} ({reason}). Pass one array.") from None


def _same_length(name: str, images: Images, labels: NDArray[Any]) -> None:
    if len(images) != len(labels):
        raise InputError(
            f"{name} must have a label each; there are {len(images)} images and {len(labels)} labels. "
            "Check that the files belong together."
        )


def _digits(seed: int) -> Dataset:
    digits = require("sklearn.datasets", "images", "The digits").load_digits()
    return from_arrays(digits.images / 16.0, digits.target, name="digits", seed=seed)


def _mnist(folder: Path, seed: int, name: str = "mnist") -> Dataset:
    arrays = []
    for stem in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        axes = 3 if stem.endswith("images") else 1
        names = [f"{stem}{dot}idx{axes}-ubyte{gz}" for gz in ("", ".gz") for dot in ("-", ".")]
        found = next((folder / name for name in names if (folder / name).exists()), None)
        if found is None:
            raise InputError(f"{folder} must hold {names[0]} or {names[2]}; it does not. Pass the folder that does.")
        _readable(found)
        array = idx.read(found)
        if array.ndim != axes or array.dtype != np.uint8:
            raise InputError(
                f"{found} must hold uint8 with {axes} axes; it holds {array.dtype.name} with {array.ndim}. "
                "Check that it is what its name says."
            )
        arrays.append(array)
    return from_arrays(*arrays, name=name, seed=seed)


def _colour_digits(folder: Path, seed: int) -> Dataset:
    """Each digit, resized to 32 × 32, inverts a crop of a photograph, in its channels: |crop − digit|."""
    photographs = require("sklearn.datasets", "images", "The photographs").load_sample_images().images
    grey = _mnist(folder, seed)
    generator = np.random.default_rng([seed, 1])

    def painted(part: Part) -> Part:
        images = np.empty((len(part), 3, 32, 32), np.uint8)
        which = generator.integers(len(photographs), size=len(part))
        corners = generator.random((len(part), 2))
        margins = [(32 - side) // 2 for side in grey.shape[1:]]
        if min(margins) < 0:
            raise InputError(f"digits must be at most 32 pixels wide and high; they are {grey.shape[1:]}. Shrink them.")
        rows, columns = (slice(m, m + side) for m, side in zip(margins, grey.shape[1:], strict=True))
        for i, image in enumerate(images):
            photograph = photographs[which[i]]
            top, left = (int(c * (side - 64)) for c, side in zip(corners[i], photograph.shape[:2], strict=True))
            image[:] = photograph[top : top + 64 : 2, left : left + 64 : 2].transpose(2, 0, 1)
            crop = image[:, rows, columns]
            crop[:] = np.abs(crop.astype(np.int16) - part.images[i]).astype(np.uint8)
        return Part(images, part.labels.copy())

    train, validation, test = (painted(part) for part in (grey.train, grey.validation, grey.test))
    return Dataset("colour-digits", train, validation, test, grey.classes)


def _svhn(folder: Path, seed: int) -> Dataset:
    arrays: list[Any] = []
    for name in ("train_32x32.mat", "test_32x32.mat"):
        images, labels = _matlab(_readable(folder / name))
        arrays += [images.transpose(3, 0, 1, 2), labels.ravel().astype(np.int64) % 10]  # 10 stands for 0
    return from_arrays(*arrays, name="svhn", seed=seed)


def _matlab(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """X and y of SVHN's files. Their sizes are checked against the file's before anything is unpacked."""
    from scipy import io

    wanted = "X, uint8 of shape (h, w, 3, n), and y, n labels, in a MATLAB file of version 5 to 7"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            listed = {name: (shape, kind) for name, shape, kind in io.whosmat(path)}
            (shape, kind), (labels, _) = listed["X"], listed["y"]
            count = int(np.prod([int(n) for n in shape], dtype=object))
            if len(shape) != 4 or kind != "uint8" or int(np.prod(labels, dtype=object)) != shape[3]:
                raise ValueError(f"X is {kind} of shape {shape}, y of shape {labels}")
            if count > min(MOST_BYTES, _DEFLATE * path.stat().st_size):
                raise ValueError(f"{path.stat().st_size} bytes cannot hold X of shape {shape}")
            found = io.loadmat(path, variable_names=["X", "y"])
            return found["X"], found["y"]
    except MemoryError:
        reason = "it is larger than memory"
    except Exception as error:  # the reader meets damage with whatever its code runs into
        reason = f"{type(error).__name__}: {shown(str(error))}"
    raise InputError(f"{path} must hold {wanted}; it does not ({reason}). Fetch it again.")


def _folder(folder: Path, seed: int) -> Dataset:
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return from_arrays(*_pngs(folder / "train"), *_pngs(folder / "test"), name="folder", seed=seed)
    return from_arrays(*_pngs(folder), name="folder", seed=seed)


def _pngs(folder: Path) -> tuple[Images, NDArray[Any]]:
    pillow = require("PIL.Image", "neural", "Reading PNGs")
    paths = [path for kind in sorted(folder.iterdir()) if kind.is_dir() for path in sorted(kind.glob("*.png"))]
    if not paths:
        raise InputError(f"{folder} must hold folders of .png files, one for each class; it has none. Check the path.")
    images: Images | None = None
    for i, path in enumerate(paths):
        try:
            with pillow.open(_readable(path), formats=["PNG"]) as picture:
                size, mode = (picture.height, picture.width), "L" if picture.mode in ("1", "L") else "RGB"
                shape = (*size, 1 if mode == "L" else 3)
                if images is None:
                    if int(np.prod(shape, dtype=object)) * len(paths) > MOST_BYTES:
                        raise ValueError(
                            f"{len(paths)} pictures of {size[1]} by {size[0]} are more than {MOST_BYTES} bytes"
                        )
                    images = np.empty((len(paths), *shape), np.uint8)
                if shape != images.shape[1:]:
                    raise ValueError(
                        f"its height, width and channels are {shape}, the first picture's {images.shape[1:]}"
                    )
                images[i] = np.asarray(picture.convert(mode)).reshape(shape)
        except InputError:
            raise
        except Exception as error:  # as above
            raise InputError(
                f"{path} must be a PNG like the others; it is not ({shown(str(error))}). Replace or remove it."
            ) from None
    assert images is not None
    return images, np.array([path.parent.name for path in paths])


def _readable(path: Path) -> Path:
    """A regular file: a pipe would be waited for, and a device has no end."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return path
        reason = "no regular file"
    except OSError as error:
        reason = str(error.strerror)
    raise InputError(f"{path} must be a readable file; it is not ({reason}). Check the path.")
