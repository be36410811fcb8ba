"""The settings of an experiment: its network, and how it is trained."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from cxrflow.study.decides import Purpose
from cxrflow.study.fields import (
    Allowed,
    Backbone,
    ClassName,
    FileName,
    Fraction,
    InitialWeights,
    Positive,
    Seeds,
    Strict,
    no_repeats,
    word_or_other,
)
from cxrflow.study.head import Head

KIND_MEANING = "the kind of the schedule: `cosine`, `step`, `exponential` or `plateau`"


class Cosine(Strict):
    """The learning rate falls along half a cosine, then stays constant."""

    kind: Literal["cosine"] = Field(description=KIND_MEANING)
    epochs: Positive = Field(
        description="`cosine`: length of the fall in epochs, regardless of the length of the training"
    )
    final: float = Field(default=0.0, ge=0, le=1, description="`cosine`: share of the initial rate at the end")


class Step(Strict):
    """The learning rate falls after named epochs."""

    kind: Literal["step"] = Field(description=KIND_MEANING)
    at: Annotated[list[Positive], AfterValidator(no_repeats), Allowed("a list of epochs from 1")] = Field(
        min_length=1, description="`step`: the epochs after which the rate falls"
    )
    factor: float = Field(default=0.1, gt=0, lt=1, description="`step`, `plateau`: the rate is multiplied by this")


class Exponential(Strict):
    """The learning rate falls exponentially with the training steps."""

    kind: Literal["exponential"] = Field(description=KIND_MEANING)
    factor: float = Field(
        gt=0, lt=1, description="`exponential`: factor of the rate over `steps` steps; has no default"
    )
    steps: Positive = Field(description="`exponential`: training steps in which the rate falls by `factor`")
    staircase: bool = Field(
        default=False, description="`exponential`: lower the rate every `steps` steps instead of at each step"
    )


class Plateau(Strict):
    """The learning rate falls when the validation loss stops falling (Keras' ReduceLROnPlateau)."""

    kind: Literal["plateau"] = Field(description=KIND_MEANING)
    patience: Positive = Field(default=10, description="`plateau`: epochs without improvement before the rate falls")
    factor: float = Field(default=0.1, gt=0, lt=1, description="`step`, `plateau`: the rate is multiplied by this")
    min_delta: float = Field(default=0.0001, ge=0, description="`plateau`: smallest fall of the loss that counts")
    minimum: float = Field(default=0.0, ge=0, description="`plateau`: lower bound of the rate")


class EarlyStopping(Strict):
    """Training ends when a curve stops improving (Keras' EarlyStopping)."""

    monitor: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = Field(
        default="val_loss", description="the curve; losses improve by falling, accuracies by rising"
    )
    patience: Positive = Field(default=10, description="epochs without improvement before training ends")
    min_delta: float = Field(default=0.0, ge=0, description="smallest improvement that counts")


def _kind_of_schedule(value: Any) -> str:
    if isinstance(value, dict):
        return f"<{value.get('kind')}>"
    return f"<{value.kind}>" if isinstance(value, Cosine | Step | Exponential | Plateau) else "<word>"


Schedule = Annotated[
    Annotated[Literal["constant"], Tag("<word>")]
    | Annotated[Cosine, Tag("<cosine>")]
    | Annotated[Step, Tag("<step>")]
    | Annotated[Exponential, Tag("<exponential>")]
    | Annotated[Plateau, Tag("<plateau>")],
    Discriminator(_kind_of_schedule),
    Allowed(
        "constant, or a mapping with its kind (cosine, step, exponential, plateau), such as {kind: cosine, epochs: 90}"
    ),
]
ClassWeights = Annotated[
    Annotated[dict[ClassName, Annotated[float, Field(gt=0)]], Tag("<other>")]
    | Annotated[Literal["none", "balanced"], Tag("<word>")],
    Discriminator(word_or_other),
    Allowed("none, balanced, or a weight above 0 for each class, such as {opacity: 2, clear: 1}"),
]
RENAMED_SCALINGS = {"imagenet": "backbone", "study": "double"}
"""Earlier names of values of `input_scaling`."""


def _not_renamed(word: Any) -> Any:
    if isinstance(word, str) and word in RENAMED_SCALINGS:
        raise PydanticCustomError(
            "renamed", "'{word}' was renamed; write {new}", {"word": word, "new": RENAMED_SCALINGS[word]}
        )
    return word


SelectedEpoch = Annotated[
    Annotated[Positive, Tag("<other>")] | Annotated[Literal["last", "best"], Tag("<word>")],
    Discriminator(word_or_other),
    Allowed("last, best, or the number of an epoch, from 1"),
]


class NetworkSettings(Strict):
    """The network."""

    decides: ClassVar[Purpose] = "network"

    backbone: Backbone = Field(description="such as InceptionV3, MobileNet, ResNet50V2 or EfficientNetB0")
    image_size: int = Field(
        default=224, ge=32, le=2048, description="height and width of the input in pixels; each backbone has a minimum"
    )
    frozen_layers: int = Field(
        default=0, ge=0, description="the number of layers of the backbone, from its input on, that are not trained"
    )
    head: Head = Field(description="the layers between the backbone and the output layer")
    head_initialisation: Literal[
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"
    ] = Field(default="glorot_uniform", description="Keras initializer of the head's weights")
    input_scaling: Annotated[Literal["backbone", "unit", "double"], BeforeValidator(_not_renamed)] = Field(
        default="backbone",
        description="`backbone`: preprocess_input(x), as the ImageNet weights of the backbone expect; `unit`: x/255; "
        "`double`: preprocess_input(x/255), which leaves 1/255 of the contrast",
    )
    backbone_batchnorm: Literal["train", "inference"] = Field(
        default="train",
        description="batch normalisation in the trained part of the backbone: with the statistics of the batch, or with the "
        "stored ones",
    )
    batchnorm_momentum: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="momentum of the moving averages of batch normalisation; empty: the backbone's own"
    )
    loss: Literal["binary_crossentropy", "categorical_crossentropy"] = Field(
        description="one sigmoid output, for two classes; or a softmax over the classes"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the computation; weights stay float32. `bfloat16` cannot be combined with `input_scaling: double`",
    )


