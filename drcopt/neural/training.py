"""Training: encoder and decoder against a critic of unpaired clean images, resumable to the last bit."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from drcopt.errors import CheckpointError, InputError, NotSolvedError
from drcopt.neural import index_model, nets, store
from drcopt.neural.codec import Codec, load_net, net_arrays, threads
from drcopt.neural.config import Settings, Task, fingerprint
from drcopt.neural.data import Dataset
from drcopt.neural.degradation import clean, degrade
from drcopt.neural.quantise import draw

#: An encoder that uses less than this share of its cap has collapsed.
COLLAPSED = 0.5
#: Indices that the index model is trained on, and the seed of their dither.
_INDICES, _INDEX_SEED = 50_000, 2**63 + 1
#: Steps between saves of a run that is to be resumable, and between reports.
SAVE_EVERY, REPORT_EVERY = 200, 20

Progress = Callable[[int], None]


def train(
    dataset: Dataset,
    task: Task | None = None,
    settings: Settings | None = None,
    *,
    classifier: nn.Module | None = None,
    encoder: Codec | None = None,
    degraded: Tensor | None = None,
    state: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Codec:
    """Train a codec, and the model by which it codes its indices.

    Parameters
    ----------
    dataset : Dataset
        Its training part is used.
    task : Task, optional
    settings : Settings, optional
    classifier : torch.nn.Module, optional
        Frozen; needed if ``settings.lambda_c`` is positive. See :func:`~drcopt.neural.train_classifier`.
    encoder : Codec, optional
        Keep this codec's encoder and train a decoder for it: a universal representation.
    degraded : (n, c, h, w) tensor, optional
        The degraded training images, if they are at hand; else they are made (the noise of a denoising task is that of
        seed 1).
    state : path, optional
        Save the state of training here now and then, and go on from it. A run on the CPU that was killed ends with the
        weights of one that was not. The file is removed at the end.
    progress : callable, optional
        Called with the number of steps done, now and then.

    Returns
    -------
    Codec

    Raises
    ------
    InputError
        If arguments do not fit together, or the device is not there.
    NotSolvedError
        If a loss is no longer finite.
    CheckpointError
        If ``state`` is damaged, or of another run.
    """
    run = _Run(dataset, task or Task(), settings or Settings(), classifier, encoder, degraded)
    with threads(run.settings.threads), _one_order(run.device):
        if state is not None:
            run.resume(Path(state))
        while run.step < run.settings.steps:
            run.advance()
            if progress is not None and (run.step % REPORT_EVERY == 0 or run.step == run.settings.steps):
                progress(run.step)
            if state is not None and run.step % SAVE_EVERY == 0 and run.step < run.settings.steps:
                run.save(Path(state))
        codec = run.finish()
    if state is not None:
        with suppress(OSError):
            Path(state).unlink(missing_ok=True)
    return codec


class _Run:
    """Everything that changes in training; :meth:`save` and :meth:`resume` name it all."""

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        settings: Settings,
        classifier: nn.Module | None,
        encoder: Codec | None,
        degraded: Tensor | None,
    ) -> None:
        _check(dataset, settings, classifier, encoder)
        self.settings, self.task, self.device = settings, task, torch.device(settings.device)
        self.clean = torch.from_numpy(dataset.train.images.copy()).to(self.device)
        self.labels = torch.from_numpy(dataset.train.labels.copy()).to(self.device)
        self.degraded = (degrade(self.clean.cpu(), task, seed=1) if degraded is None else degraded).to(self.device)
        self.data_sha256 = dataset.sha256

        self.codec = Codec.fresh(task, settings, dataset.shape)
        self.frozen = encoder is not None
        if encoder is not None:
            self.codec.encoder.load_state_dict(encoder.encoder.state_dict())
            self.codec.encoder.requires_grad_(False)
        self.codec.encoder.train(not self.frozen)
        self.codec.decoder.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + 1)
            self.critic = nets.critic(dataset.shape, settings).to(self.device)
        self.classifier = None if classifier is None else copy.deepcopy(classifier).to(self.device)
        if self.classifier is not None:
            self.classifier.eval().requires_grad_(settings.joint_classifier)

        self.generator = torch.Generator().manual_seed(settings.seed)
        trained = [p for p in (*self.codec.encoder.parameters(), *self.codec.decoder.parameters()) if p.requires_grad]
        if settings.joint_classifier and self.classifier is not None:
            trained += list(self.classifier.parameters())
        rate, critic_rate = settings.learning_rate, settings.critic_learning_rate
        fused = self.device.type != "mps"
        self.optimiser = torch.optim.Adam(trained, rate, betas=(0.5, 0.9), fused=fused)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), critic_rate, betas=(0.5, 0.9), fused=fused)
        self.step, self.seconds = 0, 0.0

    def advance(self) -> None:
        """One step of the critic and one of the codec, on one pass through encoder and decoder."""
        started = time.perf_counter()
        settings = self.settings
        # From the step alone, so that a resumed run has no schedule to restore.
        share = 0.05 + 0.95 * (1 + math.cos(math.pi * self.step / settings.steps)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * share
        chosen = self._chosen()
        given = self.degraded[chosen]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.mixed_precision):
            restored = self._through(given)
        restored = restored.float()
        if settings.lambda_p > 0:
            self._advance_critic(restored.detach())
        loss = settings.lambda_d * F.mse_loss(restored, clean(self.clean[chosen]) if self.task.supervised else given)
        if settings.lambda_c > 0 and self.classifier is not None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.mixed_precision):
                logits = self.classifier(restored)
            loss = loss + settings.lambda_c * F.cross_entropy(logits.float(), self.labels[chosen])
        if settings.lambda_p > 0:
            self.critic.requires_grad_(False)
            loss = loss - settings.lambda_p * self.critic(restored).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.critic.requires_grad_(True)
        self.step += 1
        self.seconds += time.perf_counter() - started
        if (self.step % REPORT_EVERY == 0 or self.step == settings.steps) and not math.isfinite(loss.item()):
            raise NotSolvedError(
                f"training diverged: the loss is {loss.item()} after {self.step} of {settings.steps} steps. "
                "Lower learning_rate, or the lambdas."
            )

    def _advance_critic(self, restored: Tensor) -> None:
        """WGAN-GP. The clean images are others than those that were restored: laws are compared, not pairs."""
        real = clean(self.clean[self._chosen()])
        part = torch.rand(len(real), 1, 1, 1, generator=self.generator).to(self.device)
        between = (part * real + (1 - part) * restored).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
        scores = self.critic(torch.cat([restored, real]))
        loss = scores[: len(restored)].mean() - scores[len(restored) :].mean()
        loss = loss + self.settings.gradient_penalty * penalty
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()

    def _chosen(self) -> Tensor:
        return torch.randint(len(self.clean), (self.settings.batch,), generator=self.generator).to(self.device)

    def _through(self, given: Tensor) -> Tensor:
        code, quantiser = self.codec.encoder(given).float(), self.codec.quantiser
        shape, mode = tuple(code.shape), self.settings.common_randomness
        if mode == "none":
            private = torch.randn(shape, generator=self.generator).to(self.device)
            return self.codec.decoder(torch.cat([quantiser.straight_through(code), private], 1))
        dither = quantiser.noise(shape, self.generator).to(self.device)
        other = dither if mode == "shared" else quantiser.noise(shape, self.generator).to(self.device)
        return self.codec.decoder(quantiser.straight_through(code + dither) - other)

    def finish(self) -> Codec:
        """The codec, with its index model and what is to be known of it."""
        started = time.perf_counter()
        codec = self.codec
        codec.encoder.eval().requires_grad_(False)
        codec.decoder.eval().requires_grad_(False)
        index = codec.index(self.degraded[:_INDICES].cpu(), seed=_INDEX_SEED)
        if self.settings.common_randomness == "shared":
            draws = draw(_INDEX_SEED, 0, *index.shape)
        else:
            draws = np.full(index.shape, 2**15, np.uint16)
        codec.index_model = index_model.fit(
            codec.quantiser, index, draws, seed=self.settings.seed, steps=self.settings.index_steps
        )
        self.seconds += time.perf_counter() - started
        codec.facts = {"data_sha256": self.data_sha256, "training_seconds": self.seconds, "n_train": len(self.clean)}
        return codec

    def save(self, path: Path) -> None:
        """Everything that the next step depends on."""
        meta = {"kind": "training", "run": self._name(), "step": self.step, "seconds": self.seconds}
        store.write(path, self._arrays(), meta)

    def resume(self, path: Path) -> None:
        """Go on from a state, if there is one."""
        if not path.exists():
            return
        arrays, meta = store.read(path)
        if meta.get("kind") != "training" or meta.get("run") != self._name():
            raise CheckpointError(
                f"{path} must be the state of this run; it is of another. Resume with the settings and data that it "
                "was begun with, or give this run another file."
            )
        try:
            for name, net in self._nets().items():
                load_net(net, arrays, name)
            for name, optimiser in self._optimisers().items():
                _load_optimiser(optimiser, arrays, name)
            self.generator.set_state(torch.from_numpy(arrays["generator"].copy()))
            self.step, self.seconds = int(meta["step"]), float(meta["seconds"])
        except (KeyError, TypeError, ValueError, RuntimeError) as reason:
            raise CheckpointError(f"{path} is damaged ({reason}). Delete it, and run again.") from None

    def _name(self) -> str:
        frozen = self.codec.identity.hex() if self.frozen and self.step == 0 else ""
        self._frozen_name = getattr(self, "_frozen_name", frozen)
        return fingerprint(self.task, self.settings, self.data_sha256, self._frozen_name, torch.__version__)

    def _nets(self) -> dict[str, nn.Module]:
        found = {"encoder": self.codec.encoder, "decoder": self.codec.decoder, "critic": self.critic}
        if self.settings.joint_classifier and self.classifier is not None:
            found["classifier"] = self.classifier
        return found

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimiser": self.optimiser, "critic_optimiser": self.critic_optimiser}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {"generator": self.generator.get_state().numpy()}
        for name, net in self._nets().items():
            arrays |= net_arrays(net, name)
        for name, optimiser in self._optimisers().items():
            for i, moments in optimiser.state_dict()["state"].items():
                arrays |= {f"{name}.{i}.{key}": value.detach().cpu().numpy() for key, value in moments.items()}
        return arrays


def _one_order(device: torch.device) -> AbstractContextManager[None]:
    """cuDNN's kernels that add in one order, where there is cuDNN."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def _load_optimiser(optimiser: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]], name: str) -> None:
    """Adam's moments; those that are not there have not been begun."""
    content = optimiser.state_dict()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        found = {
            key: torch.from_numpy(arrays[f"{name}.{i}.{key}"].copy())
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{name}.{i}.{key}" in arrays
        }
        if not found:
            continue
        if len(found) < 3 or any(found[key].shape != parameter.shape for key in ("exp_avg", "exp_avg_sq")):
            raise ValueError(f"the moments of {name}, weight {i}, are not those of its net")
        content["state"][i] = found
    optimiser.load_state_dict(content)


def _check(dataset: Dataset, settings: Settings, classifier: nn.Module | None, encoder: Codec | None) -> None:
    if settings.lambda_c > 0 and classifier is None:
        raise InputError("classifier must be given if lambda_c is positive; it is None. Pass one, or lambda_c=0.")
    if settings.joint_classifier and settings.lambda_c == 0:
        raise InputError("joint_classifier must go with a positive lambda_c; it is 0. Leave one of them out.")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[settings.device]:
        raise InputError(f"device must be one that PyTorch finds; {settings.device!r} is not. Pass device='cpu'.")
    if encoder is not None:
        same = ("dimensions", "levels", "preset", "common_randomness", "standardise")
        differing = [name for name in same if getattr(encoder.settings, name) != getattr(settings, name)]
        if differing or encoder.shape != dataset.shape:
            raise InputError(
                f"encoder must be of the same {', '.join(same)} and images; it differs in "
                f"{', '.join(differing) or 'its images'}. Change the settings, or train an encoder of that kind."
            )
