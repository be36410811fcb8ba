"""What each key of a config decides: its purpose, which is an attribute of the class of settings that has the key."""

from functools import cache
from typing import Any, Literal, get_args

from pydantic import BaseModel

Purpose = Literal[
    "selection",
    "data",
    "index",
    "sources",
    "pixels",
    "split",
    "audits",
    "augmentation",
    "initial_weights",
    "network",
    "training",
    "length",
    "evaluation",
    "features",
    "embedding",
    "explanations",
    "external",
    "report",
    "device",
    "operation",
]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
RULES: dict[Purpose, tuple[str, ...]] = {
    "index": ("index_images", "index_external"),
    "pixels": ("cache_pixels", "measure_power"),
    "split": ("split_images",),
    "audits": ("audit_data", "check_audits", "measure_power"),
    "augmentation": ("plan_augmentation",),
    "initial_weights": ("train_model",),
    "network": ("check_network", "train_model"),
    "training": ("train_model",),
    "length": ("train_model",),
    "evaluation": ("train_model",),
    "features": ("extract_features",),
    "embedding": ("embed_features",),
    "explanations": ("explain_model",),
    "device": ("train_model",),
}
"""The first rules whose jobs read keys of each purpose; later ones follow from them. Scorecard and report read all keys but
those of `WITHOUT_EFFECT`."""
WITHOUT_EFFECT: tuple[Purpose, ...] = ("sources", "operation")
"""Purposes of keys that change no result: where files are fetched from, and how and where a run computes."""


class DefaultChanged:
    """Marks a field whose default is no longer that of the first version, so that identities state its value."""


@cache  # called for each job of a plan
def keys_that_decide(model: type[BaseModel], *purposes: Purpose) -> tuple[str, ...]:
    """The keys of a model with one of these purposes, in the order of the model."""
    return tuple(
        key
        for base in reversed(model.__mro__)
        if issubclass(base, BaseModel) and vars(base).get("decides") in purposes
        for key in base.model_fields
    )


def identifying(settings: BaseModel, *purposes: Purpose) -> dict[str, Any]:
    """The settings of these purposes that are not at their defaults, from which the identity of a training is computed.

    A new key at its default therefore does not change the identities of earlier trainings.
    """
    keys = {*keys_that_decide(type(settings), *purposes)}
    changed = {
        key for key in keys if any(isinstance(m, DefaultChanged) for m in type(settings).model_fields[key].metadata)
    }
    return settings.model_dump(include=keys, exclude_defaults=True) | settings.model_dump(include=changed)
