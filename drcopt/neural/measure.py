"""What a codec does to images that it has not seen, and what simpler things do to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from drcopt.neural.classifier import logits
from drcopt.neural.codec import Codec
from drcopt.neural.config import Task
from drcopt.neural.data import Dataset
from drcopt.neural.degradation import clean, degrade

__all__ = [
    "Measured", "Prepared", "conditional_mean", "evaluate", "index_entropy", "judge", "prepare", "sliced_w1",
    "untouched",
]  # fmt: skip

#: Directions of the sliced Wasserstein distance, and their seed.
_DIRECTIONS, _DIRECTION_SEED = 128, 7
#: The dither of what is reported; the seeds of the noise of denoising.
_REPORT_SEED = 77
_NOISE_SEEDS = {"train": 1, "validation": 2, "test": 3}
#: Training images that the conditional mean is taken over, and the most one-hot letters it is fitted to.
_FITTED, _MOST_LETTERS = 50_000, 4096
#: Test images at the head of the test set that are kept as pictures.
_SHOWN = 16


@dataclass(frozen=True, eq=False)
class Prepared:
    """A dataset's parts, clean and degraded, as float32 tensors, and the floor of the sliced distance."""

    train: Tensor
    validation: tuple[Tensor, Tensor, Tensor]
    test: tuple[Tensor, Tensor, Tensor]
    floor: float


@lru_cache(maxsize=1)
def prepare(dataset: Dataset, task: Task) -> Prepared:
    """Degrade a dataset; (degraded, clean, labels) of validation and test."""

    def part(name: str) -> tuple[Tensor, Tensor, Tensor]:
        images = torch.from_numpy(getattr(dataset, name).images.copy())
        labels = torch.from_numpy(getattr(dataset, name).labels.copy())
        return degrade(images, task, seed=_NOISE_SEEDS[name]), clean(images), labels

    test = part("test")
    sample = clean(torch.from_numpy(dataset.train.sample(len(dataset.test)).images.copy()))
    train = degrade(torch.from_numpy(dataset.train.images.copy()), task, seed=_NOISE_SEEDS["train"])
    return Prepared(train, part("validation"), test, sliced_w1(sample, test[1]))


@dataclass(frozen=True, eq=False)
class Measured:
    """Numbers of a table's row, the same image by image (for intervals), and some pictures.

    ``images`` holds, for each test image: ``distortion``, ``mse_clean``, ``classification_loss_bits``, ``accuracy``.
    """

    row: dict[str, Any]
    images: dict[str, NDArray[np.float32]]
    pictures: NDArray[np.uint8]


