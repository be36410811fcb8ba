"""The points that a study leaves open, and how a run reads them."""

import re
from collections.abc import Mapping
from typing import Any

from cxrflow.io.errors import UserError
from cxrflow.io.words import counted, joined
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import DASH, shown
from cxrflow.study.layers import value_within, with_layer_keys

SAME, OTHER, UNKNOWN, NOT_RUN = "as read", "not as read", "not compared", "not in this run"
NOWHERE = object()


def readings_in_use(inputs: Inputs) -> list[dict[str, str]]:
    """Compare the readings of this run with those taken for the study.

    Returns:
        The rows of the open points, with `in_use` (the value in this run) and `verdict` (`SAME`, `OTHER`, `UNKNOWN` or
        `NOT_RUN`) added.

    Raises:
        UserError: a row names a config key that the settings do not have.
    """
    return [
        {**row, **dict(zip(("in_use", "verdict"), _in_use(inputs, row), strict=True))} for row in inputs.open_points
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
                raise UserError(f"--open-points: row {row['id']}: the settings have no key '{key}'")
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
    """Each place where a config key has an effect in this run, with its values in this run and in the study."""
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
        (name, _of_experiment(inputs.experiments[name], steps), _of_experiment(study.get(name), steps))
        for name in experiments
        if name in inputs.experiments
    ]


def _of_experiment(settings: Mapping[str, Any] | None, steps: list[str]) -> Any:
    if settings is None:
        return NOWHERE
    if steps[0] == "head":  # another head may lack the layer
        return with_layer_keys(settings).get(".".join(steps))
    return _at(settings, steps)


def _at(tree: Any, steps: list[str]) -> Any:
    """The value of a nested key; if a setting on the way is not a mapping, the value of that setting."""
    if not isinstance(tree, Mapping) or steps[0] not in tree:
        return NOWHERE
    return value_within(tree[steps[0]], steps[1:])


def _images(inputs: Inputs) -> tuple[str, str]:
    audit = inputs.audit
    if inputs.on_phantoms:
        return counted(audit["images"], "drawn phantom"), OTHER
    of = "" if audit["images"] == audit["listed"] else f" of {audit['listed']}"
    whole = not (audit["missing"] or audit["unreadable"] or audit["changed"])
    words = f"{audit['images']}{of} images"
    if inputs.study is None:
        return words, UNKNOWN
    return words, SAME if whole and inputs.settings["image_list"] == inputs.study["image_list"] else OTHER


def _versions(inputs: Inputs) -> tuple[str, str]:
    names = {"tensorflow": "TensorFlow", "keras": "Keras", "python": "Python"}
    found = inputs.versions
    words = ", ".join(f"{title} {joined(found[name])}" for name, title in names.items() if name in found)
    if inputs.locked is None:
        return words, UNKNOWN
    same = all(found.get(name) == [inputs.locked[name]] for name in ("tensorflow", "keras") if name in inputs.locked)
    return words, SAME if same else OTHER


def _seeds(inputs: Inputs) -> tuple[str, str]:
    seeds = {
        name: ", ".join(str(training.seed) for training in trainings) for name, trainings in inputs.trainings.items()
    }
    if len(set(seeds.values())) == 1:
        return next(iter(seeds.values())), SAME
    return "; ".join(f"{value} ({name})" for name, value in seeds.items()), SAME
