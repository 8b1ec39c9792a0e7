"""Encoders, decoders, critics and classifiers, for any image size, in three sizes."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcopt.errors import InputError
from drcopt.neural.config import Settings

Shape = tuple[int, int, int]

#: Widths of the convolutional layers: encoder, decoder (from the code up), critic.
_CONV = ((8, 16), (32, 16), (8, 16))
_PUBLISHED_GREY = ((32, 64), (32, 64, 128), (64, 128, 256))
_PUBLISHED_COLOUR = ((64, 128, 256), (32, 64, 128), (64, 128, 256))


def encoder(shape: Shape, settings: Settings) -> nn.Module:
    """(n, c, h, w) to (n, dimensions) in [-1, 1]."""
    d = settings.dimensions
    last = [*([nn.BatchNorm1d(d, affine=False)] if settings.standardise else []), nn.Tanh()]
    if settings.preset == "mlp":
        return nn.Sequential(nn.Flatten(), *_dense(_pixels(shape), 256, 128, d), *last)
    widths, hidden = _widths(shape, settings)[0], [128, 128] if settings.preset == "published" else [128]
    layers, features = _strided(shape, widths)
    return nn.Sequential(*layers, nn.Flatten(), *_dense(features, *hidden, d), *last)


def decoder(shape: Shape, settings: Settings) -> nn.Module:
    """(n, dimensions), or twice as many with private noise, to (n, c, h, w) in [0, 1]."""
    d = settings.dimensions * (2 if settings.common_randomness == "none" else 1)
    if settings.preset == "mlp":
        return nn.Sequential(*_dense(d, 128, 256, _pixels(shape)), nn.Sigmoid(), nn.Unflatten(1, shape))
    widths = _widths(shape, settings)[1]
    sizes = _sizes(shape, len(widths))
    first = (widths[0], *sizes[-1])
    dense: list[nn.Module] = _dense(d, 128, _pixels(first))
    if settings.preset == "published":
        dense.append(nn.BatchNorm1d(_pixels(first)))
    layers: list[nn.Module] = [*dense, nn.LeakyReLU(0.2), nn.Unflatten(1, first)]
    for (before, after), (small, large) in zip(pairwise([*widths, shape[0]]), pairwise(reversed(sizes)), strict=True):
        # Twice the size less one, and one more row or column where the image has it.
        more = tuple(b - (2 * a - 1) for a, b in zip(small, large, strict=True))
        layers += [nn.ConvTranspose2d(before, after, 5, 2, 2, output_padding=more), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1], nn.Sigmoid())


def critic(shape: Shape, settings: Settings) -> nn.Module:
    """(n, c, h, w) to (n,). No batch norm: the gradient penalty is of each image."""
    if settings.preset == "mlp":
        return nn.Sequential(nn.Flatten(), *_dense(_pixels(shape), 256, 64, 1), nn.Flatten(0))
    layers, features = _strided(shape, _widths(shape, settings)[2])
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 1), nn.Flatten(0))


def classifier(shape: Shape, classes: int, *, deep: bool = False) -> nn.Module:
    """(n, c, h, w) to logits (n, classes): two strided convolutions, or (``deep``) ResNet-20."""
    if deep:
        return _ResNet(shape[0], classes)
    width = 16 if shape[0] == 1 else 32
    features = _pixels((2 * width, *_sizes(shape, 2)[-1]))
    return nn.Sequential(
        nn.Conv2d(shape[0], width, 5, 2, 2), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 5, 2, 2), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


class _Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride, self.more = stride, after - before
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        # The identity, thinned out and with channels of zeros, as ResNets for small images have it.
        same = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return torch.relu(self.body(x) + same)


class _ResNet(nn.Sequential):
    def __init__(self, channels: int, classes: int) -> None:
        blocks = [
            _Residual(before if i == 0 else after, after, 2 if i == 0 and after > 16 else 1)
            for before, after in ((16, 16), (16, 32), (32, 64))
            for i in range(3)
        ]
        super().__init__(
            nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes),
        )  # fmt: skip


def _pixels(shape: Shape) -> int:
    return shape[0] * shape[1] * shape[2]


def _widths(shape: Shape, settings: Settings) -> tuple[tuple[int, ...], ...]:
    if settings.preset == "conv":
        return _CONV
    return _PUBLISHED_GREY if shape[0] == 1 else _PUBLISHED_COLOUR


def _sizes(shape: Shape, halvings: int) -> list[tuple[int, int]]:
    """Heights and widths after 0, 1, … strides of two, rounded up."""
    if min(shape[1:]) < 2**halvings:
        raise InputError(
            f"images must be at least {2**halvings} pixels high and wide for these nets; they are {shape[1]} by "
            f"{shape[2]}. Pass preset 'mlp', or larger images."
        )
    return [(-(-shape[1] // 2**i), -(-shape[2] // 2**i)) for i in range(halvings + 1)]


def _dense(*sizes: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return layers[:-1]


def _strided(shape: Shape, widths: tuple[int, ...]) -> tuple[list[nn.Module], int]:
    """Convolutions of stride two, and how many features they end in."""
    layers: list[nn.Module] = []
    for before, after in pairwise((shape[0], *widths)):
        layers += [nn.Conv2d(before, after, 5, 2, 2), nn.LeakyReLU(0.2)]
    return layers, _pixels((widths[-1], *_sizes(shape, len(widths))[-1]))