def judge(restored: Tensor, degraded: Tensor, original: Tensor, labels: Tensor, classifier: nn.Module) -> Measured:
    """Restored images (n, c, h, w) against what they were made of, to the classifier (frozen), and as a law."""
    scores = logits(classifier, restored, next(classifier.parameters()).device.type)
    images = {
        "distortion": ((restored - degraded) ** 2).flatten(1).mean(1),
        "mse_clean": ((restored - original) ** 2).flatten(1).mean(1),
        "classification_loss_bits": F.cross_entropy(scores, labels, reduction="none") / math.log(2),
        "accuracy": (scores.argmax(1) == labels).float(),
    }
    row = {name: float(values.double().mean()) for name, values in images.items()}
    row["psnr_clean"] = -10 * math.log10(row["mse_clean"]) if row["mse_clean"] > 0 else math.inf
    row["sliced_w1"] = sliced_w1(restored, original)
    pictures = (restored[:_SHOWN].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return Measured(row, {name: values.float().numpy() for name, values in images.items()}, pictures)


def evaluate(codec: Codec, prepared: Prepared, classifier: nn.Module) -> Measured:
    """A codec on the test part: its bits, decoded and compared, and its images."""
    degraded, original, labels = prepared.test
    measured = judge(_restored(codec, degraded), degraded, original, labels, classifier)
    bits = codec.bits(degraded, seed=_REPORT_SEED)
    held, held_original, held_labels = prepared.validation
    validation = judge(_restored(codec, held), held, held_original, held_labels, classifier).row
    measured.row.update(
        rate_bits=bits.coded,
        ideal_bits=bits.ideal,
        common_randomness_bits=bits.common_randomness,
        index_entropy_bits=index_entropy(codec.index(degraded, seed=_REPORT_SEED), codec.settings.levels),
        sliced_w1_floor=prepared.floor,
        validation_accuracy=validation["accuracy"],
        validation_distortion=validation["distortion"],
    )
    return measured


def _restored(codec: Codec, degraded: Tensor) -> Tensor:
    return torch.from_numpy(codec.restore(degraded, seed=_REPORT_SEED, decoder_seed=_REPORT_SEED))


def untouched(prepared: Prepared, classifier: nn.Module) -> Measured:
    """The baseline that does nothing: the degraded image itself, at no finite rate."""
    degraded, original, labels = prepared.test
    measured = judge(degraded, degraded, original, labels, classifier)
    measured.row["sliced_w1_floor"] = prepared.floor
    return measured


def conditional_mean(codec: Codec, dataset: Dataset, prepared: Prepared, classifier: nn.Module) -> Measured | None:
    """The baseline that needs no training: the codec's indices, each decoded to the mean clean image given them.

    The mean is that of the training images with the same indices, shrunk towards a fit that is linear in one-hot
    indices where they are few: (sum + linear fit) / (count + 1). None where the code has too many letters to fit.
    """
    levels, d = codec.settings.levels, codec.settings.dimensions
    if levels * d > _MOST_LETTERS:
        return None
    count = min(_FITTED, len(dataset.train))
    seen = codec.index(prepared.train[:count], seed=_REPORT_SEED + 1)
    targets = clean(torch.from_numpy(dataset.train.images[:count].copy())).flatten(1).numpy()
    degraded, original, labels = prepared.test
    index = codec.index(degraded, seed=_REPORT_SEED)

    letters = _one_hot(seen, levels)
    # A ridge: the one-hot columns of an index add up to one.
    weights = np.linalg.solve(letters.T @ letters + np.eye(letters.shape[1]), letters.T @ targets)
    guess = _one_hot(index, levels) @ weights
    cells, cell = np.unique(np.concatenate([seen, index]), axis=0, return_inverse=True)
    cell = cell.ravel()
    wanted = np.unique(cell[count:])
    place = np.full(len(cells), -1)
    place[wanted] = np.arange(len(wanted))
    inside = place[cell[:count]]
    sums, counts = np.zeros((len(wanted), targets.shape[1]), np.float32), np.zeros(len(wanted), np.float32)
    np.add.at(sums, inside[inside >= 0], targets[inside >= 0])
    np.add.at(counts, inside[inside >= 0], 1.0)
    own = place[cell[count:]]
    mean = (sums[own] + guess) / (counts[own, None] + 1)
    restored = torch.from_numpy(mean.clip(0, 1).astype(np.float32)).reshape(original.shape)
    measured = judge(restored, degraded, original, labels, classifier)
    measured.row["sliced_w1_floor"] = prepared.floor
    return measured


def _one_hot(index: NDArray[np.int64], levels: int) -> NDArray[np.float32]:
    return np.eye(levels, dtype=np.float32)[index].reshape(len(index), -1)


def index_entropy(index: NDArray[np.int64], levels: int) -> float:
    """Σᵢ H(Kᵢ) in bits, of indices (n, d): the cap if every level is used alike, and at least the joint entropy."""
    total = 0.0
    for column in index.T:
        p = np.bincount(column, minlength=levels) / max(len(column), 1)
        total -= float((p[p > 0] * np.log2(p[p > 0])).sum())
    return total


def sliced_w1(a: Tensor, b: Tensor) -> float:
    """The mean, over fixed random directions in the space of images, of W₁ between the projections of two samples.

    Of the larger sample, its first images are taken. Two samples of one law are not at distance 0: see the column
    ``sliced_w1_floor``, the distance between clean training and clean test images.
    """
    count = min(len(a), len(b))
    generator = torch.Generator().manual_seed(_DIRECTION_SEED)
    directions = F.normalize(torch.randn(a[0].numel(), _DIRECTIONS, generator=generator), dim=0)
    sorted_a, sorted_b = (torch.sort(x[:count].flatten(1) @ directions, 0).values for x in (a, b))
    return float((sorted_a - sorted_b).abs().double().mean())
