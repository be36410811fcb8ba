"""The audit of method: what the files of a run show about training, choice and test."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from cxrflow.audits import method
from cxrflow.report.audits import audit_rows, headlines
from cxrflow.report.method import method_findings
from made_results import changed, made_config, made_inputs, make_results, with_contents

NAME = "binary_inception_v3"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Results of one network, whose only error of method is a small test."""
    folder = tmp_path_factory.mktemp("results")
    config = made_config(seeds=2, only=[NAME], override={"selected_epoch": "last", "epochs": 12})
    return made_inputs(folder, config, make_results(folder, config))


def texts(inputs):
    """The texts of all findings but those of a small test."""
    return [one.text for one in method_findings(inputs) if "the test has only" not in one.text]


def with_records(inputs, **values):
    trainings = [with_contents(one, record={**one.record, **values}) for one in inputs.trainings[NAME]]
    return dataclasses.replace(inputs, trainings={NAME: trainings})


def write_plan(folder, rows, seeds=(0, 1)):
    for seed in seeds:
        file = folder / f"binary/seed_{seed}/epochs_12.parquet"
        file.parent.mkdir(parents=True)
        rows.to_parquet(file)


def test_a_sound_run_gives_no_finding(inputs, tmp_path):
    split = inputs.splits["binary"]
    rows = split.loc[split["subset"] != "test", ["image", "subset"]]
    write_plan(tmp_path, pd.concat([rows.assign(epoch=epoch) for epoch in (1, 2)]))
    assert texts(dataclasses.replace(inputs, plans=tmp_path)) == []


@pytest.mark.parametrize(("subset", "is_headline"), [("test", True), ("validation", False)])
def test_audit_finding_of_an_image_of_another_subset_in_the_augmentation(inputs, tmp_path, subset, is_headline):
    split = inputs.splits["binary"]
    rows = split.loc[split["subset"] != "test", ["image", "subset"]]
    image = split.loc[split["subset"] == subset, "image"].iloc[0]
    write_plan(tmp_path, pd.concat([rows, pd.DataFrame({"image": [image], "subset": ["training"]})]))
    first, second = [one for one in method_findings(dataclasses.replace(inputs, plans=tmp_path)) if "plan" in one.text]
    assert first.text == (
        "The augmentation plan of task binary with seed 0 augments 1 image of another subset: "
        f"{image} of {subset} as training."
    )
    assert first.images == [image] and first.is_headline == is_headline and "seed 1" in second.text


def test_audit_finding_of_a_training_on_other_images(inputs):
    assert texts(with_records(inputs, what_identifies_it={"split_sha256": "0" * 64})) == [
        f"{NAME} (seeds 0 and 1) was not trained and validated on the images of the split: their hash differs."
    ]


def test_audit_finding_of_an_epoch_that_was_named_is_suspected_and_on_the_first_page(inputs):
    named = with_records(inputs, selected_epoch={"rule": "number", "epoch": 7, "val_loss": 0.1})
    (finding,) = [one for one in method_findings(named) if "epoch" in one.text]
    assert "is evaluated after epoch 7 of 12" in finding.text and finding.certainty == "suspected"
    assert f"{finding.text} {finding.effect}" in list(headlines(named))
    assert texts(with_records(inputs, selected_epoch={"rule": "best", "epoch": 7, "val_loss": 0.1})) == []
    assert texts(with_records(inputs, selected_epoch={"rule": "number", "epoch": 12, "val_loss": 0.1})) == []


@pytest.mark.parametrize(("ratio", "words"), [(1 / 255, "1/255 of"), (0.5, None), (1.0, None), (128.0, "128 times of")])
def test_audit_finding_of_an_unsuitable_preprocessing(inputs, ratio, words):
    spreads = {"configured": 0.7 * ratio, "backbone": 0.7}
    found = texts(changed(inputs, f"networks/experiments/{NAME}/first_layer_spread", spreads))
    assert [words in text for text in found] == ([True] if words else [])


def test_audit_finding_of_a_network_that_predicts_one_class(inputs):
    trainings = inputs.trainings[NAME]
    constant = with_contents(trainings[1], metrics={**trainings[1].metrics, "confusion_matrix": [[0, 9], [0, 9]]})
    found = dataclasses.replace(inputs, trainings={NAME: [trainings[0], constant]})
    (finding,) = [one for one in method_findings(found) if "predicts" in one.text]
    assert finding.is_headline and finding.text == (
        f"{NAME} predicts normal for every test image (seed 1): the network does not distinguish the classes."
    )


def test_audit_finding_of_a_small_test():
    """18 of 18 images: Clopper and Pearson's lower bound is 0.025 ** (1 / 18) = 0.81; 6 of 18 images are 33 %."""
    (finding,) = method.few_test_images("binary", [f"p{n}" for n in range(18)])
    assert finding.text == "Task binary: the test has only 18 images."
    assert "starts at 81%" in finding.effect and "differ by at least 33%" in finding.effect
    (of_two,) = method.few_test_images("binary", ["p1", "p2"] * 9)
    assert "18 images of 2 patients" in of_two.text and "starts at 16%" in of_two.effect
    (tiny,) = method.few_test_images("binary", ["p1", "p2"])
    assert "in no case" in tiny.effect
    assert list(method.few_test_images("binary", [str(n) for n in range(120)])) == []


def test_audit_finding_of_many_experiments_on_one_test(inputs):
    several = {f"{NAME}_{n}": inputs.trainings[NAME] for n in range(3)}
    settings = dict.fromkeys(several, inputs.experiments[NAME])
    networks = {"experiments": dict.fromkeys(several, inputs.networks["experiments"][NAME])}
    (text,) = texts(dataclasses.replace(inputs, trainings=several, experiments=settings, networks=networks))
    assert text.startswith("Task binary: 3 experiments are compared on the same 18 test images")
    two = method.best_of_many("binary", 2, 100, 0.5)
    assert "2.8 percentage points" in two.effect  # 0.564 standard errors of 5 points


def test_the_expected_maximum_is_that_of_simulated_values():
    random = np.random.default_rng(0)
    assert method.expected_maximum(1) == pytest.approx(0, abs=1e-9)
    assert method.expected_maximum(2) == pytest.approx(1 / np.sqrt(np.pi))
    assert method.expected_maximum(10) == pytest.approx(random.normal(size=(100_000, 10)).max(axis=1).mean(), abs=0.01)


def test_the_audit_of_method_can_be_switched_off(inputs):
    off = changed(inputs, "settings/audits", {"method": "off"})
    by_name = {row["name"]: row for row in audit_rows(off)}
    assert by_name["method"]["findings"] is None
    assert {row["name"]: row for row in audit_rows(inputs)}["method"]["findings"]
