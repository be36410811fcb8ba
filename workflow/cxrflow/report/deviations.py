"""How a run differs from the study, line by line: images, initial weights, software, settings.

A line is written exactly when its fact holds. Three are always there: the software, what is switched on in the study but
does nothing, and whether the validation images were augmented.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cxrflow.config.settings import DECIDES_NOTHING
from cxrflow.machine.packages import one_name
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import counted, few_of, joined, last_part, shown

WITHOUT_EFFECT = ["featurewise_center", "featurewise_std_normalization", "zca_whitening"]

# Keys that say where and how a run is made, not what it is; and those that have a line of their own below.
NOT_COMPARED = {
    *DECIDES_NOTHING,
    *(
        "name",
        "remarks",
        "images",
        "phantoms",
        "image_list",
        "missing_images",
        "on_bad_image",
        "weights",
        "only",
        "with_extras",
        "seeds",
        "threads",
    ),
    *("device", "save_every", "keep_states", "tensorboard"),
    *("environment", "versions", "claims", "embed_images", "experiments", "extras", "validation_augmented", "tasks"),
}
NOT_COMPARED_IN_EXPERIMENTS = {"weights", "seeds", "batchnorm_momentum", "classes", "positive"}


@dataclass(frozen=True)
class Deviation:
    """One line: what it is about, what was done, and whether the study did otherwise."""

    topic: str
    text: str
    differs: bool


def find_deviations(inputs: Inputs) -> list[Deviation]:
    """All lines, in the order of the flow; images first."""
    lines = [
        *_images(inputs),
        *_experiments(inputs),
        *_initial_weights(inputs),
        *_settings(inputs),
        *_batchnorm_momentum(inputs),
        *_augmentation(inputs),
        *_software(inputs),
        *(Deviation("Remark", remark, True) for remark in inputs.settings["remarks"]),
    ]
    return sorted(lines, key=lambda line: not line.differs)


def _images(inputs: Inputs) -> Iterator[Deviation]:
    settings, audit = inputs.settings, inputs.audit
    if inputs.on_phantoms:
        phantoms = settings["phantoms"]
        yield Deviation(
            "Images",
            f"Drawn chest phantoms stand in for the X-rays: {phantoms['train_per_class']} per class to train with and "
            f"{phantoms['test_per_class']} to test with, drawn from seed {phantoms['seed']}. "
            "No number of this run says anything about X-rays.",
            True,
        )
    elif settings.get("image_list") is None:
        yield Deviation("Images", "Whatever lies in the class folders was used; the study has 306 files.", True)
    elif settings["image_list"] != "study":
        listed = last_part(settings["image_list"])
        yield Deviation("Images", f"The images are those of the list {listed}, not the study's 306 files.", True)
    whole = True
    told = {
        "missing": "missing",
        "unreadable": "unreadable",
        "changed": "not the file that the list means (other SHA-256)",
    }
    for status, words in told.items():
        names = audit[status]
        if names:
            whole = False
            then = "used as found" if status == "changed" else "left out; the split stays that of the full list"
            count = f"{len(names)} of the {audit['listed']} listed images {'is' if len(names) == 1 else 'are'} {words}"
            yield Deviation("Images", f"{count}, {then}: {few_of(names)}.", True)
    if whole and not inputs.on_phantoms and settings.get("image_list") == "study":
        yield Deviation("Images", f"All {audit['listed']} files of the study's list were there and readable.", False)


def _experiments(inputs: Inputs) -> Iterator[Deviation]:
    if inputs.study is None:
        return
    own = list(inputs.study["experiments"])
    missing = [name for name in own if name not in inputs.experiments]
    extra = [name for name in inputs.experiments if name not in own]
    if missing:
        yield Deviation("Experiments", f"Not part of this run: {joined(missing)}.", True)
    if extra:
        yield Deviation("Experiments", f"Beyond the study's own experiments: {joined(extra)}.", True)


def _initial_weights(inputs: Inputs) -> Iterator[Deviation]:
    by_record: dict[tuple[str, str | None, str | None], list[str]] = {}
    for run in inputs.all_runs:
        weights = run.training["weights"]
        names = by_record.setdefault((weights["source"], weights["file"], weights["sha256"]), [])
        if run.experiment not in names:
            names.append(run.experiment)
    for (source, file, sha256), names in by_record.items():
        where = f"{joined(names)}: "
        known = f"{last_part(file or source)}, SHA-256 {sha256[:12]}…" if sha256 else ""
        if source == "random":
            text = "the backbone began from random numbers; the study's began from ImageNet weights."
        elif source == "imagenet":
            text = f"the backbone began from the ImageNet weights that Keras offers today ({known})."
        else:
            text = f"the backbone began from a file of one's own ({known}); the study's from ImageNet weights."
        yield Deviation("Initial weights", where + text, source != "imagenet")


def _settings(inputs: Inputs) -> Iterator[Deviation]:
    if inputs.study is None:
        yield Deviation("Settings", "Not compared key by key: no config of the study was given.", False)
        return
    study = inputs.study
    lines: list[tuple[str, str, str]] = []
    used_tasks = {settings["task"] for settings in inputs.experiments.values()}
    for task in [task for task in inputs.settings["tasks"] if task in used_tasks]:
        lines += _differing(f"tasks.{task}", inputs.settings["tasks"][task], study["tasks"].get(task, {}), set())
    lines += _differing("", inputs.settings, study, NOT_COMPARED)
    for key, ours, theirs in lines:
        yield Deviation("Settings", f"{key}: {ours}; the study: {theirs}.", True)

    everything = {**study["extras"], **study["experiments"]}
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for name, settings in inputs.experiments.items():
        if name in everything:
            for found in _differing("", settings, everything[name], NOT_COMPARED_IN_EXPERIMENTS):
                grouped.setdefault(found, []).append(name)
    for (key, ours, theirs), names in grouped.items():
        yield Deviation("Settings", f"{key}: {ours}; the study: {theirs} ({joined(names)}).", True)
    if not lines and not grouped:
        others = any(name not in everything for name in inputs.experiments)
        every = "Every setting outside of the further experiments" if others else "Every setting"
        yield Deviation("Settings", f"{every} is the study's own, or the reading taken of it (below).", False)


def _differing(
    place: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], left_out: set[str]
) -> Iterator[tuple[str, str, str]]:
    """The keys whose values differ, mappings entered: key with its place, our value, the study's."""
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        if key in left_out or key == "without_effect":
            continue
        here, there = ours.get(key), theirs.get(key)
        path = f"{place}.{key}" if place else key
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            yield from _differing(path, here, there, set())
        elif here != there:
            yield path, shown(here), shown(there)


