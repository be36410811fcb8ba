"""What a config may say: every key with its type, its allowed values and the study's value as default.

config.yaml comments the same keys for readers; workflow/schemas/config.schema.json is generated from these models.
"""

import re
from pathlib import PurePath
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

from cxrflow.config.fields import (
    Backbone,
    ClassName,
    FileName,
    Fraction,
    ImageSource,
    Positive,
    Seeds,
    WeightsSource,
    as_list,
    no_repeats,
    word_or_other,
)
from cxrflow.images.folder import class_folders


class Strict(BaseModel):
    """Base of all config models: unknown keys are faults, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Task(Strict):
    """A classification task: a subset of the class folders of the data set."""

    classes: Annotated[list[ClassName], Field(min_length=2), AfterValidator(no_repeats)]
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


class Cosine(Strict):
    """The learning rate falls along half a cosine."""

    kind: Literal["cosine"]
    epochs: Positive
    """Length of the fall, its own: more epochs of training do not stretch it."""
    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the first rate that is left at its end."""


class Step(Strict):
    """The learning rate falls behind named epochs."""

    kind: Literal["step"]
    at: Annotated[list[Positive], Field(min_length=1), AfterValidator(no_repeats)]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Plateau(Strict):
    """The learning rate falls when the validation loss no longer does."""

    kind: Literal["plateau"]
    patience: Positive = 10
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    min_delta: Annotated[float, Field(ge=0)] = 0.0001
    minimum: Annotated[float, Field(ge=0)] = 0.0


class EarlyStopping(Strict):
    """Training ends when the validation loss no longer falls."""

    patience: Positive = 10
    min_delta: Annotated[float, Field(ge=0)] = 0.0


def _kind_of_schedule(value: Any) -> str:
    if isinstance(value, dict):
        return f"<{value.get('kind')}>"
    return f"<{value.kind}>" if isinstance(value, Cosine | Step | Plateau) else "<word>"


Schedule = Annotated[
    Annotated[Literal["constant"], Tag("<word>")]
    | Annotated[Cosine, Tag("<cosine>")]
    | Annotated[Step, Tag("<step>")]
    | Annotated[Plateau, Tag("<plateau>")],
    Discriminator(_kind_of_schedule),
    Field(
        description="constant, or a mapping with its kind (cosine, step, plateau), such as {kind: cosine, epochs: 90}"
    ),
]
ClassWeights = Annotated[
    Annotated[dict[ClassName, Annotated[float, Field(gt=0)]], Tag("<other>")]
    | Annotated[Literal["none", "balanced"], Tag("<word>")],
    Discriminator(word_or_other),
    Field(description="none, balanced, or a weight for each class, such as {covid: 2, normal: 1}"),
]
SelectedEpoch = Annotated[
    Annotated[Positive, Tag("<other>")] | Annotated[Literal["last", "best"], Tag("<word>")],
    Discriminator(word_or_other),
    Field(description="last, best, or the number of an epoch, from 1"),
]


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
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    schedule: Schedule = "constant"
    momentum: Fraction = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.004
    gradient_clip_norm: Annotated[float, Field(gt=0)] | None = None
    loss: Literal["binary_crossentropy", "categorical_crossentropy"]
    label_smoothing: Fraction = 0.0
    class_weights: ClassWeights = "none"
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    early_stopping: Annotated[
        EarlyStopping | None, Field(description="empty, or a mapping, such as {patience: 10, min_delta: 0}")
    ] = None
    selected_epoch: SelectedEpoch = "last"
    precision: Literal["float32", "bfloat16"] = "float32"
    deterministic: bool = False
    seeds: Seeds | None = None


