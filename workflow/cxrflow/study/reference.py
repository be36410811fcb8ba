"""The reference page of all keys, from the typed config."""

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cxrflow.study.experiment import Experiment
from cxrflow.study.fields import Allowed, metadata_of, parts_of
from cxrflow.study.models import Config

HEAD = """# Config keys

Every key of a `study.yaml`, of `config.yaml` and of overlay files; any key may be in any of them.
[Change a setting](../how-to/change_a_setting.md) says how they override each other. A key without a default is required where a
dash is shown and "empty" is not allowed. A change of a key reruns what the key decides and everything that follows from it.

This page is generated from the typed config (`make docs`).
"""
WRITTEN_ONLY = """
## Keys of files only

| key | allowed | meaning |
|---|---|---|
| `experiment_defaults` | keys of an experiment | values of all experiments that do not set these keys themselves |
| `override` | keys of an experiment | values for all experiments, which replace theirs |
| `experiments.<experiment>.like` | the name of an experiment or extra | take over the keys of that one |
| `data_of` | the name of a study | in a `study.yaml`: use the images, tasks, patients and sources of that study |
"""


def config_reference() -> str:
    """Return the page, in Markdown: a table for each group of keys, in the order of the flow."""
    groups = [base for base in reversed(Config.__mro__) if "decides" in vars(base) and base is not Config]
    parts = [HEAD]
    for group in groups:
        parts.append(_section(str(group.__doc__), str(vars(group)["decides"]), group, ""))
    for group in [base for base in reversed(Experiment.__mro__) if "decides" in vars(base)]:
        title = f"Experiments: {group.__doc__}"
        parts.append(_section(title, str(vars(group)["decides"]), group, "experiments.<experiment>."))
    return "\n".join([*parts, WRITTEN_ONLY.lstrip("\n")])


def _section(title: str, purpose: str, group: type[BaseModel], place: str) -> str:
    head, _, more = title.partition(".")
    text = f"{more.strip()}\n\n" if more.strip() else ""
    rows = "\n".join(_rows(group, place))
    return (
        f"## {head}\n\n{text}Decides: {purpose.replace('_', ' ')}.\n\n"
        f"| key | allowed | default | meaning |\n|---|---|---|---|\n{rows}\n"
    )


def _rows(model: type[BaseModel], place: str, *others: type[BaseModel]) -> Iterator[str]:
    """A row for each key of a model and of the models inside, except those of experiments; `others` share keys with it."""
    for name, field in model.model_fields.items():
        fields = [field, *(other.model_fields[name] for other in others if name in other.model_fields)]
        allowed = ", ".join(dict.fromkeys(allowed_values(one) for one in fields))
        yield f"| `{place}{name}` | {allowed} | {_default(field)} | {_cell(field.description or '')} |"
        parts = list(parts_of(field.annotation))
        named = f"<{name.removesuffix('s')}>." if any(get_origin(part) is dict for part in parts) else ""
        models = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        seen: set[str] = set()
        inside = f"{place}{name}.{named}"
        for row in (row for part in models if part is not Experiment for row in _rows(part, inside, *models)):
            key = row.split("`")[1]
            if key not in seen:  # schedules share keys
                seen.add(key)
                yield row


def allowed_values(field: FieldInfo) -> str:
    """The allowed values of a key, in Markdown."""
    text = _without_empty(field)
    can_be_empty = type(None) in parts_of(field.annotation) and "empty" not in text
    return f"{text}, empty" if can_be_empty else text


def _without_empty(field: FieldInfo) -> str:
    words = [word for part in parts_of(field.annotation) if get_origin(part) is Literal for word in get_args(part)]
    allowed = metadata_of(field, Allowed)
    if allowed is not None:
        text = allowed.words
        for word in words:
            text = re.sub(rf"(?<![`\w]){word}(?![`\w])", f"`{word}`", text, count=1)
        return _cell(text)
    parts = [part for part in parts_of(field.annotation) if part is not type(None)]
    if words:
        text = ", ".join(f"`{word}`" for word in words)
        text = f"a list of {text}" if any(get_origin(part) is list for part in parts) else text
    elif bool in parts:
        text = "`true`, `false`"
    elif any(isinstance(part, type) and issubclass(part, BaseModel) for part in parts):
        text = "a mapping"
    elif int in parts or float in parts:
        text = _range(field)
    else:
        text = "text"
    return text


def _range(field: FieldInfo) -> str:
    """The range of a number in words."""
    bounds = {}
    waiting: list[Any] = [*field.metadata, field.annotation]
    for one in waiting:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(one, name, None) is not None:
                bounds[name] = getattr(one, name)
        waiting += [*getattr(one, "__metadata__", ()), *getattr(one, "metadata", ()), *get_args(one)]
    low = f"{bounds['ge']:,}" if "ge" in bounds else f"above {bounds['gt']:,}"
    if "le" in bounds:
        return f"{low} to {bounds['le']:,}"
    if "lt" in bounds and bounds["lt"] < 2**31:
        return f"{low} to below {bounds['lt']:,}"
    return f"{low} or more" if "ge" in bounds else low


def _default(field: FieldInfo) -> str:
    default = None if field.is_required() else field.get_default()
    if default is None or isinstance(default, BaseModel):
        return "–"
    text = str(default).lower() if isinstance(default, bool) else str(default).replace("'", '"')
    return f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
