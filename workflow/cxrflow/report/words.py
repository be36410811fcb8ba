"""How the page writes values."""

import base64
import re
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from cxrflow.io.words import visible

DASH = "–"
SPACE = "\N{NO-BREAK SPACE}"


def shown(value: Any) -> str:
    """A config value in words: `1e-05`, `true`, `128, 32`. Of a path only the last part, since folders are private."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(inner)}" for key, inner in value.items())
    return last_part(str(value))


def last_part(path: str) -> str:
    """The last part of a path."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def number(value: float | None, digits: int = 4) -> str:
    """A number with a fixed number of decimals; a dash for None."""
    return DASH if value is None or not isfinite(value) else f"{value:.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share (0 to 1) in per cent; a dash for None."""
    return DASH if share is None or not isfinite(share) else f"{100 * share:.{digits}f}{SPACE}%"


def percent_range(low: float, high: float, digits: int = 1) -> str:
    """A range of shares in per cent: `61 to 94 %`, or one number if both ends are the same."""
    if f"{100 * low:.{digits}f}" == f"{100 * high:.{digits}f}":
        return percent(high, digits)
    return f"{100 * low:.{digits}f} to {percent(high, digits)}"


def signed(difference: float) -> str:
    """A difference of shares in percentage points with its sign: `+5.6`, `−5.6` or `0.0`."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def described(values: Mapping[str, Any]) -> str:
    """Values of a variable: `F 28, M 32`, or `1 to 5, mean 3.0 (79 of 79 known)`."""
    if "known" not in values:
        return ", ".join(f"{name} {count}" for name, count in values.items() if count) or DASH
    if not values["known"]:
        return f"unknown ({values['images']})" if values["images"] else DASH
    known = f"{values['known']} of {values['images']} known"
    return f"{values['min']:g} to {values['max']:g}, mean {values['mean']:.1f} ({known})"


def thousands(count: int | float) -> str:
    """A count with commas between thousands."""
    return f"{count:,.0f}"


def shape(sides: Iterable[int]) -> str:
    """An output shape, such as 5 × 5 × 2048."""
    return " × ".join(map(str, sides))


def breakable(name: str) -> Markup:
    """A name as HTML that may break after each underscore."""
    return escape(visible(name)).replace("_", Markup("_<wbr>"))


def picture_address(file: Path) -> str:
    """An SVG file as a `data:` address. Browsers do not run scripts in a picture."""
    svg = re.sub(r">\s+<", "><", file.read_text(encoding="utf-8"))
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def with_interval(value: Mapping[str, Any], digits: int = 2) -> str:
    """A mean and its interval: `0.61 (0.52 to 0.70)`; a dash without a mean."""
    if value["mean"] is None:
        return DASH
    interval = value["interval"]
    mean = number(value["mean"], digits)
    within = f" ({number(interval[0], digits)} to {number(interval[1], digits)})" if interval else ""
    return f"{mean}{within}".replace("-", "\N{MINUS SIGN}")


def metric(row: Mapping[str, Any]) -> str:
    """A row of `cxrflow.evaluation.measures.metric_rows`: `8 of 9 (47 to 99 %)`, `0.86 (0.62 to 0.96)`, or a dash."""
    if row["value"] is None:
        return DASH
    if row["right"] is not None:
        interval = f" ({percent_range(row['low'], row['high'], 0)})" if row["low"] is not None else ""
        return f"{row['right']} of {row['of']}{interval}"
    interval = f" ({number(row['low'], 2)} to {number(row['high'], 2)})" if row["low"] is not None else ""
    return f"{number(row['value'], 2)}{interval}".replace("-", "\N{MINUS SIGN}")
