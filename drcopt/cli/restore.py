"""The command ``drcopt restore``; :mod:`drcopt.cli` adds it to the others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from drcopt.errors import NotSolvedError

#: What runs without data: 8x8 digits need a milder degradation than a quarter of the side.
DEFAULT = "digits:super-resolution"
SMALL_FACTOR = 2
#: As the fields of drcopt.neural.Settings, whose module need not be loaded for --help.
PRESETS, MODES, DEVICES = ("mlp", "conv", "published"), ("shared", "independent", "none"), ("cpu", "cuda", "mps")


@click.command()
@click.argument("source", default=DEFAULT, metavar="[DATASET:TASK]")
@click.option("--data", type=click.Path(path_type=Path), help="The folder with the dataset's files.")
@click.option("--rates", default="2,4,8,16", show_default=True, help="Caps in bits an image, whole numbers.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at each rate.")
@click.option("--preset", type=click.Choice(PRESETS), default="mlp", show_default=True, help="The nets.")
@click.option("--common", type=click.Choice(MODES), default="shared", show_default=True, help="Common randomness.")
@click.option("--steps", type=click.IntRange(min=1), default=800, show_default=True, help="Of training.")
@click.option("--lambda-d", type=float, default=1.0, show_default=True, help="Weight of the squared error.")
@click.option("--lambda-p", type=float, default=0.01, show_default=True, help="Weight of W1, which the critic sees.")
@click.option("--lambda-c", type=float, default=0.01, show_default=True, help="Weight of the cross-entropy.")
@click.option("--factor", type=click.IntRange(min=2), help="Of super-resolution.  [default: 4; 2 for digits]")
@click.option("--noise", type=float, default=0.3, show_default=True, help="Standard deviation, of denoising.")
@click.option("--mask", type=float, default=0.5, show_default=True, help="Side of the hole, of inpainting.")
@click.option("--train-images", type=click.IntRange(min=2), help="At most so many to train on.  [default: all]")
@click.option("--test-images", type=click.IntRange(min=2), help="At most so many to report on.  [default: all]")
@click.option("--universal", is_flag=True, help="One encoder for decoders at four weights, beside end to end.")
@click.option("--joint-classifier", is_flag=True, help="Train the classifier of the loss along with the codec.")
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True, help="Of the nets.")
@click.option("--mixed-precision", is_flag=True, help="bfloat16 where it serves (cuda).")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="A folder of finished codecs, to resume from.")
@click.option("--out", type=click.Path(path_type=Path), help="Write this .csv; default: CSV on stdout.")
@click.option("--summary", type=click.Path(path_type=Path), help="Write means and intervals to this .csv.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Draw restored images to this .png, .svg or .pdf.")
@click.option("--progress/--no-progress", default=None, help="Progress bar on stderr.  [default: on a terminal]")
def restore(
    source: str,
    data: Path | None,
    rates: str,
    seeds: int,
    factor: int | None,
    noise: float,
    mask: float,
    train_images: int | None,
    test_images: int | None,
    universal: bool,
    jobs: int,
    checkpoint: Path | None,
    out: Path | None,
    summary: Path | None,
    pictures: Path | None,
    progress: bool | None,
    common: str,
    **settings: Any,
) -> None:
    """Train restoration codecs, code images to bits and report what comes back.

    DATASET is digits (bundled), mnist, colour-digits, svhn or folder; TASK is super-resolution, denoising or
    inpainting, or one of them with -supervised. Needs the extra neural.

    \b
    Examples:
      drcopt restore --rates 4 --steps 40 --out table.csv
      drcopt restore mnist:inpainting --data mnist --rates 4,8,16,32 --seeds 3 --checkpoint runs --out table.csv
    """
    from drcopt import neural, plotting
    from drcopt.cli.options import parse_grid
    from drcopt.neural import data as datasets
    from drcopt.neural import table
    from drcopt.support.workers import workers

    for path in (out, summary):
        if path is not None:
            table.check_destination(path)
    if pictures is not None:
        plotting.check_destination(pictures)
    name, _, label = source.partition(":")
    factor = factor or (SMALL_FACTOR if name == "digits" else 4)
    task = neural.Task.named(label or "super-resolution", factor=factor, noise=noise, mask=mask)
    chosen = neural.Settings(common_randomness=common, **settings)
    grid = parse_grid(rates)
    for rate in grid:
        chosen.at(rate)  # before anything is read or trained
    dataset = datasets.load(name, data).limited(train_images, test_images)
    with workers(min(jobs, len(grid) * seeds)) as executor:
        results = (neural.universal if universal else neural.restoration)(
            dataset, task,
            rates=grid, seeds=seeds, settings=chosen, checkpoint=checkpoint, executor=executor, progress=progress,
        )  # fmt: skip
    if pictures is not None:
        from drcopt.neural.pictures import reconstructions

        plotting.save(reconstructions(results), pictures)
        click.echo(f"drcopt: wrote {pictures}", err=True)
    if summary is not None:
        table.write_table(results.summary(), summary)
        click.echo(f"drcopt: wrote {summary}", err=True)
    if out is None:
        table.print_csv(results.table, sys.stdout)
    else:
        table.write_table(results.table, out)
        counts = ", ".join(f"{count} {status}" for status, count in results.table["status"].value_counts().items())
        click.echo(f"drcopt: wrote {len(results.table)} rows to {out}: {counts}", err=True)
    runs = results.table[results.table["method"] == "codec"]
    if (runs["status"] == "failed").all():
        raise NotSolvedError(f"none of the {len(runs)} runs ended well; the first: {runs['termination'].iloc[0]}")
