"""Restoration of real images as a problem on finite alphabets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drcopt import words
from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.sources._arguments import number, whole
from drcopt.support.check import FloatArray, choice, freeze, require

__all__ = ["TASKS", "ImageSource", "cell_means", "cells", "image_source", "images"]

#: Each task's one setting and its default.
TASKS: dict[words.Degradation, tuple[str, float]] = {
    "super-resolution": ("factor", 2),
    "denoising": ("noise", 0.5),
    "inpainting": ("mask", 0.5),
}


@dataclass(frozen=True, eq=False)
class ImageSource:
    """A restoration problem and the pictures behind its letters. Arrays are read-only.

    Attributes
    ----------
    task : str
        "super-resolution", "denoising" or "inpainting".
    problem : Problem
        X a codeword of degraded images, Y a codeword of clean images, S the class of the image.
    x_codewords : (n, h', w') array
        Mean degraded image of each cell of X; (h', w') is smaller than (h, w) for super-resolution.
    x_means : (n, h, w) array
        Mean clean image of the images whose degraded version falls in each cell of X.
    y_codewords : (m, h, w) array
        Mean clean image of each cell of Y.
    classes : (k,) array
        The labels, in the order of the letters of S.
    cell_variance : float
        E‖clean − x_means[X]‖² per pixel: the part of the true mean squared error that no choice of Y given X
        alters. True pixel MSE of a coupling = ``problem.distortion(coupling) + cell_variance``.

    Examples
    --------
    >>> source = image_source("denoising", x_letters=4, y_letters=3)
    >>> source.task, source.shape
    ('denoising', (8, 8))
    """

    task: str
    problem: Problem
    x_codewords: FloatArray
    x_means: FloatArray
    y_codewords: FloatArray
    classes: NDArray[Any]
    cell_variance: float

    def __post_init__(self) -> None:
        for array in (self.x_codewords, self.x_means, self.y_codewords, self.classes):
            freeze(array)

    def __reduce__(self) -> tuple[object, ...]:
        # Through the constructor: pickling alone would hand back writeable arrays.
        return (ImageSource, tuple(getattr(self, field.name) for field in fields(self)))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a clean image."""
        height, width = self.y_codewords.shape[1:]
        return height, width


def image_source(
    task: words.Degradation = "super-resolution",
    *,
    x_letters: int = 32,
    y_letters: int = 32,
    data: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
    factor: int | None = None,
    noise: float | None = None,
    mask: float | None = None,
) -> ImageSource:
    """Degrade labelled images, give degraded and clean images a codebook each, and tabulate.

    Parameters
    ----------
    task : str
        "super-resolution": X is the image averaged over ``factor`` × ``factor`` blocks.
        "denoising": X is the image plus Gaussian noise of standard deviation ``noise``, not clipped.
        "inpainting": X is the image with a centred square set to 0, its side ``mask`` times the shorter side.
    x_letters, y_letters : int
        Sizes of the codebooks of degraded and of clean images.
    data : (N, h, w) array, optional
        Clean images, uint8 in 0..255 or floats in [0, 1]. By default the 1797 real 8×8 handwritten digits [1]_
        that scikit-learn carries; nothing is downloaded. See :func:`drcopt.sources.idx.read` for MNIST.
    labels : (N,) array of integers or strings, optional
        Their classes; given if and only if ``data`` is.
    seed : int
        Of the noise and of k-means.
    factor : int, optional
        Of super-resolution only; divides h and w. Default 2.
    noise : float, optional
        Of denoising only, in units of the pixel range [0, 1]. Default 0.5.
    mask : float, optional
        Of inpainting only, strictly between 0 and 1. Default 0.5.

    Returns
    -------
    ImageSource
        ``problem`` has px, p(s|x) and py as the empirical frequencies of the cells, and
        d(x, y) = ‖x_means[x] − y_codewords[y]‖² / (h w), with pixel values in [0, 1].

    Raises
    ------
    InputError
        If an argument is out of its range, or there are fewer distinct images than letters.
    MissingExtraError
        If scikit-learn is not installed.

    Notes
    -----
    d is the squared error per pixel against the mean clean image of cell x, not against each image. As Y
    depends on the image only through X, the two differ by a constant:
    E[‖clean − y‖² / (h w) | x] = Var(clean | x) / (h w) + d(x, y), and the mean of the variance term is
    ``cell_variance``. The optimal couplings are the same for both.

    The codebooks are k-means on one thread with a fixed seed, and their letters are ordered by the cell's most
    frequent class and then by its first image, so that repeated calls give the same ``problem.fingerprint``.

    References
    ----------
    .. [1] E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.

    Examples
    --------
    >>> source = image_source("super-resolution", x_letters=4, y_letters=3)
    >>> source.problem.n, source.problem.m, source.problem.units
    (4, 3, '')
    """
    task = choice("task", task, TASKS)
    x_letters, y_letters = whole("x_letters", x_letters, 1), whole("y_letters", y_letters, 1)
    seed = whole("seed", seed, 0, 2**32 - 1)
    setting = _setting(task, {"factor": factor, "noise": noise, "mask": mask})
    clean, classes, s = _labelled(data, labels)
    degraded = _degrade(task, clean, setting, seed)

    x = cells("x_letters", degraded, x_letters, s, seed)
    y = cells("y_letters", clean, y_letters, s, seed)
    x_means, y_codewords = cell_means(clean, x), cell_means(clean, y)
    counts = np.zeros((x_letters, len(classes)))
    np.add.at(counts, (x, s), 1.0)
    per_cell = counts.sum(axis=1)
    d = np.stack([((y_codewords - x_mean) ** 2).mean(axis=(1, 2)) for x_mean in x_means])
    problem = Problem(
        per_cell / len(clean), np.bincount(y, minlength=y_letters) / len(clean), counts / per_cell[:, None], d
    )
    variance = float(((clean - x_means[x]) ** 2).mean())
    return ImageSource(task, problem, cell_means(degraded, x), x_means, y_codewords, classes, variance)


