"""The typed config: every key with its type, allowed values, default and meaning, grouped by their purpose.

The JSON Schema and docs/reference/config.md are generated from these models. `cxrflow.study.experiment` has the settings of
experiments, `cxrflow.study.images` the nested ones of images.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from cxrflow.study.decides import Purpose
from cxrflow.study.experiment import Experiment
from cxrflow.study.fields import (
    PUBLISHED,
    Allowed,
    ClassName,
    ColumnMeaning,
    FileName,
    ImageFolder,
    ImageSource,
    InitialWeights,
    Positive,
    ResultsName,
    RulePath,
    Seeds,
    SplitRule,
    Strict,
    WeightsSource,
    as_list,
    no_same_names,
    word_or_other,
)
from cxrflow.study.images import Audits, Augmentation, AugmentationOrNone, Patients, Phantoms
from cxrflow.study.names import OTHER_NAMES, SUBSET_FOLDERS, pixel_folder


class Task(Strict):
    """A classification task."""

    classes: Annotated[list[ClassName], AfterValidator(no_same_names), Allowed("a list of at least two classes")] = (
        Field(min_length=2, description="the classes to distinguish; images of other classes are not used")
    )
    positive: Annotated[ClassName | None, Allowed("one of the classes, empty")] = Field(
        default=None, description="the class that sensitivity and specificity refer to; empty: neither is reported"
    )

    @model_validator(mode="after")
    def _positive_is_a_class(self) -> "Task":
        if self.positive is not None and self.positive not in self.classes:
            raise ValueError(f"positive: '{self.positive}' is not one of the classes {', '.join(self.classes)}")
        return self


NumberOrAuto = Annotated[
    Annotated[float, Field(gt=0), Tag("<other>")] | Annotated[Literal["auto"], Tag("<word>")],
    Discriminator(word_or_other),
    Allowed("auto, or a number above 0"),
]


class Tsne(Strict):
    """Settings of scikit-learn's t-SNE."""

    perplexity: float = Field(default=30, gt=0, description="must be below the number of images")
    initialisation: Literal["pca", "random"] = Field(
        default="pca", description="initial positions; always random for a single feature"
    )
    learning_rate: NumberOrAuto = Field(default="auto", description="learning rate of t-SNE")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of t-SNE")


class SelectionSettings(Strict):
    """What is run."""

    decides: ClassVar[Purpose] = "selection"

    study: Annotated[
        str | None, Allowed("a folder in `studies/`, the path of another folder (with a slash), empty")
    ] = Field(default=None, description="the study that is run; empty: the run itself has all keys")
    name: ResultsName = Field(
        description="results go to `results/<name>/`; by default the name of the study's folder. Names of folders that all "
        "results share are reserved"
    )
    only: Annotated[
        list[FileName] | None,
        BeforeValidator(as_list),
        Allowed("a name or a list of names of experiments and extras, empty"),
    ] = Field(default=None, description="run these only")
    with_extras: bool = Field(default=False, description="run all extras as well")
    seeds: Seeds = Field(
        default=1,
        validate_default=True,
        description="seeds of each experiment; the number 5 means seeds 0 to 4. With at least five, results are judged against "
        "the spread of the seeds",
    )


class DataSettings(Strict):
    """The data set."""

    decides: ClassVar[Purpose] = "data"

    images: ImageFolder | None = Field(
        default=None,
        description="the folder of the images, in the layout of `layout`. `published`: fetch the files of `image_list` once, "
        "into `results/images/`",
    )
    phantoms: Phantoms | None = Field(default=None, description="draw chest phantoms, in place of images")
    image_list: Annotated[RulePath | None, Allowed("a CSV, empty")] = Field(
        default=None,
        description="the files of the data set: a CSV with the column `path` and optionally `sha256` or `git_blob_sha1` "
        "(checked), `bytes`, `source`, `patient`, `sex`, `age`, `view`, `licence`; empty: all files in the class folders",
    )
    tasks: Annotated[dict[FileName, Task], Allowed("a mapping of names to tasks")] = Field(
        min_length=1, description="the classification tasks"
    )
    class_index: Literal["alphabetical", "listed"] = Field(
        default="alphabetical",
        description="order of the network's outputs: alphabetical, as in Keras, or as in `classes`",
    )


