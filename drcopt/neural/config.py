"""What a run is told: frozen records, checked when they are made, that are saved beside what they gave."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from drcopt import words
from drcopt.errors import InputError
from drcopt.sources._arguments import number, whole
from drcopt.support.check import choice

__all__ = ["COMMON_RANDOMNESS", "DEVICES", "PRESETS", "PUBLISHED", "TASKS", "Settings", "Task", "fingerprint"]

#: The degradations, and what each does to a clean image.
TASKS: dict[words.Degradation, str] = {
    "super-resolution": "down by `factor` and up again, both bicubic, clipped to [0, 1]",
    "denoising": "Gaussian noise of standard deviation `noise` added, not clipped",
    "inpainting": "a centred square set to 0, its side `mask` times the shorter side",
}

#: What encoder and decoder share, and what that means.
COMMON_RANDOMNESS: dict[str, str] = {
    "shared": "K = Q(f(X) + U), the decoder reads K - U: subtractive dither",
    "independent": "K = Q(f(X) + U), the decoder subtracts a U' of its own",
    "none": "K = Q(f(X)), the decoder reads K and private Gaussian noise",
}

#: The nets, and what they are for.
PRESETS: dict[str, str] = {
    "mlp": "fully connected, seconds on a CPU for small grey images",
    "conv": "small convolutional nets, tens of seconds on a CPU",
    "published": "the convolutional nets of the published experiments, for a GPU",
}

DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Task:
    """How images are degraded, and what the codec's first loss is measured against.

    Attributes
    ----------
    name : str
        "super-resolution", "denoising" or "inpainting" (:data:`TASKS`).
    supervised : bool
        The decoder is trained towards the clean image; otherwise towards the degraded one, which is all that an
        unsupervised encoder knows.
    factor : int
        Of super-resolution.
    noise : float
        Of denoising, in units of the pixel range [0, 1].
    mask : float
        Of inpainting, strictly between 0 and 1.

    Examples
    --------
    >>> Task.named("inpainting-supervised", mask=0.4).label
    'inpainting-supervised'
    """

    name: str = "super-resolution"
    supervised: bool = False
    factor: int = 4
    noise: float = 0.3
    mask: float = 0.5

    def __post_init__(self) -> None:
        choice("task", self.name, TASKS)
        _flag("supervised", self.supervised)
        whole("factor", self.factor, 2, 64)
        number("noise", self.noise, 0)
        number("mask", self.mask, 0, 1)

    @classmethod
    def named(cls, label: str, **changes: Any) -> Self:
        """The task of a label such as "inpainting-supervised"; ``changes`` are other fields."""
        name = label.removesuffix("-supervised")
        return cls(choice("task", name, TASKS), supervised=name != label, **_known(cls, changes))

    @property
    def label(self) -> str:
        return self.name + ("-supervised" if self.supervised else "")

    @property
    def low(self) -> float:
        """Least pixel value that the degradation leaves possible; -inf for denoising."""
        return -math.inf if self.name == "denoising" else 0.0


@dataclass(frozen=True)
class Settings:
    """One run: what the codec is, and how it is trained.

    The decoder's loss is ``lambda_d`` · mean squared error per pixel + ``lambda_p`` · W₁ (what the critic sees of it) +
    ``lambda_c`` · cross-entropy of the classifier in nats.

    Attributes
    ----------
    dimensions, levels : int
        The code: ``dimensions`` indices of ``levels`` values. Its cap is dimensions · log2(levels) bits an image.
    common_randomness : str
        "shared", "independent" or "none" (:data:`COMMON_RANDOMNESS`).
    preset : str
        "mlp", "conv" or "published" (:data:`PRESETS`).
    joint_classifier : bool
        Train a copy of the classifier on the reconstructions along with the codec, and use that in the loss. What is
        reported is always the frozen classifier, trained on clean images.
    standardise : bool
        Standardise the encoder's outputs over the batch before they are squashed. Without it encoders collapse.
    steps, batch, learning_rate, critic_learning_rate, gradient_penalty
        Of Adam, with the learning rate following half a cosine to a twentieth, and of the critic (WGAN-GP).
    index_steps : int
        Of the model of the indices, which is fitted when the nets are done.
    seed : int
        Of the weights, batches and dithers in training.
    device : str
        "cpu", "cuda" or "mps".
    mixed_precision : bool
        Encoder, decoder and classifier in bfloat16 where the device has it ("cuda" only).
    threads : int
        Of the CPU. Two threads spin on nets this small; parallel runs are cheaper.
    """

    dimensions: int = 4
    levels: int = 4
    common_randomness: str = "shared"
    preset: str = "mlp"
    lambda_d: float = 1.0
    lambda_p: float = 0.01
    lambda_c: float = 0.01
    joint_classifier: bool = False
    standardise: bool = True
    steps: int = 800
    batch: int = 64
    learning_rate: float = 1e-3
    critic_learning_rate: float = 5e-4
    gradient_penalty: float = 10.0
    index_steps: int = 600
    seed: int = 0
    device: str = "cpu"
    mixed_precision: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        whole("dimensions", self.dimensions, 1, 1024)
        whole("levels", self.levels, 2, 256)
        choice("common_randomness", self.common_randomness, COMMON_RANDOMNESS)
        choice("preset", self.preset, PRESETS)
        for name in ("lambda_d", "lambda_p", "lambda_c", "gradient_penalty"):
            number(name, getattr(self, name), 0, 1e9, ends=True)
        for name in ("joint_classifier", "standardise", "mixed_precision"):
            _flag(name, getattr(self, name))
        whole("steps", self.steps, 1)
        whole("index_steps", self.index_steps, 1)
        whole("batch", self.batch, 2, 65536)
        for name in ("learning_rate", "critic_learning_rate"):
            number(name, getattr(self, name), 0, 1)
        whole("seed", self.seed, 0, 2**31 - 1)
        choice("device", self.device, DEVICES)
        whole("threads", self.threads, 1, 1024)
        if self.mixed_precision and self.device != "cuda":
            raise InputError(
                f"mixed_precision must go with device 'cuda'; the device is {self.device!r}. Leave it out, or take "
                "a GPU."
            )

    @property
    def rate(self) -> float:
        """The cap, dimensions · log2(levels) bits an image."""
        return self.dimensions * math.log2(self.levels)

    def at(self, rate: Any, **changes: Any) -> Settings:
        """The same with a cap of ``rate`` bits: indices of 4 values, or of 2 where the rate is odd.

        Examples
        --------
        >>> Settings().at(7).dimensions, Settings().at(8).levels
        (7, 4)
        """
        bits = whole("rates", int(rate) if isinstance(rate, float) and rate.is_integer() else rate, 1, 1024)
        dimensions, levels = (bits, 2) if bits % 2 else (bits // 2, 4)
        return replace(self, dimensions=dimensions, levels=levels, **_known(type(self), changes))


def fingerprint(*records: Any) -> str:
    """The sha256 of records (or JSON-able values) taken together, in hexadecimal."""
    values = [asdict(record) if hasattr(record, "__dataclass_fields__") else record for record in records]
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _known(record: type, changes: dict[str, Any]) -> dict[str, Any]:
    names = [field.name for field in fields(record)]
    for name in changes:
        choice("a setting", name, names)
    return changes


def _flag(name: str, value: Any) -> None:
    # "False" read from a command line is true: only the two values themselves will do.
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False; it is {value!r}. Pass one of them, not text or a number.")


#: The published experiments' schedule: 100 epochs of 60,000 images are 93,750 steps of 64.
PUBLISHED = Settings(
    preset="published",
    lambda_p=0.001,
    lambda_c=0.001,
    steps=93_750,
    learning_rate=1e-4,
    critic_learning_rate=1e-4,
)
