"""The external test in the results of an experiment: metrics of both tests, and the drops between them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxrflow.evaluation.external import shared_in_words
from cxrflow.io.words import counted, joined, some_of
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import last_part


def external_view(inputs: Inputs, experiment: str) -> dict[str, Any] | None:
    """What the page shows of the external test of an experiment; None if the run has none, or it is not finished.

    Returns:
        * `source` (of the images), `counts` and `class_counts` (images and patients);
        * of the median run of the study's own test: `accuracy` on the external test, `drop` of it, and `rows`: metric, class,
          and the rows of both tests and of the drop;
        * `over_seeds`: the drop of the mean accuracy of all seeds; None with a single one;
        * `remarks`: images that were left out, one sentence each.
    """
    if experiment not in inputs.external:
        return None
    external, internal = inputs.external[experiment], inputs.evaluation[experiment]
    place = [run["seed"] for run in external["runs"]].index(external["median_seed"])
    own, other = (_by_name(one["runs"][place]["metrics"]) for one in (internal, external))
    drops = external["drops"][place]["rows"]
    over_seeds = external["drops_over_seeds"]
    return {
        "source": last_part(str(inputs.settings["external"])),
        "counts": external["counts"],
        "class_counts": external["class_counts"],
        "accuracy": other["accuracy", None],
        "drop": drops[0],
        "rows": [
            (row["metric"], row["class"], own[row["metric"], row["class"]], other[row["metric"], row["class"]], row)
            for row in drops
        ],
        "over_seeds": over_seeds[0] if over_seeds else None,
        "remarks": [f"{text}." for text in _left_out(external["left_out"])],
    }


def external_warnings(inputs: Inputs) -> Iterator[str]:
    """What a reader must know first of the external test: images of the study in it, and tests that are not finished."""
    texts: dict[str, list[str]] = {}
    for name, external in inputs.external.items():
        if shared := external["left_out"]["shared"]:
            texts.setdefault(shared_in_words(shared), []).append(name)
    for text, names in texts.items():
        yield f"External test of {joined(names)}: {text}; left out."
    if inputs.settings.get("external") and (
        without := [name for name in inputs.trainings if name not in inputs.external]
    ):
        yield f"The external test of {joined(without)} is not finished, and not part of this report."


def _by_name(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str | None], Mapping[str, Any]]:
    return {(row["metric"], row["class"]): row for row in rows}


def _left_out(left_out: Mapping[str, Any]) -> Iterator[str]:
    if shared := left_out["shared"]:
        yield f"Left out: {shared_in_words(shared)}"
    if unusable := left_out["unusable"]:
        yield f"Left out: {counted(len(unusable), 'image')}, missing or unreadable: {some_of(unusable, 4)}"
    if others := left_out["other_classes"]:
        yield f"Left out: {counted(others, 'image')} of other classes"
