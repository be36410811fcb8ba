"""The style of all plots, and their file format: small SVG files with equal bytes for equal data.

Text is stored as text, so files are small and searchable. A media query in the file changes the colours for dark mode: those
to change are found by their values, see `DARK`.
"""

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from cxrflow.io.errors import UserError
from cxrflow.io.files import write_text
from cxrflow.io.words import visible

INK = "#1f2933"
PAPER = "#fffffe"
FAINT = "#66717d"
GRID = "#e3e7eb"
TRAINING = "#0b62a8"
VALIDATION = "#d9730d"

# Okabe and Ito's colours, which people with common colour vision deficiencies can distinguish; the first one is for the first
# class. Without yellow, which is hard to see on white.
CLASS_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c8c8c")

# Colours in dark mode; all others stay the same.
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

# Fonts of the viewer; most are narrower than DejaVu Sans, with which the text was measured, so it fits.
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "cxrflow",
    "font.family": ["DejaVu Sans"],  # part of Matplotlib, so text has the same size on every machine
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
    "image.composite_image": False,  # keep the pixels of pictures
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
    """Use the style of the project within this block, regardless of the user's matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def new_figure(width: float, height: float, title: str | None = None) -> Figure:
    """Create an empty figure, with its size in inches; use within `styled()`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(plain(title), x=0.01, ha="left")
    return figure


def plain(text: str) -> str:
    """Escape a text for Matplotlib: dollar signs do not start a formula, and invisible characters are shown."""
    return visible(text).replace("$", r"\$")


def folded(name: str) -> str:
    """Wrap the name of a class so that neighbouring names do not overlap."""
    return "\n".join(wrap(plain(name), 14))


def class_colours(classes: list[str]) -> dict[str, str]:
    """Assign a colour to each class by its place in the list; for more than eight classes, from a colour map."""
    if len(classes) <= len(CLASS_COLOURS):
        return dict(zip(classes, CLASS_COLOURS, strict=False))
    colour_map = matplotlib.colormaps["viridis"]
    return {
        name: matplotlib.colors.to_hex(colour_map(place / (len(classes) - 1))) for place, name in enumerate(classes)
    }


def without_frame(axes: Axes) -> None:
    """Remove ticks, grid and frame, for plots whose axes have no unit."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)


def write_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG; use within `styled()`.

    Raises:
        UserError: the file's name does not end in .svg.
    """
    if Path(path).suffix.lower() != ".svg":
        raise UserError(f"{path}: plots are written as SVG; choose a name that ends in .svg")
    text = io.StringIO()
    with warnings.catch_warnings():
        # Harmless: only the width of the text is estimated; the viewer uses a font that has these letters.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    write_text(path, photographs_as_jpeg(tidied(text.getvalue())))


def tidied(svg: str) -> str:
    """Make an SVG of Matplotlib smaller (coordinates to 0.01 pt, no comments), and add fonts and dark colours."""
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(d|x|y|x1|x2|y1|y2|points)="([^"]*)"', _rounded, svg)
    svg = re.sub(r"(?<=font-family: )'DejaVu Sans'", FONTS, svg)
    return svg.replace("</style>", f"{_dark_rules()}</style>", 1)


def photographs_as_jpeg(svg: str) -> str:
    """Convert the embedded pictures of an SVG to JPEG, which is smaller; transparent ones stay PNG.

    Also allow viewers to smooth them, which Matplotlib forbids.
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
    """Write the CSS rules that change colours in `style` attributes in dark mode."""
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    return f"@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}"
