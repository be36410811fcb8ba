"""Measures of settings: whether the config has the stated settings, which is not a result."""

from collections.abc import Mapping
from typing import Any

from cxrflow.claims.judge import judge_equal
from cxrflow.claims.model import AS_CONFIGURED, DIFFERS, NOT_RUN, UNDECIDED, Claim, Judgement, UndecidedError, in_words
from cxrflow.claims.registry import Names, measure
from cxrflow.claims.results import Results
from cxrflow.io.errors import UserError
from cxrflow.io.words import did_you_mean, joined
from cxrflow.study.layers import value_within, with_layer_keys


@measure("setting")
def setting(claim: Claim, results: Results, *, keys: Names) -> Judgement:
    """The words of the claim's value are the values of these keys, such as `learning_rate`, in each experiment.

    `head.NAME` is the number of filters or units, or the rate, of a layer of the head, such as `head.conv_1`,
    `head.last_hidden` or `head.dropout`. `head.conv_1.kernel` and so on are its other settings; `head.layers` are the names of
    all layers. `tested_epochs` is the number of epochs of the evaluated network: `selected_epoch` if it is a number, else
    `epochs`.
    """
    found = {
        name: [part for key in keys for part in _at(_with_derived(results, name), key, f"claims: {claim.id}")]
        for name in results.present(claim)
    }
    return judge_equal(claim, found, AS_CONFIGURED, "a setting, not a result", results)


@measure("setting")
def initial_weights(claim: Claim, results: Results) -> Judgement:
    """The networks start from weights of this source: `imagenet`, as Keras publishes them, or `random`.

    Weights from a file are `undecided`: the settings do not say where they come from.
    """
    found = {name: [results.settings["experiments"][name]["weights"]] for name in results.present(claim)}
    if files := [name for name, (source,) in found.items() if source == "file"]:
        raise UndecidedError(UNDECIDED, f"{joined(files)}: the weights are from a file of the user", "file")
    return judge_equal(claim, found, AS_CONFIGURED, "a setting, not a result", results)


@measure("setting")
def augmentation(claim: Claim, results: Results, *, template: dict[str, float | bool | list[str]]) -> Judgement:
    """All augmentation settings are those of `template`."""
    results.present(claim)
    ours = results.settings["augmentation"]
    if not isinstance(ours, Mapping):
        return Judgement(DIFFERS, in_words(ours), None, "the images are not augmented")
    other = [
        f"{key} {_shown_setting(ours.get(key))}, not {_shown_setting(template.get(key))}"
        for key in dict.fromkeys([*template, *ours])
        if _as_set(ours.get(key)) != _as_set(template.get(key))
    ]
    if other:
        return Judgement(DIFFERS, "; ".join(other), None, f"{len(other)} of {len(template)} settings differ")
    return Judgement(AS_CONFIGURED, claim.value, None, f"settings, not results: all {len(template)} are the template's")


def _with_derived(results: Results, experiment: str) -> dict[str, Any]:
    settings = results.settings["experiments"][experiment]
    selected = settings.get("selected_epoch")
    return {
        **with_layer_keys(settings),
        "tested_epochs": selected if isinstance(selected, int) else settings.get("epochs"),
    }


def _at(settings: Mapping[str, Any], key: str, place: str) -> list[Any]:
    """The value of a dotted key, as a list. For a key within a setting that is not a mapping, the value of that setting."""
    if key.startswith("head."):  # the head may have other layers than the claim names
        if key not in settings:
            layers = joined(settings["head.layers"])
            raise UndecidedError(NOT_RUN, f"there is no {key}; the layers of the head are {layers}")
        return _as_list(settings[key])
    first, *steps = key.split(".")
    if first not in settings:
        raise UserError(f"{place}: there is no setting '{key}'{did_you_mean(first, settings)}")
    return _as_list(value_within(settings[first], steps))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _as_set(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _shown_setting(value: Any) -> str:
    return "not set" if value is None else in_words(value) or "none"