class IndexSettings(Strict):
    """How the images are found, and what happens to those that cannot be used."""

    decides: ClassVar[Purpose] = "index"

    layout: Literal["train_test", "classes", "listed"] = Field(
        default="train_test",
        description="`train_test`: `train/<class>/`, `test/<class>/` and optionally `validation/<class>/`, in any case and "
        "common spelling (`Valid`, `testing`). `classes`: `<class>/`; `split` selects the test images. `listed`: files "
        "anywhere in the folder; the image list has a column `label` and, for `split: listed`, a column `split`",
    )
    columns: Annotated[
        dict[ColumnMeaning, str],
        Allowed(f"a mapping of {', '.join(OTHER_NAMES)} to columns, such as {{path: filename, label: diagnosis}}"),
    ] = Field(
        default={},
        description="the columns of the image list to use if they have other names. Common names are recognised without "
        "it, which the log states",
    )
    patients: Annotated[Patients | None, Allowed("empty, {column: NAME} or {pattern: REGULAR_EXPRESSION}")] = Field(
        default=None,
        description="how images of one patient are found; empty: by the column `patient` of the image list (or `PatientID`, "
        "`subject_id` and the like) if it has one, otherwise by the headers of DICOM files. The patient of other images "
        "is unknown",
    )
    missing_images: Literal["error", "warn"] = Field(
        default="error",
        description="a listed image that is missing, unreadable or different: end the run, or continue and report it",
    )
    on_bad_image: Literal["error", "skip"] = Field(
        default="error",
        description="images that cannot be used: end the run and name them all, or leave them out and list them in each report",
    )

    def columns_of_list(self) -> dict[str, str]:
        """The columns of the image list that the config names, by their meaning."""
        by_patients = {"patient": self.patients.column} if self.patients and self.patients.column else {}
        return {**self.columns, **by_patients}


class SourceSettings(Strict):
    """Where files are fetched from. Their hashes are checked, so another address changes no result."""

    decides: ClassVar[Purpose] = "sources"

    image_sources: Annotated[list[ImageSource], BeforeValidator(as_list), Allowed("an address, or a list of them")] = (
        Field(
            default=[],
            description="addresses of the images of `images: published`, tried in this order; `{path}`, `{sha256}` and "
            "`{git_blob_sha1}` stand for values of the image list",
        )
    )
    weights_sources: Annotated[
        list[WeightsSource], BeforeValidator(as_list), Allowed("an address, or a list of them")
    ] = Field(
        default=["https://storage.googleapis.com/{path}"],
        min_length=1,
        description="addresses of the ImageNet weights, tried in this order; `{path}` is the path at Keras' own address",
    )


class PixelSettings(Strict):
    """Decoding."""

    decides: ClassVar[Purpose] = "pixels"

    resampling: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = Field(
        default="bilinear", description="Pillow's filter for resizing images"
    )


class SplitSettings(Strict):
    """The split into training, validation and test images."""

    decides: ClassVar[Purpose] = "split"

    split: SplitRule = Field(
        default="stratified",
        description="`stratified`: the same shares of each class, by hashes of patients or images, so that one more image "
        "moves few others; images of one patient, or with the same bytes or pixels, stay in one subset. With "
        "`layout: train_test`, `test/` is the test set and `train/` is split; patients in both are reported. "
        "`keras`: for each class, the first int(fraction × n) files of `train/` in sorted order are the validation "
        "images, the others the training images; `test/` is the test set. With both rules, a validation folder replaces "
        "the validation images from `train/`. `listed`: the column `split` (training, validation, test) of the image list. "
        "A CSV: columns `image` and `subset`; images that it does not name are not used",
    )
    validation_fraction: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="`keras`: share of each class of `train/` for validation. `stratified`: share of each class of the images "
        "that are not test images. Unused if there is a validation folder",
    )
    test_fraction: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="`stratified`: share of each class for the test if there is no `test/`, to within a tenth of the smallest "
        "subset",
    )
    split_seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="`stratified`, `folds`: another seed gives another split, and other folds",
    )


class FoldSettings(Strict):
    """Cross-validation, in addition to the split."""

    decides: ClassVar[Purpose] = "selection"

    folds: Annotated[int, Field(ge=2, le=1000)] | None = Field(
        default=None,
        description="cross-validation: all images of a task, test images included, are divided by patient into this number of "
        "folds with the same shares of each class, and a further network is trained for each fold and tested on it. "
        "`validation_fraction` of the other images are for validation. Empty: none",
    )
    repeats: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="repeats of the cross-validation, each with other folds and the next training seed, from 0",
    )


class AuditSettings(Strict):
    """The audits of the images."""

    decides: ClassVar[Purpose] = "audits"

    audits: Annotated[Audits, Allowed("a mapping of audits to fail, warn or off, such as {patients: fail}")] = Field(
        default=Audits(), description="what happens when an audit finds a problem; audits that are not named warn"
    )


