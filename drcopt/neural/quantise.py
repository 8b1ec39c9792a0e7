"""The dithered quantiser.

Its centres are -1 + 2k/(L-1), k = 0 … L-1, a step a = 2/(L-1) apart. The dither U is uniform over one step. An encoder
output in [-1, 1] plus U is never beyond the outer cells, so that with the shared U the decoder's input K - U is the
encoder's output plus noise that is uniform over a step and independent of it.

For the bit-stream U is a whole number m of 16 bits, U = ((m + 1/2) / 2^16 - 1/2) a, drawn from a counter that any
machine counts alike, and what the decoder knows is a whole number too: K - U in units of a / 2^17.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Bits of the dither of one index.
DITHER_BITS = 16
_HALF = 2**DITHER_BITS


@dataclass(frozen=True)
class Quantiser:
    """``levels`` centres on [-1, 1]."""

    levels: int

    @property
    def step(self) -> float:
        return 2.0 / (self.levels - 1)

    def index(self, value: Tensor) -> Tensor:
        """The index of the nearest centre, int64."""
        return ((value + 1) / self.step).round().clamp(0, self.levels - 1).long()

    def centre(self, index: Tensor) -> Tensor:
        return index * self.step - 1

    def straight_through(self, value: Tensor) -> Tensor:
        """The nearest centre, with the gradient of ``value`` itself."""
        return value + (self.centre(self.index(value)) - value).detach()

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """U for training."""
        return (torch.rand(shape, generator=generator) - 0.5) * self.step

    def dither(self, draws: NDArray[np.uint16]) -> Tensor:
        """U as float32, of the whole numbers that :func:`draw` gave."""
        return torch.from_numpy(((draws + 0.5) / _HALF - 0.5) * self.step).float()

    def known(self, index: NDArray[np.int64], draws: NDArray[np.uint16]) -> NDArray[np.int64]:
        """K - U in units of step / 2^17, exactly."""
        return (2 * index - (self.levels - 1)) * _HALF - spread(draws)


def spread(draws: NDArray[np.uint16]) -> NDArray[np.int64]:
    """U in units of step / 2^17, exactly."""
    return 2 * draws.astype(np.int64) + 1 - _HALF


def draw(seed: int, start: int, images: int, dimensions: int) -> NDArray[np.uint16]:
    """Dither numbers (images, dimensions) for images ``start`` and on of the stream of ``seed``.

    Philox is a counter: raw words depend on nothing but the key, and those of one image on no other's.
    """
    blocks = -(-dimensions // 16)  # 16 numbers in a block of 4 words
    bits = np.random.Philox(key=seed, counter=start * blocks)
    words = bits.random_raw(4 * blocks * images).astype("<u8")
    return np.ascontiguousarray(words.view("<u2").reshape(images, 16 * blocks)[:, :dimensions]).astype(np.uint16)
