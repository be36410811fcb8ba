"""Plot examples of a task's augmentation: a few training images per class, each with its versions in the first epochs.

With --embed-images licence, the plot contains only images whose licence allows anyone to redistribute and adapt them. It names
their sources and licences. A JSON file lists the images in the plot and the number of withheld images.
"""

import textwrap
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cxrflow.augmentation.manifest import epochs_of, read_epoch
from cxrflow.augmentation.transform import transformed_picture
from cxrflow.images.licence import add_showing, may_be_shown, shows_by_licence, sources_and_licences
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import write_json
from cxrflow.plotting.style import FAINT, PAPER, folded, new_figure, plain, styled, write_figure

PER_CLASS = 3
EPOCHS = 6
TILE = 80
"""Height and width of a picture in pixels, small enough for a page with several plots."""
NAME_LENGTH = 18
GAP = 0.08
LETTERS_PER_INCH = 14  # in the credit line, at least


def choose_images(training: pd.DataFrame, by_licence: bool) -> tuple[pd.DataFrame, dict[str, int]]:
    """Choose the images of the plot: the first ones of each class, by name, that may be shown.

    Args:
        training: index rows of the training images: image, class, licence and more.
        by_licence: withhold images whose licence does not allow redistribution.

    Returns:
        Their rows, sorted by class and image, and class to the number of withheld images.
    """
    allowed = may_be_shown(training["licence"], by_licence)
    shown = training[allowed].sort_values(["class", "image"]).groupby("class").head(PER_CLASS)
    withheld = training[~allowed].groupby("class").size()
    return shown.reset_index(drop=True), {str(name): int(count) for name, count in withheld.items()}


def tiles_of(
    images: list[str], pixels: dict[str, NDArray[np.uint8]], epochs: dict[int, pd.DataFrame]
) -> NDArray[np.uint8]:
    """Create the pictures of the plot.

    Args:
        images: image ids, one per row of the plot.
        pixels: image id to decoded pixels.
        epochs: epoch to its manifest rows.

    Returns:
        uint8 (images, 1 + epochs, TILE, TILE, 3): the original, then its version in each epoch. Pictures are transformed
        in their full size, then reduced.
    """
    drawn = [table[table["subset"] == "training"].set_index("image").to_dict("index") for table in epochs.values()]
    tiles = np.empty((len(images), 1 + len(epochs), TILE, TILE, 3), dtype=np.uint8)
    for place, image in enumerate(images):
        tiles[place, 0] = _tile(pixels[image])
        for column, rows in enumerate(drawn, start=1):
            tiles[place, column] = _tile(transformed_picture(pixels[image], rows[image]))
    return tiles


def _tile(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(np.asarray(picture)).resize((TILE, TILE), Image.Resampling.LANCZOS))


def sheet_figure(
    shown: pd.DataFrame, tiles: NDArray[np.uint8], epochs: list[int], credit: str, title: str | None = None
) -> Figure:
    """Draw the plot: one row per image, grouped by class; the original, then one column per epoch.

    Args:
        shown: image and class of each row, sorted by class.
        tiles: from `tiles_of`.
        epochs: epochs of the columns after the first.
        credit: text below the plot.
        title: title of the plot, or None.
    """
    classes = list(dict.fromkeys(shown["class"]))
    columns = ["original", *(f"epoch {epoch}" for epoch in epochs)]
    side = 0.85
    width = 1.5 + side * len(columns)
    figure = new_figure(width, 1.0 + side * len(shown) + 0.1 * len(classes), title)
    below = textwrap.fill(credit, int(LETTERS_PER_INCH * width))
    figure.supxlabel(plain(below), x=0.01, ha="left", size=8, color=FAINT)
    if shown.empty:
        return figure
    heights = [int((shown["class"] == name).sum()) for name in classes]
    panels = figure.subplots(len(classes), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for name, axes in zip(classes, panels, strict=True):
        of_class = (shown["class"] == name).to_numpy()
        rows = int(of_class.sum())
        # The originals and the epochs are two pictures; lines in the colour of the paper separate their tiles.
        for begin, end, left in ((0, 1, 0.0), (1, len(columns), 1 + GAP)):
            block = tiles[of_class, begin:end].swapaxes(1, 2).reshape(rows * TILE, (end - begin) * TILE, 3)
            axes.imshow(block, interpolation="none", extent=(left, left + end - begin, rows, 0))
        axes.set_xlim(0, len(columns) + GAP)
        axes.hlines(range(1, rows), 0, len(columns) + GAP, color=PAPER, linewidth=1.5)
        axes.vlines(np.arange(2, len(columns)) + GAP, 0, rows, color=PAPER, linewidth=1.5)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7)
        axes.set_ylabel(folded(name), weight="bold", size=9)
        names = [_short(image) for image in shown.loc[of_class, "image"]]
        axes.set_yticks(np.arange(rows) + 0.5, names)
        axes.set_xticks([])
    panels[0].xaxis.tick_top()
    panels[0].set_xticks([0.5, *np.arange(1, len(columns)) + 0.5 + GAP], columns, size=8)
    figure.align_ylabels(panels)
    return figure


def _short(image: str) -> str:
    name = PurePosixPath(image).stem
    return plain(name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…")


def credit_line(shown: pd.DataFrame, phantoms: bool) -> str:
    """Describe the sources and licences of the pictures, and that they were changed."""
    if shown.empty:
        return "The licences of this task's images do not allow showing them."
    if phantoms:
        return "Phantoms drawn by cxrflow, not X-rays."
    return f"Pictures: {sources_and_licences(shown)}. Reduced in size; changed by augmentation from epoch 1 on."


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--manifest", type=Path, required=True, help="augmentation manifest (Parquet)")
    parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy) of the classes")
    parser.add_argument("--task", required=True, help="name of the task, for the title")
    parser.add_argument("--seed", type=int, required=True, help="seed of the manifest, for the title")
    add_showing(parser)
    parser.add_argument("--figure", type=Path, required=True, help="plot to write (SVG)")
    parser.add_argument("--shown", type=Path, required=True, help="shown and withheld images to write (JSON)")
    args = parser.parse_args()
    epochs = {epoch: read_epoch(args.manifest, epoch) for epoch in epochs_of(args.manifest)[:EPOCHS]}
    rows = next(iter(epochs.values()))
    index = pd.read_parquet(args.images)
    training = index[index["image"].isin(rows.loc[rows["subset"] == "training", "image"])]
    shown, withheld = choose_images(training, shows_by_licence(args))
    tiles = tiles_of(shown["image"].tolist(), open_pixels(args.pixels), epochs)
    credit = credit_line(shown, args.phantoms)
    with styled():
        title = f"{args.task}, seed {args.seed}"
        write_figure(sheet_figure(shown, tiles, list(epochs), credit, title), args.figure)
    columns = ["image", "class", "source", "licence"]
    record: dict[str, Any] = {
        "task": args.task,
        "seed": args.seed,
        "epochs": list(epochs),
        "credit": credit,
        "shown": shown[columns].fillna("").to_dict("records"),
        "withheld": withheld,
    }
    write_json(args.shown, record)
    print(
        f"{args.task}: {len(shown)} images in {len(epochs)} epochs; withheld because of their licence: {sum(withheld.values())}"
    )


if __name__ == "__main__":
    run_stage(main)
