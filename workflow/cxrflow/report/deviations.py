"""How a run differs from the study, line by line: images, initial weights, software, settings.

Without a study, the lines say what a reader must know about images, weights and software.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cxrflow.io.machine import one_name
from cxrflow.io.words import counted, joined, some_of
from cxrflow.report.inputs import Inputs
from cxrflow.report.words import last_part, shown
from cxrflow.study.decides import keys_that_decide
from cxrflow.study.experiment import Experiment
from cxrflow.study.fields import WITHOUT_FILE
from cxrflow.study.head import head_as_text
from cxrflow.study.layers import with_layer_keys
from cxrflow.study.models import Config

OWN_LINES = {"images", "phantoms", "image_list", "missing_images", "on_bad_image", "tasks"}
"""Keys of the data set that other lines report."""
COMPARED = {
    *keys_that_decide(Config, "data", "index", "pixels", "split", "augmentation", "features", "embedding")
} - OWN_LINES
COMPARED_IN_EXPERIMENTS = keys_that_decide(Experiment, "data", "network", "training", "length", "evaluation")


@dataclass(frozen=True)
class Deviation:
    """One line: its topic, what was done, and whether this differs from the study."""

    topic: str
    text: str
    differs: bool


def find_deviations(inputs: Inputs) -> list[Deviation]:
    """All lines in the order of the flow, those that differ from the study first."""
    lines = [
        *_images(inputs),
        *_experiments(inputs),
        *_initial_weights(inputs),
        *_settings(inputs),
        *_augmentation(inputs),
        *_software(inputs),
        *(Deviation("Remark", remark, True) for remark in inputs.settings["remarks"]),
    ]
    return sorted(lines, key=lambda line: not line.differs)


def _images(inputs: Inputs) -> Iterator[Deviation]:
    settings, audit, study = inputs.settings, inputs.audit, inputs.study
    same_list = study is not None and settings.get("image_list") == study["image_list"]
    if inputs.on_phantoms:
        phantoms = settings["phantoms"]
        yield Deviation(
            "Images",
            f"The images are drawn chest phantoms instead of X-rays: {phantoms['train_per_class']} per class for training and "
            f"{phantoms['test_per_class']} for testing, drawn from seed {phantoms['seed']}. "
            "No number of this run says anything about X-rays.",
            study is None or study["phantoms"] is None,
        )
    elif study is not None and not same_list:
        listed = settings.get("image_list")
        used = (
            f"The images are those of the list {last_part(listed)}"
            if listed
            else "All files in the class folders were used"
        )
        yield Deviation("Images", f"{used}, not those of the study's own list.", True)
    whole = True
    problems = {
        "missing": "missing",
        "unreadable": "unreadable",
        "changed": "not the listed file (its SHA-256 is different)",
    }
    for status, words in problems.items():
        names = audit[status]
        if names:
            whole = False
            then = "used anyway" if status == "changed" else "left out; the split stays that of the full list"
            count = f"{len(names)} of the {audit['listed']} listed images {'is' if len(names) == 1 else 'are'} {words}"
            yield Deviation("Images", f"{count}, {then}: {some_of(names, 12)}.", True)
    if whole and same_list and settings.get("image_list"):
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
    for training in inputs.all_trainings:
        weights = training.record["weights"]
        names = by_record.setdefault((weights["source"], weights["file"], weights["sha256"]), [])
        if training.experiment not in names:
            names.append(training.experiment)
    for (source, file, sha256), names in by_record.items():
        where = f"{joined(names)}: "
        known = f"{last_part(file or source)}, SHA-256 {sha256[:12]}…" if sha256 else ""
        words = {
            "random": "random numbers",
            "imagenet": f"the ImageNet weights that Keras publishes ({known})",
            "file": f"a file ({known})",
        }
        study = sorted({theirs for name in names if (theirs := _weights_of_study(inputs, name))} - {source})
        differs = f"; in the study from {joined([STUDY_WEIGHTS[theirs] for theirs in study])}" if study else ""
        yield Deviation("Initial weights", f"{where}the backbone started from {words[source]}{differs}.", bool(study))


STUDY_WEIGHTS = {"random": "random numbers", "imagenet": "ImageNet weights", "file": "a file"}


def _weights_of_study(inputs: Inputs, experiment: str) -> str | None:
    """Where the initial weights of an experiment are from in the study; None without a study."""
    if inputs.study is None:
        return None
    own = {**inputs.study["extras"], **inputs.study["experiments"]}.get(experiment, {})
    weights = str(own.get("weights") or inputs.study["weights"])
    return weights if weights in WITHOUT_FILE else "file"


def _settings(inputs: Inputs) -> Iterator[Deviation]:
    if inputs.study is None:
        return
    study = inputs.study
    lines: list[tuple[str, str, str]] = []
    used_tasks = {settings["task"] for settings in inputs.experiments.values()}
    for task in [task for task in inputs.settings["tasks"] if task in used_tasks]:
        lines += _differing(f"tasks.{task}", inputs.settings["tasks"][task], study["tasks"].get(task, {}))
    lines += _differing("", _keys_of(inputs.settings, COMPARED), _keys_of(study, COMPARED))
    for key, ours, theirs in lines:
        yield Deviation("Settings", f"{key}: {ours}; the study: {theirs}.", True)

    everything = {**study["extras"], **study["experiments"]}
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for name, settings in inputs.experiments.items():
        if name in everything:
            both = [_keys_of(one, COMPARED_IN_EXPERIMENTS) for one in (settings, everything[name])]
            own, of_study = map(with_layer_keys, both)
            if own["head.layers"] != of_study["head.layers"]:  # heads of other layers are shown whole
                own, of_study = ({**one, "head": head_as_text(one["head"])} for one in both)
            for found in _differing("", own, of_study):
                grouped.setdefault(found, []).append(name)
    for (key, ours, theirs), names in grouped.items():
        yield Deviation("Settings", f"{key}: {ours}; the study: {theirs} ({joined(names)}).", True)
    if not lines and not grouped:
        others = any(name not in everything for name in inputs.experiments)
        every = "Every setting outside of the further experiments" if others else "Every setting"
        yield Deviation("Settings", f"{every} is the study's own, or the reading taken of it (below).", False)


def _keys_of(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: settings[key] for key in keys if key in settings}


def _differing(place: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The keys whose values differ, mappings entered: key with its place, our value, the study's."""
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        if key == "without_effect":
            continue
        here, there = ours.get(key), theirs.get(key)
        path = f"{place}.{key}" if place else key
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            yield from _differing(path, here, there)
        elif here != there and not (here in NOTHING and there in NOTHING):
            yield path, shown(here), shown(there)


