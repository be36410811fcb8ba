"""Config values from a command line, read as Snakemake's `--config` reads them."""

from typing import Any

import yaml

from cxrflow.stage.faults import raise_all


def set_values(pairs: list[str]) -> dict[str, Any]:
    """Config values of the form key=value (`parse_config` in snakemake/cli.py).

    Raises:
        Fault: one has no `=`.
    """
    raise_all([f"--set {pair}: must be key=value" for pair in pairs if "=" not in pair])
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
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and mappings alone
    except yaml.YAMLError:
        return text
