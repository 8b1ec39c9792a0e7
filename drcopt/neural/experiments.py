"""Experiments: runs over rates and seeds (and whatever else), in any executor, resumable, as one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drcopt.errors import CheckpointError, InputError, NotSolvedError
from drcopt.neural import store, table
from drcopt.neural.classifier import ClassifierSettings, fresh_classifier, train_classifier
from drcopt.neural.codec import Codec, load_net, net_arrays
from drcopt.neural.config import Settings, Task, fingerprint
from drcopt.neural.data import Dataset
from drcopt.neural.measure import Measured, conditional_mean, evaluate, prepare, untouched
from drcopt.neural.training import COLLAPSED, Progress, train
from drcopt.sources._arguments import whole
from drcopt.sweep import version

if TYPE_CHECKING:
    import pandas as pd

#: Bits an image, and seeds, unless told otherwise.
RATES, SEEDS = (2, 4, 8, 16), 1
#: (lambda_p, lambda_c) of the decoders that share an encoder.
UNIVERSAL_WEIGHTS = ((0.0, 0.0), (0.01, 0.0), (0.0, 0.01), (0.01, 0.01))

ImageMeans = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Results:
    """What runs gave.

    Attributes
    ----------
    table : DataFrame
        One row a run, and baselines; :data:`drcopt.neural.table.MEANINGS` explains the columns.
    images : list
        For each row its measures image by image, or None where the run failed.
    pictures : list
        For each row some restored test images (n, c, h, w) uint8, or None.
    shown : tuple of arrays
        The same test images clean and degraded, uint8.
    """

    table: pd.DataFrame
    images: list[ImageMeans | None]
    pictures: list[NDArray[np.uint8] | None]
    shown: tuple[NDArray[np.uint8], NDArray[np.uint8]]

    def summary(self, **settings: Any) -> pd.DataFrame:
        """Means and bootstrap intervals over seeds and images (:func:`drcopt.neural.table.summary`)."""
        return table.summary(self.table, self.images, **settings)


@dataclass(frozen=True)
class Run:
    """One run of an experiment: a codec, end to end or (``encoder``) a decoder for another run's encoder."""

    settings: Settings
    encoder: Settings | None = None


def restoration(
    dataset: Dataset,
    task: Task | None = None,
    *,
    rates: Sequence[float] = RATES,
    seeds: int | Iterable[int] = SEEDS,
    settings: Settings | None = None,
    classifier: ClassifierSettings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool | None = False,
    **changes: Any,
) -> Results:
    """Codecs at several rates and seeds, measured on the test part, with baselines.

    Parameters
    ----------
    dataset : Dataset
    task : Task, optional
        Super-resolution by 4, unless told otherwise.
    rates : sequence of whole numbers
        Caps in bits an image: indices of 4 values, or of 2 where odd.
    seeds : int or iterable of int
        How many (0, 1, …), or which.
    settings : Settings, optional
        Of every run, but for code and seed.
    classifier : ClassifierSettings, optional
        Of the frozen classifier, which is trained first.
    checkpoint : path, optional
        A folder, made if missing, that gets a file for the classifier and each finished codec, and the state of those
        in training. The same experiment goes on from there, and so does one with other rates or seeds.
    executor : concurrent.futures.Executor, optional
        Runs go to it one by one; otherwise they run here, one after the other.
    progress : bool or None
        A bar on stderr; None: if it is a terminal.
    **changes
        Other fields of ``settings``, such as ``lambda_p=0.0``.

    Returns
    -------
    Results
    """
    return experiment(
        dataset, task or Task(), [Run(own) for own in _grid(rates, seeds, settings, changes)],
        classifier=classifier, checkpoint=checkpoint, executor=executor, progress=progress,
    )  # fmt: skip


def universal(
    dataset: Dataset,
    task: Task | None = None,
    *,
    weights: Sequence[tuple[float, float]] = UNIVERSAL_WEIGHTS,
    rates: Sequence[float] = (8,),
    seeds: int | Iterable[int] = 3,
    settings: Settings | None = None,
    classifier: ClassifierSettings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool | None = False,
    **changes: Any,
) -> Results:
    """One encoder for many decoders, beside training each pair end to end.

    For each rate and seed the codec of ``settings`` is trained; its encoder is frozen, and a decoder trained for it at
    each (lambda_p, lambda_c) of ``weights``, beside a codec trained at those weights from the start. The column
    ``encoder`` tells them apart. Other arguments: :func:`restoration`.
    """
    runs = []
    for owner in _grid(rates, seeds, settings, changes):
        for lambda_p, lambda_c in weights:
            own = replace(owner, lambda_p=lambda_p, lambda_c=lambda_c)
            runs += [Run(own), Run(own, encoder=owner)]
    return experiment(
        dataset, task or Task(), runs,
        classifier=classifier, checkpoint=checkpoint, executor=executor, progress=progress,
    )  # fmt: skip


