"""The classifier that reads S: trained once on clean images, then frozen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcopt.neural import nets
from drcopt.neural.codec import threads
from drcopt.neural.data import Dataset
from drcopt.neural.degradation import clean
from drcopt.sources._arguments import whole

_BATCH = 128
_EVALUATED = 500


@dataclass(frozen=True)
class ClassifierSettings:
    """How the classifier is trained: AdamW, one cycle of the learning rate, dropout; ``deep`` is ResNet-20."""

    epochs: int = 3
    deep: bool = False
    least_steps: int = 600
    seed: int = 0
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        whole("epochs", self.epochs, 1)
        whole("least_steps", self.least_steps, 1)


def train_classifier(dataset: Dataset, settings: ClassifierSettings | None = None) -> nn.Module:
    """A classifier of clean images, frozen, of at least ``least_steps`` steps however few the images."""
    settings = settings or ClassifierSettings()
    images = torch.from_numpy(dataset.train.images.copy()).to(settings.device)
    labels = torch.from_numpy(dataset.train.labels.copy()).to(settings.device)
    net = fresh_classifier(dataset, settings)
    steps = max(settings.least_steps, settings.epochs * (len(images) // _BATCH))
    with torch.random.fork_rng(devices=[]), threads(settings.threads):
        torch.manual_seed(settings.seed)
        optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-4, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
        net.train()
        for _ in range(steps):
            chosen = torch.randint(len(images), (min(_BATCH, len(images)),)).to(settings.device)
            loss = F.cross_entropy(net(clean(images[chosen])), labels[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return net.eval().requires_grad_(False)


def fresh_classifier(dataset: Dataset, settings: ClassifierSettings) -> nn.Module:
    """Untrained, with the weights of ``settings.seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return nets.classifier(dataset.shape, len(dataset.classes), deep=settings.deep).to(settings.device)


def logits(net: nn.Module, images: Tensor, device: str = "cpu") -> Tensor:
    """The frozen classifier's logits (n, k) for float images, on the CPU."""
    with torch.no_grad():
        return torch.cat([net(part.to(device)).float().cpu() for part in images.split(_EVALUATED)])
