"""What a config may say: every key with its type, its allowed values and the study's value as default.

config.yaml comments the same keys for readers; workflow/schemas/config.schema.json is generated from these models.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from cxrflow.config.backbones import BACKBONES
from cxrflow.config.suggest import did_you_mean


class Strict(BaseModel):
    """Base of all config models: unknown keys are faults, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def _known_backbone(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(
            f"not a backbone of keras.applications{did_you_mean(name, BACKBONES)}; allowed: {', '.join(BACKBONES)}"
        )
    return name


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _word_or_other(value: Any) -> str:
    return "<word>" if isinstance(value, str) else "<other>"


def _seed_list(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if value < 1:
        raise ValueError("at least 1 seed is needed: a number of seeds (5 means 0 to 4) or a list of seeds")
    return list(range(value))


def _no_repeats(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("something is named twice")
    return values


FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_+.-]*$", max_length=80)]
"""A name that becomes part of a path: letters, digits, and `_ + . -` behind the first."""
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_+. -]*$", max_length=80)]
Backbone = Annotated[str, AfterValidator(_known_backbone)]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**31)]],
    BeforeValidator(_seed_list),
    AfterValidator(_no_repeats),
    Field(min_length=1),
]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]


class Task(Strict):
    """A classification task: a subset of the class folders of the data set."""

    classes: Annotated[list[ClassName], Field(min_length=2), AfterValidator(_no_repeats)]
    positive: ClassName | None = None
    """The class that sensitivity and specificity are about, against all others."""

    @model_validator(mode="after")
    def _positive_is_a_class(self) -> "Task":
        if self.positive is not None and self.positive not in self.classes:
            raise ValueError(f"positive: '{self.positive}' is not one of the classes {', '.join(self.classes)}")
        return self


class Augmentation(Strict):
    """Ranges of the random transformations, by the semantics of Keras' ImageDataGenerator."""

    rotation_range: Annotated[float, Field(ge=0, le=180)] = 50
    width_shift_range: Fraction = 0.2
    height_shift_range: Fraction = 0.2
    shear_range: Annotated[float, Field(ge=0, lt=90)] = 0.25
    zoom_range: Fraction = 0.1
    channel_shift_range: Annotated[float, Field(ge=0, le=255)] = 20
    horizontal_flip: bool = True
    vertical_flip: bool = True
    without_effect: list[Literal["featurewise_center", "featurewise_std_normalization", "zca_whitening"]] = [
        "featurewise_center",
        "featurewise_std_normalization",
        "zca_whitening",
    ]


class Head(Strict):
    """The layers behind the backbone: pooling, Dense, Dropout, further Dense, the last hidden Dense, the output."""

    pooling: Literal["average", "max", "flatten"] = "average"
    dense_units: Annotated[list[Positive], Field(min_length=1)]
    dropout: Fraction = 0.0
    last_hidden_units: Positive


class Experiment(Strict):
    """One network, trained on one task."""

    task: FileName
    backbone: Backbone
    weights: str | None = None
    image_size: Annotated[int, Field(ge=32, le=2048)] = 224
    frozen_layers: Annotated[int, Field(ge=0)] = 0
    head: Head
    head_initialisation: Literal[
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"
    ] = "glorot_uniform"
    input_scaling: Literal["study", "imagenet"] = "study"
    backbone_batchnorm: Literal["train", "inference"] = "train"
    batchnorm_momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    batch_size: Positive
    incomplete_batch: Literal["dropped", "kept"] = "dropped"
    optimizer: Literal["adam"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    loss: Literal["binary_crossentropy", "categorical_crossentropy"]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    selected_epoch: Literal["last", "best"] = "last"
    seeds: Seeds | None = None


AugmentationOrNone = Annotated[
    Annotated[Augmentation, Tag("<other>")] | Annotated[Literal["none"], Tag("<word>")],
    Discriminator(_word_or_other),
]
NumberOrAuto = Annotated[
    Annotated[float, Field(gt=0), Tag("<other>")] | Annotated[Literal["auto"], Tag("<word>")],
    Discriminator(_word_or_other),
]


class Tsne(Strict):
    """Settings of scikit-learn's t-SNE."""

    perplexity: Annotated[float, Field(gt=0)] = 30
    initialisation: Literal["pca", "random"] = "pca"
    learning_rate: NumberOrAuto = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Phantoms(Strict):
    """Made images in place of real ones: how many a class, drawn from which seed."""

    train_per_class: Annotated[int, Field(ge=5, le=10_000)] = 40
    test_per_class: Annotated[int, Field(ge=1, le=10_000)] = 10
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Config(Strict):
    """The whole config, after defaults, `like` and `override` are worked into each experiment."""

    name: FileName
    images: str | None = None
    phantoms: Phantoms | None = None
    image_list: str | None = None
    missing_images: Literal["error", "warn"] = "error"
    on_bad_image: Literal["error", "skip"] = "error"
    weights: str = "imagenet"
    tasks: Annotated[dict[FileName, Task], Field(min_length=1)]
    class_index: Literal["alphabetical", "listed"] = "alphabetical"
    split: str = "keras"
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    resampling: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "nearest"
    augmentation: AugmentationOrNone = Augmentation()
    validation_augmented: bool = True
    experiments: Annotated[dict[FileName, Experiment], Field(min_length=1)]
    extras: dict[FileName, Experiment] = {}
    only: Annotated[list[FileName], BeforeValidator(_as_list)] | None = None
    with_extras: bool = False
    seeds: Seeds = Field(default=1, validate_default=True)
    feature_images: Literal["training_folder", "test_folder", "both"] = "training_folder"
    tsne: Tsne = Tsne()
    claims: str | None = None
    threads: Positive = 2
    environment: Literal["cpu", "gpu"] = "cpu"
    versions: Literal["reported", "locked"] = "reported"

    def selected(self) -> dict[str, Experiment]:
        """The experiments that this run is about, extras included where they are asked for."""
        everything = {**self.experiments, **self.extras}
        if self.only is not None:
            return {name: everything[name] for name in self.only}
        return everything if self.with_extras else dict(self.experiments)

    def seeds_of(self, experiment: str) -> list[int]:
        """The seeds that an experiment is run with."""
        return {**self.experiments, **self.extras}[experiment].seeds or self.seeds

    def classes_of(self, task: str) -> list[str]:
        """The classes of a task, in the order of the network's outputs."""
        classes = self.tasks[task].classes
        return sorted(classes) if self.class_index == "alphabetical" else list(classes)
