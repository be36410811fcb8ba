"""Classes that the source or the age of images determines, so that no score can tell the class from it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrflow.audits.findings import LEVEL
from cxrflow.io.words import counted, joined, some_of
from cxrflow.statistics.association import cramers_v_test, one_versus_rest_auc

FEWEST_GROUPS = 5
"""Patients (groups of images) of a class, and of the others, with a known value, without which nothing is determined."""
LEAST_KNOWN = 0.5
"""Smallest share of images with a known value, of a class and of the others."""
NEARLY_ONE = 0.99
"""An AUC of at least this, or at most one minus this, determines a class."""

Stated = tuple[str, str]
"""Text and effect of a finding."""


def source_headline(rows: pd.DataFrame, classes: Sequence[str]) -> Stated | None:
    """State which classes have sources that no other class has, if that is hardly by chance.

    Args:
        rows: images of a task, sorted by id, from `cxrflow.audits.demographics.with_variables`.
        classes: classes of the task.
    """
    sources = rows["source"]
    found = []
    for name in _candidates(rows, sources, classes):
        is_own = rows["class"] == name
        if set(sources[is_own].dropna()) & set(sources[~is_own].dropna()):
            continue
        units = rows[sources.notna()].drop_duplicates("group")
        labels = (units["class"] == name).to_numpy(np.int64)
        if cramers_v_test(labels, pd.factorize(sources[units.index])[0])[1] <= LEVEL:
            found.append(name)
    if not found:
        return None
    whole = len(classes) == 2 or len(found) == len(classes)
    places = [_sources(f"{name} images", sources[rows["class"] == name]) for name in (classes if whole else found)]
    if not whole:
        places.append(_sources("others", sources[~rows["class"].isin(found)]))
    first, *others = places
    text = joined([f"{first[0]} come from {first[1]}", *(f"{who} from {where}" for who, where in others)])
    return f"{text}.", _effect(found, classes, "the source of the images")


def _sources(what: str, sources: "pd.Series[str]") -> tuple[str, str]:
    known = sources.dropna()
    who = f"all {len(known):,} {what}"
    if len(known) < len(sources):
        who = f"all {what} of known source ({len(known):,} of {len(sources):,})"
    return who, some_of(sorted(set(known)), 3)


def age_headline(rows: pd.DataFrame, classes: Sequence[str]) -> Stated | None:
    """State which classes have ages that no other class has, or nearly so. Arguments as for `source_headline`."""
    ages, youngest, oldest = rows["age"], rows["youngest"], rows["oldest"]
    units = rows[ages.notna()].drop_duplicates("group")
    found = []
    for name in _candidates(rows, ages, classes):
        is_own = rows["class"] == name
        is_apart = youngest[is_own].min() > oldest[~is_own].max() or oldest[is_own].max() < youngest[~is_own].min()
        auc = one_versus_rest_auc((units["class"] == name).to_numpy(np.int64), ages[units.index])[1]
        if is_apart or max(auc, 1 - auc) >= NEARLY_ONE:
            found.append(name)
    if not found:
        return None
    named = found[:1] if len(classes) == 2 else found
    texts = [f"{name} patients are {_range(rows[rows['class'] == name], ' years old')}" for name in named]
    if len(others := rows[~rows["class"].isin(named)]):
        texts.append(f"all others {_range(others, '')}")
    return f"{', '.join(texts)}.", _effect(found, classes, "age")


def _candidates(rows: pd.DataFrame, values: "pd.Series[float]", classes: Sequence[str]) -> list[str]:
    """The classes for which enough is known, of them and of the others."""
    is_known = values.notna()

    def enough(part: "pd.Series[bool]") -> bool:
        known = part & is_known
        return rows.loc[known, "group"].nunique() >= FEWEST_GROUPS and bool(known.sum() >= LEAST_KNOWN * part.sum())

    return [name for name in classes if enough(rows["class"] == name) and enough(rows["class"] != name)]


def _range(part: pd.DataFrame, unit: str) -> str:
    """Describe ages: `12 to 78 years old (mean 54.9, known for 53 of 68 images)`."""
    low, high = part["youngest"].min(), part["oldest"].max()
    span = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    known = part["age"].dropna()
    remarks = []
    if (part["youngest"] == part["oldest"]).any() and low < high:
        remarks.append(f"mean {known.mean():.1f}")
    if len(known) < len(part):
        remarks.append(f"known for {len(known):,} of {counted(len(part), 'image')}")
    return span + unit + (f" ({', '.join(remarks)})" if remarks else "")


def _effect(found: Sequence[str], classes: Sequence[str], what: str) -> str:
    names = classes[0] if len(classes) == 2 else joined(found)
    if len(classes) > 2 and len(found) == len(classes):
        names = "the classes"
    return f"No result on these images can tell {names} from {what}."
