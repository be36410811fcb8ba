"""How all plots look, and how they are written: small SVG files with equal bytes for equal data.

Text stays text, so that files are small and can be searched. The colours turn with a dark page, by a media query inside
the file: paper and ink are told apart from colours that carry meaning by their very values (see `DARK`).
"""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cxrflow.stage.faults import Fault
from cxrflow.stage.files import write_text

INK = "#1f2933"
PAPER = "#fffffe"
FAINT = "#66717d"
GRID = "#e3e7eb"
TRAINING = "#0b62a8"
VALIDATION = "#d9730d"

# Okabe and Ito's colours, which people with any of the usual colour blindnesses can tell apart; the first is for the
# first class. Yellow is left out, as it is hard to see on white.
CLASS_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c8c8c")

# A dark page: what a colour becomes there. Colours that are not named stay.
DARK = {
    INK: "#e6e9ec",
    PAPER: "#171b21",
    FAINT: "#a3adb8",
    GRID: "#2d343d",
    TRAINING: "#58a9e8",
    VALIDATION: "#f0a050",
    "#0072b2": "#3f9fdc",
    "#d55e00": "#f0803c",
    "#009e73": "#22b98c",
    "#7a5195": "#ab82c5",
}

# What a viewer's machine draws text with; most of these are narrower than the font that it was measured with, so it fits.
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cxrflow",
    "font.family": ["DejaVu Sans"],  # comes with Matplotlib: text is measured the same on every machine
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.axisbelow": True,
    "figure.facecolor": PAPER,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "image.composite_image": False,  # pictures keep their own pixels
    "legend.edgecolor": GRID,
    "legend.facecolor": PAPER,
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
    "xtick.color": FAINT,
    "xtick.labelsize": 9,
    "ytick.color": FAINT,
    "ytick.labelsize": 9,
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures are made in the style of the project, whatever a user's own matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def new_figure(width: float, height: float, title: str | None = None) -> Figure:
    """An empty figure of a size in inches; used within `styled()`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(plain(title), x=0.01, ha="left")
    return figure


def plain(text: str) -> str:
    """A text as Matplotlib draws it letter by letter: dollar signs do not begin a formula."""
    return text.replace("$", r"\$")


def class_colours(classes: list[str]) -> dict[str, str]:
    """One colour for each class, by its place in the list; beyond eight classes evenly from a colour map."""
    if len(classes) <= len(CLASS_COLOURS):
        return dict(zip(classes, CLASS_COLOURS, strict=False))
    colour_map = matplotlib.colormaps["viridis"]
    return {
        name: matplotlib.colors.to_hex(colour_map(place / (len(classes) - 1))) for place, name in enumerate(classes)
    }


def without_frame(axes: Axes) -> None:
    """Take ticks, grid and frame lines off, where positions have no unit."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)


def write_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG; used within `styled()`.

    Raises:
        Fault: the file's name does not end in .svg.
    """
    if Path(path).suffix.lower() != ".svg":
        raise Fault(f"{path}: plots are written as SVG; name a file that ends in .svg")
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    write_text(path, photographs_as_jpeg(tidied(text.getvalue())))


def tidied(svg: str) -> str:
    """An SVG of Matplotlib made small: coordinates to 0.01 pt, no comments, a list of fonts, and dark colours."""
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(d|x|y|x1|x2|y1|y2|points)="([^"]*)"', _rounded, svg)
    svg = re.sub(r"(?<=font-family: )'DejaVu Sans'", FONTS, svg)
    return svg.replace("</style>", f"{_dark_rules()}</style>", 1)


def photographs_as_jpeg(svg: str) -> str:
    """An SVG whose embedded pictures are JPEG, which is smaller; those with transparent parts stay PNG, as drawn.

    Viewers may smooth them, which Matplotlib forbids for pictures that keep their own pixels.
    """

    def smaller(match: re.Match[str]) -> str:
        picture = Image.open(io.BytesIO(base64.b64decode(match[1])))
        if picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (255, 255):
            return match[0]
        rgb = np.asarray(picture.convert("RGB"))
        grey = bool((rgb == rgb[..., :1]).all())
        file = io.BytesIO()
        Image.fromarray(rgb[..., 0] if grey else rgb).save(file, format="JPEG", quality=70, optimize=True)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"

    svg = svg.replace(' style="image-rendering:crisp-edges;image-rendering:pixelated"', "")
    return re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", smaller, svg)


def _rounded(match: re.Match[str]) -> str:
    values = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", match[2])
    return f'{match[1]}="{" ".join(values.split())}"'


def _dark_rules() -> str:
    """CSS by which the colours that stand in `style` attributes turn on a dark screen."""
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    return f"@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}"
