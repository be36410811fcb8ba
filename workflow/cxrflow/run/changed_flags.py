"""Compare two commands of a job, value by value."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from cxrflow.study.experiment import TrainedSettings
from cxrflow.study.models import Config

# Flags that name files (their contents count, and the jobs that make them explain changes) or say how to run a job.
FILES = """
    split manifest pixels weights images table picture model model-weights history timing training predictions
    metrics features embedding separation figure shown networks audit scorecard report page runs plots network
    descriptions sheets splits claims open-points study locked-versions checkpoints store cache
    fingerprint root folder tensorboard record sizes workers
    trainings-per-gpu rivals passed explanations heat heat-maps lungs
    external-images external-results internal
""".split()


@dataclass(frozen=True)
class Difference:
    """A value that differs from the one in the last run."""

    name: str
    before: Any
    after: Any

    @property
    def key(self) -> str:
        """The key of the config that the value belongs to."""
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.name} went from {_shown(self.before)} to {_shown(self.after)}"


def differences(before: str, after: str) -> list[Difference]:
    """List the values in which two commands differ, except files. Values in JSON are compared key by key.

    If one of the commands lacks a key, because it was written by a version without that key, the default is used.
    """
    old, new = {**defaults(), **_values(before)}, {**defaults(), **_values(after)}
    return [
        Difference(name, old.get(name), new.get(name))
        for name in sorted({*_values(before), *_values(after)})
        if old.get(name) != new.get(name)
    ]


@cache
def defaults() -> dict[str, Any]:
    """Return the defaults of all keys, by their names in differences."""
    found: dict[str, Any] = {}
    for model in (Config, TrainedSettings):
        for name, field in model.model_fields.items():
            if not field.is_required():
                default = field.get_default()
                _flatten(name, default.model_dump() if isinstance(default, BaseModel) else default, found)
    return found


@cache
def flags_of(command: str) -> dict[str, list[str]]:
    """Parse the flags of a stage's command, without `--`, and their values."""
    flags: dict[str, list[str]] = {}
    last: list[str] = []
    for word in shlex.split(command.partition(" 2>&1")[0]):
        if word.startswith("--"):
            last = flags.setdefault(word.removeprefix("--"), [])
        else:
            last.append(word)
    return flags


@cache
def _values(command: str) -> dict[str, Any]:
    """Map the names of values in a command to the values: `--tsne '{"perplexity":5}'` becomes tsne.perplexity: 5."""
    found: dict[str, Any] = {}
    for name, given in flags_of(command).items():
        if name not in FILES:
            value = _read(given)
            parts = value.items() if name == "settings" else [(name.replace("-", "_"), value)]
            for key, part in parts:
                _flatten(key, part, found)
    return found


def _read(given: Sequence[str]) -> Any:
    if len(given) != 1:
        return " ".join(given)
    try:
        return json.loads(given[0])
    except ValueError:
        return given[0]


def _flatten(name: str, value: Any, found: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            _flatten(f"{name}.{key}", part, found)
    else:
        found[name] = value


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value) if not isinstance(value, str) else value
