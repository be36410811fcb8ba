"""What is needed to repeat a run: identities, machines, versions, initial weights, and the settings as a config file."""

from collections.abc import Iterator
from typing import Any

from cxrflow.io.files import canonical_json
from cxrflow.io.machine import one_name
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import last_part
from cxrflow.study import folder

PATH_KEYS = ("study", *folder.PATH_KEYS)
DERIVED = ("classes", "positive")
"""Keys of an experiment that come from its task; a config may not set them for an experiment."""
FROM_FILE = ("weights", "file")
"""Key and value of an experiment with weights from a file. The `weights` key of the config has the path of the file."""


def overlay_of(inputs: Inputs) -> dict[str, Any]:
    """The selected experiments and all other settings of a run as a config file.

    Files of the study are left out, since the study names them. Other paths are cut to their last part: the page is shared, but
    the folders of a machine are private.
    """
    study = inputs.study or {}
    of_study = [key for key in PATH_KEYS if study.get(key) is not None and inputs.settings.get(key) == study[key]]
    left_out = ("experiments", "extras", *of_study, *(("weights",) if weights_named(inputs) else ()))
    settings = {key: value for key, value in inputs.settings.items() if key not in left_out}
    overlay: dict[str, Any] = {**_without_folders(settings), "only": list(inputs.experiments)}
    extras = inputs.study["extras"] if inputs.study else {}
    for name, keys in inputs.experiments.items():
        kept = _without_folders(keys).items()
        own = {key: value for key, value in kept if key not in DERIVED and (key, value) != FROM_FILE}
        section = overlay.setdefault("extras" if name in extras else "experiments", {})
        section[name] = {**own, "seeds": [training.seed for training in inputs.trainings[name]]}
    return overlay


def weights_named(inputs: Inputs) -> bool:
    """Whether the config has to name a folder of weights files."""
    return any(FROM_FILE in keys.items() for keys in inputs.experiments.values())


def _without_folders(keys: dict[str, Any]) -> dict[str, Any]:
    return {
        key: last_part(value) if key in PATH_KEYS and isinstance(value, str) else value for key, value in keys.items()
    }


def identity_rows(inputs: Inputs) -> Iterator[dict[str, Any]]:
    """The identity of each training, what it was computed from, and the time it took."""
    for training in inputs.all_trainings:
        parts = training.record["what_identifies_it"]
        yield {
            **training.record,
            "experiment": training.experiment,
            "code": parts["code"],
            "seconds": float(training.timing["seconds"].sum()),
            "hashes": {
                "split (SHA-256)": parts["split_sha256"],
                "manifest (SHA-256)": training.record["manifest_sha256"],
                "pixels (BLAKE2)": parts["pixels_blake2"],
            },
        }


def machine_rows(inputs: Inputs) -> list[dict[str, Any]]:
    """The machines of this run, each once, with its trainings."""
    machines: dict[str, dict[str, Any]] = {}
    for training in inputs.all_trainings:
        hardware = {**training.record["hardware"], "device": training.record["device"]}
        machine = machines.setdefault(canonical_json(hardware), {**hardware, "trainings": []})
        machine["trainings"].append(training.name)
    return list(machines.values())


def weight_files(inputs: Inputs) -> list[tuple[str, str]]:
    """The files of initial weights, each once, with their SHA-256."""
    weights = [training.record["weights"] for training in inputs.all_trainings]
    return sorted({(last_part(one["file"] or one["source"]), one["sha256"]) for one in weights if one["sha256"]})


def version_rows(inputs: Inputs) -> list[tuple[str, list[str], str | None]]:
    """Each package with its versions in this run and its locked version."""
    locked = inputs.locked or {}
    return [(name, versions, locked.get(one_name(name))) for name, versions in sorted(inputs.versions.items())]
