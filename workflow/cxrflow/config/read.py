"""Read a config: from a mapping or YAML files to the typed config, or all its faults at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Tag, ValidationError

from cxrflow.config.experiments import SECTIONS, layers_of, merged_experiments, written_at
from cxrflow.config.models import Config
from cxrflow.config.suggest import did_you_mean
from cxrflow.config.training import Experiment, Plateau
from cxrflow.stage.faults import Fault, raise_all

PARTIAL_KEYS = ("experiment_defaults", "override")
# Faults of a value that is none of the forms which its key takes, where the forms are told in the model.
WRONG_FORM = ("literal_error", "dict_type", "model_type", "int_type", "int_parsing", "int_from_float", "float_type")
# So many keys are named where one is not known and none is like it.
FEW_KEYS = 8


def read_config(raw: Mapping[str, Any]) -> Config:
    """The typed config of a raw one, defaults filled.

    Raises:
        Fault: one message for each fault, with the key, the value, what is allowed, and the nearest allowed name.
    """
    for key in (*PARTIAL_KEYS, *SECTIONS):
        if not isinstance(raw.get(key, {}), Mapping):
            raise Fault(f"{key}: {raw[key]!r} is not allowed; it takes keys and values")
    try:
        config = Config.model_validate(merged_experiments(raw))
    except ValidationError as error:
        # The same fault may reach several experiments from one line of the config: told once.
        raise Fault(list(dict.fromkeys(_message(raw, fault) for fault in error.errors()))) from None
    raise_all(list(dict.fromkeys(_faults_between_keys(raw, config))))
    return config


def read_yaml(*paths: str | Path) -> dict[str, Any]:
    """Raw config of YAML files, later ones laid over earlier ones as Snakemake does it: mappings merged, the rest replaced."""
    result: dict[str, Any] = {}
    for path in paths:
        try:
            read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            raise Fault(f"{path}: not UTF-8 text") from None
        # A date that no calendar has is a ValueError; brackets in brackets may be deeper than Python goes.
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Fault(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(read, Mapping | None):
            raise Fault(f"{path}: holds no keys with values, such as `name: study`, but {type(read).__name__}")
        result = laid_over(result, read or {})
    return result


def laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = laid_over(result[key], value) if both else value
    return result


def _message(raw: Mapping[str, Any], fault: Any) -> str:
    """One line for one fault that pydantic found."""
    path, _, description = _at_place(fault["loc"])
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    if path and path[-1] == "[key]":
        return f"{'.'.join(path[:-1])}: a name may hold letters, digits and _ + . - (and begin with none of + . -)"
    key = _place(raw, path)
    forms = description if kind in WRONG_FORM else None
    if kind == "extra_forbidden":
        reason = _unknown_key(key, path, fault["loc"])
    elif kind == "missing":
        reason = "missing; it has no default"
    elif kind == "union_tag_invalid":
        key = f"{key}.kind"
        kinds = [tag.strip("'<>") for tag in context["expected_tags"].split(", ") if tag != "'<word>'"]
        given = _not_allowed(value["kind"], ", ".join(kinds), kinds) if "kind" in value else ""
        reason = given or f"missing; allowed: {', '.join(kinds)}"
    elif kind == "literal_error" or forms:
        words = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        reason = _not_allowed(value, forms or words, words.split(", "))
    elif kind == "too_short":
        reason = f"it should name at least {context['min_length']}"
    else:
        why = str(context["error"]) if kind == "value_error" else fault["msg"].replace("Input should", "it should")
        reason = f"{_shown(value)}{why}"
    return f"{key}: {reason}"


def _unknown_key(key: str, path: list[str], loc: Sequence[Any]) -> str:
    if len(path) == 1 and path[0] in Experiment.model_fields:
        return f"a key of experiments, not of the whole; for all of them: override='{{{key}: …}}'"
    allowed = _allowed_keys(loc[:-1])
    few = f"; allowed: {', '.join(allowed)}" if len(allowed) <= FEW_KEYS else ""
    return f"unknown key{did_you_mean(path[-1], allowed) or few}"


def _not_allowed(value: Any, allowed: str, words: list[str]) -> str:
    return f"{value!r} is not allowed; allowed: {allowed}{did_you_mean(str(value), words)}"


def _shown(value: Any) -> str:
    return "" if isinstance(value, Mapping | list) else f"{value!r}: "


def _place(raw: Mapping[str, Any], path: list[str]) -> str:
    """Where in the config the key at `path` of the merged config was written."""
    if len(path) > 2 and path[0] in SECTIONS:
        own, rest = path[:2], path[2:]
        written = raw.get(own[0], {}).get(own[1])
        if isinstance(written, Mapping):
            return ".".join([written_at(layers_of(raw, *own), rest), *rest])
    return ".".join(path)


def _allowed_keys(loc: Sequence[Any]) -> list[str]:
    """The keys that the config allows at a place that pydantic tells."""
    _, model, _ = _at_place(loc)
    model = next(filter(_is_model, _parts(model)), None)
    if model is None:
        return []
    own = {Config: PARTIAL_KEYS, Experiment: ("like",)}.get(model, ())
    return [*model.model_fields, *own]


def _at_place(loc: Sequence[Any]) -> tuple[list[str], Any, str | None]:
    """The keys that lead to a place that pydantic tells, the type there, and the description of the last key.

    Pydantic names the form of a value between its keys, such as <word>; a key that looks like one of these is a key.
    """
    model: Any = Config
    path, description = [], None
    for step in loc:
        form = next((one for one in get_args(model) if Tag(str(step)) in getattr(one, "__metadata__", ())), None)
        if form is not None:
            model = form
            continue
        path.append(str(step))
        part = next((part for part in _parts(model) if _is_model(part) or get_origin(part) is dict), None)
        field = part.model_fields.get(step) if part is not None and _is_model(part) else None
        description = field.description if field else None
        model = field.annotation if field else get_args(part)[1] if get_origin(part) is dict else None
    return path, model, description


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _parts(annotation: Any) -> list[Any]:
    """The types that a union or an annotated type is made of."""
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return [part for argument in get_args(annotation) for part in _parts(argument)]
    return [annotation]


def _faults_between_keys(raw: Mapping[str, Any], config: Config) -> list[str]:
    """Faults that only two keys together show."""
    faults = []
    if config.images is None and config.phantoms is None:
        faults.append(
            "images: missing; name the folder that holds train/<class>/ and test/<class>/ "
            "(make study DATA=FOLDER, or --config images=FOLDER), or say study: they are then fetched"
        )
    if config.images not in (None, "study") and config.phantoms is not None:
        faults.append("images, phantoms: both given; name a folder of images, or have phantoms drawn, not both")
    if config.images == "study" and config.phantoms is None and config.image_list is None:
        faults.append("image_list: missing; `images: study` fetches the files of a list: study, or a CSV with hashes")
    faults += _faults_of_layout(config)
    both = sorted(set(config.experiments) & set(config.extras))
    faults += [f"extras.{name}: there is an experiment of this name already" for name in both]
    everything = {**config.experiments, **config.extras}
    for name in config.only or []:
        if name not in everything:
            faults.append(
                f"only: there is no experiment '{name}'{did_you_mean(name, everything)}; allowed: {', '.join(everything)}"
            )
    for section in SECTIONS:
        for name, experiment in getattr(config, section).items():
            faults += [_at(raw, section, name, key, why) for key, why in _faults_of_experiment(config, experiment)]
    return faults


def _faults_of_layout(config: Config) -> list[str]:
    """Faults of `split` and `patients` that the layout or the image list shows."""
    faults = []
    own = config.image_list not in (None, "study")
    if config.phantoms is not None and config.layout != "train_test":
        faults.append(f"layout: {config.layout}, but phantoms are drawn into train/ and test/; leave it at train_test")
    elif config.layout != "train_test" and config.image_list == "study":
        faults.append(
            "image_list: the study's files lie in train/ and test/; with another layout set it to null or a CSV"
        )
    elif config.layout == "listed" and not own:
        faults.append("image_list: missing; with `layout: listed` it is a CSV with the columns path and label")
    if config.split == "keras" and config.layout != "train_test":
        allowed = "stratified, or a CSV" + (", or listed" if config.layout == "listed" else "")
        faults.append(f"split: keras needs train/ and test/ (layout: train_test); allowed here: {allowed}")
    if config.split == "listed" and config.layout != "listed":
        faults.append("split: listed is the column `split` of an image list, and goes with `layout: listed` alone")
    if config.patients is not None and config.patients.column is not None and not own:
        faults.append("patients.column: there is no image list of your own with this column; name one as image_list")
    return faults


def _faults_of_experiment(config: Config, experiment: Experiment) -> list[tuple[str, str]]:
    if experiment.task not in config.tasks:
        near = did_you_mean(experiment.task, config.tasks)
        return [("task", f"there is no task '{experiment.task}'{near}; allowed: {', '.join(config.tasks)}")]
    classes = config.tasks[experiment.task].classes
    faults = []
    if experiment.loss == "binary_crossentropy" and len(classes) != 2:
        faults.append(("loss", f"binary_crossentropy is for two classes; task {experiment.task} has {len(classes)}"))
    if experiment.precision == "bfloat16" and experiment.input_scaling == "study":
        why = "bfloat16 has 3 numbers in the study's range of input, -1 to -0.992, so that the network would be blind"
        faults.append(("precision", f"{why}; use float32, or input_scaling: imagenet"))
    for key, optimizer in (("momentum", "sgd"), ("weight_decay", "adamw")):
        default = Experiment.model_fields[key].default
        if getattr(experiment, key) != default and experiment.optimizer != optimizer:
            why = f"only {optimizer} has it, the optimizer is {experiment.optimizer}; leave it at {default}"
            faults.append((key, why))
    if isinstance(experiment.class_weights, dict) and sorted(experiment.class_weights) != sorted(classes):
        faults.append(("class_weights", f"must name the classes of task {experiment.task}: {', '.join(classes)}"))
    if isinstance(experiment.schedule, Plateau) and experiment.schedule.minimum > experiment.learning_rate:
        faults.append(("schedule", f"its minimum is above the learning_rate, {experiment.learning_rate:g}"))
    if isinstance(experiment.selected_epoch, int) and experiment.selected_epoch > experiment.epochs:
        faults.append(
            ("selected_epoch", f"{experiment.selected_epoch} is behind the last of {experiment.epochs} epochs")
        )
    return faults


def _at(raw: Mapping[str, Any], section: str, name: str, key: str, why: str) -> str:
    return f"{_place(raw, [section, name, key])}: {why}"
