"""Draw the explained test images of a network, each with its heat map, true class, predicted class and probability.

With --embed-images licence, only images whose licence allows anyone to redistribute and adapt them are shown; of the others,
the plot shows only the heat map. It names the sources and licences. The same pictures of errors are written one by one, for
the list of errors in the report.
"""

import base64
import io
import textwrap
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cxrflow.images.licence import add_showing, may_be_shown, shows_by_licence, sources_and_licences
from cxrflow.images.pixels import open_pixels
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.files import read_json, write_json
from cxrflow.plotting.style import FAINT, INK, new_figure, plain, styled, without_frame, write_figure

MOST = 24
"""Images in the plot; errors come first."""
COLUMNS = 4
TILE = 128
"""Height and width of a picture in pixels."""
HEAT_COLOURS = LinearSegmentedColormap.from_list("heat", ["#ffd21f", "#ff7a1a", "#e0102a"])
OPACITY = 0.65
"""Of the hottest pixel over the picture."""
ERROR = "#d55e00"
WITHHELD = 235
"""Grey level in place of a picture that must not be shown."""
NAME_LENGTH = 36
LETTERS_PER_INCH = 14


def overlay(picture: NDArray[np.uint8] | None, heat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a heat map over a picture.

    Args:
        picture: uint8 (size, size, 3), or None for the heat map on black.
        heat: uint8 (size, size).

    Returns:
        uint8 (TILE, TILE, 3). The opacity of the heat grows with it, so that the picture stays visible.
    """
    share = _resized(heat).astype(np.float64) / 255
    colours = HEAT_COLOURS(share)[..., :3] * 255
    opacity = (1.0 if picture is None else OPACITY) * share[..., None]
    under = np.zeros_like(colours) if picture is None else _resized(picture)
    return np.rint((1 - opacity) * under + opacity * colours).astype(np.uint8)


def _resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.BILINEAR))


def explanations_figure(
    explained: list[dict[str, Any]], panels: list[NDArray[np.uint8]], below: str, title: str | None = None
) -> Figure:
    """Draw the plot: one panel per image, errors first.

    Args:
        explained: `images` of explanations.json.
        panels: for each, its picture and overlay side by side, uint8 (TILE, 2 * TILE, 3).
        below: text below the plot.
        title: title of the plot, or None.
    """
    rows = -(-len(explained) // COLUMNS)
    width = 2.3 * COLUMNS
    figure = new_figure(width, 0.9 + 1.75 * rows, title)
    text = textwrap.fill(below, int(LETTERS_PER_INCH * width))
    figure.supxlabel(plain(text), x=0.01, ha="left", size=8, color=FAINT)
    if not explained:
        return figure
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid:
        without_frame(axes)
    for axes, one, panel in zip(grid, explained, panels, strict=False):
        axes.imshow(panel, interpolation="none")
        _describe(axes, one)
    return figure


def _describe(axes: Axes, one: dict[str, Any]) -> None:
    is_error = one["predicted"] != one["class"]
    name = PurePosixPath(one["image"]).stem
    name = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
    lines = [
        f"true {one['class']}",
        f"predicted {one['predicted']} {one['probability']:.2f}{', wrong' if is_error else ''}",
        *(["no heat: constant map"] if one["heat_is_constant"] else []),
    ]
    axes.set_title(plain(name), size=7, color=FAINT, pad=3)
    axes.set_xlabel(plain("\n".join(lines)), size=8, color=ERROR if is_error else INK, loc="left", labelpad=2)


def text_below(map_shape: list[int], credit: str, left_out: int) -> str:
    """Describe the colours, and the sources and licences of the pictures."""
    parts = [
        "Red: most evidence for the predicted class in this image (Grad-CAM); no colour: none. Compare places within an "
        f"image, not images. A map has {map_shape[0]} x {map_shape[1]} values; what looks finer is interpolation.",
        credit,
    ]
    if left_out:
        parts.append(f"{left_out} further explained images are not in the plot.")
    return " ".join(filter(None, parts))


def credit_line(index: pd.DataFrame, allowed: "pd.Series[bool]", phantoms: bool) -> str:
    """State the sources and licences of pictures, and that others are withheld.

    Args:
        index: rows of the images, with the columns source and licence.
        allowed: whether the picture of each may be shown.
        phantoms: whether the images are phantoms.
    """
    parts = []
    if phantoms:
        parts.append("Phantoms drawn by cxrflow, not X-rays.")
    elif allowed.any():
        named = sources_and_licences(index[allowed])
        parts.append(f"Pictures: {named}. Reduced in size, and covered by heat in the second copy.")
    if withheld := int((~allowed).sum()):
        images = "1 image" if withheld == 1 else f"{withheld} images"
        parts.append(f"Only the heat map is shown of {images} whose licence does not allow showing them.")
    return " ".join(parts)


def jpeg_address(panel: NDArray[np.uint8]) -> str:
    """A panel as a JPEG in a `data:` address: a quarter of the size of a PNG, and pages have dozens."""
    file = io.BytesIO()
    Image.fromarray(panel).save(file, "JPEG", quality=85, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--explanations", type=Path, required=True, help="explanations.json")
    parser.add_argument("--heat", type=Path, required=True, help="heat maps (.npz)")
    parser.add_argument("--images", type=Path, required=True, help="index of the images (Parquet)")
    parser.add_argument("--pixels", type=Path, nargs="+", required=True, help="decoded pixels (.npy)")
    add_showing(parser)
    parser.add_argument("--title", help="text above the plot")
    parser.add_argument("--figure", type=Path, required=True, help="plot to write (SVG)")
    parser.add_argument("--heat-maps", type=Path, required=True, help="pictures of errors to write (JSON)")
    args = parser.parse_args()
    record = read_json(args.explanations)
    with np.load(args.heat, allow_pickle=False) as file:
        heat = dict(zip(file["images"].tolist(), file["heat"], strict=True))
        if str(file["training"]) != record["training"]:
            raise UserError(
                f"{args.heat}: heat maps of another training than those of {args.explanations}; explain it again"
            )
    explained = record["images"]
    errors = [one["image"] for one in explained if one["chosen_as"] == "error"]
    names = list(dict.fromkeys([*errors, *(one["image"] for one in explained[:MOST])]))
    index = pd.read_parquet(args.images).set_index("image", drop=False).loc[names]
    allowed = may_be_shown(index["licence"], shows_by_licence(args))
    pixels = open_pixels(args.pixels)
    panels = {}
    for image, is_allowed in zip(names, allowed, strict=True):
        picture = np.asarray(pixels[image]) if is_allowed else None
        beside = np.full((TILE, TILE, 3), WITHHELD, np.uint8) if picture is None else _resized(picture)
        panels[image] = np.hstack([beside, overlay(picture, heat[image])])
    in_plot = [one["image"] for one in explained[:MOST]]
    credit = credit_line(index.loc[in_plot], allowed[in_plot], args.phantoms)
    below = text_below(record["map"], credit, len(explained) - len(in_plot))
    with styled():
        drawn = [panels[image] for image in in_plot]
        write_figure(explanations_figure(explained[:MOST], drawn, below, args.title), args.figure)
    write_json(
        args.heat_maps,
        {
            "training": record["training"],
            "credit": credit_line(index.loc[errors], allowed[errors], args.phantoms),
            "errors": {image: jpeg_address(panels[image]) for image in errors},
        },
    )
    withheld = int((~allowed[in_plot]).sum())
    print(f"{len(in_plot)} images in the plot, {withheld} of them without the picture because of their licence")


if __name__ == "__main__":
    run_stage(main)
