"""What each key of a config decides, which is declared only in the class of settings that has it."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
from cxrflow.study.decides import PURPOSES, RULES, Purpose, keys_that_decide
from cxrflow.study.experiment import Experiment, TrainingSettings
from cxrflow.study.fields import Strict
from cxrflow.study.models import (
    AugmentationSettings,
    Config,
    EmbeddingSettings,
    ExplanationSettings,
    FeatureSettings,
    IndexSettings,
    PixelSettings,
    SplitSettings,
)
from cxrflow.study.read import read_config
from cxrflow.study.settings import experiment_settings, network_settings, settings_of_rule, training_settings
from study_config import study_config


@pytest.mark.parametrize("model", [Config, Experiment])
def test_every_key_decides_one_thing(model: type[Strict]) -> None:
    by_purpose = {purpose: keys_that_decide(model, purpose) for purpose in PURPOSES}
    assert sorted(key for keys in by_purpose.values() for key in keys) == sorted(model.model_fields)


@pytest.mark.parametrize("model", [Config, Experiment])
def test_every_key_is_described(model: type[Strict]) -> None:
    assert [key for key, field in model.model_fields.items() if not field.description] == []


def test_a_new_key_is_listed_by_its_class_only() -> None:
    class More(TrainingSettings):
        decides: ClassVar[Purpose] = "training"
        warm_up: int = 0

    assert "warm_up" in keys_that_decide(More, "training")
    assert "warm_up" not in keys_that_decide(More, "network", "operation")


def test_purposes_name_rules_that_exist(project: Path) -> None:
    rules = {path.stem for path in (project / "workflow/cxrflow/stages").glob("*.py")}
    assert {rule for names in RULES.values() for rule in names} <= rules


DEFAULTS = Path(__file__).parent / "defaults.json"


@pytest.mark.parametrize(
    ("rule", "model"),
    [
        ("index_images", IndexSettings),
        ("index_external", IndexSettings),
        ("split_images", SplitSettings),
        ("cache_pixels", PixelSettings),
        ("plan_augmentation", AugmentationSettings),
        ("extract_features", FeatureSettings),
        ("embed_features", EmbeddingSettings),
        ("explain_model", ExplanationSettings),
    ],
)
def test_stages_accept_the_settings_of_their_rules(rule: str, model: type[Strict]) -> None:
    config = read_config({**study_config(), "images": "."})
    model.model_validate_json(json.dumps(settings_of_rule(config, rule)))


def test_defaults_are_those_on_record() -> None:
    """A changed default must be declared, since the identity of a training leaves out values at their defaults."""
    defaults = {
        f"{model.__name__}.{key}": field.get_default()
        for model in (Config, Experiment)
        for key, field in model.model_fields.items()
        if not field.is_required()
    }
    found = json.loads(json.dumps(defaults, default=lambda value: value.model_dump()))
    assert found == json.loads(DEFAULTS.read_text()), (
        "a default has changed: annotate its field with DefaultChanged() and write the new value to defaults.json; "
        "a new key: write its default there"
    )


def test_keys_of_a_network_and_of_a_training() -> None:
    settings = experiment_settings(read_config({**study_config(), "images": "x"}), "multiclass_mobilenet")
    network, training = network_settings(settings), training_settings(settings)
    assert set(settings) - set(training) == {"task", "positive"}
    assert {"backbone", "head", "input_scaling", "classes", "loss"} <= set(network) < set(training)
    assert not {"learning_rate", "epochs", "batch_size", "weights"} & set(network)
