"""What makes a run again: its settings as an overlay on config.yaml."""

from typing import Any

from cxrflow.report.inputs import Inputs
from cxrflow.report.words import last_part

PATH_KEYS = ("images", "image_list", "split", "weights", "claims")
DERIVED = ("classes", "positive")
"""Keys that an experiment's settings have from its task, and that a config may not give it."""
FROM_FILE = ("weights", "file")
"""What an experiment's settings say of weights from a file, which the config's own `weights` has to name again."""


def overlay_of(inputs: Inputs) -> dict[str, Any]:
    """The selected experiments and all other settings of a run, as a config that is laid over the study's.

    Paths are cut to their last part: a page is passed on, a machine's folders are private.
    """
    left_out = ("experiments", "extras", *(("weights",) if weights_named(inputs) else ()))
    settings = {key: value for key, value in inputs.settings.items() if key not in left_out}
    overlay: dict[str, Any] = {**_without_folders(settings), "only": list(inputs.experiments)}
    extras = inputs.study["extras"] if inputs.study else {}
    for name, keys in inputs.experiments.items():
        kept = _without_folders(keys).items()
        own = {key: value for key, value in kept if key not in DERIVED and (key, value) != FROM_FILE}
        section = overlay.setdefault("extras" if name in extras else "experiments", {})
        section[name] = {**own, "seeds": [run.seed for run in inputs.runs[name]]}
    return overlay


def weights_named(inputs: Inputs) -> bool:
    """Whether a run like this one has to be told where weights files lie."""
    return any(FROM_FILE in keys.items() for keys in inputs.experiments.values())


def _without_folders(keys: dict[str, Any]) -> dict[str, Any]:
    return {
        key: last_part(value) if key in PATH_KEYS and isinstance(value, str) else value for key, value in keys.items()
    }
