"""Checks of a config that concern several keys."""

from collections.abc import Iterable, Iterator

from cxrflow.io.words import did_you_mean
from cxrflow.study.earlier import RENAMED_VALUES
from cxrflow.study.experiment import Experiment, Plateau
from cxrflow.study.fields import PUBLISHED, RESERVED_EXPERIMENTS, SPLIT_RULES, is_reserved
from cxrflow.study.merging import SECTIONS
from cxrflow.study.models import Config

Problem = tuple[list[str], str]
"""The keys that lead to a value of the config, and its error."""
OPTIMIZERS_WITH = {"momentum": ("sgd", "rmsprop"), "weight_decay": ("adamw",)}
"""Keys of experiments, to the optimizers that use them."""


def problems_between_keys(config: Config) -> Iterator[Problem]:
    """Yield the problems that only several keys together show."""
    for key, (old, new) in RENAMED_VALUES.items():
        if getattr(config, key) == old:
            yield [key], f"'{old}' was renamed; write {new}"
    yield from _problems_of_images(config)
    yield from _problems_of_layout(config)
    yield from _problems_of_names(config)
    if config.explain != "none" and config.backend != "tensorflow":
        yield ["explain"], f"{config.explain} needs `backend: tensorflow`; with {config.backend}, write `explain: none`"
    if config.repeats > 1 and config.folds is None:
        yield ["repeats"], f"{config.repeats} without `folds`, which are repeated; write `folds: 5`, or remove it"
    for section in SECTIONS:
        for name, experiment in getattr(config, section).items():
            yield from (([section, name, key], why) for key, why in _problems_of_experiment(config, experiment))


def _problems_of_images(config: Config) -> Iterator[Problem]:
    if config.images is None and config.phantoms is None:
        yield (
            ["images"],
            "missing; name the folder that holds train/<class>/ and test/<class>/ (make study DATA=FOLDER, or --config "
            "images=FOLDER), or write `published` to fetch the files of image_list",
        )
    if config.images not in (None, PUBLISHED) and config.phantoms is not None:
        yield ["images, phantoms"], "both given; remove one of them: either images are read, or phantoms are drawn"
    if config.images == PUBLISHED and config.phantoms is None:
        if config.image_list is None:
            yield ["image_list"], "missing; with `images: published` it is a CSV of the files to fetch, with hashes"
        if not config.image_sources:
            yield ["image_sources"], "missing; with `images: published` it holds the addresses to fetch from"


def _problems_of_layout(config: Config) -> Iterator[Problem]:
    has_list = config.image_list is not None
    if config.phantoms is not None and config.layout != "train_test":
        yield ["layout"], f"{config.layout} does not go with phantoms, which are drawn into train/ and test/; remove it"
    elif config.layout == "listed" and not has_list:
        yield ["image_list"], "missing; with `layout: listed` it is a CSV with the columns path and label"
    if config.layout != "listed":
        for task, one in config.tasks.items():
            for name in one.classes:
                if "/" in name:
                    why = "the name of a class folder must not contain /; a label of `layout: listed` may"
                    yield ["tasks", task, "classes"], f"{name!r}: {why}"
    if config.split not in SPLIT_RULES and not config.split.lower().endswith(".csv"):
        rule = config.split.rpartition("/")[2]
        near = did_you_mean(rule, SPLIT_RULES)
        yield ["split"], f"{rule!r} is not allowed; allowed: {', '.join(SPLIT_RULES)}, or a CSV{near}"
    if config.split == "keras" and config.layout != "train_test":
        allowed = "stratified, or a CSV" + (", or listed" if config.layout == "listed" else "")
        yield ["split"], f"keras needs train/ and test/ (layout: train_test); allowed here: {allowed}"
    if config.split == "listed" and config.layout != "listed":
        yield ["split"], "listed needs `layout: listed`, since it is the column `split` of the image list"
    if config.patients is not None and config.patients.column is not None and not has_list:
        yield ["patients", "column"], "there is no image list with this column; name one as image_list"
    if config.columns and not has_list:
        yield ["columns"], "there is no image list with these columns; name one as image_list"
    if "patient" in config.columns and config.patients is not None:
        yield ["columns.patient, patients"], "both say which images show the same patient; remove one of them"


def _problems_of_names(config: Config) -> Iterator[Problem]:
    """Names that are unknown or used twice, and names of experiments and tasks that would share a file or a folder."""
    everything = [*config.experiments, *config.extras]
    for name in sorted({*config.experiments} & {*config.extras}):
        yield ["extras", name], "there is already an experiment of this name; choose another"
    for section in SECTIONS:
        for name in getattr(config, section):
            if is_reserved(name, RESERVED_EXPERIMENTS):
                reserved = ", ".join(RESERVED_EXPERIMENTS)
                yield (
                    [section, name],
                    f"results have a folder of this name; choose another; reserved, in any case: {reserved}",
                )
    yield from _same_but_for_case([[section, name] for section in SECTIONS for name in getattr(config, section)])
    yield from _same_but_for_case([["tasks", name] for name in config.tasks])
    for name in config.only or []:
        if name not in everything:
            near = did_you_mean(name, everything)
            yield ["only"], f"there is no experiment '{name}'{near}; allowed: {', '.join(everything)}"


def _same_but_for_case(paths: Iterable[list[str]]) -> Iterator[Problem]:
    first: dict[str, list[str]] = {}
    for path in paths:
        other = first.setdefault(path[-1].casefold(), path)
        if other[-1] != path[-1]:
            yield (
                path,
                f"differs from {'.'.join(other)} only by case, which some file systems ignore; choose another name",
            )


def _problems_of_experiment(config: Config, experiment: Experiment) -> Iterator[tuple[str, str]]:
    if experiment.task not in config.tasks:
        near = did_you_mean(experiment.task, config.tasks)
        yield "task", f"there is no task '{experiment.task}'{near}; allowed: {', '.join(config.tasks)}"
        return
    classes = config.tasks[experiment.task].classes
    if experiment.loss == "binary_crossentropy" and len(classes) != 2:
        why = f"binary_crossentropy is for two classes; task {experiment.task} has {len(classes)}"
        yield "loss", f"{why}; write categorical_crossentropy"
    if experiment.precision == "bfloat16" and experiment.input_scaling == "double":
        why = "bfloat16 has 3 numbers in the range of double scaling, -1 to -0.992, which leaves no contrast"
        yield "precision", f"{why}; use float32, or input_scaling: backbone"
    for key, optimizers in OPTIMIZERS_WITH.items():
        default = Experiment.model_fields[key].default
        if getattr(experiment, key) != default and experiment.optimizer not in optimizers:
            only = " and ".join(optimizers)
            yield key, f"only for {only}; the optimizer is {experiment.optimizer}; leave it at {default}"
    if isinstance(experiment.class_weights, dict) and sorted(experiment.class_weights) != sorted(classes):
        yield "class_weights", f"must name the classes of task {experiment.task}: {', '.join(classes)}"
    if isinstance(experiment.schedule, Plateau) and experiment.schedule.minimum > experiment.learning_rate:
        yield "schedule", f"its minimum is above the learning_rate, {experiment.learning_rate:g}; lower it"
    if isinstance(experiment.selected_epoch, int) and experiment.selected_epoch > experiment.epochs:
        yield "selected_epoch", f"{experiment.selected_epoch} is after the last epoch, {experiment.epochs}"
