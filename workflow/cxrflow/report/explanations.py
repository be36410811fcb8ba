"""Where the networks look: what the explanations of a run measured, as plain values."""

from collections.abc import Iterator, Mapping
from typing import Any

from cxrflow.report.inputs import Inputs
from cxrflow.report.words import picture_address
from cxrflow.study.models import explained_seeds

RANDOM_PARTS = {"output_layer": "the output layer is random", "all_layers": "all layers are random"}


def explanation_views(inputs: Inputs) -> list[dict[str, Any]]:
    """Each explained network with its measurements and the plot of its heat maps, None where no image may be shown."""
    return [
        {
            "experiment": name,
            "seed": seed,
            **one.record,
            "figure": picture_address(one.figure) if one.figure else None,
            "checks": list(_checks(one.record["summary"])),
            "corruption_rows": _corruption_rows(one.record["corruptions"]),
        }
        for name, by_seed in inputs.explanations.items()
        for seed, one in by_seed.items()
    ]


def unexplained(inputs: Inputs) -> list[str]:
    """The networks that the config asks to explain and that are not explained, since a step of the run failed."""
    seeds = {name: [one.seed for one in trainings] for name, trainings in inputs.trainings.items()}
    return [
        f"{name}, seed {seed}"
        for name, wanted in explained_seeds(inputs.settings.get("explain", "none"), seeds).items()
        for seed in wanted
        if seed not in inputs.explanations.get(name, {})
    ]


def _checks(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What was measured of the heat maps, each with its baseline."""
    for name, words in RANDOM_PARTS.items():
        for measure, title in (("spearman", "rank correlation"), ("ssim", "structural similarity")):
            yield {
                "what": f"{title} with the heat maps of the same network, when {words}",
                **summary["random_weights"][name][measure],
                "baseline": "1: the heat does not depend on these weights",
            }
    for kind, better in (("deletion", "lower"), ("insertion", "higher")):
        of_kind, heated = summary[kind], summary["images"] - summary["images_with_constant_heat"]
        random = of_kind["random_area"]["mean"]
        yield {
            "what": f"area below the {kind} curve ({better} is better)",
            **of_kind["area"],
            "baseline": "" if random is None else f"{random:.3f} in random order",
        }
        yield {
            "what": f"advantage over the random order, {kind}",
            **of_kind["advantage"],
            "baseline": f"0; better in {of_kind['better_than_random']} of {heated} images, half of them by chance",
        }
    area = summary["area_outside_lungs"]["mean"]
    yield {
        "what": "share of the heat outside the lung boxes",
        **summary["heat_outside_lungs"],
        "baseline": "" if area is None else f"{area:.3f} of the area is outside",
    }
    yield {
        "what": "share of the heat minus share of the area outside the lung boxes",
        **summary["excess_outside_lungs"],
        "baseline": "0: the heat is as much outside as evenly spread heat",
    }


def _corruption_rows(corruptions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The corruptions of one kind as one row."""
    rows: dict[str, dict[str, Any]] = {}
    for one in corruptions:
        row = rows.setdefault(
            one["name"], {"name": one["name"].replace("_", " "), "description": one["description"], "strengths": []}
        )
        row["strengths"].append(one)
    return list(rows.values())