class TrainingSettings(Strict):
    """The training."""

    decides: ClassVar[Purpose] = "training"

    batch_size: Positive = Field(description="images per batch")
    incomplete_batch: Literal["dropped", "kept"] = Field(
        default="kept", description="the last batch of an epoch if it is smaller than the others"
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field(
        default="adam", description="Keras optimizer, with Keras' defaults for everything that has no key here"
    )
    learning_rate: float = Field(gt=0, le=10, description="learning rate at the start")
    schedule: Schedule = Field(default="constant", description="the learning rate over epochs or steps")
    momentum: Fraction = Field(default=0.0, description="of `sgd` and `rmsprop`; 0 for the other optimizers")
    weight_decay: float = Field(
        default=0.004, ge=0, le=1, description="of `adamw`; the other optimizers take the default only"
    )
    gradient_clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="upper bound of the global norm of the gradients; empty: none"
    )
    label_smoothing: Fraction = Field(
        default=0.0, description="share of each target spread evenly over all classes, in training and validation loss"
    )
    class_weights: ClassWeights = Field(
        default="none",
        description="weights of the classes in the training loss. `balanced`: n / (classes × n of the class), as in "
        "scikit-learn. The validation loss is never weighted",
    )
    early_stopping: Annotated[
        EarlyStopping | None, Allowed("empty, or a mapping, such as {monitor: val_loss, patience: 10, min_delta: 0}")
    ] = Field(default=None, description="end training before `epochs` when a curve stops improving; empty: never")
    deterministic: bool = Field(
        default=False,
        description="ask TensorFlow for deterministic operations on a GPU, which are slower. On a processor they always are",
    )


class LengthSettings(Strict):
    """The length of the training. A longer one resumes where a shorter one ended."""

    decides: ClassVar[Purpose] = "length"

    epochs: int = Field(ge=1, le=100_000, description="passes over the training images")


class EvaluationSettings(Strict):
    """What is evaluated."""

    decides: ClassVar[Purpose] = "evaluation"

    selected_epoch: SelectedEpoch = Field(
        default="last",
        description="the epoch that is evaluated: the last, the one with the lowest validation loss, or one by its number",
    )


class TrainedSettings(EvaluationSettings, LengthSettings, TrainingSettings, NetworkSettings):
    """All settings that training needs."""


def trained_settings(settings: Mapping[str, Any]) -> TrainedSettings:
    """Parse the settings of a training from plain values.

    Raises:
        pydantic.ValidationError: they are not those of this version.
    """
    return TrainedSettings.model_validate(
        {key: settings[key] for key in TrainedSettings.model_fields if key in settings}
    )


class TaskSettings(Strict):
    """The task of an experiment."""

    decides: ClassVar[Purpose] = "data"

    task: FileName = Field(description="one of `tasks`")


class OwnWeightsSettings(Strict):
    """The initial weights of an experiment."""

    decides: ClassVar[Purpose] = "initial_weights"

    weights: InitialWeights | None = Field(
        default=None, description="initial weights; empty: those of the key `weights`"
    )


class OwnSeedsSettings(Strict):
    """The seeds of an experiment."""

    decides: ClassVar[Purpose] = "selection"

    seeds: Seeds | None = Field(default=None, description="seeds; empty: those of the key `seeds`")


class Experiment(OwnSeedsSettings, OwnWeightsSettings, TrainedSettings, TaskSettings):
    """One network, trained for one task."""
