"""Errors of method, asserted from the files of a run: what was trained on, what was chosen how, and what a test can show.

Statistics that are fitted to data are none of them: input scalings are constants, and class weights are counts of training
images. What a training read beyond its split shows in its hashes.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt

import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.stats import norm

from cxrflow.audits.findings import Finding
from cxrflow.io.words import counted, joined, some_of
from cxrflow.statistics.intervals import clustered_wilson

DISCORDANT = 6
"""Images on which only one of two networks must be right, for p < 0.05 in the exact McNemar test: 2 / 2**6 = 0.03."""
COARSE = 0.05
"""Difference in accuracy that a test should be able to show."""
MANY = 3
"""Experiments of one task from which on the choice of the best one matters."""
CONTRASTS = (0.25, 4.0)
"""Contrast that a backbone may get, as a multiple of what its own preprocessing gives."""


def planned_from_other_subsets(plan: str, sources: pd.DataFrame, split: pd.DataFrame) -> Iterator[Finding]:
    """Find images that an augmentation plan uses for another subset than that of the split.

    If images were augmented before the split, copies of a test image would be among the training images.

    Args:
        plan: the plan in words.
        sources: columns image and subset: every pair in the plan.
        split: the task's split: image, subset.
    """
    subset_of = dict(zip(split["image"], split["subset"], strict=True))
    rows = sources.assign(own=[subset_of.get(image, "no subset") for image in sources["image"]])
    wrong = rows[rows["own"] != rows["subset"]]
    if len(wrong):
        places = [f"{row.image} of {row.own} as {row.subset}" for row in wrong.itertuples()]
        text = f"The {plan} augments {counted(len(wrong), 'image')} of another subset: {some_of(places)}."
        effect = "Networks were trained or chosen on images that they should not have seen."
        yield Finding(text, effect, sorted(wrong["image"]), is_headline=bool((wrong["own"] == "test").any()))


def trained_on_other_images(experiment: str, seeds: Sequence[int]) -> Finding:
    """State that the hash of a training's images and classes is not that of the training and validation images of the split."""
    text = (
        f"{experiment} ({_seeds(seeds)}) was not trained and validated on the images of the split: their hash differs."
    )
    return Finding(text, "Its training may have seen test images, or other labels.", is_headline=True)


def epoch_by_number(experiment: str, seeds: Sequence[int], epoch: int, trained: int) -> Finding:
    """State that a network of an epoch before the last was evaluated, chosen by its number."""
    text = (
        f"{experiment} ({_seeds(seeds)}) is evaluated after epoch {epoch} of {trained}, which `selected_epoch` names. "
        "Validation did not choose it, and no file of the run shows what did."
    )
    effect = "If it was chosen by results on test images, the test accuracy is too high."
    return Finding(text, effect, certainty="suspected", is_headline=True)


def best_of_many(task: str, experiments: int, images: int, accuracy: float) -> Finding:
    """State how lucky the best of several experiments on the same test images is.

    Args:
        task: name of the task.
        experiments: number of its experiments.
        images: number of its test images.
        accuracy: mean test accuracy of the experiments.
    """
    gain = expected_maximum(experiments) * sqrt(accuracy * (1 - accuracy) / images)
    text = (
        f"Task {task}: {experiments} experiments are compared on the same {counted(images, 'test image')}; choosing the best "
        "one uses the test."
    )
    effect = (
        f"The best of {experiments} equally good networks that err independently would seem {100 * gain:.1f} percentage points "
        "better than it is."
    )
    return Finding(text, effect, certainty="suspected")


def expected_maximum(count: int) -> float:
    """Expected maximum of independent standard normal values: 0 for 1, 0.564 for 2, 0.846 for 3."""
    return float(quad(lambda x: x * count * norm.pdf(x) * norm.cdf(x) ** (count - 1), -9, 9)[0])


def unsuitable_scaling(experiment: str, settings: Mapping[str, str], spreads: Mapping[str, float]) -> Iterator[Finding]:
    """Find a preprocessing that gives a backbone far less or more contrast than its own.

    Args:
        experiment: name of the experiment.
        settings: `backbone` and `input_scaling`.
        spreads: `configured` and `backbone`: `cxrflow.networks.first_layer.first_layer_spread` of both scalings.
    """
    ratio = spreads["configured"] / spreads["backbone"]
    if not CONTRASTS[0] <= ratio <= CONTRASTS[1]:
        times = f"1/{1 / ratio:.0f}" if ratio < 1 else f"{ratio:.0f} times"
        text = (
            f"{experiment}: with `input_scaling: {settings['input_scaling']}`, the first layer of {settings['backbone']} gets "
            f"{times} of the contrast that its weights expect."
        )
        yield Finding(text, "Pretrained weights lose most of their use; the accuracy may be lower than it could be.")


def one_class_networks(experiment: str, only: str, seeds: Sequence[int]) -> Finding:
    """State that networks predict one class for all test images."""
    text = f"{experiment} predicts {only} for every test image ({_seeds(seeds)}): the network does not distinguish the classes."
    return Finding(text, f"Its accuracy is the share of {only} among the test images.", is_headline=True)


def few_test_images(task: str, groups: Sequence[str]) -> Iterator[Finding]:
    """Find a test that is too small to tell accuracies apart that differ by 5 percentage points.

    The interval is that of `clustered_wilson` for a test without errors; the difference that of the exact McNemar test.

    Args:
        task: name of the task.
        groups: the group (patient) of each test image.
    """
    images = len(groups)
    if not images or DISCORDANT / images <= COARSE:
        return
    low, _ = clustered_wilson(np.ones(images), np.array(groups))
    patients = f" of {counted(len(set(groups)), 'patient')}" if len(set(groups)) < images else ""
    text = f"Task {task}: the test has only {counted(images, 'image')}{patients}."
    smallest = f"by at least {DISCORDANT / images:.0%}" if images >= DISCORDANT else "in no case"
    effect = (
        f"Even without an error, the 95 % interval of the accuracy starts at {low:.0%}; two networks differ significantly "
        f"{'only if their accuracies differ ' if images >= DISCORDANT else ''}{smallest} (exact McNemar test)."
    )
    yield Finding(text, effect, task=task)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {joined(map(str, seeds))}"
