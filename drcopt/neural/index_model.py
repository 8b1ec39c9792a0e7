"""What is known of the indices before they are decoded: p(k_i | K_<i, U), in whole numbers alone.

One small net for each index i reads what encoder and decoder both know: K_j - U_j for j < i, which is the encoder's
output to within a step, and U_i. It is trained in floating point and then rounded to integers, so that every machine
computes the same probabilities to the last bit: sums and products of whole numbers below 2^53 are exact in float64, in
whatever order they are added. Logits become counts through a table of exponentials, which is part of the model as its
weights are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from drcopt.errors import CheckpointError
from drcopt.neural.quantise import Quantiser, spread

#: Counts of an index's values add up to this. Exact in float32, as the coder wants them.
TOTAL = 2**16

_HIDDEN = 64
#: Inputs are known values over 2^9, in units of a step / 2^8; so are hidden units. Weights are in units of 2^-10.
_INPUT, _WEIGHT = 2**8, 2**10
#: Logits are in units of 1/64 nat; 16 nats below the largest all probabilities are the least.
_LOGIT, _SPAN = 64, 16 * 64
#: No weight or bias is larger, so that no sum reaches 2^53.
_LARGEST = {"weights": 2**15, "biases": 2**25}

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class IndexModel:
    """Integer nets for d indices of L values; arrays are int64.

    Attributes
    ----------
    first : (d, d, h) array
        Weights from what is known, row i of net i being U_i, rows above it K - U, rows below it 0.
    first_bias : (d, h) array
    second : (d, h, L) array
    second_bias : (d, L) array
    exponentials : (1024,) array
        What a logit so many 64ths of a nat below the largest is worth.
    """

    first: Ints
    first_bias: Ints
    second: Ints
    second_bias: Ints
    exponentials: Ints

    def __post_init__(self) -> None:
        d, _, hidden = self.first.shape if self.first.ndim == 3 else (0, 0, 0)
        levels = self.second_bias.shape[-1] if self.second_bias.ndim == 2 else 0
        shapes = [(d, d, hidden), (d, hidden), (d, hidden, levels), (d, levels), (_SPAN,)]
        arrays = [getattr(self, field.name) for field in fields(self)]
        within = all(
            np.abs(array).max(initial=0) <= _LARGEST["weights" if i % 2 == 0 else "biases"]
            for i, array in enumerate(arrays[:4])
        )
        table = self.exponentials
        if (
            [array.shape for array in arrays] != shapes
            or any(array.dtype != np.int64 for array in arrays)
            or not (1 <= d <= 1024 and 1 <= hidden <= 4096 and 2 <= levels <= 256)
            or not (within and table.min() >= 0 and 1 <= table[0] <= 2**30 and table.max() == table[0])
        ):
            raise CheckpointError("the index model is not one: its arrays do not fit together. Use a file as written.")

    def counts(self, i: int, known: Ints, draws: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Counts (n, L), at least 1 and adding up to :data:`TOTAL`, of index ``i`` for n images.

        ``known`` (n, i or more) are K - U of the indices before it, ``draws`` (n, d) the dither numbers.
        """
        inputs = np.empty((len(draws), i + 1))
        inputs[:, :i] = known[:, :i] >> 9
        inputs[:, i] = spread(draws[:, i]) >> 9
        hidden = inputs @ self.first[i, : i + 1].astype(np.float64) + self.first_bias[i]
        hidden = np.floor(np.clip(hidden, 0.0, 2.0**34) / _WEIGHT)  # within 2^24, whatever the input
        logits = np.floor(
            (hidden @ self.second[i].astype(np.float64) + self.second_bias[i]) / (_INPUT * _WEIGHT // _LOGIT)
        )
        below = np.minimum(logits.max(axis=1, keepdims=True) - logits, _SPAN - 1).astype(np.int64)
        worth = self.exponentials[below]
        levels = worth.shape[1]
        counts = 1 + worth * (TOTAL - levels) // worth.sum(axis=1, keepdims=True)
        counts[np.arange(len(counts)), logits.argmax(axis=1)] += TOTAL - counts.sum(axis=1)
        return counts

    def bits(self, quantiser: Quantiser, index: Ints, draws: NDArray[np.uint16]) -> NDArray[np.float64]:
        """-log2 of the probability of each image's indices (n, d): what an ideal coder would write."""
        known, total = quantiser.known(index, draws), np.zeros(len(index))
        for i in range(index.shape[1]):
            counts = self.counts(i, known, draws)
            total -= np.log2(counts[np.arange(len(index)), index[:, i]] / TOTAL)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {f"index_model.{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> IndexModel:
        """From what :meth:`arrays` gave."""
        try:
            return cls(*(arrays[f"index_model.{field.name}"] for field in fields(cls)))
        except KeyError as name:
            raise CheckpointError(f"the index model lacks {name}. Use a file as it was written.") from None


class _Nets(nn.Module):
    """The d nets in floating point, side by side."""

    def __init__(self, d: int, levels: int) -> None:
        super().__init__()
        scale = torch.arange(1, d + 1).rsqrt()[:, None, None]
        self.mask = torch.tril(torch.ones(d, d))[:, :, None]
        self.first = nn.Parameter(torch.randn(d, d, _HIDDEN) * scale)
        self.first_bias = nn.Parameter(torch.randn(d, 1, _HIDDEN) * 0.5)
        self.second = nn.Parameter(torch.randn(d, _HIDDEN, levels) * _HIDDEN**-0.5)
        self.second_bias = nn.Parameter(torch.zeros(d, 1, levels))

    def forward(self, known: Tensor, dither: Tensor) -> Tensor:
        """Logits (d, n, L) from K - U and U (n, d), in steps."""
        d = known.shape[1]
        # Net i reads U_i in place of what it is to predict; the mask hides what comes after.
        inputs = known.expand(d, -1, -1) + torch.diag_embed(dither - known).transpose(0, 1)
        hidden = torch.relu(torch.baddbmm(self.first_bias, inputs, self.first * self.mask))
        return torch.baddbmm(self.second_bias, hidden, self.second)


def fit(quantiser: Quantiser, index: Ints, draws: NDArray[np.uint16], *, seed: int, steps: int) -> IndexModel:
    """Learn the model from indices (n, d) and the dither numbers they were made with."""
    d, levels = index.shape[1], quantiser.levels
    known = torch.from_numpy((quantiser.known(index, draws) >> 9) / _INPUT).float()
    dither = torch.from_numpy((spread(draws) >> 9) / _INPUT).float()
    target = torch.from_numpy(index)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = _Nets(d, levels)
        optimiser = torch.optim.Adam(nets.parameters(), 1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 1e-4)
        for _ in range(steps):
            chosen = torch.randint(len(target), (min(512, len(target)),))
            logits = nets(known[chosen], dither[chosen])
            loss = F.cross_entropy(logits.flatten(0, 1), target[chosen].T.flatten())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        first, second = (nets.first * nets.mask).double().numpy(), nets.second.double().numpy()
        biases = (nets.first_bias[:, 0].double().numpy(), nets.second_bias[:, 0].double().numpy())

    def rounded(array: NDArray[np.float64], unit: int, kind: str) -> Ints:
        return np.clip(np.round(array * unit), -_LARGEST[kind], _LARGEST[kind]).astype(np.int64)

    table = [round(2**30 * math.exp(-t / _LOGIT)) for t in range(_SPAN)]
    return IndexModel(
        rounded(first, _WEIGHT, "weights"),
        rounded(biases[0], _INPUT * _WEIGHT, "biases"),
        rounded(second, _WEIGHT, "weights"),
        rounded(biases[1], _INPUT * _WEIGHT, "biases"),
        np.array(table, np.int64),
    )
