"""What samples can prove: (X, S) is known by N independent draws, not by its law.

Solving the problem of the empirical law (:meth:`drcopt.Problem.from_samples`) is the *plug-in*. It is optimistic: with
Y's law free the Lagrangian is concave in the law, so that E D̂ ≤ D in the mean, and a solution looks better on the
draws that it was made from than on others. These functions say what holds of the true law, with what confidence.

- :func:`holdout`: what a fixed solution really has, at most; proved (Hoeffding, empirical Bernstein).
- :func:`lower_bound`: what no solution can undercut; proved (concavity, McDiarmid), loose.
- :func:`tv_interval`: D(R, C) from both sides; proved (a ball of total variation), crude.
- :func:`delta_interval`: D(R, C) ± standard errors; an approximation, not proved.
- :func:`samples_needed`: how many draws a width takes.

Counts are tables of (x, s), shape (n, k), such as ``numpy.histogram2d`` or ``pandas.crosstab`` give. Draws must be
independent, and a hold-out must have played no part in finding what it is to judge.
"""

from drcopt.statistics.approximate import delta_interval as delta_interval
from drcopt.statistics.ball import tv_interval as tv_interval
from drcopt.statistics.ball import tv_radius as tv_radius
from drcopt.statistics.below import lower_bound as lower_bound
from drcopt.statistics.means import Bound as Bound
from drcopt.statistics.means import Interval as Interval
from drcopt.statistics.means import upper_mean as upper_mean
from drcopt.statistics.needed import samples_needed as samples_needed
from drcopt.statistics.tested import Holdout as Holdout
from drcopt.statistics.tested import holdout as holdout

__all__ = [
    "Bound",
    "Holdout",
    "Interval",
    "delta_interval",
    "holdout",
    "lower_bound",
    "samples_needed",
    "tv_interval",
    "tv_radius",
    "upper_mean",
]
