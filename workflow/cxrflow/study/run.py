"""A run: the keys of config.yaml and of a command line, which override those of the study."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cxrflow.io.errors import UserError, raise_all
from cxrflow.study.folder import read_study, study_folder
from cxrflow.study.merging import merge_keys
from cxrflow.study.yaml_files import pair_problems


def shipped_studies() -> Path:
    """The folder of the studies that come with cxrflow, relative to the working directory."""
    return Path(os.path.relpath(Path(__file__).resolve().parents[3] / "studies"))


def with_study(run: Mapping[str, Any]) -> dict[str, Any]:
    """Override the keys of a study by those of a run; see `read_run`."""
    return read_run(run)[0]


def read_run(run: Mapping[str, Any]) -> tuple[dict[str, Any], list[Path]]:
    """Read the study of a run, and override its keys by those of the run.

    Args:
        run: raw config. Its key `study` names a study that comes with cxrflow, or the path of a folder (with a slash); without
            it, the run has no study.

    Returns:
        The raw config, in which `name` is by default the name of the study's folder, and the files that were read: the
        `study.yaml` of the study and those of the studies whose data it uses.

    Raises:
        UserError: there is no such study, or its file has errors.
    """
    study = run.get("study")
    if study is None:
        if not {"tasks", "experiments"} & set(run):
            raise UserError(
                "study: missing; name a study, such as `study: demo`, or give all keys of one (tasks, experiments …)"
            )
        return dict(run), []
    if not isinstance(study, str):
        raise UserError(f"study: {study!r} is not allowed; allowed: the name of a study, or the path of its folder")
    folder = study_folder(study, shipped_studies())
    keys, files = read_study(folder)
    return merge_keys({"name": folder.name, **keys}, run), files


def set_values(pairs: list[str]) -> dict[str, Any]:
    """Read values of the form KEY=VALUE as Snakemake's `--config` does (`parse_config` in snakemake/cli.py).

    Raises:
        UserError: a pair has no `=`, a key is repeated, or a value is ambiguous.
    """
    problems = [f"--set {pair}: must be KEY=VALUE, such as seeds=5" for pair in pairs if "=" not in pair]
    raise_all(problems + [problem for pair in pairs for problem in pair_problems(pair)])
    return {key: _value(text.strip("'\"")) for key, _, text in (pair.partition("=") for pair in pairs)}


def _value(text: str) -> Any:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    if text in ("", "True", "False"):
        return text == "True" if text else None
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes only texts, lists and mappings
    except yaml.YAMLError:
        return text
