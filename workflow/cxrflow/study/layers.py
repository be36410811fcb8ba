"""The layers of a head in the plain settings of an experiment: their kinds, names and keys."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

POOLINGS = ("average_pooling", "max_pooling", "flatten")
KINDS = ("conv", "dense", "dropout")
"""Layers with settings. A config writes them as mappings, each with the key of its kind."""


class HeadLayer(NamedTuple):
    """A layer of a head."""

    kind: str
    """average_pooling, max_pooling, flatten, conv, dense or dropout."""
    name: str
    """Unique in the head."""
    settings: Mapping[str, Any]
    """The keys of a conv, dense or dropout layer; empty for the others."""


def named_layers(head: Sequence[Any]) -> list[HeadLayer]:
    """Name the layers of a head: by their key `name`, or by kind and number, and `last_hidden` for the last dense layer.

    Args:
        head: layers as in an experiment's settings: words, and mappings with all keys.
    """
    kinds = [kind_of(layer) for layer in head]
    counts = dict.fromkeys(KINDS, 0)
    layers = []
    for kind, layer in zip(kinds, head, strict=True):
        if kind in POOLINGS:
            layers.append(HeadLayer(kind, kind, {}))
            continue
        counts[kind] += 1
        number = counts[kind]
        if kind == "dropout":
            default = "dropout" if number == 1 else f"dropout_{number}"
        elif kind == "dense" and number == kinds.count("dense"):
            default = "last_hidden"
        else:
            default = f"{kind}_{number}"
        layers.append(HeadLayer(kind, layer.get("name") or default, layer))
    return layers


def kind_of(layer: Any) -> str:
    """The kind of a layer: the word of a pooling or flatten layer, or the key of another that names its kind."""
    return layer if isinstance(layer, str) else next(kind for kind in KINDS if kind in layer)


def with_layer_keys(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `head` in an experiment's settings by one key for each setting of a layer.

    `head.layers` lists the names of the layers; `head.NAME` is the number of filters or units or the dropout rate of a layer,
    `head.NAME.activation` and so on are its other settings.
    """
    layers = named_layers(settings.get("head", []))
    keys: dict[str, Any] = {"head.layers": [layer.name for layer in layers]}
    for layer in layers:
        for key, value in layer.settings.items():
            if key != "name":
                keys[f"head.{layer.name}" if key == layer.kind else f"head.{layer.name}.{key}"] = value
    return {**{key: value for key, value in settings.items() if key != "head"}, **keys}


def value_within(value: Any, steps: Sequence[str]) -> Any:
    """Follow keys into nested mappings, as far as there are mappings; None if a key is missing."""
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else value
    return value