class AugmentationSettings(Strict):
    """The augmentation."""

    decides: ClassVar[Purpose] = "augmentation"

    augmentation: AugmentationOrNone = Field(
        default=Augmentation(),
        description="ranges with the meaning they have in Keras' ImageDataGenerator; `none`: images are only shuffled",
    )
    augment_validation: bool = Field(
        default=False,
        description="augment the validation images like the training images; the random numbers of the training images stay "
        "the same",
    )


class InitialWeightsSettings(Strict):
    """The initial weights of the backbones. A training depends on their contents."""

    decides: ClassVar[Purpose] = "initial_weights"

    weights: InitialWeights = Field(
        default="imagenet",
        description="`imagenet`: fetched once, as Keras publishes them. A folder: the file whose name starts with that of the "
        "backbone and ends with `.weights.h5` or `.h5`, written by Keras' `save_weights` without the top",
    )


class ComputingSettings(Strict):
    """How a training computes."""

    decides: ClassVar[Purpose] = "training"

    threads: Positive = Field(
        default=2,
        description="TensorFlow's threads. The results of a training depend on them; Snakemake's `--cores` only schedules",
    )
    backend: Literal["tensorflow", "torch"] = Field(
        default="tensorflow",
        description="the backend of Keras. Only TensorFlow is in the environments of `envs/`; for `torch`, install PyTorch",
    )


class ExperimentSettings(Strict):
    """The experiments."""

    decides: ClassVar[Purpose] = "selection"

    experiments: Annotated[dict[FileName, Experiment], Allowed("a mapping of names to experiments")] = Field(
        min_length=1, description="the networks to train; names must differ by more than capitals"
    )
    extras: Annotated[dict[FileName, Experiment], Allowed("a mapping of names to experiments")] = Field(
        default={}, description="further experiments, with the same keys, that run on demand only"
    )


class FeatureSettings(Strict):
    """The features."""

    decides: ClassVar[Purpose] = "features"

    feature_images: Literal["training_folder", "test_folder", "both"] = Field(
        default="training_folder", description="the images of the t-SNE map; they are not augmented"
    )


class EmbeddingSettings(Strict):
    """The t-SNE map."""

    decides: ClassVar[Purpose] = "embedding"

    tsne: Tsne = Field(default=Tsne(), description="settings of scikit-learn's t-SNE")


class ExplanationSettings(Strict):
    """What explanations of the networks measure, and on how many test images."""

    decides: ClassVar[Purpose] = "explanations"

    lungs: Annotated[RulePath | None, Allowed("a CSV, empty")] = Field(
        default=None,
        description="lung boxes: a CSV with the columns `image` (as in `predictions.csv`), `left`, `top`, `right`, `bottom`, "
        "shares of width and height from 0 to 1; several rows are several boxes. Other images have a fixed box for each lung",
    )
    explained_errors: int = Field(
        default=18, ge=0, le=1000, description="wrongly predicted test images to explain; of more, a random sample"
    )
    explained_right: int = Field(
        default=6, ge=0, le=1000, description="rightly predicted test images to explain, a random sample"
    )
    altered_images: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="test images on which accuracy is measured with altered pixels; of more, a random sample",
    )


class ExplainedSettings(Strict):
    """Which networks are explained."""

    decides: ClassVar[Purpose] = "selection"

    explain: Literal["none", "one_seed", "all_seeds"] = Field(
        default="one_seed",
        description="the networks that are explained after their test: where they look (Grad-CAM), and how accurate they are "
        "on altered images. `one_seed`: that of the first seed of each experiment; `none`: the report still lists all errors",
    )


class ExternalSettings(Strict):
    """The external test."""

    decides: ClassVar[Purpose] = "external"

    external: Annotated[RulePath | None, Allowed("a folder, a CSV, empty")] = Field(
        default=None,
        description="labelled images of another source, on which each network is tested as well; no training depends on them. "
        "A folder with `<class>/`, or `train/<class>/`, `test/<class>/` and the like, whose images are all used; or a CSV with "
        "the columns `path` (relative to the CSV), `label` and, as in `image_list`, `patient`, `sha256` and others",
    )


class ReportSettings(Strict):
    """The scorecard and the report."""

    decides: ClassVar[Purpose] = "report"

    claims: Annotated[RulePath | None, Allowed("a CSV, empty")] = Field(
        default=None, description="the statements that the scorecard judges; empty: no scorecard"
    )
    open_points: Annotated[RulePath | None, Allowed("a CSV, empty")] = Field(
        default=None, description="what the study leaves open, with the readings taken; shown in the report"
    )
    remarks: Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Allowed("a list of sentences")] = (
        Field(default=[], description="remarks for the top of the report, on the initial weights for example")
    )
    embed_images: Literal["licence", "all", "none"] = Field(
        default="licence",
        description="the X-rays shown in plots and report. `licence`: those whose licence in the image list allows anyone to "
        "share and adapt them (CC0, CC BY, CC BY-SA, public domain). `all`: all, for your own use. `none`: none. "
        "Phantoms are always shown",
    )


