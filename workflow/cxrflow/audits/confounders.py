"""Variables that differ between classes, so that a network may use them instead of signs of the class."""

from typing import Any

import pandas as pd

from cxrflow.audits.demographics import CATEGORIES, NUMBERS, UNITS, tables_of, unreadable_ages, with_variables
from cxrflow.audits.determined import age_headline, source_headline
from cxrflow.audits.findings import Audited, DataSet, Finding, merge_tasks
from cxrflow.io.words import counted, joined
from cxrflow.statistics.association import auc_test, cramers_v_test, holm

LEVEL = 0.01
"""Significance level of this audit, after Holm's correction: rivals use the greater part of the 0.05 that all audits together
may have. The smallest corrected p-value of eight variables is 0.008."""
FEWEST_ELSEWHERE = 3
"""Smallest expected number of images or patients of a view elsewhere for which its absence is reported: by chance, 1 in 20."""
BY_CHANCE = 0.01
"""Chance, if unknown values were scattered at random, below which a variable known for one class only is reported."""

FACTORS = {
    "source": ["source"],
    "age": ["age"],
    "sex": ["sex"],
    "view": ["view"],
    "mode": ["mode"],
    "colour": ["colour"],
    "size": ["width", "height"],
}
"""What a finding is about to its variables; there is at most one finding for each."""
NAMES = {
    "mode": "colour mode of the files",
    "colour": "colour of the pixels",
    "width": "width of the files",
    "height": "height of the files",
}
EFFECTS = {
    "source": "The network may use traces of the source instead of signs of the class.",
    "age": "The network may use signs of age instead of signs of the class.",
    "sex": "The network may use signs of sex instead of signs of the class.",
    "view": "The network may use the view instead of signs of the class.",
    "mode": "The network does not see the colour mode of a file, only traces of it in the pixels, if any.",
    "colour": "The network sees colour and may use it instead of signs of the class.",
    "size": "The network does not see the size of a file, only traces of resizing, such as sharpness.",
}


def audit_confounders(data: DataSet) -> Audited:
    """Find variables that are associated with the classes of a task.

    Tests use one image per group (patient): the first whose value is known. Of each task, p-values are corrected by Holm's
    method over its variables.

    Returns:
        Details: `unreadable_ages` (text to number of images), `units` (of numbers), and `tasks`, task to `tables` (see
        `cxrflow.audits.demographics.tables_of`) and `associations`, variable to: `measure` (cramers_v or auc), `value`,
        `class` (whose AUC against all others it is), `p`, `p_holm`, `images`, `known_images`, `groups` and `known_groups`.
        Value and p-values are None if the variable is constant, or known for less than two classes.
    """
    findings: list[Finding] = []
    details: dict[str, Any] = {}
    for task, classes in data.classes.items():
        rows = data.images_of(task)[["image", "class", "subset", "group", *CATEGORIES, *NUMBERS]]
        rows = with_variables(rows.sort_values("image", ignore_index=True)).astype({"image": object, "group": object})
        tables, associations = tables_of(rows, classes), _associations(rows, classes)
        details[task] = {"tables": tables, "associations": associations}
        for factor, names in FACTORS.items():
            name = max(names, key=lambda one: _strength(associations[one]))
            finding = _finding(task, classes, rows, factor, name, associations[name], tables[name])
            findings += [finding] if finding else []
    ages = {"unreadable_ages": unreadable_ages(data.index["age"])}
    return Audited(merge_tasks(findings), {**ages, "units": UNITS, "tasks": details})


def one_sided_views(rows: pd.DataFrame, by: str, unit: str = "image") -> list[tuple[str, str, list[str]]]:
    """Find views in only one class or subset, if that is hardly by chance: a network may learn the view.

    Args:
        rows: columns image, view and `by`; views may be missing, `by` may be empty.
        by: column of classes or subsets.
        unit: column whose values are independent: `group` where patients may have several images of a view.

    Returns:
        View in upper case, the only class or subset, and the ids of the images.
    """
    known = rows[rows["view"].notna() & (rows["view"] != "") & (rows[by] != "")]
    shares = known.drop_duplicates(unit)[by].value_counts(normalize=True)
    found = []
    for view, part in known.groupby(known["view"].str.upper()):
        only = part[by].iloc[0]
        if (part[by] == only).all() and part[unit].nunique() * (1 - shares.get(only, 1.0)) >= FEWEST_ELSEWHERE:
            found.append((str(view), str(only), sorted(part["image"])))
    return found


def _associations(rows: pd.DataFrame, classes: list[str]) -> dict[str, dict[str, Any]]:
    """Test each variable, see `audit_confounders`."""
    place_of = {name: place for place, name in enumerate(classes)}
    found: dict[str, dict[str, Any]] = {}
    for variable in (*CATEGORIES, *NUMBERS):
        is_known = rows[variable].notna()
        units = rows[is_known].drop_duplicates("group")
        values = units[variable]
        one: dict[str, Any] = {"measure": "cramers_v" if variable in CATEGORIES else "auc"}
        one |= {"value": None, "class": None, "p": None, "p_holm": None}
        if units["class"].nunique() > 1 and values.nunique() > 1:
            labels = units["class"].map(place_of).to_numpy()
            if variable in CATEGORIES:
                one["value"], one["p"] = cramers_v_test(labels, pd.factorize(values)[0])
            else:
                one["value"], place, one["p"] = auc_test(labels, values)
                one["class"] = classes[place]
        one |= {"images": len(rows), "known_images": int(is_known.sum())}
        found[variable] = {**one, "groups": int(rows["group"].nunique()), "known_groups": len(units)}
    tested = [one for one in found.values() if one["p"] is not None]
    for one, p in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_holm"] = float(p)
    return found