def _batchnorm_momentum(inputs: Inputs) -> Iterator[Deviation]:
    grouped: dict[float, list[str]] = {}
    for name, settings in inputs.experiments.items():
        if settings.get("batchnorm_momentum") is not None:
            grouped.setdefault(settings["batchnorm_momentum"], []).append(name)
    for momentum, names in grouped.items():
        yield Deviation(
            "Settings",
            f"batchnorm_momentum: {shown(momentum)}, set by hand for the moving averages of the backbone's batch "
            f"normalisation; the study: the backbone's own ({joined(names)}).",
            True,
        )


def _augmentation(inputs: Inputs) -> Iterator[Deviation]:
    augmentation = inputs.settings["augmentation"]
    keys = augmentation.get("without_effect") if isinstance(augmentation, Mapping) else None
    yield Deviation(
        "Augmentation",
        f"{joined(keys or WITHOUT_EFFECT)} are switched on in the study but never fitted, so that they do nothing; "
        "this run leaves them out, with the same effect.",
        False,
    )
    if isinstance(augmentation, Mapping) and inputs.settings["validation_augmented"] == "study":
        yield Deviation("Validation", "The validation images are augmented as the training images are, as read.", False)
    else:
        yield Deviation("Validation", "The validation images are not augmented; in the study they are, as read.", True)


def _software(inputs: Inputs) -> Iterator[Deviation]:
    found = {name: version for run in inputs.all_runs for name, version in run.training["versions"].items()}
    several = {name: sorted({run.training["versions"].get(name, "none") for run in inputs.all_runs}) for name in found}
    main = [f"{title} {joined(several[name])}" for name, title in MAIN_SOFTWARE.items() if name in several]
    evidence = next((row["evidence"] for row in inputs.assumptions if row["id"] == "versions"), "")
    theirs = f"the study names no versions ({evidence})" if evidence else "the study names no versions"
    yield Deviation("Software", f"{', '.join(main)}; {theirs}.", True)
    if inputs.locked is None:
        return
    compared = {name: versions for name, versions in several.items() if one_name(name) in inputs.locked}
    other = [
        f"{name} {joined(versions)} (locked: {inputs.locked[one_name(name)]})"
        for name, versions in compared.items()
        if versions != [inputs.locked[one_name(name)]]
    ]
    if other:
        yield Deviation("Software", f"Not the locked versions of this project: {', '.join(other)}.", True)
    elif compared:
        count = counted(len(compared), "package")
        yield Deviation("Software", f"Of {count} compared, all have this project's locked versions.", False)


MAIN_SOFTWARE = {"python": "Python", "tensorflow": "TensorFlow", "keras": "Keras"}
