"""A codec held against what is certified, on one finite alphabet.

Degraded and clean images are each given a codebook, and with it X, Y and S are letters: a problem that the rest of the
package solves with a proof. A codec becomes a coupling of those letters: its input is replaced by the letter of its
cell, its output by the nearest letter of Y. What is certified holds for couplings of these letters, not for images: a
codec sees more of an image than its letter, so that nothing here bounds what it does there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from drcopt import information
from drcopt.neural.codec import Codec
from drcopt.neural.config import Task
from drcopt.neural.data import Dataset
from drcopt.neural.measure import prepare
from drcopt.problem import Problem
from drcopt.solution import Solution
from drcopt.solve import solve
from drcopt.sources._arguments import whole
from drcopt.sources.images import cell_means, cells
from drcopt.support.check import FloatArray, freeze

__all__ = ["Alphabet", "Point", "alphabet", "least", "place"]


@dataclass(frozen=True, eq=False)
class Alphabet:
    """The letters of a dataset's test part. Arrays are read-only.

    Attributes
    ----------
    problem : Problem
        px, p(s|x): frequencies; py: that of clean images; d(x, y): the mean over the images of cell x of the squared
        error per pixel between the degraded image and the codeword y. So d is the column ``distortion`` of a table.
    x_cells : (n_images,) array
        The letter of each degraded test image.
    y_codewords : (m, pixels) array
    """

    problem: Problem
    x_cells: NDArray[np.intp]
    y_codewords: FloatArray

    def __post_init__(self) -> None:
        for array in (self.x_cells, self.y_codewords):
            freeze(array)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[object, ...]:
        return (Alphabet, tuple(getattr(self, field.name) for field in fields(self)))


@dataclass(frozen=True)
class Point:
    """A codec on an alphabet, in bits.

    Attributes
    ----------
    rate : float
        Bits an image that the codec writes, ideal: at least I(X;Y) of the letters, as U is independent of X.
    information : float
        I(X;Y) of the letters.
    distortion : float
        E d of the letters.
    classification_loss : float
        H(S|Y) of the letters, under S - X - Y.
    lower_bound : float
        Proved: no coupling of these letters with the codec's own output law, I(X;Y) ≤ rate and H(S|Y) ≤
        classification_loss has less distortion.
    best : float
        The distortion of a coupling that meets those budgets; inf if none was found.
    at_information : float
        As ``lower_bound``, with no more rate than the I(X;Y) that the letters have: what remains up to the distortion
        is not for want of bits.
    law_error : float
        Total variation between the codec's output law and that of clean images.
    """

    rate: float
    information: float
    distortion: float
    classification_loss: float
    lower_bound: float
    best: float
    at_information: float
    law_error: float


def alphabet(dataset: Dataset, task: Task, *, x_letters: int = 16, y_letters: int = 16, seed: int = 0) -> Alphabet:
    """Codebooks (k-means) for the degraded and the clean images of the test part.

    Raises
    ------
    InputError
        If there are fewer distinct images than letters.
    """
    degraded, original, labels = (tensor.numpy() for tensor in prepare(dataset, task).test)
    x_letters, y_letters = whole("x_letters", x_letters, 1), whole("y_letters", y_letters, 1)
    xs, ys = (images.reshape(len(images), -1).astype(np.float64) for images in (degraded, original))
    s = labels.astype(np.intp)
    x, y = cells("x_letters", xs, x_letters, s, seed), cells("y_letters", ys, y_letters, s, seed)
    codewords = cell_means(ys, y)
    counts = np.zeros((x_letters, len(dataset.classes)))
    np.add.at(counts, (x, s), 1.0)
    sizes = counts.sum(axis=1)
    d = np.zeros((x_letters, y_letters))
    for letter, codeword in enumerate(codewords.copy()):
        errors = ((xs - codeword) ** 2).mean(axis=1)
        d[:, letter] = np.bincount(x, errors, x_letters) / sizes
    py = np.bincount(y, minlength=y_letters) / len(y)
    return Alphabet(Problem(sizes / len(xs), py, counts / sizes[:, None], d), x, codewords)


def place(
    codec: Codec, letters: Alphabet, dataset: Dataset, *, draws: int = 16, time_limit: float | None = 10.0
) -> Point:
    """A codec as a coupling of letters, and what is proved of couplings like it.

    Parameters
    ----------
    draws : int
        The coupling is the mean over this many draws of U (and of what the decoder draws). The codec with U one of
        these draws, each alike, is a code for the test images themselves, and its rate is at least I(X;Y).
    time_limit : float or None
        Seconds for the bound.
    """
    degraded = prepare(dataset, codec.task).test[0]
    problem = letters.problem
    counts, rate = np.zeros(problem.d.shape), 0.0
    norms = (letters.y_codewords**2).sum(axis=1)
    for seed in range(whole("draws", draws, 1)):
        restored = codec.restore(degraded, seed=seed, decoder_seed=seed).reshape(len(degraded), -1)
        nearest = (norms - 2 * restored.astype(np.float64) @ letters.y_codewords.T).argmin(axis=1)
        np.add.at(counts, (letters.x_cells, nearest), 1.0)
        rate += codec.bits(degraded, seed=seed).ideal / draws
    coupling = counts / counts.sum()
    output = coupling.sum(axis=0)
    loss = information.from_nats(information.conditional_entropy((coupling.T @ problem.ps_given_x).T), "bits")
    spoken = information.from_nats(information.mutual_information(coupling), "bits")
    solution = least(letters, output, rate=rate, loss=loss, time_limit=time_limit)
    return Point(
        rate,
        spoken,
        float((coupling * problem.d).sum()),
        loss,
        solution.lower_bound,
        solution.distortion,
        least(letters, output, rate=spoken * (1 + 1e-9), loss=loss, time_limit=time_limit).lower_bound,
        float(np.abs(output - problem.py).sum() / 2),
    )


def least(
    letters: Alphabet, output: FloatArray, *, rate: float | None, loss: float | None, time_limit: float | None = 10.0
) -> Solution:
    """The certified answer on the alphabet for an output law, a rate and a classification budget in bits."""
    problem = letters.problem
    own = Problem(problem.px, output, problem.ps_given_x, problem.d)
    # A hair more of the budget: the coupling itself meets it with equality, to rounding.
    budget = None if loss is None else loss * (1 + 1e-9)
    return solve(own, R=rate, C=budget, time_limit=time_limit, on_failure="return")
