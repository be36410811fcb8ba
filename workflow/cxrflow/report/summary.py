"""The summary at the top of the page: what was run, the main results, and what limits them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxrflow.io.words import counted, joined, some_of
from cxrflow.report.audits import headlines, rival_warnings
from cxrflow.report.external import external_warnings
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import percent, percent_range

FEW_TEST_IMAGES = 200
"""With fewer test images than this, the page says how many percentage points one image corresponds to."""
SUMMARY_RESULTS = 6
"""The number of experiments whose results are in the summary."""


def warnings(inputs: Inputs, rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know first, one sentence each.

    That is failed trainings, phantoms, missing images, images of the study in an external test, trivial rivals as good as a
    network, headlines of the audits, random initial weights, and the remarks of the config.

    Args:
        inputs: what the page reports.
        rivals: from `cxrflow.report.audits.rival_tables`.
    """
    return [
        *(f"Failed, and not part of this report: {name} ({reason})." for name, reason in inputs.failed.items()),
        *_image_warnings(inputs),
        *external_warnings(inputs),
        *rival_warnings(rivals),
        *headlines(inputs),
        *_weight_warnings(inputs),
        *inputs.settings["remarks"],
    ]


def what_was_run(inputs: Inputs) -> str:
    """The number of experiments, seeds and images, and the backbones."""
    images = inputs.audit["images"]
    what = f"{counted(images, 'drawn phantom')}, not X-rays" if inputs.on_phantoms else counted(images, "chest X-ray")
    seeds = {len(trainings) for trainings in inputs.trainings.values()}
    each = counted(seeds.pop(), "seed") if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)} seeds"
    experiments = counted(len(inputs.experiments), "experiment")
    backbones = joined(dict.fromkeys(settings["backbone"] for settings in inputs.experiments.values()))
    return f"{experiments} ({backbones}; {each}{' each' if len(inputs.experiments) > 1 else ''}) on {what}."


def results_in_words(inputs: Inputs) -> list[tuple[str, str]]:
    """Each experiment with its test accuracy and 95 % interval in words: of one seed, or the mean of several.

    The words also give the balanced accuracy and the accuracy of always predicting the largest class.
    """
    results = []
    for name, trainings in inputs.trainings.items():
        measured, metrics = inputs.evaluation[name], inputs.median_run(name).metrics
        over_seeds = measured["seeds"][0]
        balanced = next(row["mean"] for row in measured["seeds"] if row["metric"] == "balanced_accuracy")
        majority = measured["baselines"][0]
        if len(trainings) == 1:
            interval = measured["runs"][0]["metrics"][0]
            text = f"{metrics['correct']} of {metrics['images']} ({percent(metrics['accuracy'])}"
        else:
            interval = over_seeds["interval"]
            among = percent_range(over_seeds["least"], over_seeds["most"])
            text = f"{percent(over_seeds['mean'])} of {metrics['images']} (mean of {len(trainings)} seeds; {among}"
        within = f"95 % interval {percent_range(interval['low'], interval['high'], 0)}" if interval else "no interval"
        always = f"{majority['description'].split(',')[0]}: {percent(majority['accuracy'])}"
        results.append((name, f"{text}; {within}; balanced accuracy {percent(balanced)}; {always})"))
    return results


def precision_in_words(inputs: Inputs) -> str:
    """One sentence: which difference so few test images cannot show, or how much one of them counts."""
    if inputs.comparisons:
        most_different = max(inputs.comparisons, key=lambda row: abs(row["correct"][0] - row["correct"][1]))
        return str(most_different["power"])
    images, name = min((one["runs"][0]["metrics"][0]["of"], name) for name, one in inputs.evaluation.items())
    test = "the smallest test" if len(inputs.evaluation) > 1 else "the test"
    return f"With {inputs.evaluation[name]['counts']} in {test}, one image more or less is {percent(1 / images)}."


def _image_warnings(inputs: Inputs) -> Iterator[str]:
    audit = inputs.audit
    if inputs.on_phantoms:
        yield (
            "This run used drawn phantoms. It shows that the workflow works from end to end; "
            "its numbers say nothing about the study or about X-rays."
        )
    for status, words in {"missing": "missing", "unreadable": "unreadable"}.items():
        if names := audit[status]:
            missing = f"{len(names)} of the {audit['listed']} listed images ({words})"
            yield f"This run was made without {missing}: {some_of(names, 12)}."
    if audit["changed"]:
        names = audit["changed"]
        yield f"{counted(len(names), 'image')} not the listed file (different SHA-256), used anyway: {some_of(names, 12)}."


def _weight_warnings(inputs: Inputs) -> Iterator[str]:
    sources = {name: {one.record["weights"]["source"] for one in many} for name, many in inputs.trainings.items()}
    if random := [name for name in sources if "random" in sources[name]]:
        yield f"Training started from random weights, not from ImageNet weights: {joined(random)}."
