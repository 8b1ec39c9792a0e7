"""Restoration codecs: the tables of the README's section, and the published nets for machines with a GPU.

    python -m benchmarks.restoration cpu --data MNIST --checkpoint runs --out tables
    python -m benchmarks.restoration published --data MNIST --device cuda --checkpoint runs --out tables

Both resume from --checkpoint. Each experiment is a CSV of its rows, a CSV of means with intervals, and pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from drcopt import plotting
from drcopt.neural import ClassifierSettings, Results, Task, data, pictures, restoration, table, universal
from drcopt.neural.config import PUBLISHED

#: Fresh seeds: those that settings were chosen with were 0 to 2.
SEEDS = (11, 12, 13)
#: What the published code reports, one run a point: MSE to the degraded input and accuracy, by weights and rate.
REPORTED = {
    ("super-resolution", 0.001): {4: (0.0334, 0.544), 8: (0.0236, 0.683), 16: (0.0144, 0.762), 32: (0.0066, 0.838)},
    ("super-resolution", 0.05): {4: (0.0718, 0.876), 8: (0.0603, 0.916), 16: (0.0494, 0.929), 32: (0.0451, 0.932)},
    ("denoising", 0.003): {4: (0.0288, 0.197), 8: (0.0248, 0.294), 16: (0.0207, 0.636), 32: (0.0168, 0.772)},
}  # fmt: skip

Experiment = Callable[[], Results]


def cpu(
    folder: Path, checkpoint: Path | None, seeds: Iterable[int] = SEEDS, most: int | None = None
) -> dict[str, Experiment]:
    """The experiments of the README: small nets, seconds to a minute a run on one thread."""
    seeds = tuple(seeds)
    mnist = data.load("mnist", folder).limited(most, most)

    def runs(
        task: Task, rates: tuple[int, ...], on: str = "mnist", seeds: tuple[int, ...] = seeds, **changes: object
    ) -> Results:
        images = mnist if on == "mnist" else data.load(on, folder).limited(most, most)
        return restoration(images, task, rates=rates, seeds=seeds, checkpoint=checkpoint, progress=None, **changes)

    zoom, five = Task(), (*seeds, *(max(seeds) + i for i in (1, 2)))
    hole, noisy = Task("inpainting"), Task("denoising")
    return {
        "super-resolution": lambda: runs(zoom, (2, 4, 8, 16, 32)),
        "without-classifier": lambda: runs(zoom, (8,), lambda_c=0.0),
        "without-critic": lambda: runs(zoom, (8,), lambda_p=0.0),
        "without-either": lambda: runs(zoom, (8,), lambda_p=0.0, lambda_c=0.0),
        "shared": lambda: runs(zoom, (4, 8), seeds=five),
        "none": lambda: runs(zoom, (4, 8), seeds=five, common_randomness="none"),
        "independent": lambda: runs(zoom, (4,), common_randomness="independent"),
        "conv": lambda: runs(zoom, (8,), preset="conv"),
        "mlp-as-long": lambda: runs(zoom, (8,), steps=2100),
        "inpainting": lambda: runs(hole, (4, 32)),
        "inpainting-supervised": lambda: runs(replace(hole, supervised=True), (4, 32)),
        "denoising": lambda: runs(noisy, (8, 32), on="colour-digits"),
        "denoising-supervised": lambda: runs(replace(noisy, supervised=True), (32,), on="colour-digits"),
        "universal": lambda: universal(
            data.load("digits"), Task(factor=2), rates=(8,), seeds=seeds, checkpoint=checkpoint
        ),
    }


def published(
    folder: Path, checkpoint: Path | None, seeds: Iterable[int], device: str, steps: int | None, mixed: bool, svhn: bool
) -> dict[str, Experiment]:
    """The nets and settings of the published experiments: 93,750 steps a run, for a GPU."""
    seeds = tuple(seeds)
    images = data.load("svhn" if svhn else "mnist", folder)
    task = Task("denoising", noise=20 / 255) if svhn else Task()
    classifier = ClassifierSettings(deep=svhn, epochs=30 if svhn else 3, device=device)

    def runs(weight: float) -> Results:
        settings = replace(PUBLISHED, device=device, mixed_precision=mixed, steps=steps or PUBLISHED.steps)
        return restoration(
            images, task, rates=(4, 8, 16, 32), seeds=seeds, settings=settings, classifier=classifier,
            checkpoint=checkpoint, progress=None, lambda_p=weight, lambda_c=weight,
        )  # fmt: skip

    weights = (0.003,) if svhn else (0.001, 0.05)
    return {f"published-{task.name}-{weight:g}": (lambda weight=weight: runs(weight)) for weight in weights}


def markdown(means: pd.DataFrame) -> str:
    """Means with intervals, as the README has them."""
    lines = [
        "| method | cap | coded bits | MSE to input | MSE to clean | accuracy | CE, bits | sliced W1 | seeds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in means.to_dict("records"):
        of = f"{row['method']}{', shared encoder' if row['encoder'] == 'frozen' else ''}"

        def cell(name: str, digits: int, row: dict[object, float] = row) -> str:
            low, high = (f"{row[f'{name}_{end}']:.{digits}f}" for end in ("low", "high"))
            return f"{row[name]:.{digits}f} [{low}, {high}]"

        cells = [
            of, f"{row['rate_budget_bits']:g}", f"{row['rate_bits']:.2f}", cell("distortion", 4), cell("mse_clean", 4),
            cell("accuracy", 3), cell("classification_loss_bits", 2), f"{row['sliced_w1']:.3f}", f"{row['seeds']}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("cpu", "published"))
    parser.add_argument("names", nargs="*", help="experiments; default: all")
    parser.add_argument("--data", type=Path, required=True, help="the folder with MNIST's IDX or SVHN's .mat files")
    parser.add_argument("--svhn", action="store_true", help="published: denoising of SVHN")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--most", type=int, help="cpu: at most so many images")
    parser.add_argument("--steps", type=int, help="published: of training")
    parser.add_argument("--device", default="cuda", help="published: cuda, mps or cpu")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=Path("restoration"))
    args = parser.parse_args(argv)
    if args.which == "cpu":
        experiments = cpu(args.data, args.checkpoint, args.seeds, args.most)
    else:
        experiments = published(
            args.data, args.checkpoint, args.seeds, args.device, args.steps, args.mixed_precision, args.svhn
        )
    args.out.mkdir(exist_ok=True)
    for name in args.names or experiments:
        results = experiments[name]()
        means = results.summary()
        table.write_table(results.table, args.out / f"{name}.csv")
        table.write_table(means, args.out / f"{name}-means.csv")
        plotting.save(pictures.reconstructions(results), args.out / f"{name}.png")
        plotting.save(pictures.curves(results), args.out / f"{name}-curves.png")
        print(f"\n{name}\n\n{markdown(means)}", flush=True)
        for (task, weight), points in REPORTED.items():
            if name == f"published-{task}-{weight:g}":
                reported = ", ".join(f"R = {rate}: {mse} and {right}" for rate, (mse, right) in points.items())
                print(
                    f"reported, one run a point, MSE to input and accuracy of the classifier trained along: {reported}"
                )


if __name__ == "__main__":
    main()
