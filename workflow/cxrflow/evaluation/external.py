"""An external test: labelled images of another source, and how much worse the networks are on them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.evaluation.experiments import FILES, measure_experiment, read_experiment
from cxrflow.io.errors import UserError
from cxrflow.io.words import counted, some_of
from cxrflow.statistics.comparison import independent_difference
from cxrflow.statistics.intervals import Interval

PREDICTIONS = "external_predictions.csv"
"""File of a training with predictions of the images of the external test."""
DROPPED = ("accuracy", "balanced_accuracy", "macro_auroc", "sensitivity", "auroc")
"""Metrics whose drop is computed."""
SUBSETS = ("training", "validation", "test")


def measure_external(
    folder: Path,
    seeds: Sequence[int],
    task: str,
    split: pd.DataFrame,
    images: pd.DataFrame,
    external: pd.DataFrame,
    internal: Mapping[str, Any],
) -> dict[str, Any]:
    """Compute the metrics of an experiment on an external test, and the drops from the test images of the study to it.

    Images of the study, in any subset, are left out, so that the two tests are independent.

    Args:
        folder: folder of the experiment's trainings: seed_SEED/.
        seeds: at least one.
        task: of the experiment.
        split: split of the task.
        images, external: indexes of the images of the study and of the external test.
        internal: `measure_experiment` of the test images of the study.

    Returns:
        The values of `measure_experiment`, with the median run of the study's own test, and

        * `drops`: for each seed `seed`, `internal_right` (right test images of the study) and `rows` (`drop_rows`);
        * `drops_of_ensemble` and `drops_over_seeds`: the same rows; None with a single seed;
        * `left_out`: `shared` (`shared_images`), `unusable` (images) and `other_classes` (their number).

    Raises:
        UserError: no image is left; or see `read_experiment`.
    """
    is_usable = external["status"].isin(["ok", "changed"])
    is_of_task = external["class"].isin(internal["classes"])
    used = external[is_usable & is_of_task]
    # Ids of both tests may be equal; the last patient counts.
    of_study = split[split["subset"] != "test"].assign(patient="")
    of_external = used[["image", "class", "patient"]].fillna({"patient": ""}).assign(subset="test")
    both = pd.concat([of_study, of_external])
    experiment = read_experiment(folder, seeds, task, both, {**FILES, "test": PREDICTIONS})
    shared = shared_images(used, images, split)
    new = used.loc[~used["image"].isin([one["image"] for one in shared]), "image"].tolist()
    if not new:
        raise UserError(
            f"external: all {len(used)} images of the task {task} are images of the study itself; name images of another source"
        )
    experiment = replace(experiment, predictions={seed: one.loc[new] for seed, one in experiment.predictions.items()})
    measured = measure_experiment(experiment, both, internal["median_seed"])
    several = len(seeds) > 1
    return {
        **measured,
        "drops": [
            {
                "seed": own["seed"],
                "internal_right": study["metrics"][0]["right"],
                "rows": list(drop_rows(study["metrics"], own["metrics"])),
            }
            for study, own in zip(internal["runs"], measured["runs"], strict=True)
        ],
        "drops_of_ensemble": list(drop_rows(internal["ensemble"], measured["ensemble"])) if several else None,
        "drops_over_seeds": list(drop_rows(*map(_means, (internal, measured)))) if several else None,
        "left_out": {
            "shared": shared,
            "unusable": external.loc[~is_usable & is_of_task, "image"].tolist(),
            "other_classes": int((~is_of_task).sum()),
        },
    }


def _means(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The means over seeds as rows of `metric_rows`."""
    empty = dict.fromkeys(("low", "high", "method", "counts"))
    return [{**row, "value": row["mean"], **(row["interval"] or empty)} for row in measured["seeds"]]


def drop_rows(internal: Sequence[Mapping[str, Any]], external: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Compute how much lower metrics are in an external test than on the test images of the study.

    Args:
        internal, external: rows of `metric_rows`.

    Returns:
        Rows with `metric`, one of `DROPPED`, `class`, `value` (internal - external), `low`, `high`, `method` and `counts` of
        `independent_difference`, and `reason` (why there is no value or interval).
    """
    others = {(row["metric"], row["class"]): row for row in external}
    for own in internal:
        if own["metric"] not in DROPPED:
            continue
        pair = own, others[own["metric"], own["class"]]
        row: dict[str, Any] = {"metric": own["metric"], "class": own["class"]}
        row |= dict.fromkeys(("value", "low", "high", "method", "counts", "reason"))
        reasons = {name: one["reason"] for name, one in zip(("internal", "external"), pair, strict=True)}
        if all(one["value"] is not None for one in pair):
            row["value"] = pair[0]["value"] - pair[1]["value"]
        if all(one["low"] is not None for one in pair):
            intervals = [Interval(one["low"], one["high"], one["method"], one["counts"]) for one in pair]
            found = independent_difference(pair[0]["value"], intervals[0], pair[1]["value"], intervals[1])
            methods = " and ".join(dict.fromkeys(one.method for one in intervals))
            row |= asdict(replace(found, method=f"{found.method}, from {methods}"))
        else:
            given = [f"{name} test: {why}" for name, why in reasons.items() if why]
            row["reason"] = "; ".join(given) or "no interval of the mean over seeds"
        yield row


def shared_images(external: pd.DataFrame, images: pd.DataFrame, split: pd.DataFrame) -> list[dict[str, str]]:
    """Find the images of an external test that are images of the study, by their bytes or by their sampled pixels.

    Args:
        external, images: indexes of the images of the external test and of the study.
        split: split of the task.

    Returns:
        For each one `image`, `same_as` (an image of the study, of the training if there is one), its `subset`, and `by`: bytes
        or pixels.
    """
    rank = split["subset"].map({name: place for place, name in enumerate(SUBSETS)})
    own = split.assign(rank=rank).dropna(subset="rank").sort_values("rank", kind="stable")[["image", "subset"]]
    own = own.merge(images[["image", "sha256", "sample_blake2"]], on="image")
    found: dict[str, dict[str, str]] = {}
    for by, column in (("bytes", "sha256"), ("pixels", "sample_blake2")):
        first = own.dropna(subset=column).drop_duplicates(column).set_index(column)
        for image, hashed in external[["image", column]].dropna().itertuples(index=False):
            if hashed in first.index and image not in found:
                same = first.loc[hashed]
                found[image] = {"image": image, "same_as": same["image"], "subset": same["subset"], "by": by}
    return [found[image] for image in external["image"] if image in found]


def shared_in_words(shared: Sequence[Mapping[str, str]]) -> str:
    """The images of an external test that are images of the study: their numbers by subset, and some names."""
    counts = {name: sum(one["subset"] == name for one in shared) for name in SUBSETS}
    subsets = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    pairs = some_of((f"{one['image']} is {one['same_as']}" for one in shared), 4)
    return (
        f"{counted(len(shared), 'image')} {'is' if len(shared) == 1 else 'are'} in the study, too ({subsets}): {pairs}"
    )
