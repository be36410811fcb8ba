"""Names and forms of earlier versions: what replaces them, and how published results that have them are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from cxrflow.io.files import read_json
from cxrflow.study.experiment import RENAMED_SCALINGS
from cxrflow.study.head import Head, list_of_mapping

RENAMED_KEYS = {
    "validation_augmented": "augment_validation: true or false",
    "keep_states": "keep_checkpoints",
}
"""Earlier names of keys, to what to write now."""
RENAMED_VALUES = {
    "images": ("study", "published"),
    "image_list": ("study", "the path of a CSV; a study names its own in study.yaml"),
    "claims": ("study", "the path of a CSV; a study names its own in study.yaml"),
}
"""Keys to an earlier value of theirs, and what to write now."""


def read_published_config(folder: Path) -> dict[str, Any]:
    """Read config.json of published results: `settings`, the resolved config in the current form, and `selected`."""
    config = read_json(folder / "config.json")
    settings = config["settings"]
    experiments = {name: in_current_form(one) for name, one in settings["experiments"].items()}
    current = {"study": None, "open_points": None, **settings, "experiments": experiments}
    if "keep_states" in current:
        current["keep_checkpoints"] = current.pop("keep_states")
    if "validation_augmented" in current:
        current["augment_validation"] = current.pop("validation_augmented") == "study"
    return {**config, "settings": current}


def read_published_audit(folder: Path) -> dict[str, Any]:
    """Read the data_audit.json of published results, with the keys of this version.

    Earlier versions had `share_png_224_rgb`, the share of PNG files of 224x224 pixels in RGB, and no `file_kinds`. From it,
    `file_kinds` gets the number of these files; other kinds are not in it. They had no `audits` either, which are then empty.
    """
    audit = read_json(folder / "data_audit.json")
    audit.setdefault("audits", {})
    share = audit.pop("share_png_224_rgb", None)
    if share is not None:
        audit["file_kinds"] = {"PNG 224x224 RGB": round(share * audit["images"])}
    return audit


def in_current_form(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the settings of an experiment to the current form; those in the current form are returned unchanged.

    Earlier versions had a mapping as `head`, other names for values of `input_scaling`, and no `monitor` for early stopping.
    """
    current = dict(settings)
    if isinstance(current.get("head"), Mapping):
        layers = TypeAdapter(Head).validate_python(list_of_mapping(current["head"]))
        current["head"] = [layer if isinstance(layer, str) else layer.model_dump() for layer in layers]
    if "input_scaling" in current:
        current["input_scaling"] = RENAMED_SCALINGS.get(current["input_scaling"], current["input_scaling"])
    if current.get("early_stopping"):
        current["early_stopping"] = {"monitor": "val_loss", **current["early_stopping"]}
    return current
