"""The tables behind the slides' two example figures: as printed and exact, from the closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from drcopt.closed_forms import ClosedForm, bernoulli, gaussian

if TYPE_CHECKING:
    import pandas as pd

#: File name → title and the function that builds the table.
FIGURES: Mapping[str, tuple[str, Callable[[], pd.DataFrame]]]


def bernoulli_figure() -> pd.DataFrame:
    """Distortion at rates 0 to 1 bit for C = 0.8 bits, px = 0.3, py = 0.25, p1 = 0.2.

    Returns
    -------
    pandas.DataFrame
        For :func:`drcopt.plotting.curve`: columns ``curve``, ``rate_budget_bits``,
        ``classification_budget_bits``, ``distortion``, ``lower_bound`` and ``status``. Closed forms have no gap.

    Examples
    --------
    >>> sorted(bernoulli_figure()["curve"].unique())
    ['one-shot as printed', 'one-shot exact, H(S|Y) ≤ C', 'one-shot exact, H(S|Y,U) ≤ C', 'single-letter exact']
    """
    source, C = (0.3, 0.25, 0.2), 0.8
    one_shot = partial(bernoulli.exact, *source, C=C, formulation="one-shot")
    return _table(
        np.arange(101) / 100,
        C,
        {
            "one-shot as printed": lambda R: bernoulli.as_printed(*source, R, C),
            "one-shot exact, H(S|Y,U) ≤ C": lambda R: one_shot(R=R, classifier_sees="YU"),
            "one-shot exact, H(S|Y) ≤ C": lambda R: one_shot(R=R),
            "single-letter exact": lambda R: bernoulli.exact(*source, R, C),
        },
    )


def gaussian_figure() -> pd.DataFrame:
    """Distortion at rates 0 to 4 bits for C = 2 bits, unit variances, θ = 0.6; columns as `bernoulli_figure`.

    Examples
    --------
    >>> sorted(gaussian_figure()["curve"].unique())
    ['as printed', 'exact']
    """
    theta, C = 0.6, 2.0
    return _table(
        np.arange(401) / 100,
        C,
        {
            "as printed": lambda R: gaussian.as_printed(theta=theta, R=R, C=C),
            "exact": lambda R: gaussian.exact(theta=theta, R=R, C=C),
        },
    )


def _table(rates: np.ndarray, C: float, curves: Mapping[str, Callable[[float], ClosedForm]]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for name, formula in curves.items():
        for R in map(float, rates):
            D = float(formula(R))
            rows.append((name, R, C, D, D, "infeasible" if math.isinf(D) else "optimal"))
    names = ["curve", "rate_budget_bits", "classification_budget_bits", "distortion", "lower_bound", "status"]
    return pd.DataFrame(rows, columns=names)


FIGURES = {
    "bernoulli": ("Bernoulli: px = 0.3, py = 0.25, p1 = 0.2, C = 0.8 bits", bernoulli_figure),
    "gaussian": ("Gaussian: unit variances, θ = 0.6, C = 2 bits", gaussian_figure),
}