AugmentationOrNone = Annotated[
    Annotated[Augmentation, Tag("<other>")] | Annotated[Literal["none"], Tag("<word>")],
    Discriminator(word_or_other),
    Field(description="none, or a mapping of ranges, such as {rotation_range: 50}"),
]
NumberOrAuto = Annotated[
    Annotated[float, Field(gt=0), Tag("<other>")] | Annotated[Literal["auto"], Tag("<word>")],
    Discriminator(word_or_other),
    Field(description="auto, or a number above 0"),
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


class Patients(Strict):
    """How it is known which images show the same patient: a column of the image list, or a pattern on file names."""

    column: str | None = None
    pattern: str | None = None
    """A regular expression that is searched in the file's name; its one group is the patient."""

    @model_validator(mode="after")
    def _one_way_that_works(self) -> "Patients":
        if (self.column is None) == (self.pattern is None):
            raise ValueError("must have either column or pattern")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"pattern: {self.pattern!r} is no regular expression ({error})") from None
            if groups != 1:
                raise ValueError(f"pattern: {self.pattern!r} must have one group in (), the patient; it has {groups}")
        return self


class Config(Strict):
    """The whole config, after defaults, `like` and `override` are worked into each experiment."""

    name: FileName
    remarks: list[Annotated[str, Field(min_length=1, max_length=1000)]] = []
    images: str | None = None
    phantoms: Phantoms | None = None
    layout: Literal["train_test", "classes", "listed"] = "train_test"
    image_list: str | None = None
    patients: Annotated[
        Patients | None, Field(description="empty, {column: NAME} or {pattern: REGULAR_EXPRESSION}")
    ] = None
    image_sources: Annotated[list[ImageSource], Field(min_length=1)] = [
        "https://raw.githubusercontent.com/danieldelijani/COVID-Detection-Machine-Learning-Model/"
        "6137995d9f7ec98bdab4f2f51fb71c9e42f8a0cd/Covid_Data_GradientCrescent/all/{path}",
        "https://archive.softwareheritage.org/api/1/content/sha1_git:{git_blob_sha1}/raw/",
    ]
    missing_images: Literal["error", "warn"] = "error"
    on_bad_image: Literal["error", "skip"] = "error"
    weights: str = "imagenet"
    weights_sources: Annotated[list[WeightsSource], Field(min_length=1)] = ["https://storage.googleapis.com/{path}"]
    tasks: Annotated[dict[FileName, Task], Field(min_length=1)]
    class_index: Literal["alphabetical", "listed"] = "alphabetical"
    split: str = "keras"
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    resampling: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "nearest"
    augmentation: AugmentationOrNone = Augmentation()
    validation_augmented: Literal["study", "clean"] = "study"
    experiments: Annotated[dict[FileName, Experiment], Field(min_length=1)]
    extras: dict[FileName, Experiment] = {}
    only: Annotated[list[FileName], BeforeValidator(as_list)] | None = None
    with_extras: bool = False
    seeds: Seeds = Field(default=1, validate_default=True)
    feature_images: Literal["training_folder", "test_folder", "both"] = "training_folder"
    tsne: Tsne = Tsne()
    claims: str | None = None
    embed_images: Literal["licence", "all", "none"] = "licence"
    threads: Positive = 2
    device: Literal["auto", "cpu", "gpu"] = "auto"
    trainings_per_gpu: Positive = 1
    save_every: Annotated[float, Field(ge=0, le=86_400)] = 60
    keep_states: Literal["longest", "every", "none"] = "longest"
    tensorboard: bool = False
    environment: Literal["cpu", "gpu"] = "cpu"
    versions: Literal["reported", "locked"] = "reported"

    def fetched_into(self) -> str | None:
        """The folder of fetched images, relative to that of all results; None where no image is fetched."""
        if self.images != "study" or self.phantoms is not None or self.image_list is None:
            return None
        return f"images/{'study' if self.image_list == 'study' else PurePath(self.image_list).stem}"

    def folders_of(self, classes: list[str]) -> list[str]:
        """The folders of some classes: those of the images and, whatever the layout, those of their decoded pixels."""
        return [folder for _, _, folder in class_folders(classes, self.layout)]

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
