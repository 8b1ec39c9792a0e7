"""Pictures: what is on the axes, and what is refused."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from plotted import C_GRID, PROBLEM, R_GRID, component, grid, row

from drcopt import plotting
from drcopt.errors import InputError
from drcopt.problem import Problem
from drcopt.solution import Mixture
from drcopt.solve import solve
from drcopt.tables import frame
from drcopt.theorems import bernoulli_figure

pytest.importorskip("matplotlib").use("Agg")


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


# -- curves ----------------------------------------------------------------------------------------------------


def test_curve_has_a_line_for_each_budget_and_labelled_axes():
    figure = plotting.curve(grid(), title="A title")
    ax = figure.axes[0]
    assert ax.get_xlabel() == "rate budget R (bits)"
    assert ax.get_ylabel() == "distortion E d(X,Y)"
    assert ax.get_title() == "A title"
    assert legend_of(figure) == [
        "C = 0.6 bits (none at R ≤ 0.25)",
        "C = 0.7 bits (none at R ≤ 0)",
        "C = 0.8 bits (none at R ≤ 0)",
        "C = 0.9 bits",
        "C = ∞",
        "infeasible (by colour)",
    ]


def test_curve_draws_the_table_and_nothing_else():
    table = grid()
    lines = lines_of(plotting.curve(table.sample(frac=1, random_state=1)))
    expected = table[table.classification_budget_bits == 0.6]["distortion"].replace(math.inf, math.nan)
    np.testing.assert_array_equal(lines["C = 0.6 bits (none at R ≤ 0.25)"].get_ydata(), expected)
    np.testing.assert_array_equal(lines["C = ∞"].get_xdata(), R_GRID)


def test_infeasible_rates_are_shaded_up_to_the_largest():
    figure = plotting.curve(grid())
    ends = sorted(patch.get_x() + patch.get_width() for patch in figure.axes[0].patches)
    assert ends == pytest.approx([0.0, 0.0, 0.25])


def test_a_budget_infeasible_everywhere_says_so_and_shades_nothing():
    table = frame([row(R, 0.1, math.inf, status="infeasible") for R in R_GRID] + [row(R, 0.9, 1 - R) for R in R_GRID])
    figure = plotting.curve(table)
    assert legend_of(figure)[0] == "C = 0.1 bits (infeasible)"
    assert not figure.axes[0].patches


def test_bands_reach_from_the_lower_bound_to_the_distortion():
    table = frame([row(R, math.inf, 1 - R / 2, lower=0.9 - R / 2, status="feasible") for R in R_GRID])
    band = plotting.curve(table).axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.ymin, band.ymax) == pytest.approx((0.4, 1.0))


def test_a_bound_without_a_point_is_a_hollow_marker():
    rows = [row(0.0, math.inf, 1.0), row(0.5, math.inf, math.nan, lower=0.3, status="unknown")]
    bare = [line for line in plotting.curve(frame(rows)).axes[0].get_lines() if line.get_marker() == "^"]
    assert [tuple(line.get_ydata()) for line in bare] == [(0.3,)]


def test_formulations_are_told_apart():
    parts = [grid(), grid(formulation="one-shot"), grid(formulation="one-shot", classifier_sees="YU")]
    table = pd.concat([part[part.classification_budget_bits == 0.9] for part in parts])
    assert legend_of(plotting.curve(table)) == [
        "one-shot, H(S|Y), C = 0.9 bits",
        "one-shot, H(S|Y,U), C = 0.9 bits (coincides with one-shot, H(S|Y), C = 0.9 bits)",
        "single-letter, C = 0.9 bits (coincides with one-shot, H(S|Y), C = 0.9 bits)",
    ]


def test_overlays_are_drawn_as_lines():
    overlay = pd.DataFrame({"rate_budget_bits": [1.0, 0.0, math.inf], "distortion": [0.1, math.inf, 0.0]})
    line = lines_of(plotting.curve(grid(), overlays={"as printed": overlay}))["as printed"]
    np.testing.assert_array_equal(line.get_xdata(), [0.0, 1.0])
    np.testing.assert_array_equal(line.get_ydata(), [math.nan, 0.1])


def test_colours_differ_and_so_do_dashes():
    lines = [line for line in plotting.curve(bernoulli_figure()).axes[0].get_lines() if line.get_label()[0] != "_"]
    assert len({str(line.get_color()) for line in lines}) == len(lines) == 4
    assert len({str(line._dash_pattern) for line in lines}) == 4


def test_a_table_of_rates_without_bound_is_refused():
    with pytest.raises(InputError, match="table must have a row with a finite rate budget; it has none"):
        plotting.curve(frame([row(math.inf, 0.5, 0.1)]))


@pytest.mark.parametrize("draw", [plotting.curve, plotting.surface])
def test_a_table_without_answers_is_refused(draw):
    rows = [row(R, C, math.nan, lower=-math.inf, status="unknown") for R in (0, 1) for C in (0, 1)]
    with pytest.raises(InputError, match="must have an answer to draw; all of its 4 rows within the axes are unknown"):
        draw(frame(rows))


def test_too_many_curves_are_refused():
    with pytest.raises(InputError, match="at most 12 curves; it holds 20"):
        plotting.curve(frame([row(0.5, C / 20, 0.1) for C in range(20)]))


@pytest.mark.parametrize("table", [pd.DataFrame({"x": [1]}), "table.csv", None])
@pytest.mark.parametrize("draw", [plotting.curve, plotting.surface, plotting.plot])
def test_what_is_no_table_is_refused(draw, table):
    with pytest.raises(InputError, match="lacks rate_budget_bits, classification_budget_bits, "):
        draw(table)


# -- curves of several kinds -------------------------------------------------------------------------------------


def labelled(figure):
    return {label: line for label, line in lines_of(figure).items() if not label.startswith("_")}


def test_problems_are_never_joined():
    one, two = (grid().assign(problem_fingerprint=name) for name in ("a" * 16, "b" * 16))
    table = pd.concat([one, two.assign(distortion=two.distortion + 1)])
    table = table[table.classification_budget_bits == 0.9]
    lines = labelled(plotting.curve(table))
    assert list(lines) == ["problem aaaaaa, C = 0.9 bits", "problem bbbbbb, C = 0.9 bits"]
    assert all(len(line.get_xdata()) == len(R_GRID) for line in lines.values())
    named = labelled(plotting.curve(table.assign(source=["hair"] * 5 + ["eyes"] * 5)))
    assert list(named) == ["hair, C = 0.9 bits", "eyes, C = 0.9 bits"]


def test_formulations_share_no_line_and_budgets_no_colour():
    other = grid(formulation="one-shot")
    table = pd.concat([grid(), other.assign(distortion=other.distortion + 1)])
    lines = labelled(plotting.curve(table[table.classification_budget_bits >= 0.9]))
    looks = {(line.get_marker(), str(line._unscaled_dash_pattern)) for line in lines.values()}
    assert len(lines) == 4 and len(looks) == 2 and len({str(line.get_color()) for line in lines.values()}) == 2


def test_a_curve_that_lies_on_another_says_so():
    rows = [row(R, C, 1 - R / 2) for R in (0.5, 1.0) for C in (0.8, math.inf)]
    rows += [row(0.0, 0.8, math.inf, status="infeasible"), row(0.0, math.inf, 1.0)]
    assert list(labelled(plotting.curve(frame(rows)))) == [
        "C = 0.8 bits (none at R ≤ 0) (coincides with C = ∞)",
        "C = ∞",
    ]


def test_distortion_against_the_classification_budget():
    figure = plotting.curve(grid()[lambda t: t.rate_budget_bits >= 0.5], x="C")
    assert figure.axes[0].get_xlabel() == "classification budget C (bits)"
    assert list(labelled(figure)) == ["R = 0.5 bits", "R = 0.75 bits", "R = 1 bit"]


def test_rate_against_the_classification_budget():
    """Any objective can be drawn against any budget: here R(D, C)."""
    rows = [row(math.inf, C, math.nan, lower=1 - C) for C in (0.2, 0.5, 0.8)]
    table = frame(rows).assign(objective="rate", value=[0.9, 0.6, 0.3], distortion_budget=0.1)
    figure = plotting.curve(table, x="C")
    assert figure.axes[0].get_ylabel() == "rate (bits)"
    np.testing.assert_array_equal(labelled(figure)["D = 0.1"].get_ydata(), [0.9, 0.6, 0.3])
    with pytest.raises(InputError, match="that minimised one thing; it holds distortion, rate"):
        plotting.curve(pd.concat([table, grid().assign(objective="")]), x="C")


def test_the_exact_edge_is_shaded_and_named():
    edge = pd.DataFrame({"rate_budget_bits": [0.13], "classification_budget_bits": [0.6]})
    figure = plotting.curve(grid()[lambda t: t.classification_budget_bits == 0.6], edge=edge)
    assert list(labelled(figure)) == ["C = 0.6 bits (R ≥ 0.13)"]
    (patch,) = figure.axes[0].patches
    assert patch.get_x() + patch.get_width() == pytest.approx(0.13)


def test_the_legend_names_every_mark():
    rows = [
        row(0, math.inf, 1.0, lower=0.5, status="feasible"),
        row(0.5, math.inf, math.nan, lower=0.3, status="unknown"),
    ]
    rows += [row(1, math.inf, math.nan, lower=-math.inf, status="unknown")]
    assert legend_of(plotting.curve(frame(rows)))[1:] == [
        "from the proved bound to the best point",
        "proved bound, no point found",
        "not solved",
    ]


def test_points_of_a_codec():
    points = pd.DataFrame({"rate": [0.25, 0.5], "distortion": [0.5, 0.4], "accuracy": [0.9, 0.95], "label": "mine $x"})
    figure = plotting.curve(grid(), points=points)
    line = labelled(figure)["mine $x (with accuracy)"]
    assert (list(line.get_xdata()), line.get_linestyle()) == ([0.25, 0.5], "None")
    assert "mine $x (with accuracy)" in labelled(
        plotting.curve(grid(), points=points.rename(columns={"label": "name"}))
    )
    with pytest.raises(
        InputError, match=r"^points must be a table with a column rate_bits or rate; it has R, distortion"
    ):
        plotting.curve(grid(), points=pd.DataFrame({"R": [0.5], "distortion": [0.3]}))
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.9", "0.95"]
    assert "mine" in labelled(
        plotting.surface(
            grid()[lambda t: t.classification_budget_bits < 1],
            points={"mine": pd.DataFrame({"rate": [0.5], "loss": [0.7]})},
        )
    )
    with pytest.raises(
        InputError, match="a column classification_loss_bits or classification_loss or loss; it has rate"
    ):
        plotting.curve(grid()[lambda t: t.rate_budget_bits > 0.4], x="C", points=points)


def test_axes_size_and_style_of_the_caller():
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    mine = Figure(figsize=(3, 2))
    ax = mine.add_subplot()
    assert plotting.curve(grid(), ax=ax) is mine and len(ax.get_lines()) > 3 and not mine.legends
    assert tuple(plotting.curve(grid(), size=(3.4, 2.5)).get_size_inches()) == (3.4, 2.5)
    with rc_context({"figure.facecolor": "black", "text.color": "white"}):
        assert plotting.coupling(np.eye(2) / 2).get_facecolor() == (0, 0, 0, 1)


@pytest.mark.parametrize("title", [r"$\foo$", "100 % {", "$R$ and $", r"\frac", "a\nb\x00", "x_y^z", r"\$5"])
def test_titles_of_any_characters(tmp_path, title):
    plotting.save(plotting.curve(grid(), title=title), tmp_path / "t.svg")
    plotting.save(plotting.mixture(Mixture((component(1.0),)), title=title), tmp_path / "t.png")


def test_text_in_svg_is_text(tmp_path):
    plotting.save(plotting.curve(grid(), title="A title"), tmp_path / "t.svg")
    texts = {
        "".join(node.itertext())
        for node in ElementTree.parse(tmp_path / "t.svg").iter("{http://www.w3.org/2000/svg}text")
    }
    assert {"A title", "rate budget R (bits)", "C = 0.9 bits"} <= texts


def test_nothing_feasible_says_so():
    figure = plotting.curve(frame([row(R, 0.1, math.inf, status="infeasible") for R in R_GRID]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["infeasible at every R of the table"]
    assert list(figure.axes[0].get_yticks()) == []


def test_letters_are_named():
    problem = Problem.from_joint([[3, 1], [1, 3]], "px", labels={"x": ["low", "$high"], "s": ["u", "v"]})
    solution = solve(problem, R=0.3)
    for given in (solution, solution.frame()):
        ax = plotting.coupling(given).axes[0]
        assert [t.get_text() for t in ax.get_yticklabels()] == [t.get_text() for t in ax.get_xticklabels()]
        assert [t.get_text() for t in ax.get_yticklabels()] == ["low", "$high"]
    shared = plotting.mixture(solve(problem, R=0.3, formulation="one-shot"))
    assert [t.get_text() for t in shared.axes[0].get_xticklabels()] == ["low", "$high"]


# -- surfaces --------------------------------------------------------------------------------------------------


def test_surface_maps_the_grid_and_hatches_what_is_infeasible():
    figure = plotting.surface(grid().sample(frac=1, random_state=2))
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rate budget R (bits)", "classification budget C (bits)")
    assert figure.axes[1].get_ylabel() == "distortion E d(X,Y)"
    assert legend_of(figure) == ["infeasible"]
    assert ax.get_title() == "single-letter"
    mesh = next(c for c in ax.collections if type(c).__name__ == "QuadMesh")
    values = mesh.get_array().reshape(len(C_GRID), len(R_GRID))
    assert values.mask.tolist() == [[R < 0.9 - C for R in R_GRID] for C in C_GRID]
    assert float(values[-1, 0]) == pytest.approx(0.41)


def test_surface_shows_what_was_not_solved():
    table = grid()
    table.loc[table.index[7], ["distortion", "status"]] = [math.nan, "unknown"]
    assert legend_of(plotting.surface(table)) == ["infeasible", "not solved"]


def test_surface_of_constants_or_of_nothing_feasible():
    flat = frame([row(R, C, 0.5) for R in (0, 1) for C in (0, 1)])
    assert plotting.surface(flat).axes
    none = frame([row(R, C, math.inf, status="infeasible") for R in (0, 1) for C in (0, 1)])
    assert legend_of(plotting.surface(none)) == ["infeasible"]


def test_surface_refuses_repeats_and_lines():
    with pytest.raises(InputError, match="each pair of budgets once"):
        plotting.surface(pd.concat([grid(), grid(formulation="one-shot")]))
    with pytest.raises(InputError, match="at least two finite R and two finite C; it spans 5 and 1"):
        plotting.surface(grid()[lambda t: t.classification_budget_bits >= 0.9])


def test_a_surface_from_the_side():
    table = grid()
    points = pd.DataFrame({"rate": [0.5], "loss": [0.7], "distortion": [0.35]})
    edge = pd.DataFrame({"rate_budget_bits": [-1.0, 0.1, 0.3], "classification_budget_bits": [1.9, 0.8, 0.6]})
    figure = plotting.plot(table, "3d", points={"codec": points}, edge=edge, size=(3.4, 2.8))
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_zlabel()) == ("rate budget R (bits)", "distortion E d(X,Y)")
    assert legend_of(figure) == ["edge", "codec"]
    assert [list(map(list, line.get_data_3d())) for line in ax.get_lines()] == [
        [[0.1, 0.3], [0.8, 0.6], [0.0, 0.0]], [[0.5], [0.7], [0.35]],
    ]  # fmt: skip
    with pytest.raises(InputError, match="ax must be three-dimensional"):
        plotting.surface(table, view="3d", ax=plotting.coupling(np.eye(2) / 2).axes[0])
    with pytest.raises(InputError, match="view must be one of 'map', '3d'"):
        plotting.surface(table, view="side")
    none = frame([row(R, C, math.inf, status="infeasible") for R in (0, 1) for C in (0, 1)])
    assert "infeasible" in plotting.surface(none, view="3d").axes[0].texts[0].get_text()


def test_a_surface_of_rates_is_over_distortion_and_loss():
    table = grid()
    table["objective"], table["value"] = "rate", table["distortion"]
    table["distortion_budget"], table["rate_budget_bits"] = table["rate_budget_bits"], math.inf
    assert plotting.plot(table).axes[0].get_xlabel() == "distortion budget D"
    assert plotting.plot(table).axes[1].get_ylabel() == "rate (bits)"


def test_one_row_stands_in_the_middle_of_its_axes():
    figure = plotting.curve(frame([row(0.5, 0.8, 0.07, lower=0.07 - 1e-12)]))
    low, high = figure.axes[0].get_ylim()
    assert 0.05 < low < 0.07 < high < 0.09
    assert legend_of(figure) == ["C = 0.8 bits"], "a gap of rounding is no band"


def test_kind_is_chosen_by_the_grid():
    assert len(plotting.plot(grid()).axes) == 2  # the second is the colour bar
    assert len(plotting.plot(grid()[lambda t: t.classification_budget_bits > 0.65]).axes) == 1
    assert len(plotting.plot(pd.concat([grid(), grid(formulation="one-shot")])[::2], "curve").axes) == 1
    with pytest.raises(InputError, match="kind must be one of"):
        plotting.plot(grid(), "pie")


# -- couplings and mixtures ------------------------------------------------------------------------------------


def test_coupling_is_a_heat_map_of_the_matrix():
    P = np.array([[0.5, 0.2, 0.0], [0.0, 0.1, 0.2]])
    figure = plotting.coupling(P)
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), P)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("reconstruction y", "source letter x")
    assert figure.axes[1].get_ylabel() == "probability P(x,y)"


def test_coupling_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="coupling must be finite"):
        plotting.coupling(np.full((2, 2), math.nan))


def test_mixture_draws_its_heaviest_components_with_their_weights():
    figure = plotting.mixture(Mixture((component(0.25, (1, 0)), component(0.75))))
    assert [ax.get_title() for ax in figure.axes] == ["weight 0.75\nd 0.25, rate 0.5", "weight 0.25\nd 0.25, rate 0.5"]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), [[0, 1], [1, 0]])


def test_mixture_counts_what_it_does_not_draw():
    figure = plotting.mixture(Mixture(tuple(component(0.1) for _ in range(10))), title="Ten maps")
    assert len(figure.axes) == plotting.MOST_COMPONENTS
    assert figure.get_suptitle() == "Ten maps (2 more of total weight 0.2)"


def test_mixture_of_a_single_letter_solution_is_refused():
    with pytest.raises(InputError, match="mixture must be a drcopt Mixture with a component; it is None"):
        plotting.mixture(solve(PROBLEM, R=0.5).mixture)