def _strength(association: dict[str, Any]) -> float:
    """Order variables of one factor: by p-value, then by the distance of the AUC from 0.5."""
    if association["p"] is None:
        return -1.0
    return (1 - association["p"]) + abs(association["value"] - 0.5) * 1e-4


def _finding(
    task: str,
    classes: list[str],
    rows: pd.DataFrame,
    factor: str,
    name: str,
    association: dict[str, Any],
    table: dict[str, Any],
) -> Finding | None:
    """The finding about a factor: the strongest statement that holds."""
    is_associated = association["p_holm"] is not None and association["p_holm"] <= LEVEL
    headline_of = {"source": source_headline, "age": age_headline}
    if is_associated and factor in headline_of:
        stated = headline_of[factor](rows, classes)
        if stated:
            return Finding(*stated, task=task, is_headline=True)
    only = _known_for_one_class(rows, name) if factor in ("source", "age", "sex", "view") else ""
    if only:
        of_class = rows.loc[rows["class"] == only, name]
        text = f"{name} is known only for {only} ({of_class.notna().sum()} of {counted(len(of_class), 'image')})."
        return Finding(text, f"Whether the scores depend on {name} cannot be checked.", task=task)
    if factor == "view" and (found := _view_finding(task, rows)):
        return found
    if is_associated:
        text = (
            _category_text(name, association, table) if name in CATEGORIES else _number_text(name, association, table)
        )
        return Finding(text, EFFECTS[factor], task=task, certainty="suspected")
    return None


def _known_for_one_class(rows: pd.DataFrame, name: str) -> str:
    """The only class for which a variable is known, if that is hardly by chance; otherwise an empty text."""
    groups = rows.drop_duplicates("group")["class"].value_counts(normalize=True)
    known = rows[rows[name].notna()].drop_duplicates("group")["class"]
    if known.nunique() != 1 or len(groups) < 2:
        return ""
    only = known.iloc[0]
    return str(only) if groups.get(only, 1.0) ** len(known) <= BY_CHANCE else ""


def _view_finding(task: str, rows: pd.DataFrame) -> Finding | None:
    of_classes, of_subsets = (one_sided_views(rows, by, "group") for by in ("class", "subset"))
    places = [f"{view} only in class {only} ({counted(len(ids), 'image')})" for view, only, ids in of_classes]
    places += [f"{view} only in {only} ({counted(len(ids), 'image')})" for view, only, ids in of_subsets]
    if not places:
        return None
    effect = EFFECTS["view"] if of_classes else "Subsets differ in view, which may change the score."
    images = sorted({image for *_, ids in (*of_classes, *of_subsets) for image in ids})
    return Finding(
        f"some views occur in one place only: {joined(places)}.", effect, images, task, certainty="suspected"
    )


def _category_text(name: str, association: dict[str, Any], table: dict[str, Any]) -> str:
    """Describe an association by the value and the class whose shares differ most from the others'."""
    known = {
        one: {value: count for value, count in subsets["all"].items() if value != "unknown"}
        for one, subsets in table.items()
    }
    sizes = {one: sum(counts.values()) for one, counts in known.items()}
    best, text = -1.0, ""
    for one, counts in known.items():
        others = sum(sizes.values()) - sizes[one]
        if not sizes[one] or not others:
            continue
        for value, own in counts.items():
            rest = sum(each.get(value, 0) for each in known.values()) - own
            if own / sizes[one] - rest / others > best + 1e-9:
                best = own / sizes[one] - rest / others
                text = f"{value} for {own} of {sizes[one]} {one} and {rest} of {others} other images"
    v = f"Cramér's V {association['value']:.2f}"
    return f"the {NAMES.get(name, name)} differs between classes ({v}, {_known_and_p(association)}): {text}."


def _number_text(name: str, association: dict[str, Any], table: dict[str, Any]) -> str:
    only = association["class"]
    own = table[only]["all"]
    others = [subsets["all"] for one, subsets in table.items() if one != only and subsets["all"]["known"]]
    mean = sum(one["mean"] * one["known"] for one in others) / sum(one["known"] for one in others)
    auc = f"AUC {association['value']:.2f} for {only}"
    return (
        f"the {NAMES.get(name, name)} differs between classes ({auc}, {_known_and_p(association)}): "
        f"mean {own['mean']:.1f} {UNITS[name]} for {only}, {mean:.1f} for others."
    )


def _known_and_p(association: dict[str, Any]) -> str:
    known, images = association["known_images"], association["images"]
    return f"p = {association['p_holm']:.3f}, known for {known:,} of {counted(images, 'image')}"
