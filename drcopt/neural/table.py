"""Tables of restoration runs: the columns, files, and intervals over seeds and images."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drcopt import tables
from drcopt.errors import InputError
from drcopt.support.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS", "GROUP", "MEANINGS", "STATUSES", "TEXT_COLUMNS", "check_destination", "frame", "print_csv",
    "read_table", "summary", "write_table",
]  # fmt: skip

#: Every column of a table, in order, and what it means. A name that sweep tables have too means the same.
MEANINGS: Mapping[str, str] = {
    "task": "dataset:degradation, with -supervised where the decoder was trained towards clean images",
    "method": "codec; baselines: untouched input, conditional mean (of clean images given the codec's indices)",
    "rate_budget_bits": "the cap, dimensions x log2(levels), an image; inf: none",
    "rate_bits": "bits an image in the file, headers included, decoded and compared; nan: nothing is coded",
    "ideal_bits": "-log2 of the probability that the model gives the indices, an image",
    "common_randomness_bits": "the part of rate_bits that is the seed of U",
    "index_entropy_bits": "sum of the entropies of the indices one by one; the cap if all levels are used alike",
    "distortion": "mean squared error per pixel to the degraded input",
    "mse_clean": "mean squared error per pixel to the clean image",
    "psnr_clean": "-10 log10(mse_clean), in dB",
    "classification_loss_bits": "cross-entropy of the frozen classifier: an upper bound on H(S|Y)",
    "accuracy": "of the frozen classifier",
    "sliced_w1": "mean W1 between projections of restored and of clean test images",
    "sliced_w1_floor": "the same between clean training and clean test images",
    "validation_accuracy": "accuracy on the validation part",
    "validation_distortion": "distortion on the validation part",
    "lower_bound": "-inf: nothing is proved of the continuous task",
    "status": "trained, collapsed (the encoder uses less than half its cap), failed or baseline",
    "termination": "why the run ended, on one line",
    "seed": "of weights, batches and dithers in training",
    "lambda_d": "weight of the squared error",
    "lambda_p": "weight of W1",
    "lambda_c": "weight of the cross-entropy",
    "common_randomness": "shared, independent or none",
    "preset": "the nets",
    "encoder": "trained (end to end), or frozen: taken from another run",
    "n_train": "training images",
    "n_test": "test images",
    "steps": "of training",
    "seconds": "wall-clock time of training",
    "data_sha256": "of all images and labels",
    "weights_sha256": "first 16 digits, of the codec: its name in streams",
    "drcopt_version": "drcopt that computed the row",
    "numpy_version": "NumPy that computed the row",
    "torch_version": "PyTorch that computed the row",
}

COLUMNS: tuple[str, ...] = tuple(MEANINGS)

TEXT_COLUMNS = frozenset(
    {"task", "method", "status", "termination", "common_randomness", "preset", "encoder"}
    | {name for name in COLUMNS if name.endswith(("_version", "_sha256"))}
)

STATUSES: Mapping[str, str] = {
    "trained": "trained to the end",
    "collapsed": "trained to the end, but the encoder uses less than half its cap",
    "failed": "training did not end well; termination says why",
    "baseline": "nothing was trained for it",
}

#: What a group of rows has in common, if they differ in their seeds alone.
GROUP = (
    "task", "method", "rate_budget_bits", "lambda_d", "lambda_p", "lambda_c", "common_randomness", "preset", "encoder",
    "steps",
)  # fmt: skip
#: Columns that an interval is given for, and of those the ones that are means over images.
_OVER_IMAGES = ("distortion", "mse_clean", "classification_loss_bits", "accuracy")
_OVER_SEEDS = ("rate_bits", "index_entropy_bits", "sliced_w1")


def frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of these rows: :data:`COLUMNS` in order, text or float64; what a row lacks is nan or empty."""
    import pandas as pd

    columns = {name: [row.get(name, "" if name in TEXT_COLUMNS else math.nan) for row in rows] for name in COLUMNS}
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype="str" if name in TEXT_COLUMNS else "float64")
            for name, values in columns.items()
        }
    )


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table, or a summary, as .csv, whole or not at all; :func:`read_table` gives a table back bit for bit.

    Raises
    ------
    InputError
        If the suffix is another or the folder missing.
    """
    path = check_destination(path)
    with atomic_write(path) as text:
        print_csv(table, text)
    return path


def print_csv(table: pd.DataFrame, handle: IO[str]) -> None:
    """Write a table, or a summary, as CSV text to an open file or stream."""
    table.to_csv(handle, index=False, lineterminator="\n", na_rep="nan")


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table that :func:`write_table` wrote.

    Raises
    ------
    InputError
        If the file cannot be read, or does not hold such a table.
    """
    import pandas as pd

    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)
        # float() reads what repr() wrote; the reader's own floats may be one digit off.
        table = found.assign(**{str(name): found[name].map(float) for name in found if name not in TEXT_COLUMNS})
    except (OSError, ValueError) as reason:
        raise InputError(f"path must name a table of restoration runs; {path} is none ({reason}). Check it.") from None
    if tuple(table.columns) != COLUMNS:
        raise InputError(f"{path} must have the columns of drcopt.neural.table.COLUMNS, in order; it has others.")
    return table


def check_destination(path: str | os.PathLike[str]) -> Path:
    """``path`` as a Path, if a table could be written there."""
    path = tables.check_destination(path)
    if path.suffix.lower() != ".csv":
        raise InputError(f"path must end in .csv; it is {str(path)!r}. Give the file that suffix.")
    return path


def summary(
    table: pd.DataFrame,
    images: Sequence[Mapping[str, NDArray[Any]] | None],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Means over seeds, each with a bootstrap interval over seeds and images.

    Parameters
    ----------
    table : DataFrame
        Rows of runs.
    images : sequence
        For each row, its means image by image (``Results.images``), or None.
    level : float
        Of the intervals.
    resamples, seed : int
        Of the bootstrap: seeds are drawn with replacement, and images, the same ones for each seed. With one seed an
        interval is over images alone; three seeds say little of the spread between seeds.

    Returns
    -------
    DataFrame
        One row a group of rows that differ in ``seed`` alone (failed ones left out): :data:`GROUP`, ``seeds``,
        ``collapsed``, and for each measure its mean, ``_low`` and ``_high``.
    """
    import pandas as pd

    generator = np.random.default_rng(seed)
    ends = (50 * (1 - level), 50 * (1 + level))
    lines = []
    weights: dict[int, NDArray[Any]] = {}  # of the images, one row a resample
    kept = table[table["status"] != "failed"]
    for key, group in kept.groupby(list(GROUP), sort=False, dropna=False):
        line: dict[str, Any] = {**dict(zip(GROUP, key, strict=True)), "seeds": len(group)}
        line["collapsed"] = int((group["status"] == "collapsed").sum())
        drawn = generator.multinomial(len(group), np.full(len(group), 1 / len(group)), size=resamples) / len(group)
        per_image = [images[i] for i in group.index]
        for name in (*_OVER_IMAGES, *_OVER_SEEDS):
            means = group[name].to_numpy()
            known = [found[name] for found in per_image if found is not None and name in found]
            samples = drawn @ means
            if len(known) == len(group):
                count = len(known[0])
                if count not in weights:
                    weights[count] = generator.multinomial(count, np.full(count, 1 / count), size=resamples) / count
                samples = (drawn * (weights[count] @ np.stack(known).T.astype(np.float64))).sum(axis=1)
            low, high = np.percentile(samples, ends)
            line |= {name: means.mean(), f"{name}_low": low, f"{name}_high": high}
        lines.append(line)
    return pd.DataFrame(lines)
