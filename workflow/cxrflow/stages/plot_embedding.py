"""Draw the t-SNE map of features: one point per image, with a colour for the class and a marker for the subset."""

from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json
from cxrflow.plotting.style import (
    FAINT,
    PAPER,
    class_colours,
    new_figure,
    plain,
    styled,
    without_frame,
    write_figure,
)

MARKERS = {"training": "o", "validation": "^", "test": "s"}
PIXELS_FROM = 4000
"""More points than this are rasterised in the SVG, to keep the file small."""


def embedding_figure(embedding: pd.DataFrame, separation: dict[str, Any], title: str | None = None) -> Figure:
    """Draw the map, with the separation in the full feature space below it.

    Args:
        embedding: one row per image: image, class, subset (training, validation, test), x, y (empty if there is no map).
        separation: separation.json of the same features. `neighbour_shares` has the order of the classes, `no_map` the reason
            if there is no map.
        title: text above the map.

    Raises:
        UserError: an unknown subset.
    """
    unknown = sorted(set(embedding["subset"]) - set(MARKERS))
    if unknown:
        raise UserError(f"embedding: unknown subset {', '.join(unknown)}; allowed: {', '.join(MARKERS)}")
    present = set(embedding["class"])
    listed = [name for name in separation["neighbour_shares"] if name in present]
    classes = [*listed, *sorted(present - set(listed))]
    colours = class_colours(classes)
    subsets = [subset for subset in MARKERS if subset in set(embedding["subset"])]

    figure = new_figure(6.2, 4.6, title)
    axes = figure.subplots()
    without_frame(axes)
    no_map = separation.get("no_map")
    if no_map:
        axes.text(0.5, 0.5, fill(f"no t-SNE map: {no_map}", 40), ha="center", va="center", color=FAINT)
    for subset in [] if no_map else subsets:
        for place, name in enumerate(classes):
            points = embedding[(embedding["subset"] == subset) & (embedding["class"] == name)]
            drawn = axes.scatter(
                points["x"],
                points["y"],
                s=34,
                marker=MARKERS[subset],
                color=colours[name],
                edgecolors=PAPER,
                linewidths=0.5,
                rasterized=len(embedding) > PIXELS_FROM,
            )
            drawn.set_gid(f"points-{place}-{subset}")
    figure.supxlabel(_separation_words(separation), x=0.01, ha="left", size=9, color=FAINT)
    keys = [
        _heading("class"),
        *(_key("o", colours[name], plain(name)) for name in classes),
        _heading("subset"),
        *(_key(MARKERS[subset], FAINT, subset) for subset in subsets),
    ]
    figure.legend(handles=keys, loc="outside right upper", alignment="left", frameon=False, handletextpad=0.3)
    return figure


def _key(marker: str, colour: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=colour, markeredgecolor=PAPER, markersize=7, label=label)


def _heading(label: str) -> Line2D:
    return Line2D([], [], linestyle="", label=label)


def _separation_words(separation: dict[str, Any]) -> str:
    if reason := separation.get("not_judged"):
        return fill(f"how the classes separate is not judged: {reason}", 90)
    silhouette = separation["silhouette"]
    return (
        f"in the full feature space: {100 * separation['same_class_share']:.0f} % of the {separation['k']} nearest "
        f"neighbours are of the same class;\nsilhouette {'–' if silhouette is None else f'{silhouette:.2f}'}"
    )


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--embedding", type=Path, required=True, help="embedding.csv")
    parser.add_argument("--separation", type=Path, required=True, help="separation.json")
    parser.add_argument("--title", help="text above the map")
    parser.add_argument("--figure", type=Path, required=True, help="SVG to write")
    args = parser.parse_args()
    with styled():
        figure = embedding_figure(
            pd.read_csv(args.embedding, dtype={"class": str}, keep_default_na=False),
            read_json(args.separation),
            args.title,
        )
        write_figure(figure, args.figure)


if __name__ == "__main__":
    run_stage(main)
