"""How two commands of a job differ, value by value."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Flags that name files to read or write (what is in them counts, and is told by the jobs that make them), or how a job is done.
FILES = """
    split manifest pixels weights images table picture model model-weights history timing training predictions
    metrics features embedding separation figure shown networks audit scorecard report page runs plots network
    descriptions sheets splits claims assumptions study-config locked-versions states store seen known
    fingerprint root folder tensorboard record sizes workers
    trainings-per-gpu
""".split()


@dataclass(frozen=True)
class Difference:
    """A value that is another than at the last run."""

    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.name} went from {_shown(self.before)} to {_shown(self.after)}"


def differences(before: str, after: str) -> list[Difference]:
    """The values in which two commands differ; files aside. Values in JSON are compared key by key."""
    old, new = _values(before), _values(after)
    return [
        Difference(name.removeprefix("settings."), old.get(name), new.get(name))
        for name in sorted({**old, **new})
        if old.get(name) != new.get(name)
    ]


def flags_of(command: str) -> dict[str, list[str]]:
    """The flags of a stage's command, without `--`, and their values."""
    flags: dict[str, list[str]] = {}
    last: list[str] = []
    for word in shlex.split(command.partition(" 2>&1")[0]):
        if word.startswith("--"):
            last = flags.setdefault(word.removeprefix("--"), [])
        else:
            last.append(word)
    return flags


def _values(command: str) -> dict[str, Any]:
    """Names of values in a command to the values: `--tsne '{"perplexity":5}'` is tsne.perplexity: 5."""
    found: dict[str, Any] = {}
    for name, given in flags_of(command).items():
        if name not in FILES:
            _flatten(name.replace("-", "_"), _read(given), found)
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
