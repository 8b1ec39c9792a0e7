"""Degradations: what the encoder is given of a clean image."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from drcopt.errors import InputError
from drcopt.neural.config import Task

#: Images are degraded this many at a time.
_CHUNK = 4096


def degrade(images: Tensor | NDArray[np.uint8], task: Task, *, seed: int = 0) -> Tensor:
    """Degraded copies, float32 tensors, of clean images (n, c, h, w) that are uint8 or floats in [0, 1].

    ``seed`` is of the noise, which is the same for the same seed and images; other tasks use none.

    Raises
    ------
    InputError
        If the factor of super-resolution leaves no pixel.
    """
    if not isinstance(images, Tensor):
        images = torch.from_numpy(images.copy())  # read-only arrays would draw a warning
    height, width = images.shape[-2:]
    if task.name == "super-resolution" and min(height, width) < task.factor:
        raise InputError(
            f"factor must be at most the side of the images, {min(height, width)}; it is {task.factor}. "
            "Pass a smaller one."
        )
    generator = torch.Generator().manual_seed(seed)
    chunks = [_degrade(clean(chunk), task, generator) for chunk in images.split(_CHUNK)]
    return torch.cat(chunks) if chunks else clean(images)


def clean(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def _degrade(images: Tensor, task: Task, generator: torch.Generator) -> Tensor:
    height, width = images.shape[-2:]
    if task.name == "super-resolution":
        small = (height // task.factor, width // task.factor)
        low = F.interpolate(images, size=small, mode="bicubic", antialias=True)
        return F.interpolate(low, size=(height, width), mode="bicubic").clamp(0, 1)
    if task.name == "denoising":
        return images + task.noise * torch.randn(images.shape, generator=generator).to(images.device)
    side = max(1, round(task.mask * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    masked = images.clone()
    masked[..., top : top + side, left : left + side] = 0.0
    return masked
