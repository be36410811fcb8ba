"""What the study leaves open, and which reading a run took."""

import re
from collections.abc import Mapping
from typing import Any

from cxrflow.report.inputs import Inputs
from cxrflow.report.words import DASH, counted, joined, shown
from cxrflow.stage.faults import Fault

SAME, OTHER, UNKNOWN, NOT_RUN = "as read", "not as read", "not compared", "not in this run"
NOWHERE = object()


def readings_in_use(inputs: Inputs) -> list[dict[str, str]]:
    """One row for each thing that the study does not say.

    Returns:
        Rows with id, what, reading (the one taken for the study), other_readings, evidence, concerns, config_key, in_use
        (this run's value) and verdict (`SAME`, `OTHER`, `UNKNOWN` or `NOT_RUN`).

    Raises:
        Fault: a row names a config key that the settings do not have.
    """
    return [
        {**row, **dict(zip(("in_use", "verdict"), _in_use(inputs, row), strict=True))} for row in inputs.assumptions
    ]


def _in_use(inputs: Inputs, row: Mapping[str, str]) -> tuple[str, str]:
    special = {"images": _images, "versions": _versions, "seeds": _seeds}
    if row["id"] in special:
        return special[row["id"]](inputs)
    found: dict[str, list[str]] = {}
    verdicts = set()
    for key in re.split(r"[\s,;]+", row["config_key"].strip()):
        for place, ours, theirs in _values(inputs, key):
            if ours is NOWHERE:
                raise Fault(f"--assumptions: row {row['id']}: the settings have no key '{key}'")
            found.setdefault(shown(ours), []).append(place)
            verdicts.add(UNKNOWN if theirs is NOWHERE else SAME if ours == theirs else OTHER)
    if not found:
        return DASH, NOT_RUN
    if len(found) == 1:
        words = next(iter(found))
    else:
        words = "; ".join(f"{value} ({joined(places)})" for value, places in found.items())
    return words, next(verdict for verdict in (OTHER, UNKNOWN, SAME) if verdict in verdicts)


def _values(inputs: Inputs, key: str) -> list[tuple[str, Any, Any]]:
    """Where a config key has effect in this run, its value there, and the study's value at the same place."""
    steps = key.split(".")
    if steps[0] in ("experiments", "extras"):
        experiments, steps = steps[1:2], steps[2:]
    elif steps[0] in ("experiment_defaults", "override") or steps[0] not in inputs.settings:
        experiments = list(inputs.experiments)
        steps = steps[1:] if steps[0] in ("experiment_defaults", "override") else steps
    else:
        return [(key, _at(inputs.settings, steps), _at(inputs.study, steps))]
    study = {**inputs.study["extras"], **inputs.study["experiments"]} if inputs.study else {}
    return [
        (name, _at(inputs.experiments[name], steps), _at(study.get(name), steps))
        for name in experiments
        if name in inputs.experiments
    ]


def _at(tree: Any, steps: list[str]) -> Any:
    for step in steps:
        if not isinstance(tree, Mapping) or step not in tree:
            return NOWHERE
        tree = tree[step]
    return tree


def _images(inputs: Inputs) -> tuple[str, str]:
    audit = inputs.audit
    if inputs.on_phantoms:
        return counted(audit["images"], "drawn phantom"), OTHER
    of = "" if audit["images"] == audit["listed"] else f" of {audit['listed']}"
    whole = not (audit["missing"] or audit["unreadable"] or audit["changed"])
    same = whole and inputs.settings.get("image_list") == "study"
    return f"{audit['images']}{of} images", SAME if same else OTHER


def _versions(inputs: Inputs) -> tuple[str, str]:
    names = {"tensorflow": "TensorFlow", "keras": "Keras", "python": "Python"}
    runs = [run.training["versions"] for run in inputs.all_runs]
    found = {name: sorted({versions[name] for versions in runs if name in versions}) for name in names}
    words = ", ".join(f"{names[name]} {joined(versions)}" for name, versions in found.items() if versions)
    if inputs.locked is None:
        return words, UNKNOWN
    same = all(found[name] == [inputs.locked[name]] for name in ("tensorflow", "keras") if name in inputs.locked)
    return words, SAME if same else OTHER


def _seeds(inputs: Inputs) -> tuple[str, str]:
    seeds = {name: ", ".join(str(run.seed) for run in runs) for name, runs in inputs.runs.items()}
    if len(set(seeds.values())) == 1:
        return next(iter(seeds.values())), SAME
    return "; ".join(f"{value} ({name})" for name, value in seeds.items()), SAME