def _grid(
    rates: Sequence[float], seeds: int | Iterable[int], settings: Settings | None, changes: dict[str, Any]
) -> list[Settings]:
    for name in ("dimensions", "levels", "seed"):
        if name in changes:
            raise InputError(f"{name} must not be given here; rates and seeds say it. Leave it out.")
    chosen = list(range(whole("seeds", seeds, 1, 10_000)) if isinstance(seeds, int) else seeds)
    return [replace((settings or Settings()).at(rate, **changes), seed=seed) for rate in rates for seed in chosen]


def experiment(
    dataset: Dataset,
    task: Task,
    runs: Sequence[Run],
    *,
    classifier: ClassifierSettings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    progress: bool | None = False,
) -> Results:
    """Any runs on one dataset and task: :func:`restoration` explains the other arguments."""
    if not runs:
        raise InputError("rates and seeds must name a run at least; they name none. Pass one of each.")
    folder = _folder(checkpoint)
    reader = classifier or ClassifierSettings(device=runs[0].settings.device)
    net = frozen_classifier(dataset, reader, folder)
    prepared = prepare(dataset, task)
    label = f"{dataset.name}:{task.label}"
    common = {
        "task": label, "lower_bound": -np.inf, "n_test": len(dataset.test), "data_sha256": dataset.sha256,
        **{f"{package}_version": version(package) for package in ("drcopt", "numpy", "torch")},
    }  # fmt: skip

    given = (dataset, task, reader, net_arrays(net, "classifier"), folder)
    first = list(dict.fromkeys(run.encoder for run in runs if run.encoder is not None))
    with _bar(sum(settings.steps for settings in [*first, *(run.settings for run in runs)]), progress) as bar:
        owners = dict(zip(first, _each(executor, _owner, [(given, own) for own in first], first, bar), strict=True))
        jobs = [(given, run, run.encoder and owners[run.encoder], owners.get(run.settings)) for run in runs]
        found = _each(executor, _run, jobs, [run.settings for run in runs], bar)
    lines = [_Line.of(untouched(prepared, net), {"method": "untouched input", "rate_budget_bits": np.inf})]
    lines += [line for group in found for line in group]
    shown = tuple(
        (part[: len(lines[0].pictures)].clamp(0, 1) * 255).round().to(torch.uint8).numpy()  # type: ignore[arg-type]
        for part in (prepared.test[1], prepared.test[0])
    )
    return Results(
        table.frame([{**common, **line.row} for line in lines]),
        [line.images for line in lines],
        [line.pictures for line in lines],
        (shown[0], shown[1]),
    )


def frozen_classifier(dataset: Dataset, settings: ClassifierSettings, folder: Path | None = None) -> nn.Module:
    """The frozen classifier of a dataset, from ``folder`` if it is there, and left there if not."""
    path = None
    if folder is not None:
        path = folder / f"classifier-{fingerprint(settings, dataset.sha256, torch.__version__)[:12]}.arrays"
        if path.exists():
            arrays, _ = store.read(path)
            return _classifier(dataset, settings, arrays, str(path))
    net = train_classifier(dataset, settings)
    if path is not None:
        store.write(path, net_arrays(net, "classifier"), {"kind": "classifier", "data_sha256": dataset.sha256})
    return net


@dataclass(frozen=True, eq=False)
class _Line:
    """A row to be, with what belongs to it."""

    row: dict[str, Any]
    images: ImageMeans | None = None
    pictures: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, measured: Measured, more: Mapping[str, Any]) -> _Line:
        return cls({"status": "baseline", **measured.row, **more}, measured.images, measured.pictures)


#: What every run is given: dataset, task, the classifier's settings and weights, and the folder.
_Given = tuple[Dataset, Task, ClassifierSettings, store.Arrays, Path | None]


