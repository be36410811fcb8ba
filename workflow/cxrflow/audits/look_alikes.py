"""Near-duplicate images: one picture in two files, re-encoded, resized, cropped, flipped, turned, inverted, or marked."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrflow.audits.candidates import SCALES, UNLIKELY, candidate_pairs
from cxrflow.audits.false_pairs import correlation_at, expected_false, fit_tail
from cxrflow.audits.findings import Audited, DataSet, Finding, merge_tasks
from cxrflow.audits.image_details import COARSE, FINE, Array, details_of, packed, unpacked
from cxrflow.audits.registration import Registered, register
from cxrflow.images.grouping import groups_of, pictures_of
from cxrflow.io.words import counted

CERTAIN = 0.05
"""Expected false pairs in the whole data set up to which a pair is certain."""
SUSPECTED = 5.0
"""Expected false pairs up to which a pair is suspected."""
LEAST = {"certain": 0.6, "suspected": 0.45}
"""Correlations that pairs need in any case: two films of one patient reach 0.6."""
CACHED = 8_192
"""Images whose fine details are kept in memory, 16 KB each."""

TURNS = (
    "",
    "flipped left to right",
    "transposed",
    "rotated by 90° clockwise",
    "rotated by 180°",
    "flipped upside down",
    "transposed and rotated by 180°",
    "rotated by 90° counterclockwise",
)
"""Words for `registration.Registered.order`."""
BACK = (0, 1, 2, 7, 4, 5, 6, 3)
"""The order that undoes each order."""
COLUMNS = ["image", "other", "transformation", "correlation", "expected_false", "certainty"]


def look_alikes(
    pixels: Mapping[str, NDArray[np.uint8]], groups: "pd.Series[str]"
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Find pairs of images that show the same picture.

    The most similar pairs at low resolution (`candidates`) are registered (`registration`). The threshold is calibrated on
    these pairs, as far as they are of different groups (`false_pairs`).

    Args:
        pixels: image id to uint8 of shape (height, width, 3).
        groups: group of each image, with the image as index: images of one group are known to be related, those of different
            groups are assumed to be of different patients, but for copies.

    Returns:
        Certain and suspected pairs, the highest correlation first: `image` and `other` (ids in the order of `groups`);
        `transformation`, which turns `image` into `other`, in words; `correlation` of their registered details, 0 to 1;
        `expected_false`, the number of pairs with this correlation or a higher one that would be expected in the whole data set
        if it had no copies; `certainty`. And numbers for the report: images, pairs, registered pairs, and the thresholds.
    """
    images = list(groups.index)
    coarse = np.stack([packed(details_of(pixels[image], COARSE)) for image in images]) if images else _nothing()
    candidates = candidate_pairs(coarse)
    registered = _register_all(pixels, images, coarse, candidates)
    correlations = np.array([it.correlation for it in registered], np.float64)
    codes = pd.factorize(groups.to_numpy())[0]
    are_different = codes[candidates["first"]] != codes[candidates["second"]]
    # The least similar candidates are of different pictures even if there are many copies of each image.
    least = slice(max(len(candidates) // 2, len(candidates) - UNLIKELY // 2), None)
    tail = fit_tail(correlations[least], are_different[least], len(candidates))
    expected = expected_false(correlations, tail)
    rows = []
    for pair, found, number in zip(candidates, registered, expected, strict=True):
        if certainty := _certainty(found.correlation, float(number)):
            first, second = int(pair["first"]), int(pair["second"])
            one, other = sorted((first, second))
            order = found.order if one == first else BACK[found.order]
            row = (images[one], images[other], _in_words(found, order), found.correlation, float(number), certainty)
            rows.append(row)
    found_pairs = pd.DataFrame(rows, columns=COLUMNS).sort_values("correlation", ascending=False, ignore_index=True)
    numbers = {
        "images": len(images),
        "pairs": len(images) * (len(images) - 1) // 2,
        "registered_pairs": len(candidates),
        "certain_from": max(LEAST["certain"], correlation_at(CERTAIN, tail)),
        "suspected_from": max(LEAST["suspected"], correlation_at(SUSPECTED, tail)),
    }
    return found_pairs, numbers


def audit_look_alikes(data: DataSet) -> Audited:
    """Report images that show the same picture as another one, in other bytes and other pixels.

    Copies with the same bytes or pixels are left out (`duplicates` reports them), but what looks like one of them is reported
    for all of them.
    """
    index = data.index[data.index["image"].isin(list(data.pixels))]
    picture = pictures_of(index).fillna(index["image"])
    first = ~picture.duplicated()
    pairs, numbers = look_alikes(data.pixels, groups_of(index)[first].set_axis(index.loc[first, "image"]))
    pairs = _for_all_copies(pairs, pd.Series(picture.to_numpy(), index=index["image"].to_numpy()))
    findings: list[Finding] = []
    tasks = {}
    for task in data.splits:
        rows = data.images_of(task).set_index("image")
        here = pairs[pairs["image"].isin(rows.index) & pairs["other"].isin(rows.index)]
        for side in ("image", "other"):
            here = here.assign(**{f"{name}_of_{side}": here[side].map(rows[name]) for name in ("subset", "class")})
        findings += _findings(here, task)
        tasks[task] = {"test_images_seen_before": _test_images(here[here["certainty"] == "certain"])}
    table = pairs.round({"correlation": 4, "expected_false": 6}).to_dict("records")
    return Audited(merge_tasks(findings), {**numbers, "pairs_found": table, "tasks": tasks})


def _findings(pairs: pd.DataFrame, task: str) -> list[Finding]:
    certain, suspected = (pairs[pairs["certainty"] == certainty] for certainty in ("certain", "suspected"))
    across = certain["subset_of_image"] != certain["subset_of_other"]
    in_test = (certain["subset_of_image"] == "test") | (certain["subset_of_other"] == "test")
    two_classes = certain["class_of_image"] != certain["class_of_other"]
    seen = _test_images(certain)
    show = "shows" if len(seen) == 1 else "show"
    found = [
        _finding(
            certain[across & in_test],
            f"{counted(len(seen), 'test image')} {show} the picture of a training or validation image",
            "The network has seen these pictures, so its test scores are too high.",
        ),
        _finding(
            certain[across & ~in_test],
            f"{_pairs(across & ~in_test)} in training and validation",
            "Validation scores are too high, which affects the choice of the epoch and of settings.",
        ),
        _finding(
            certain[two_classes],
            f"{_pairs(two_classes)} in two classes, so a label may be wrong",
            "Networks learn contradictory labels and are scored on them.",
        ),
        _finding(
            certain[~across],
            f"{_pairs(~across)} within one subset",
            "These pictures count more than others, and confidence intervals are too narrow.",
        ),
        _finding(
            suspected,
            f"{counted(len(suspected), 'pair')} of images may show the same picture, or one patient twice; look at them",
            "If the images are in training and test, test scores may be too high.",
        ),
    ]
    leak, *others = (replace(finding, task=task) for finding in found)
    return [finding for finding in (replace(leak, is_headline=True), *others) if finding.images]


def _finding(pairs: pd.DataFrame, text: str, effect: str) -> Finding:
    """Report these pairs, the first of them as an example."""
    if pairs.empty:
        return Finding(text, effect)
    first = pairs.iloc[0]
    example = (
        f"{first['image']} and {first['other']} ({first['transformation']}, correlation {first['correlation']:.2f})"
    )
    such_as = "for example " if len(pairs) > 1 else ""
    return Finding(
        f"{text}: {such_as}{example}.", effect, sorted({*pairs["image"], *pairs["other"]}), None, first["certainty"]
    )


def _pairs(chosen: "pd.Series[bool]") -> str:
    number = int(chosen.sum())
    verb = "shows" if number == 1 else "show"
    return f"{counted(number, 'pair')} of images {verb} the same picture"


def _test_images(pairs: pd.DataFrame) -> list[str]:
    """Test images with a twin in another subset."""
    across = pairs[pairs["subset_of_image"] != pairs["subset_of_other"]]
    sides = [across.loc[across[f"subset_of_{side}"] == "test", side] for side in ("image", "other")]
    return sorted(set(pd.concat(sides)))


def _for_all_copies(pairs: pd.DataFrame, picture: "pd.Series[str]") -> pd.DataFrame:
    """Repeat each pair for all images with the pictures of its two images."""
    if pairs.empty:
        return pairs
    members = picture.rename("picture").rename_axis("member").reset_index()
    for side in ("image", "other"):
        pairs = pairs.assign(picture=pairs[side].map(picture)).merge(members, on="picture")
        pairs[side] = pairs["member"]
        pairs = pairs[COLUMNS]
    return pairs.sort_values(["correlation", "image", "other"], ascending=[False, True, True], ignore_index=True)


def _register_all(
    pixels: Mapping[str, NDArray[np.uint8]], images: list[str], coarse: NDArray[np.int8], candidates: NDArray[np.void]
) -> list[Registered]:
    @lru_cache(CACHED)
    def stored(place: int) -> NDArray[np.int8]:
        return packed(details_of(pixels[images[place]], FINE))

    def registered(first: int, second: int, order: int, scale: float) -> Registered:
        def fine() -> tuple[Array, Array]:
            return unpacked(stored(first)), unpacked(stored(second))

        return register((unpacked(coarse[first]), unpacked(coarse[second])), fine, order, scale)

    return [
        registered(int(pair["first"]), int(pair["second"]), int(pair["order"]), SCALES[pair["scale"]])
        for pair in candidates
    ]


def _certainty(correlation: float, expected: float) -> str | None:
    if expected <= CERTAIN and correlation >= LEAST["certain"]:
        return "certain"
    return "suspected" if expected <= SUSPECTED and correlation >= LEAST["suspected"] else None


def _in_words(found: Registered, order: int) -> str:
    scaled = min(found.scale) < 0.97 or max(found.scale) > 1.03
    words = [TURNS[order], "inverted" if found.is_inverted else "", "cropped" if scaled else ""]
    return ", ".join(word for word in words if word) or "re-encoded, resized or marked"


def _nothing() -> NDArray[np.int8]:
    return np.zeros((0, COARSE, COARSE), np.int8)
