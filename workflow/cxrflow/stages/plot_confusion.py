"""Draw the confusion matrix of the test images: rows are true classes, columns predicted ones."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json
from cxrflow.plotting.style import folded, new_figure, styled, write_figure

# The colours of the cells and of their numbers are the same on a dark page.
CELLS = LinearSegmentedColormap.from_list("cells", ["#eef4fa", "#8dbbe2", "#0b4f8a"])
DARK_NUMBER, LIGHT_NUMBER = "#10222f", "#f8fbff"


def confusion_figure(metrics: dict[str, Any], title: str | None = None) -> Figure:
    """Draw the matrix: counts, with the share of the true class below them; cells are shaded by this share.

    Args:
        metrics: `classes` and `confusion_matrix` (rows are true classes, columns predicted ones) of metrics.json.
        title: text above the matrix.

    Raises:
        UserError: the matrix is not square, or does not fit the classes.
    """
    classes, counts = list(metrics["classes"]), np.asarray(metrics["confusion_matrix"])
    if counts.shape != (len(classes), len(classes)):
        raise UserError(f"confusion_matrix: its shape is {counts.shape}; there are {len(classes)} classes")
    images = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, images, out=np.zeros(counts.shape), where=images > 0)
    side = 1.9 + 0.75 * len(classes)
    figure = new_figure(side + 0.6, side, title)
    axes = figure.subplots()
    axes.pcolormesh(shares, cmap=CELLS, vmin=0, vmax=1, edgecolors="#fffffe", linewidth=2)
    for row, column in np.ndindex(*counts.shape):
        number = LIGHT_NUMBER if shares[row, column] > 0.6 else DARK_NUMBER
        at = (column + 0.5, row + 0.5)
        axes.annotate(f"{counts[row, column]}", at, ha="center", va="center", color=number, size=13, weight="bold")
        below = f"{100 * shares[row, column]:.0f} %"
        axes.annotate(below, at, (0, -13), textcoords="offset points", ha="center", va="center", color=number, size=8)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    middles = np.arange(len(classes)) + 0.5
    names = ["\n".join(map(folded, name.split("_"))) for name in classes]
    axes.set_xticks(middles, names)
    axes.set_yticks(middles, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    return figure


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json of the evaluation")
    parser.add_argument("--title", help="text above the matrix")
    parser.add_argument("--figure", type=Path, required=True, help="SVG to write")
    args = parser.parse_args()
    with styled():
        write_figure(confusion_figure(read_json(args.metrics), args.title), args.figure)


if __name__ == "__main__":
    run_stage(main)
