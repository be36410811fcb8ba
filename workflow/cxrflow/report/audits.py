"""What the audits found, and the trivial rivals beside the networks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.audits.findings import LEVEL
from cxrflow.claims.results import TrainingResults
from cxrflow.images.grouping import patient_numbers
from cxrflow.io.words import counted, joined
from cxrflow.report.inputs import Inputs
from cxrflow.report.method import method_findings
from cxrflow.report.words import percent_range
from cxrflow.statistics.intervals import clustered_wilson
from cxrflow.statistics.permutation import paired_max_test

TITLES = {
    "patients": "Patients",
    "duplicates": "Duplicates",
    "look_alikes": "Similar images",
    "confounders": "Who is in the data",
    "rivals": "Trivial rivals",
    "quality": "Image quality",
    "labels": "Labels",
    "method": "Method",
}


def headlines(inputs: Inputs) -> Iterator[str]:
    """What audits found and the first page must state, each with its effect on the scores."""
    for row in audit_rows(inputs):
        yield from (f"{one['text']} {one['effect']}".strip() for one in row["findings"] or [] if one["is_headline"])


def audit_rows(inputs: Inputs) -> list[dict[str, Any]]:
    """Every audit with its findings; `findings` is None for an audit that this run did not make."""
    made = {**inputs.audit["audits"]}
    if inputs.settings.get("audits", {}).get("method") != "off":
        made["method"] = {"findings": [asdict(one) for one in method_findings(inputs)]}
    return [{"name": name, "title": title, "findings": None, **made.get(name, {})} for name, title in TITLES.items()]


def rival_tables(inputs: Inputs) -> list[dict[str, Any]]:
    """Networks and trivial rivals on the same test images: one table for each task, see `beside_rivals`."""
    tasks = inputs.audit["audits"].get("rivals", {"details": {}})["details"]
    task_of = {name: settings["task"] for name, settings in inputs.experiments.items()}
    return [
        {
            "task": task,
            **of_task,
            "networks": beside_rivals(
                {name: trainings for name, trainings in inputs.trainings.items() if task_of[name] == task},
                inputs.rivals[inputs.rivals["task"] == task],
                inputs.splits[task],
            ),
        }
        for task, of_task in tasks.items()
    ]


def beside_rivals(
    trainings: Mapping[str, Sequence[TrainingResults]], rivals: pd.DataFrame, split: pd.DataFrame
) -> list[dict[str, Any]]:
    """Compare networks with trivial rivals on the same test images.

    Args:
        trainings: experiment to its trainings, one for each seed.
        rivals: predictions of a task: rival, image, class, predicted.
        split: split of the task: image and, if known, patient.

    Returns:
        For each network its accuracy on the test images over all seeds with its 95 % interval (`clustered_wilson`), and
        `against`: rival to the difference in accuracy (network minus rival) with the adjusted p-value of `paired_max_test`.
        An empty list if no rival was evaluated on the test images.
    """
    right = rivals.assign(right=(rivals["predicted"] == rivals["class"]).astype(float)).pivot(
        index="rival", columns="image", values="right"
    )
    if right.empty:
        return []
    groups = patient_numbers(split, list(right.columns))
    return [_beside_rivals(name, of_network, right, groups) for name, of_network in trainings.items()]


def _beside_rivals(
    name: str, trainings: Sequence[TrainingResults], right: pd.DataFrame, groups: NDArray[np.int64]
) -> dict[str, Any]:
    tables = [training.predictions.loc[list(right.columns)] for training in trainings]
    share = np.mean([(one["predicted"] == one["class"]).to_numpy(dtype=float) for one in tables], axis=0)
    low, high = clustered_wilson(share, groups)
    differences, p_values = paired_max_test(share, right.to_numpy(), groups)
    return {
        "experiment": name,
        "seeds": len(tables),
        "images": len(share),
        "groups": len(set(groups)),
        "correct": round(float(share.sum()), 1),
        "accuracy": float(share.mean()),
        "low": low,
        "high": high,
        "against": {
            rival: {"difference": float(difference), "p_value": float(p)}
            for rival, difference, p in zip(right.index, differences, p_values, strict=True)
        },
    }


def rival_warnings(tables: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """State for each task whether its networks are better than trivial rivals on the test images.

    A task is left out if the interval of each network lies above those of all rivals that use only what networks get, too.

    Args:
        tables: from `rival_tables`.
    """
    for table in tables:
        tested = {
            rival["name"]: rival
            for rival in table["rivals"]
            if rival["reaches_network"] and rival["own_split"]["reason"] is None
        }
        highest = max((one["own_split"]["high"] for one in tested.values()), default=-1.0)
        reached = [network for network in table["networks"] if network["low"] <= highest]
        if not reached:
            continue
        best = max(tested.values(), key=lambda one: one["own_split"]["correct"])
        own, patients = best["own_split"], counted(reached[0]["groups"], "patient")
        yield " ".join(
            [
                f"Task {table['task']}: {best['description']}, which sees too little to recognise disease, gets "
                f"{own['correct']} of {counted(own['images'], 'test image')} right "
                f"(95 % interval {percent_range(own['low'], own['high'], 0)}).",
                *(_against_rivals(network, list(tested)) for network in reached),
                f"(Paired permutation tests over {patients}, adjusted for the number of rivals.)",
            ]
        )


def rivals_in_words(tables: Sequence[Mapping[str, Any]]) -> str:
    """One sentence: how many networks are better than every trivial rival on the test images, and what the best rivals get.

    Args:
        tables: from `rival_tables`.
    """
    best, beaten, networks = [], 0, 0
    for table in tables:
        tested = [one for one in table["rivals"] if one["reaches_network"] and one["own_split"]["reason"] is None]
        if not tested or not table["networks"]:
            continue
        own = max((one["own_split"] for one in tested), key=lambda one: one["correct"])
        best.append(f"{own['correct']} of {own['images']}" + (f" ({table['task']})" if len(tables) > 1 else ""))
        networks += len(table["networks"])
        beaten += sum(
            all(is_better(network["against"][one["name"]]) for one in tested) for network in table["networks"]
        )
    if not best:
        return "No classifier that sees too little to recognise disease was tested on the same images."
    rivals = "every classifier that sees too little to recognise disease"
    if networks == 1:
        subject = f"The network {'is' if beaten else 'is not'} significantly better than {rivals}"
    else:
        number = {0: "None of the", networks: "All"}.get(beaten, f"{beaten} of the")
        subject = f"{number} {networks} networks {'is' if beaten <= 1 else 'are'} significantly better than {rivals}"
    return f"{subject}; the best of these gets {joined(best)} test images right."


def is_better(against: Mapping[str, float]) -> bool:
    """Whether a network is significantly better than a rival, see `beside_rivals`."""
    return against["p_value"] <= LEVEL and against["difference"] > 0


def findings_in_words(inputs: Inputs) -> str:
    """One sentence: how many findings of the audits limit what the numbers mean, by audit."""
    counts = {
        row["title"].lower(): sum(one["is_headline"] for one in row["findings"] or []) for row in audit_rows(inputs)
    }
    found = {title: count for title, count in counts.items() if count}
    if not found:
        return "The audits found nothing that limits what these numbers mean."
    named = joined([f"{title} ({count})" for title, count in found.items()])
    total = sum(found.values())
    limit = "limits" if total == 1 else "limit"
    return f"{counted(total, 'finding')} of the audits {limit} what these numbers mean: {named}."


def _against_rivals(network: Mapping[str, Any], rivals: list[str]) -> str:
    against = [network["against"][name] for name in rivals]
    beaten = sum(map(is_better, against))
    better = {0: "is not significantly better than any", len(rivals): "is significantly better than each"}.get(
        beaten, f"is significantly better than only {beaten}"
    )
    average = f"on average, over {network['seeds']} seeds, " if network["seeds"] > 1 else ""
    interval = percent_range(network["low"], network["high"], 0)
    return (
        f"The network {network['experiment']} gets {average}{network['correct']:g} of {network['images']} right ({interval}), "
        f"and {better} of {len(rivals)} such rivals."
    )


def without_leaks(inputs: Inputs) -> list[dict[str, Any]]:
    """The accuracy of each network without the test images that training or validation gives away.

    These are images of patients who have images there, too, and pictures that are there in the same or in another form.
    """
    rows = []
    for name, settings in inputs.experiments.items():
        leaked = _leaked_images(inputs.audit["audits"], settings["task"])
        for training in inputs.trainings[name] if leaked else []:
            others = training.predictions.drop(index=leaked)
            rows.append(
                {
                    "experiment": name,
                    "seed": training.seed,
                    "correct": training.metrics["correct"],
                    "images": training.metrics["images"],
                    "correct_without": int((others["predicted"] == others["class"]).sum()),
                    "images_without": len(others),
                }
            )
    return rows


def _leaked_images(audits: Mapping[str, Any], task: str) -> list[str]:
    keys = {
        "patients": "test_images_of_known_patients",
        "duplicates": "test_images_seen_before",
        "look_alikes": "test_images_seen_before",
    }
    found = {
        image
        for name, key in keys.items()
        if name in audits
        for image in audits[name]["details"]["tasks"].get(task, {}).get(key, [])
    }
    return sorted(found)
