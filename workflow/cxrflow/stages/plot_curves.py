"""Draw the accuracy and the loss of a training by epoch.

There are two panels, accuracy and loss, each with a curve for training and one for validation. Epochs count from 1.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json
from cxrflow.plotting.style import FAINT, TRAINING, VALIDATION, new_figure, styled, write_figure

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
LOG_FROM = 20
"""The loss is drawn on a logarithmic scale if its highest value is more than this number of times its median."""


def curves_figure(history: pd.DataFrame, title: str | None = None, selected_epoch: int | None = None) -> Figure:
    """Draw the two panels.

    Args:
        history: one row per epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy. Empty values leave gaps.
        title: text above the panels.
        selected_epoch: the evaluated epoch, marked in both panels.

    Raises:
        UserError: a column is missing, there is no epoch, or the selected epoch is not among them.
    """
    _check(history, selected_epoch)
    figure = new_figure(6.8, 3.2, title)
    panels = figure.subplots(1, 2)
    for axes, quantity in zip(panels, ("accuracy", "loss"), strict=True):
        _draw_panel(axes, history, quantity, selected_epoch)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _check(history: pd.DataFrame, selected_epoch: int | None) -> None:
    missing = [column for column in COLUMNS if column not in history]
    if missing:
        raise UserError(
            f"history: column {', '.join(missing)} is missing; it has {', '.join(map(str, history.columns))}"
        )
    if history.empty:
        raise UserError("history: it has no epoch")
    if selected_epoch is not None and selected_epoch not in set(history["epoch"]):
        raise UserError(f"--selected-epoch: there is no epoch {selected_epoch}; the last is {history['epoch'].max()}")


def _draw_panel(axes: Axes, history: pd.DataFrame, quantity: str, selected_epoch: int | None) -> None:
    epochs = history["epoch"]
    few: dict[str, Any] = {"marker": "o", "markersize": 4} if len(history) <= 10 else {}
    axes.plot(epochs, history[quantity], color=TRAINING, label="training", gid=f"{quantity}-training", **few)
    validation = history[f"val_{quantity}"]
    axes.plot(
        epochs, validation, color=VALIDATION, linestyle="--", label="validation", gid=f"{quantity}-validation", **few
    )
    if selected_epoch is not None:
        axes.axvline(selected_epoch, color=FAINT, linestyle=":", linewidth=1.2, label=f"tested: epoch {selected_epoch}")
        at = history.loc[epochs == selected_epoch, [quantity, f"val_{quantity}"]].to_numpy().ravel()
        axes.scatter([selected_epoch] * 2, at, s=22, color=[TRAINING, VALIDATION], zorder=3, clip_on=False)
    label = quantity
    if quantity == "accuracy":
        axes.set_ylim(*_accuracy_limits(history))
    elif _spans_orders(history):
        axes.set_yscale("log")
        label = "loss (logarithmic scale)"
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(label)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)


def _accuracy_limits(history: pd.DataFrame) -> tuple[float, float]:
    """Limits of the axis: the tenth below the lowest accuracy, at most 0.5, and just above 1."""
    lowest = np.nanmin(history[["accuracy", "val_accuracy"]].to_numpy(dtype=float), initial=0.5)
    return max(0.0, np.floor(lowest * 10) / 10), 1.03


def _spans_orders(history: pd.DataFrame) -> bool:
    losses = history[["loss", "val_loss"]].to_numpy(dtype=float)
    losses = losses[np.isfinite(losses)]
    return bool(losses.size and losses.min() > 0 and losses.max() > LOG_FROM * np.median(losses))


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--history", type=Path, required=True, help="history.csv of the training")
    parser.add_argument("--title", help="text above the panels")
    tested = parser.add_mutually_exclusive_group()
    tested.add_argument("--training", type=Path, help="training.json, whose evaluated epoch is marked")
    tested.add_argument("--selected-epoch", type=int, help="the evaluated epoch, if there is no training.json")
    parser.add_argument("--figure", type=Path, required=True, help="SVG to write")
    args = parser.parse_args()
    epoch = read_json(args.training)["selected_epoch"]["epoch"] if args.training else args.selected_epoch
    with styled():
        write_figure(curves_figure(pd.read_csv(args.history), args.title, epoch), args.figure)


if __name__ == "__main__":
    run_stage(main)
