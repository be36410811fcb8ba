"""Summarise what was measured of the heat maps of a network, each with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrflow.statistics.intervals import clustered_mean_interval

BETTER = {"deletion": -1, "insertion": 1}
"""1 if a larger area is better, -1 if a smaller one is."""


def summary_of(explained: list[dict[str, Any]], patients: Mapping[str, int]) -> dict[str, Any]:
    """Summarise the explained images that have heat.

    Args:
        explained: from `explain_images`.
        patients: image id to the number of its patient.

    Returns:
        A JSON value: the number of images, and of those with constant heat. Means over the images with heat, each with its 95 %
        `interval` (`clustered_mean_interval`, cut off at the values that are possible); None without such images:
        `heat_outside_lungs`, `area_outside_lungs`, their difference `excess_outside_lungs`, `heat_in_border`; in
        `random_weights`, the similarities with the heat maps of random weights; for `deletion` and `insertion`, the `area` of
        the heat, the `random_area` of the random maps, the `advantage` of the heat over them (above 0: better), and
        `better_than_random`, for how many images the heat is better: half of them by chance.
    """
    with_heat = [one for one in explained if not one["heat_is_constant"]]
    numbers = np.array([patients[one["image"]] for one in with_heat])
    weights = [one["random_weights"] for one in with_heat]

    def mean(values: Sequence[float | None], least: float = 0.0) -> dict[str, Any]:
        known = np.array([value is not None for value in values], dtype=bool)
        found = np.array([value for value in values if value is not None])
        interval = clustered_mean_interval(found, numbers[known])
        return {
            "mean": rounded(float(found.mean())) if len(found) else None,
            "interval": interval and [rounded(min(max(end, least), 1.0)) for end in interval],
        }

    def of_curves(kind: str, sign: int) -> dict[str, Any]:
        own = np.array([one["curves"][kind]["area"] for one in with_heat])
        random = np.array([np.mean(one["curves"][kind]["random_areas"]) for one in with_heat])
        return {
            "area": mean(own.tolist()),
            "random_area": mean(random.tolist()),
            "advantage": mean((sign * (own - random)).tolist(), least=-1),
            "better_than_random": int((sign * own > sign * random).sum()),
        }

    shares = [(one["heat_outside_lungs"], one["area_outside_lungs"]) for one in with_heat]
    return {
        "images": len(explained),
        "images_with_constant_heat": len(explained) - len(with_heat),
        "heat_outside_lungs": mean([heat for heat, _ in shares]),
        "area_outside_lungs": mean([area for _, area in shares]),
        "excess_outside_lungs": mean([heat - area for heat, area in shares], least=-1),
        "heat_in_border": mean([one["heat_in_border"] for one in with_heat]),
        "random_weights": {
            name: {key: mean([one[name][key] for one in weights], least=-1) for key in ("spearman", "ssim")}
            for name in ("output_layer", "all_layers")
        },
        **{kind: of_curves(kind, sign) for kind, sign in BETTER.items()},
    }


def rounded(value: Any) -> Any:
    """Round a number to four digits; None stays None."""
    return round(value, 4) if isinstance(value, float) else value
