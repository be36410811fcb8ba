"""What a config says of an experiment: its network, and how that is trained."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from cxrflow.config.fields import (
    Backbone,
    ClassName,
    FileName,
    Fraction,
    Positive,
    RulePath,
    Seeds,
    no_repeats,
    word_or_other,
)
from cxrflow.config.strict import Strict


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
    weights: RulePath | None = None
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
