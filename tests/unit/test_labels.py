"""The audit of labels finds exchanged labels, and none where the classifier learns nothing."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.labels import (
    audit_labels,
    calibrated,
    gradients,
    out_of_fold_probabilities,
)
from made_data_sets import data_set


def stripes(count, classes, wrong=(), seed=0):
    """Noisy images whose stripes have another direction in each class; labels of `wrong` are those of the next class."""
    random = np.random.default_rng(seed)
    names, rows, pixels = sorted(classes), [], {}
    down, across = np.mgrid[:48, :48]
    for number in range(count):
        place = number % len(names)
        angle = np.pi * place / len(names)
        wave = 60 * np.sin((across * np.cos(angle) + down * np.sin(angle)) / 2)
        grey = np.clip(120 + wave + random.normal(0, 15, (48, 48)), 0, 255).astype(np.uint8)
        label = names[(place + (number in wrong)) % len(names)]
        rows.append((f"{number:03}.png", label, "test" if number % 5 == 0 else "training"))
        pixels[f"{number:03}.png"] = np.repeat(grey[..., None], 3, axis=2)
    made = data_set(pd.DataFrame(rows, columns=["image", "class", "subset"]))
    return dataclasses.replace(made, pixels=pixels)


@pytest.mark.parametrize("classes", ["ab", "abc", "abcde"])
def test_audit_finding_of_exchanged_labels_with_any_number_of_classes(classes):
    found = audit_labels(stripes(100, classes, wrong=(5, 22, 63)))
    (finding,) = found.findings
    assert finding.images == ["005.png", "022.png", "063.png"] and finding.certainty == "suspected"
    label, likely = classes[(5 % len(classes) + 1) % len(classes)], classes[5 % len(classes)]
    assert f"005.png ({label}, looks like {likely})" in finding.text
    assert (
        finding.effect.startswith("If they are, the score is wrong for 1 of the ")
        and f" {label} test image" in finding.effect
    )
    assert not finding.is_headline


def test_correct_labels_give_no_finding():
    found = audit_labels(stripes(100, "abc"))
    assert found.findings == [] and found.details["tasks"]["one"]["accuracy"] == 1


def test_labels_that_have_nothing_to_do_with_the_images_give_no_finding():
    data = stripes(90, "abc")
    keys = np.random.default_rng(1).permutation(list(data.pixels))
    mixed = dict(zip(keys, data.pixels.values(), strict=True))
    found = audit_labels(dataclasses.replace(data, pixels=mixed))
    details = found.details["tasks"]["one"]
    assert found.findings == [] and details["temperature"] > 3 and details["accuracy"] < 0.6


@pytest.mark.parametrize("rare", [1, 2, 4])
def test_a_class_of_a_few_images_is_left_out(rare):
    data = stripes(60, "ab")
    split = data.splits["one"]
    index = data.index.copy()
    few = index["image"].isin(index["image"][:rare])
    index.loc[few, "class"] = "c"
    split = split.assign(**{"class": split["class"].mask(few, "c")})
    found = audit_labels(
        dataclasses.replace(data, index=index, splits={"one": split}, classes={"one": ["a", "b", "c"]})
    )
    assert found.findings == [] and found.details["tasks"]["one"]["left_out"] == {"c": rare}
    assert found.details["tasks"]["one"]["reason"] is None


def test_too_few_images_are_a_reason():
    details = audit_labels(stripes(6, "ab")).details["tasks"]["one"]
    assert details["reason"] == "not enough images: fewer than two classes have images of 5 patients"
    assert details["left_out"] == {"a": 3, "b": 3} and details["suspects"] == []


def test_gradients_of_stripes_have_their_direction():
    """Vertical stripes have horizontal gradients (direction 0 or, by sign, the last), in each of the 49 cells."""
    pixels = np.repeat(np.tile([0, 0, 0, 0, 200, 200, 200, 200], (112, 14))[..., None], 3, axis=2).astype(np.uint8)
    histogram = gradients(pixels).reshape(49, 8)
    assert (histogram[:, 0] > 0).all() and histogram[:, 1:7].max() == 0


def test_patients_are_kept_in_one_fold():
    """Two images of each patient are the same, with other labels: only a fold with one of them could be right."""
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(40, 80)), 2, axis=0)
    labels = np.repeat(random.choice(["a", "b"], 40), 2)
    groups = np.repeat(np.arange(40).astype(str), 2)
    apart = out_of_fold_probabilities(features, labels, np.arange(80).astype(str))
    together = out_of_fold_probabilities(features, labels, groups)
    right = [np.mean(np.array(["a", "b"])[one.argmax(axis=1)] == labels) for one in (apart, together)]
    assert np.allclose(together.sum(axis=1), 1) and right[0] > right[1] + 0.1


def test_the_temperature_restores_probabilities():
    """Labels drawn with probabilities p, which are stated too surely: the temperature is the factor of the logits."""
    random = np.random.default_rng(0)
    logit = random.normal(0, 1, 20_000)
    labels = np.where(random.random(20_000) < 1 / (1 + np.exp(-logit)), "b", "a")
    stated = 1 / (1 + np.exp(-3 * logit))
    temperature, probabilities = calibrated(np.stack([1 - stated, stated], axis=1), labels)
    assert temperature == pytest.approx(3, rel=0.05)
    assert probabilities[:, 1] == pytest.approx(1 / (1 + np.exp(-logit)), abs=0.02)
