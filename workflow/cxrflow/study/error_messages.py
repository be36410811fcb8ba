"""Messages for pydantic's errors in a config: the place, what is allowed, and the nearest allowed name."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, Tag

from cxrflow.io.words import did_you_mean
from cxrflow.study.earlier import RENAMED_KEYS
from cxrflow.study.experiment import Experiment
from cxrflow.study.fields import Allowed, metadata_of, parts_of
from cxrflow.study.merging import PARTIAL_KEYS, SECTIONS, layers_of, place_of
from cxrflow.study.models import Config

WRONG_FORM = ("literal_error", "dict_type", "model_type", "int_type", "int_parsing", "int_from_float", "float_type")
"""Pydantic's errors for a value of none of the types of its key."""
FEW_KEYS = 8
"""Up to this number, all allowed keys are listed if none is similar to an unknown one."""


def message_of(raw: Mapping[str, Any], error: Any) -> str:
    """A line on one of pydantic's errors.

    Args:
        raw: the config as it is written, before experiments are merged.
        error: one of `ValidationError.errors()`.
    """
    place = _place_of(error["loc"])
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if place.keys and place.keys[-1] == "[key]":
        allowed = "not allowed as a name; allowed: letters, digits and _ + . - (not + . - first)"
        reason = str(context["error"]) if kind == "value_error" else allowed
        return f"{'.'.join(place.keys[:-1])}: {reason}"
    key = place_in_config(raw, place.keys)
    if kind == "extra_forbidden":
        reason = _unknown_key(key, place.keys, error["loc"])
    elif kind == "missing":
        reason = "missing; it has no default"
    elif kind == "union_tag_invalid":
        key = f"{key}.kind"
        kinds = [tag.strip("'<>") for tag in context["expected_tags"].split(", ") if tag != "'<word>'"]
        given = _not_allowed(value["kind"], ", ".join(kinds), kinds) if "kind" in value else ""
        reason = given or f"missing; allowed: {', '.join(kinds)}"
    elif kind == "literal_error" or (kind in WRONG_FORM and place.allowed):
        words = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        reason = _not_allowed(value, place.allowed or words, words.split(", "))
    elif kind == "too_short":
        reason = f"it needs at least {context['min_length']}"
    elif kind == "value_error":
        reason = f"{_shown(value)}{context['error']}"
    elif kind == "renamed":
        reason = error["msg"]
    else:
        why = error["msg"].replace("Input should", "it should").partition(", unable to parse")[0]
        reason = f"{_shown(value)}{why}"
    return f"{key}: {reason}"


def place_in_config(raw: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Where in the config the value is written that `keys` lead to in the merged config."""
    if len(keys) > 2 and keys[0] in SECTIONS:
        section, name, *rest = keys
        if isinstance(raw.get(section, {}).get(name), Mapping):
            return ".".join([place_of(layers_of(raw, section, name), rest), *rest])
    return ".".join(keys)


def _unknown_key(key: str, keys: Sequence[str], loc: Sequence[Any]) -> str:
    name = keys[-1]
    if name in RENAMED_KEYS:
        return f"was renamed; write {RENAMED_KEYS[name]}"
    allowed = _allowed_keys(loc[:-1])
    near = did_you_mean(name, allowed)
    if len(keys) == 1 and name in Experiment.model_fields:
        return f"a key of experiments, not of the whole config; to set it for all of them: override='{{{key}: …}}'"
    if len(keys) == 1 and not near and (near := did_you_mean(name, Experiment.model_fields)):
        return f"unknown key{near} That is a key of experiments."
    few = f"; allowed: {', '.join(allowed)}" if len(allowed) <= FEW_KEYS else ""
    return f"unknown key{near or few}"


def _not_allowed(value: Any, allowed: str, words: list[str]) -> str:
    return f"{value!r} is not allowed; allowed: {allowed}{did_you_mean(str(value), words)}"


def _shown(value: Any) -> str:
    return "" if isinstance(value, Mapping | list) else f"{value!r}: "


def _allowed_keys(loc: Sequence[Any]) -> list[str]:
    model = next(filter(_is_model, parts_of(_place_of(loc).type)), None)
    if model is None:
        return []
    written_only = {Config: PARTIAL_KEYS, Experiment: ("like",)}
    return [*model.model_fields, *written_only.get(model, ())]


class _Place(NamedTuple):
    """A place in the typed config."""

    keys: list[str]
    """The keys that lead there, `layer 2` for the second layer of a head."""
    type: Any
    """What a value may be there."""
    allowed: str | None
    """The allowed values of the last key in words, if its field has them."""


def _place_of(loc: Sequence[Any]) -> _Place:
    """Follow the location of an error through the models.

    Pydantic puts tags of unions, such as `<word>`, between the keys. A key may look like a tag, so that only the models tell
    them apart.
    """
    model: Any = Config
    keys: list[str] = []
    allowed: Allowed | None = None
    for step in loc:
        if get_origin(model) is Annotated:
            model = get_args(model)[0]
        tagged = next((one for one in get_args(model) if Tag(str(step)) in getattr(one, "__metadata__", ())), None)
        if tagged is not None:
            model = tagged
            continue
        keys.append(f"layer {step + 1}" if isinstance(step, int) and keys[-1:] == ["head"] else str(step))
        part = next((part for part in parts_of(model) if _is_model(part) or get_origin(part) in (dict, list)), None)
        field = part.model_fields.get(step) if part is not None and _is_model(part) else None
        allowed = metadata_of(field, Allowed) if field else None
        model = field.annotation if field else get_args(part)[-1] if get_origin(part) in (dict, list) else None
    return _Place(keys, model, allowed.words if allowed else None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
