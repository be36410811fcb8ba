"""What a config may say: every key with its type, its allowed values and the study's value as default.

config.yaml comments the same keys for readers; workflow/schemas/config.schema.json is generated from these models. Experiments
are in `cxrflow.config.training`; patients, phantoms and augmentation in `cxrflow.config.images`.
"""

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from cxrflow.config.fields import (
    ClassName,
    FileName,
    FolderPath,
    ImageSource,
    Positive,
    RulePath,
    Seeds,
    WeightsSource,
    as_list,
    no_repeats,
    word_or_other,
)
from cxrflow.config.images import Augmentation, AugmentationOrNone, Patients, Phantoms
from cxrflow.config.strict import Strict
from cxrflow.config.training import Experiment
from cxrflow.images.folder import class_folders


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


class Config(Strict):
    """The whole config, after defaults, `like` and `override` are worked into each experiment."""

    name: FileName
    remarks: list[Annotated[str, Field(min_length=1, max_length=1000)]] = Field(default=[])
    images: FolderPath | None = None
    phantoms: Phantoms | None = None
    layout: Literal["train_test", "classes", "listed"] = "train_test"
    image_list: RulePath | None = None
    patients: Annotated[
        Patients | None, Field(description="empty, {column: NAME} or {pattern: REGULAR_EXPRESSION}")
    ] = None
    image_sources: Annotated[list[ImageSource], BeforeValidator(as_list), Field(min_length=1)] = Field(
        default=[
            "https://raw.githubusercontent.com/danieldelijani/COVID-Detection-Machine-Learning-Model/"
            "6137995d9f7ec98bdab4f2f51fb71c9e42f8a0cd/Covid_Data_GradientCrescent/all/{path}",
            "https://archive.softwareheritage.org/api/1/content/sha1_git:{git_blob_sha1}/raw/",
        ]
    )
    missing_images: Literal["error", "warn"] = "error"
    on_bad_image: Literal["error", "skip"] = "error"
    weights: RulePath = "imagenet"
    weights_sources: Annotated[list[WeightsSource], BeforeValidator(as_list), Field(min_length=1)] = Field(
        default=["https://storage.googleapis.com/{path}"]
    )
    tasks: Annotated[dict[FileName, Task], Field(min_length=1)]
    class_index: Literal["alphabetical", "listed"] = "alphabetical"
    split: RulePath = "keras"
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    resampling: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "nearest"
    augmentation: AugmentationOrNone = Augmentation()
    validation_augmented: Literal["study", "clean"] = "study"
    experiments: Annotated[dict[FileName, Experiment], Field(min_length=1)]
    extras: dict[FileName, Experiment] = Field(default={})
    only: Annotated[list[FileName], BeforeValidator(as_list)] | None = None
    with_extras: bool = False
    seeds: Seeds = Field(default=1, validate_default=True)
    feature_images: Literal["training_folder", "test_folder", "both"] = "training_folder"
    tsne: Tsne = Tsne()
    claims: RulePath | None = None
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
        return f"images/{PurePath(self.image_list).stem.lstrip('.') or 'listed'}"

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
