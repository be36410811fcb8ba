"""How well the classes separate in the features of each network, as rows of plain values, which the template lays out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxrflow.claims.results import TrainingResults
from cxrflow.io.words import counted
from cxrflow.report.inputs import Inputs

RIVALS = {"pixels": "raw pixels", "file": "properties of the files", "random": "random features"}


def separation_tables(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """How well the classes separate in the last hidden layer: one table per experiment, one row per seed.

    Results of version 0.1 have no chance levels, intervals, rivals, units and quality of maps: these are None or empty.
    """
    for name, trainings in inputs.trainings.items():
        shown = inputs.median_run(name)
        first = shown.separation
        order = [name for name in shown.metrics["classes"] if name in first["neighbour_shares"]]
        rivals = first.get("rivals", {})
        yield {
            "experiment": name,
            "seed": shown.seed,
            "k": first["k"],
            "of": first["of"],
            "classes": order,
            "shares": [(one, [_share(first, "neighbour_shares", (one, other)) for other in order]) for one in order],
            "pairs": [
                (
                    " and ".join(pair.split("|")),
                    _share(first, "pairs", (pair,)),
                    [_value(rival, "pairs", (pair,)) for rival in rivals.values()],
                )
                for pair in first["pairs"]
            ],
            "rows": [
                {**one.separation, **_share(one.separation, "same_class_share", ()), "seed": one.seed}
                for one in trainings
            ],
            "chance": _value(first.get("chance"), "same_class_share", ()),
            "rivals": [{**rival, "name": RIVALS.get(key, key)} for key, rival in rivals.items()],
            "intervals": first.get("intervals"),
            "units": list(_units_in_words(trainings)),
            "maps": [{**found, "seed": one.seed} for one in trainings if (found := one.separation.get("map"))],
            "remarks": [
                (training.seed, remark)
                for training in trainings
                for remark in _remarks_on_features(training.separation)
            ],
        }


def _share(separation: Mapping[str, Any], key: str, of: Sequence[str]) -> dict[str, Any]:
    """A share with its interval and its chance level; these are None where they are not known."""
    return {
        "share": _value(separation, key, of),
        "interval": _value(separation.get("intervals"), key, of),
        "chance": _value(separation.get("chance"), key, of),
    }


def _value(values: Mapping[str, Any] | None, key: str, of: Sequence[str]) -> Any:
    """The value of a key, of a class or pair in it, and of a class in that; None where one is missing."""
    found: Any = (values or {}).get(key)
    for name in of:
        found = (found or {}).get(name)
    return found


def _units_in_words(trainings: Sequence[TrainingResults]) -> Iterator[str]:
    """Units that do not count, one sentence for each seed with such units."""
    for one in trainings:
        units = one.separation.get("units")
        if units and (units["constant"] or units["nearly_constant"]):
            yield (
                f"Seed {one.seed}: of {counted(units['total'], 'unit')}, {units['constant']:,} have the same value for all "
                f"images and {units['nearly_constant']:,} for all but one or two; these do not count."
            )


def _remarks_on_features(separation: dict[str, Any]) -> Iterator[str]:
    """The reasons for a missing map or missing numbers; files of earlier versions have none."""
    if no_map := separation.get("no_map"):
        yield f"no t-SNE map: {no_map}"
    if reason := separation.get("not_judged"):
        yield f"how the classes separate is not judged: {reason}"
