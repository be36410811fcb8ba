"""What is known about images besides their class: source, age, sex, view, colour and size, as variables and as tables."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrflow.images.dicom_patient import YEARS_OF
from cxrflow.images.listing import SPLIT_WORDS

CATEGORIES = ("source", "sex", "view", "mode", "colour")
NUMBERS = ("age", "width", "height")
UNITS = {"age": "years", "width": "px", "height": "px"}
OLDEST = 130
"""A larger age, in years, is an error, and counts as unknown."""

UNKNOWN = {"", "?", "-", "unknown", "n/a", "na", "nan", "none", "null", "not given", "missing"}
SEXES = {"male": "M", "man": "M", "female": "F", "woman": "F", "u": None, "unk": None}
AGE = re.compile(
    r"(?P<below><=?)?(?P<above>>=?)?\s*(?P<low>\d{1,3}(\.\d+)?)\s*(?P<plus>\+)?"
    r"(\s*(-|–|to)\s*(?P<high>\d{1,3}(\.\d+)?))?"
    r"\s*(?P<unit>y|yrs?|years?|m|mo|months?|w|weeks?|d|days?)?( old)?",
    re.IGNORECASE,
)


def age_in_years(text: str) -> tuple[float, float] | None:
    """Read an age: `54`, `54.0`, `54 years`, the ranges `1-5` and `1 to 5`, `>89`, `90+`, `<1`, and DICOM's `054Y` and `006M`.

    Returns:
        The smallest and the largest age in years that the text allows, the same for a single age. An age without an upper
        end is its lower end twice. None if the text is not an age, such as an empty one, or more than `OLDEST` years.
    """
    found = AGE.fullmatch(text.strip())
    if not found:
        return None
    bounds = [found[name] for name in ("below", "above", "plus", "high") if found[name]]
    if len(bounds) > 1:
        return None
    scale = YEARS_OF[(found["unit"] or "y")[0].upper()]
    low = float(found["low"]) * scale
    high = float(found["high"]) * scale if found["high"] else low
    if found["below"]:
        low = 0.0
    return (low, high) if low <= high <= OLDEST else None


def with_variables(rows: pd.DataFrame) -> pd.DataFrame:
    """Replace columns of the index by the variables of images; unknown values become missing ones.

    Args:
        rows: columns source, age, sex, view, mode, colour, width and height of the index.

    Returns:
        The rows with `CATEGORIES` as texts (`colour`: grey if the 64 x 64 sampled pixels have no colour, otherwise
        coloured), `NUMBERS` (`age`: the middle of a range), `youngest` and `oldest` (the ends of the range of ages).
    """
    ages = [None if pd.isna(text) else age_in_years(str(text)) for text in rows["age"]]
    ends = np.array([age or (np.nan, np.nan) for age in ages], dtype=np.float64).reshape(-1, 2)
    colour = rows["colour"].astype("Float64")
    return rows.assign(
        **{
            "source": _texts(rows["source"]),
            "sex": _texts(rows["sex"]).map(lambda sex: SEXES.get(sex.lower(), sex.upper()), na_action="ignore"),
            "view": _texts(rows["view"]).str.upper(),
            "mode": _texts(rows["mode"]),
            "colour": (colour > 0).map({True: "coloured", False: "grey"}).astype(object).where(colour.notna(), None),
            "age": ends.mean(axis=1),
            "width": rows["width"].astype("Float64").to_numpy(np.float64, na_value=np.nan),
            "height": rows["height"].astype("Float64").to_numpy(np.float64, na_value=np.nan),
            "youngest": ends[:, 0],
            "oldest": ends[:, 1],
        }
    )


def unreadable_ages(ages: "pd.Series[str]") -> dict[str, int]:
    """Count the texts that should be ages and are not, except for those that say unknown."""
    texts = _texts(ages).dropna()
    unreadable = texts[[age_in_years(text) is None for text in texts]]
    return {str(text): int(count) for text, count in unreadable.value_counts().sort_index().items()}


def tables_of(rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Tabulate each variable by class and subset.

    Args:
        rows: from `with_variables`, with the columns class and subset.
        classes: classes in the order of the table.

    Returns:
        Variable to class to subset (training, validation, test or all) to: for a category, the number of images of each
        value, and of `unknown`; for a number, `images`, `known` (numbers), `ranges` (known only as a range), `mean`, `sd`
        (divided by n - 1), `min` and `max` (of the ends of ranges), which are None if they cannot be computed.
    """
    parts = {
        (name, subset): rows[(rows["class"] == name) & ((rows["subset"] == subset) | (subset == "all"))]
        for name in classes
        for subset in (*SPLIT_WORDS, "all")
    }
    return {
        variable: {
            name: {
                subset: _counts(parts[name, subset][variable])
                if variable in CATEGORIES
                else _summary(parts[name, subset], variable)
                for subset in (*SPLIT_WORDS, "all")
            }
            for name in classes
        }
        for variable in (*CATEGORIES, *NUMBERS)
    }


def _texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = column.astype("string").str.strip()
    return texts.astype(object).where(~texts.str.lower().isin(UNKNOWN) & texts.notna(), None)


def _counts(values: "pd.Series[Any]") -> dict[str, int]:
    counts = {str(value): int(count) for value, count in values.value_counts().sort_index().items()}
    return {**counts, "unknown": int(values.isna().sum())}


def _summary(part: pd.DataFrame, variable: str) -> dict[str, float | int | None]:
    values = part[variable].dropna()
    low, high = (part["youngest"], part["oldest"]) if variable == "age" else (values, values)
    return {
        "images": len(part),
        "known": len(values),
        "ranges": int((low < high).sum()),
        "mean": _rounded(values.mean()),
        "sd": _rounded(values.std()) if len(values) > 1 else None,
        "min": _rounded(low.min()),
        "max": _rounded(high.max()),
    }


def _rounded(number: float) -> float | None:
    return None if pd.isna(number) else round(float(number), 3)
