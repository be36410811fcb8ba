"""The page's first words: what was run, on what, what came out, and what it can be taken for."""

from collections.abc import Iterator

import numpy as np

from cxrflow.report.inputs import Inputs, Run
from cxrflow.report.words import counted, few_of, joined, percent, percent_range

FEW_TEST_IMAGES = 200
"""With fewer test images than this the page says what one of them is worth."""


TOLD_RESULTS = 6
"""So many experiments have their result in the summary; the rest are below it."""


def warnings(inputs: Inputs) -> list[str]:
    """What a reader must know before any number: phantoms, missing images, random initial weights, the config's remarks."""
    return [*_image_warnings(inputs), *_weight_warnings(inputs), *inputs.settings["remarks"]]


def what_was_run(inputs: Inputs) -> str:
    """How many experiments and seeds, with which backbones, on how many images."""
    images = inputs.audit["images"]
    what = f"{counted(images, 'drawn phantom')}, not X-rays" if inputs.on_phantoms else counted(images, "chest X-ray")
    seeds = {len(runs) for runs in inputs.runs.values()}
    each = counted(seeds.pop(), "seed") if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)} seeds"
    experiments = counted(len(inputs.experiments), "experiment")
    backbones = joined(dict.fromkeys(settings["backbone"] for settings in inputs.experiments.values()))
    return f"{experiments} ({backbones}; {each}{' each' if len(inputs.experiments) > 1 else ''}) on {what}."


def results_in_words(inputs: Inputs) -> list[tuple[str, str]]:
    """Experiment and the share of test images that it gets right, in words: of one seed, or the median of several."""
    results = []
    for name, runs in inputs.runs.items():
        metrics = runs[0].metrics
        text = f"{metrics['correct']} of {metrics['images']} ({percent(metrics['accuracy'])})"
        if len(runs) > 1:
            shares = [run.metrics["accuracy"] for run in runs]
            among = percent_range(min(shares), max(shares))
            text = f"{percent(float(np.median(shares)))} of {metrics['images']} (median of {len(runs)} seeds; {among})"
        results.append((name, text))
    return results


def _image_warnings(inputs: Inputs) -> Iterator[str]:
    audit = inputs.audit
    if inputs.on_phantoms:
        yield (
            "This run was made on drawn phantoms. It shows that the workflow works from end to end; "
            "its numbers say nothing about the study or about X-rays."
        )
    for status, words in {"missing": "missing", "unreadable": "unreadable"}.items():
        if names := audit[status]:
            yield (
                f"This run was made without {len(names)} of the {audit['listed']} listed images ({words}): {few_of(names)}."
            )
    leaked = audit["same_bytes_in_train_and_test"]
    if leaked:
        yield (
            f"{counted(len(leaked), 'picture')} both in train/ and in test/, byte for byte, which makes the test easier "
            f"than it looks: {few_of([image for group in leaked for image in group])}."
        )
    if audit["changed"]:
        names = audit["changed"]
        yield f"{counted(len(names), 'image')} not as listed (other SHA-256), used as found: {few_of(names)}."


def _weight_warnings(inputs: Inputs) -> Iterator[str]:
    random = [name for name, runs in inputs.runs.items() if any(map(_from_random, runs))]
    if random:
        yield f"Training began from random weights, not from ImageNet's: {joined(random)}."


def _from_random(run: Run) -> bool:
    return bool(run.training["weights"]["source"] == "random")