def _run(
    given: _Given, run: Run, owner: Codec | None, trained: Codec | None, progress: Progress | None = None
) -> list[_Line]:
    """The rows of a run: its codec, ``trained`` already or not, and its conditional mean."""
    dataset, task, reader, weights, _ = given
    settings = run.settings
    about = {name: getattr(settings, name) for name in
             ("lambda_d", "lambda_p", "lambda_c", "common_randomness", "preset", "steps", "seed")}  # fmt: skip
    about |= {"rate_budget_bits": settings.rate, "encoder": "trained" if run.encoder is None else "frozen"}
    about["n_train"] = len(dataset.train)
    net = _classifier(dataset, reader, weights, "the classifier")
    prepared = prepare(dataset, task)
    try:
        # The decoder that an encoder was trained with is the one for it at those weights.
        codec = trained or _codec(given, settings, owner, progress)
    except (NotSolvedError, RuntimeError) as reason:
        why = f"{type(reason).__name__}: {' '.join(str(reason).split())}"
        return [_Line({**about, "method": "codec", "status": "failed", "termination": why})]
    measured = evaluate(codec, prepared, net)
    used = measured.row["index_entropy_bits"]
    if used < COLLAPSED * settings.rate:
        about |= {"status": "collapsed"}
        about |= {"termination": f"the encoder collapsed: its indices use {used:.2f} of {settings.rate:g} bits"}
    else:
        about |= {"status": "trained", "termination": f"{settings.steps} steps"}
    about |= {"seconds": codec.facts["training_seconds"], "weights_sha256": codec.identity.hex()}
    lines = [_Line.of(measured, {**about, "method": "codec"})]
    mean = conditional_mean(codec, dataset, prepared, net)
    if mean is not None:
        coded = {name: measured.row[name] for name in ("rate_bits", "ideal_bits", "index_entropy_bits")}
        free = {"method": "conditional mean", "status": "baseline", "termination": "", "seconds": np.nan}
        lines.append(_Line.of(mean, {**about, **coded, **free}))
    return lines


def _owner(given: _Given, settings: Settings, progress: Progress | None = None) -> Codec:
    """A codec whose encoder others share."""
    return _codec(given, settings, None, progress)


def _codec(given: _Given, settings: Settings, owner: Codec | None, progress: Progress | None) -> Codec:
    """A codec from the folder, or trained and left there."""
    dataset, task, reader, weights, folder = given
    path = None
    if folder is not None:
        name = fingerprint(task, settings, None if owner is None else owner.identity.hex(), reader, dataset.sha256)[:12]
        path = folder / f"{task.label}-{settings.rate:g}bits-seed{settings.seed}-{name}.codec"
        if path.exists():
            return Codec.load(path, device=settings.device)
    codec = train(
        dataset, task, settings,
        classifier=_classifier(dataset, reader, weights, "the classifier") if settings.lambda_c > 0 else None,
        encoder=owner,
        degraded=prepare(dataset, task).train,
        state=None if path is None else path.with_suffix(".state"),
        progress=progress,
    )  # fmt: skip
    if path is not None:
        codec.save(path)
    return codec


def _each(
    executor: Executor | None,
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    settings: Sequence[Settings],
    bar: Any,
) -> list[Any]:
    """``function`` of every job, in order, here or in an executor."""
    if executor is None:
        results = []
        for job, own in zip(jobs, settings, strict=True):
            counter = _Counter(bar)
            results.append(function(*job, progress=counter.reached))
            counter.reached(own.steps)
        return results
    futures = {executor.submit(function, *job): i for i, job in enumerate(jobs)}
    found: list[Any] = [None] * len(jobs)
    try:
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            bar.update(settings[futures[future]].steps)
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return found


def _classifier(dataset: Dataset, settings: ClassifierSettings, arrays: store.Arrays, where: str) -> nn.Module:
    net = fresh_classifier(dataset, settings)
    try:
        load_net(net, arrays, "classifier")
    except (ValueError, RuntimeError) as reason:
        raise CheckpointError(
            f"{where} must hold this dataset's classifier; it does not ({reason}). Delete it."
        ) from None
    return net.eval().requires_grad_(False)


def _folder(checkpoint: str | os.PathLike[str] | None) -> Path | None:
    if checkpoint is None:
        return None
    folder = Path(checkpoint)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as reason:
        raise CheckpointError(
            f"checkpoint must name a folder that can be made; {folder} cannot ({reason.strerror}). Choose another."
        ) from None
    return folder


class _Counter:
    """Turns "so many steps are done" into what a bar wants."""

    def __init__(self, bar: Any) -> None:
        self.bar, self.done = bar, 0

    def reached(self, steps: int) -> None:
        self.bar.update(steps - self.done)
        self.done = steps


@contextmanager
def _bar(total: int, progress: bool | None) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(total=total, unit="step", disable=None if progress is None else not progress) as bar:
        yield bar