def images(
    task: words.Degradation = "super-resolution",
    *,
    x_letters: int = 32,
    y_letters: int = 32,
    data: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    seed: int = 0,
    factor: int | None = None,
    noise: float | None = None,
    mask: float | None = None,
) -> Problem:
    """The ``problem`` of :func:`image_source`, keywords as there.

    Parameters
    ----------
    task, x_letters, y_letters, data, labels, seed, factor, noise, mask
        As in :func:`image_source`, and the errors too.

    Examples
    --------
    >>> images("inpainting", x_letters=4, y_letters=3).m
    3
    """
    return image_source(
        task,
        x_letters=x_letters,
        y_letters=y_letters,
        data=data,
        labels=labels,
        seed=seed,
        factor=factor,
        noise=noise,
        mask=mask,
    ).problem


def _setting(task: words.Degradation, given: dict[str, Any]) -> Any:
    """The setting of the task; those of other tasks are refused, not ignored."""
    own, default = TASKS[task]
    for name, value in given.items():
        if name != own and value is not None:
            raise InputError(f"{name} must not be given for task {task!r}; it is {value!r}. Leave it out.")
    return default if given[own] is None else given[own]


def _labelled(data: ArrayLike | None, labels: ArrayLike | None) -> tuple[FloatArray, NDArray[Any], NDArray[np.intp]]:
    """Clean images in [0, 1], the classes, and each image's index among them."""
    if (data is None) != (labels is None):
        arrived = "data" if labels is None else "labels"
        raise InputError(f"data and labels must be given together; only {arrived} arrived. Pass both or neither.")
    if data is None or labels is None:
        digits = require("sklearn.datasets", "images", "The digits source").load_digits()
        clean, named = digits.images / 16.0, digits.target
    else:
        clean, named = _pixels(data), _array("labels", labels)
        if named.shape != clean.shape[:1] or named.dtype.kind not in "iuU":
            raise InputError(
                f"labels must be one integer or string per image, shape ({len(clean)},); they have shape "
                f"{named.shape} and type {named.dtype.name}. Pass the class of each image."
            )
    classes, s = np.unique(named, return_inverse=True)
    return clean, classes, s


def _pixels(data: ArrayLike) -> FloatArray:
    array = _array("data", data)
    if array.ndim != 3 or array.size == 0:
        raise InputError(
            f"data must be images of shape (N, height, width), none of them 0; it has shape {array.shape}. "
            "Reshape it; average colour channels into one."
        )
    if array.dtype == np.uint8:
        return np.asarray(array / 255.0)
    if array.dtype.kind != "f":
        raise InputError(
            f"data must be uint8 (0..255) or floats in [0, 1]; its type is {array.dtype.name}. "
            "Divide it by its largest possible value."
        )
    if not (array.min() >= 0 and array.max() <= 1):
        raise InputError(
            f"data of floats must lie in [0, 1]; its least and largest entries are {array.min():.6g} and "
            f"{array.max():.6g}. Divide it by its largest possible value."
        )
    return array.astype(np.float64)


def _array(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as reason:
        raise InputError(f"{name} must be an array; it could not be read as one ({reason}). Pass one array.") from None


def _degrade(task: words.Degradation, clean: FloatArray, setting: Any, seed: int) -> FloatArray:
    count, height, width = clean.shape
    if task == "super-resolution":
        factor = whole("factor", setting, 2)
        if height % factor or width % factor:
            raise InputError(
                f"factor must divide the height and width of the images, {height} and {width}; it is {factor}. "
                "Crop the images or pass another factor."
            )
        blocks = clean.reshape(count, height // factor, factor, width // factor, factor)
        return np.asarray(blocks.mean(axis=(2, 4)))
    if task == "denoising":
        noise = number("noise", setting, 0)
        return clean + noise * np.random.default_rng(seed).standard_normal(clean.shape)
    side = max(1, round(number("mask", setting, 0, 1) * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    masked = clean.copy()
    masked[:, top : top + side, left : left + side] = 0.0
    return masked


def cells(name: str, images: FloatArray, letters: int, s: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """The k-means cell of each image, shape (N,), numbered in an order that depends on the partition alone."""
    points = images.reshape(len(images), -1)
    distinct = len({point.tobytes() for point in points})  # ten times faster than unique over rows
    if letters > distinct:
        raise InputError(
            f"{name} must be at most the number of distinct images it stands for, {distinct}; it is {letters}. "
            "Pass fewer letters or more images."
        )
    purpose = "A codebook of images"
    cluster = require("sklearn.cluster", "images", purpose)
    # Several threads add in an order of their own, and a rounding error can move an image to another cell.
    with require("threadpoolctl", "images", purpose).threadpool_limits(limits=1):
        found = cluster.KMeans(letters, n_init=4, random_state=seed).fit(points).labels_
    occupied, first, cells = np.unique(found, return_index=True, return_inverse=True)
    if len(occupied) < letters:
        raise InputError(
            f"{name} must leave no cell empty; it is {letters} and k-means filled {len(occupied)}. Pass fewer letters."
        )
    counts = np.zeros((letters, s.max() + 1))
    np.add.at(counts, (cells, s), 1.0)
    order = np.lexsort((first, counts.argmax(axis=1)))
    return np.argsort(order)[cells]


def cell_means(images: FloatArray, cells: NDArray[np.intp]) -> FloatArray:
    """The mean image of each cell."""
    return np.stack([images[cells == cell].mean(axis=0) for cell in range(cells.max() + 1)])
