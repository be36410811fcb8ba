"""Measures of settings: what the runs were configured with. That a setting is as stated is no result."""

from collections.abc import Mapping
from typing import Any

from cxrflow.claims.judge import judge_equal
from cxrflow.claims.model import AS_CONFIGURED, DIFFERS, Claim, Finding
from cxrflow.claims.registry import Names, measure
from cxrflow.claims.runs import Runs
from cxrflow.claims.words import shown
from cxrflow.config.suggest import did_you_mean
from cxrflow.stage.faults import Fault


@measure("setting")
def setting(claim: Claim, runs: Runs, *, keys: Names) -> Finding:
    """The claim's value, word by word, is that of these keys of each experiment, such as `head.dropout`.

    `tested_epochs` stands for the epochs behind the network that is tested: `selected_epoch` where that is a number, else
    `epochs`.
    """
    found = {
        name: [part for key in keys for part in _at(_with_derived(runs, name), key, f"claims: {claim.id}")]
        for name in runs.present(claim)
    }
    return judge_equal(claim, found, AS_CONFIGURED, "a setting, not a result", runs)


@measure("setting")
def augmentation(claim: Claim, runs: Runs, *, template: dict[str, float | bool | list[str]]) -> Finding:
    """All augmentation settings are those of the template."""
    runs.present(claim)
    ours = runs.settings["augmentation"]
    if not isinstance(ours, Mapping):
        return Finding(DIFFERS, shown(ours), None, "the images are not augmented")
    other = [
        f"{key} {_shown_setting(ours.get(key))}, not {_shown_setting(template.get(key))}"
        for key in dict.fromkeys([*template, *ours])
        if _as_set(ours.get(key)) != _as_set(template.get(key))
    ]
    if other:
        return Finding(DIFFERS, "; ".join(other), None, f"{len(other)} of {len(template)} settings differ")
    return Finding(AS_CONFIGURED, claim.value, None, f"settings, not results: all {len(template)} are the template's")


def _with_derived(runs: Runs, experiment: str) -> dict[str, Any]:
    settings = runs.settings["experiments"][experiment]
    selected = settings.get("selected_epoch")
    return {**settings, "tested_epochs": selected if isinstance(selected, int) else settings.get("epochs")}


def _at(settings: Any, key: str, place: str) -> list[Any]:
    """The value of a dotted key, or its values where it is a list."""
    for step in key.split("."):
        if not isinstance(settings, Mapping) or step not in settings:
            allowed = list(settings) if isinstance(settings, Mapping) else []
            raise Fault(f"{place}: there is no setting '{key}'{did_you_mean(step, allowed)}")
        settings = settings[step]
    return settings if isinstance(settings, list) else [settings]


def _as_set(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _shown_setting(value: Any) -> str:
    return "not set" if value is None else shown(value) or "none"
