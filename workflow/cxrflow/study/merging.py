"""How keys override each other: those of files, and those of an experiment.

experiment_defaults  <  the experiment in `like`  <  the experiment's own keys  <  override
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.words import did_you_mean

SECTIONS = ("experiments", "extras")
PARTIAL_KEYS = ("experiment_defaults", "override")
"""Keys of a config that hold keys of experiments."""


class Layer(NamedTuple):
    """Keys of an experiment that are written in one place of the config."""

    place: str
    """Such as `experiments.binary`, `experiment_defaults` or `override`."""
    keys: Mapping[str, Any]


def merge_keys(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Override single keys as Snakemake does: mappings are merged, other values replaced."""
    result = dict(base)
    for key, value in overrides.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge_keys(result[key], value) if both else value
    return result


def merged_experiments(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `experiment_defaults`, `like` and `override` of a raw config into each experiment.

    Raises:
        UserError: an experiment is like one that does not exist, or like itself through others.
    """
    merged = {key: value for key, value in raw.items() if key not in PARTIAL_KEYS}
    sections = {section: raw[section] for section in SECTIONS if isinstance(raw.get(section), Mapping)}
    raise_all(
        [
            f"{section}: {name!r} is not a name; write it in quotes"
            for section, experiments in sections.items()
            for name in experiments
            if not isinstance(name, str)
        ]
    )
    problems: list[str] = []
    for section, experiments in sections.items():
        merged[section] = {}
        for name, own in experiments.items():
            try:
                merged[section][name] = merge_layers(layers_of(raw, section, name)) if isinstance(own, Mapping) else own
            except UserError as error:
                problems += error.messages
    raise_all(problems)
    return merged


def layers_of(raw: Mapping[str, Any], section: str, name: str) -> list[Layer]:
    """The layers of an experiment; each one overrides those before it.

    Raises:
        UserError: see `merged_experiments`.
    """
    everything = {
        key: (part, keys) for part in SECTIONS if isinstance(raw.get(part), Mapping) for key, keys in raw[part].items()
    }
    layers: list[Layer] = []
    keys = raw[section][name]
    names = [name]
    while True:
        place = f"{section}.{names[-1]}"
        layers.insert(0, Layer(place, {key: value for key, value in keys.items() if key != "like"}))
        like = keys.get("like")
        if like is None:
            break
        if not isinstance(like, str):
            raise UserError(f"{place}.like: {like!r} is not allowed; allowed: the name of an experiment")
        if like in names:
            raise UserError(
                f"{place}.like: '{like}' leads back to itself ({' -> '.join([*names, like])}); remove one of them"
            )
        if like not in everything or not isinstance(everything[like][1], Mapping):
            raise UserError(
                f"{place}.like: there is no experiment '{like}'{did_you_mean(like, everything)}; "
                f"allowed: {', '.join(everything)}"
            )
        names.append(like)
        section, keys = everything[like]
    shared = {key: Layer(key, raw[key]) for key in PARTIAL_KEYS if isinstance(raw.get(key), Mapping)}
    return [
        *([shared["experiment_defaults"]] if "experiment_defaults" in shared else []),
        *layers,
        *([shared["override"]] if "override" in shared else []),
    ]


def merge_layers(layers: list[Layer]) -> dict[str, Any]:
    """The keys of all layers. Mappings such as `early_stopping` are merged key by key.

    A mapping with a kind (a schedule) is replaced as a whole, and so is a list (`head`).
    """
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.keys.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping) and "kind" not in value
            result[key] = {**result[key], **value} if both else value
    return result


def place_of(layers: list[Layer], path: list[str]) -> str:
    """The place in the config that gives an experiment the key at `path`, or the experiment's own place if none does."""
    for place, keys in reversed(layers):
        value: Any = keys
        for step in path:
            if isinstance(value, list):
                return place  # a list is replaced as a whole
            if not isinstance(value, Mapping) or step not in value:
                break
            value = value[step]
        else:
            return place
        if isinstance(value, Mapping) and "kind" in value:
            return place  # such a mapping is also replaced as a whole
    return [layer.place for layer in layers if layer.place not in PARTIAL_KEYS][-1]