NOTHING: tuple[Any, ...] = (None, {}, [])
"""Values that mean the same; results of earlier versions lack keys, which are empty by default."""


def _augmentation(inputs: Inputs) -> Iterator[Deviation]:
    augmentation = inputs.study["augmentation"] if inputs.study is not None else None
    if isinstance(augmentation, Mapping) and (keys := augmentation["without_effect"]):
        yield Deviation(
            "Augmentation",
            f"{joined(keys)} are switched on in the study but never fitted, so that they do nothing; "
            "this run leaves them out, with the same effect.",
            False,
        )


def _software(inputs: Inputs) -> Iterator[Deviation]:
    several = inputs.versions
    main = [f"{title} {joined(several[name])}" for name, title in MAIN_SOFTWARE.items() if name in several]
    evidence = next((row["evidence"] for row in inputs.open_points if row["id"] == "versions"), None)
    theirs = f"; the study: {evidence}" if evidence else ""
    yield Deviation("Software", f"{', '.join(main)}{theirs}.", evidence is not None)
    codes = sorted({training.record["what_identifies_it"]["code"] for training in inputs.all_trainings})
    if len(codes) > 1:
        text = (
            f"The trainings were made with {len(codes)} versions of the training code ({joined(codes)}). A reference training "
            "of 4 epochs of each backbone ends with the same bytes in each of them."
        )
        yield Deviation("Software", text, False)
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
