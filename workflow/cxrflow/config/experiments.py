"""How an experiment's keys come together: defaults, the experiment that it is like, its own, the override.

experiment_defaults  <  the experiment named by `like`  <  the experiment's own keys  <  override
"""

from collections.abc import Mapping
from typing import Any

from cxrflow.config.suggest import did_you_mean
from cxrflow.stage.faults import Fault

SECTIONS = ("experiments", "extras")


def merged_experiments(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A raw config with `experiment_defaults`, `like` and `override` worked into each experiment.

    Raises:
        Fault: an experiment is like one that does not exist, or like itself by a detour.
    """
    merged = {key: value for key, value in raw.items() if key not in ("experiment_defaults", "override")}
    faults: list[str] = []
    for section in SECTIONS:
        named = raw.get(section)
        if not isinstance(named, Mapping):
            continue
        merged[section] = {}
        faults += [f"{section}: {name!r} is no name; write it in quotes" for name in named if not isinstance(name, str)]
    if faults:
        raise Fault(faults)
    for section in SECTIONS:
        named = raw.get(section)
        if not isinstance(named, Mapping):
            continue
        for name, own in named.items():
            try:
                merged[section][name] = layered(layers_of(raw, section, str(name))) if _is_keys(own) else own
            except Fault as fault:
                faults += fault.messages
    if faults:
        raise Fault(faults)
    return merged


def layers_of(raw: Mapping[str, Any], section: str, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The layers of an experiment, the weakest first, each with the place in the config where it is written.

    Raises:
        Fault: see `merged_experiments`.
    """
    everything = {
        key: (part, keys) for part in SECTIONS if isinstance(raw.get(part), Mapping) for key, keys in raw[part].items()
    }
    layers: list[tuple[str, Mapping[str, Any]]] = []
    place, keys = section, raw[section][name]
    seen = [name]
    while True:
        layers.insert(0, (f"{place}.{name}", {k: v for k, v in keys.items() if k != "like"}))
        like = keys.get("like")
        if like is None:
            break
        if not isinstance(like, str):
            raise Fault(f"{place}.{name}.like: {like!r} is not allowed; it takes the name of an experiment")
        if like in seen:
            raise Fault(f"{place}.{name}.like: '{like}' comes back to itself ({' -> '.join([*seen, like])})")
        if like not in everything or not _is_keys(everything[like][1]):
            raise Fault(
                f"{place}.{name}.like: there is no experiment '{like}'{did_you_mean(str(like), everything)}; "
                f"allowed: {', '.join(everything)}"
            )
        name = like
        seen.append(name)
        place, keys = everything[name]
    if _is_keys(raw.get("experiment_defaults")):
        layers.insert(0, ("experiment_defaults", raw["experiment_defaults"]))
    if _is_keys(raw.get("override")):
        layers.append(("override", raw["override"]))
    return layers


def layered(layers: list[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The keys of all layers, stronger ones over weaker ones, `head` key by key.

    A mapping that says its kind (a schedule) stands for itself: keys of another kind do not shine through.
    """
    result: dict[str, Any] = {}
    for _, keys in layers:
        for key, value in keys.items():
            both = _is_keys(value) and _is_keys(result.get(key)) and "kind" not in value
            result[key] = {**result[key], **value} if both else value
    return result


def written_at(layers: list[tuple[str, Mapping[str, Any]]], path: list[str]) -> str:
    """The place in the config that gives an experiment the key `path`; where none does, the experiment's own place."""
    for place, keys in reversed(layers):
        value: Any = keys
        for step in path:
            if not _is_keys(value) or step not in value:
                break
            value = value[step]
        else:
            return place
        if _is_keys(value) and "kind" in value:
            return place  # what such a mapping lacks is missing there
    own = [place for place, _ in layers if place not in ("experiment_defaults", "override")]
    return own[-1]


def _is_keys(value: Any) -> bool:
    return isinstance(value, Mapping)
