"""Draw the results of an experiment: curves of its median run on the test images, and learning curves of all seeds.

Bands of the upper panels are pointwise 95 % intervals; those of the learning curves are the range of the seeds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import read_json
from cxrflow.plotting.style import (
    FAINT,
    INK,
    TRAINING,
    VALIDATION,
    class_colours,
    new_figure,
    plain,
    styled,
    write_figure,
)

LAYOUT = "RRPPCC\nAAALLL"

LINES = ("-", "--", "-.", ":")


def evaluation_figure(
    results: Mapping[str, Any], histories: Sequence[pd.DataFrame], title: str | None = None
) -> Figure:
    """Draw the five panels.

    Args:
        results: see `cxrflow.evaluation.experiments.measure_experiment`.
        histories: of each seed, see `cxrflow.stages.plot_curves.curves_figure`.
        title: text above the panels.
    """
    figure = new_figure(9.6, 6.4, title)
    panels = figure.subplot_mosaic(LAYOUT)
    _draw_curves(panels["R"], panels["P"], results)
    _draw_calibration(panels["C"], results["calibration"])
    for axes, quantity in ((panels["A"], "accuracy"), (panels["L"], "loss")):
        _draw_seeds(axes, histories, quantity)
    figure.legend(*panels["R"].get_legend_handles_labels(), loc="outside upper right", ncols=4, frameon=False)
    figure.legend(*panels["A"].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_curves(roc: Axes, precision: Axes, results: Mapping[str, Any]) -> None:
    colours = class_colours(results["classes"])
    for place, (name, points) in enumerate(results["curves"].items()):
        style: dict[str, Any] = {"color": colours[name], "linestyle": LINES[place % len(LINES)]}
        table = pd.DataFrame([START, *points])
        alarms = 1 - table["specificity"]
        roc.step(alarms, table["sensitivity"], where="post", label=plain(name), gid=f"roc-{place}", **style)
        band: dict[str, Any] = {"step": "post", "color": colours[name], "alpha": 0.12, "linewidth": 0}
        roc.fill_between(alarms, table["sensitivity_low"], table["sensitivity_high"], **band)
        known = table.dropna(subset=["ppv", "ppv_low"])
        precision.step(known["sensitivity"], known["ppv"], where="post", gid=f"precision-{place}", **style)
        precision.fill_between(known["sensitivity"], known["ppv_low"], known["ppv_high"], **band)
    roc.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    seed = f"seed {results['median_seed']}"
    median = f"median run, {seed}" if len(results["runs"]) > 1 else seed
    for axes, title, across, up in (
        (roc, f"ROC ({median})", "1 - specificity", "sensitivity"),
        (precision, "precision-recall", "recall (sensitivity)", "precision (PPV)"),
    ):
        _unit_square(axes, title, across, up)


START = {"specificity": 1.0, "sensitivity": 0.0, "sensitivity_low": 0.0, "sensitivity_high": 0.0}
"""Above all thresholds, no image is positive."""


def _unit_square(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), title=title, xlabel=across, ylabel=up, aspect="equal")


def _draw_calibration(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    table = pd.DataFrame(bins)
    ends = np.abs(table[["low", "high"]].to_numpy(float).T - table["value"].to_numpy(float))
    axes.errorbar(
        table["probability"], table["value"], ends, fmt="o", color=INK, markersize=4, linewidth=1, gid="calibration"
    )
    for row in bins:
        at = (row["probability"], row["value"])
        axes.annotate(f"{row['of']}", at, (4, 3), textcoords="offset points", size=7, color=FAINT)
    _unit_square(axes, "calibration (images per point)", "mean probability of the prediction", "share correct")


def _draw_seeds(axes: Axes, histories: Sequence[pd.DataFrame], quantity: str) -> None:
    seeds = f" (median of {len(histories)} seeds, and range)" if len(histories) > 1 else ""
    for column, colour, line, label in (
        (quantity, TRAINING, "-", "training"),
        (f"val_{quantity}", VALIDATION, "--", "validation"),
    ):
        table = pd.concat([one.set_index("epoch")[column] for one in histories], axis=1)
        epochs = table.index.to_numpy()
        few: dict[str, Any] = {"marker": "o", "markersize": 4} if len(epochs) <= 10 else {}
        axes.plot(
            epochs, table.median(axis=1), color=colour, linestyle=line, label=label, gid=f"{column}-median", **few
        )
        if len(histories) > 1:
            axes.fill_between(epochs, table.min(axis=1), table.max(axis=1), color=colour, alpha=0.15, linewidth=0)
    axes.set(title=f"{quantity}{seeds}", xlabel="epoch")
    axes.set_ylim(bottom=0, top=1.03 if quantity == "accuracy" else None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--evaluation", type=Path, required=True, help="what measure_results wrote (JSON)")
    parser.add_argument("--histories", type=Path, nargs="+", required=True, help="history.csv of each seed")
    parser.add_argument("--title", help="text above the panels")
    parser.add_argument("--figure", type=Path, required=True, help="SVG to write")
    args = parser.parse_args()
    histories = [pd.read_csv(file) for file in args.histories]
    with styled():
        write_figure(evaluation_figure(read_json(args.evaluation), histories, args.title), args.figure)


if __name__ == "__main__":
    run_stage(main)