class DeviceSettings(Strict):
    """The device."""

    decides: ClassVar[Purpose] = "device"

    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto",
        description="`auto`: a GPU if TensorFlow sees one, otherwise the processor; `gpu`: a GPU or an error. Whether it was a "
        "GPU is part of the identity of a training",
    )


class OperationSettings(Strict):
    """How and where a run computes."""

    decides: ClassVar[Purpose] = "operation"

    trainings_per_gpu: Positive = Field(
        default=1, description="trainings that share a GPU, as far as its memory allows; changing it reruns nothing"
    )
    save_every: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="seconds between two checkpoints of a training; saving never takes more than 1/40 of the time",
    )
    keep_checkpoints: Literal["longest", "every", "none"] = Field(
        default="longest",
        description="checkpoints that a finished training keeps: the last one and those of longer trainings, also those at the "
        "end of shorter trainings, or none",
    )
    tensorboard: bool = Field(
        default=False, description="write event files for TensorBoard to `results/<name>/tensorboard/` during training"
    )
    environment: Literal["cpu", "gpu"] = Field(
        default="cpu",
        description="the environment in `envs/` for jobs with `--sdm conda`, and the lock file that installed packages are "
        "compared with",
    )
    versions: Literal["reported", "locked"] = Field(
        default="reported",
        description="installed packages that differ from the lock file: state them in the report, or do not start",
    )


# Pydantic lists the fields of the last base first.
class Config(
    OperationSettings,
    DeviceSettings,
    ReportSettings,
    ExternalSettings,
    ExplanationSettings,
    ExplainedSettings,
    EmbeddingSettings,
    FeatureSettings,
    ComputingSettings,
    ExperimentSettings,
    InitialWeightsSettings,
    AugmentationSettings,
    AuditSettings,
    FoldSettings,
    SplitSettings,
    PixelSettings,
    SourceSettings,
    IndexSettings,
    DataSettings,
    SelectionSettings,
):
    """The whole config, after `experiment_defaults`, `like` and `override` have been merged into each experiment."""

    def unused(self) -> dict[str, Any]:
        """Keys that have no effect with the given values of others, in pydantic's form of `exclude`."""
        unused: dict[str, Any] = {"augmentation": {"without_effect"}} if self.augmentation != "none" else {}
        return unused if self.split == "stratified" else {**unused, "test_fraction": True, "split_seed": True}

    def fetched_into(self) -> str | None:
        """The folder of fetched images, relative to `results/`; None if no image is fetched."""
        if self.images != PUBLISHED or self.phantoms is not None or self.image_list is None:
            return None
        path = PurePath(self.image_list)
        # studies/my_study/images.csv: my_study
        name = path.parent.name if path.stem == "images" else path.stem.lstrip(".")
        return f"images/{name.lstrip('.') or 'listed'}"

    def folders_of(self, classes: list[str]) -> list[str]:
        """The folders of the decoded pixels of some classes."""
        subsets = SUBSET_FOLDERS if self.layout == "train_test" else ("",)
        return [pixel_folder(subset, name, self.layout) for subset in subsets for name in classes]

    def selected(self) -> dict[str, Experiment]:
        """The experiments of this run, including extras if selected."""
        everything = {**self.experiments, **self.extras}
        if self.only is not None:
            return {name: everything[name] for name in self.only}
        return everything if self.with_extras else dict(self.experiments)

    def seeds_of(self, experiment: str) -> list[int]:
        """The seeds of an experiment."""
        return {**self.experiments, **self.extras}[experiment].seeds or self.seeds

    def explained(self) -> dict[str, list[int]]:
        """The experiments of this run whose networks are explained, with the seeds of these networks."""
        return explained_seeds(self.explain, {name: self.seeds_of(name) for name in self.selected()})

    def classes_of(self, task: str) -> list[str]:
        """The classes of a task, in the order of the network's outputs."""
        classes = self.tasks[task].classes
        return sorted(classes) if self.class_index == "alphabetical" else list(classes)


def explained_seeds(explain: str, selected: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """The seeds of each experiment whose networks are explained.

    Args:
        explain: the value of this key.
        selected: experiment to the seeds of its trainings.
    """
    most = {"none": 0, "one_seed": 1, "all_seeds": None}[explain]
    return {name: list(seeds[:most]) for name, seeds in selected.items() if seeds[:most]}
