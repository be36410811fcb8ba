"""The layers between a backbone and the output layer, as an experiment's `head` lists them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError

from cxrflow.io.words import did_you_mean
from cxrflow.study.fields import BACKBONES, Allowed, Fraction, Positive, Strict
from cxrflow.study.layers import KINDS, POOLINGS, HeadLayer, kind_of, named_layers

EXAMPLE = "[average_pooling, {dense: 128}, {dropout: 0.3}, {dense: 32}]"
MUST_BE_LIST = f"must be a list of layers, such as {EXAMPLE}"
ALLOWED_LAYERS = f"{', '.join(POOLINGS)}, {{conv: FILTERS}}, {{dense: UNITS}}, {{dropout: RATE}}"
RESERVED = (
    *(
        "backbone",
        "head",
        "last_hidden",
        "output",
        "pixels",
        "preprocess_input",
        "rescaling",
        "study_rescaling",
        "NASNet",
    ),
    "layers",  # head.layers are the names of all
)
"""Names that a layer of the head cannot have, since other parts of the network or of its description have them."""

LayerName = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60), Allowed("letters, digits, `_`; empty")
]
Activation = Literal["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "linear"]
L2 = Annotated[float, Field(ge=0), Allowed("a factor of the L2 penalty on the kernel; 0 for none")]
L2_MEANING = (
    "convolution or dense: this factor times the sum of the squared weights, without biases, is added to the training and "
    "validation loss; the test loss is without it"
)
NAME_MEANING = (
    "name of a convolution or dense layer; empty: conv_1, dense_1 and so on, and last_hidden for the last dense layer"
)


class Conv(Strict):
    """A two-dimensional convolution with stride 1."""

    conv: Annotated[Positive, Allowed("a number of filters from 1")] = Field(description="filters of a convolution")
    kernel: Annotated[Positive, Allowed("height and width of a filter, from 1")] = Field(
        default=3, description="convolution: height and width of the filters"
    )
    padding: Literal["same", "valid"] = Field(
        default="same", description="convolution: `same` keeps height and width, `valid` reduces them by `kernel` - 1"
    )
    activation: Activation = Field(default="relu", description="activation of a convolution or dense layer")
    l2: L2 = Field(default=0.0, description=L2_MEANING)
    name: LayerName | None = Field(default=None, description=NAME_MEANING)


class Dense(Strict):
    """A fully connected layer."""

    dense: Annotated[Positive, Allowed("a number of units from 1")] = Field(description="units of a dense layer")
    activation: Activation = Field(default="relu", description="activation of a convolution or dense layer")
    l2: L2 = Field(default=0.0, description=L2_MEANING)
    name: LayerName | None = Field(default=None, description=NAME_MEANING)


class Dropout(Strict):
    """Dropout, during training only."""

    dropout: Annotated[Fraction, Allowed("a share of values to set to 0, from 0 to below 1")] = Field(
        description="share of the values that a dropout layer sets to 0"
    )


def head_as_text(head: Sequence[Any]) -> str:
    """Write a head as in a config, without keys at their defaults."""
    return f"[{', '.join(map(_layer_as_text, head))}]"


def _layer_as_text(layer: Any) -> str:
    if not isinstance(layer, Mapping):
        return str(layer)
    fields = {key: field for model in (Conv, Dense, Dropout) for key, field in model.model_fields.items()}
    written = [f"{key}: {value}" for key, value in layer.items() if key not in fields or fields[key].default != value]
    return "{" + ", ".join(written) + "}"


MAPPING_KEYS = ("pooling", "dense_units", "dropout", "last_hidden_units")
"""Keys of a head in earlier versions, which wrote it as a mapping."""


def list_of_mapping(head: Mapping[str, Any], missing: Any = None) -> list[Any]:
    """Convert a head from the mapping of earlier versions to a list of layers.

    Args:
        head: has some of `MAPPING_KEYS`.
        missing: stands for missing numbers of units.
    """
    units = head.get("dense_units", missing)
    first, *more = units if isinstance(units, list) and units else [units]
    pooling = str(head.get("pooling", "average"))
    return [
        pooling if pooling == "flatten" else f"{pooling}_pooling",
        {"dense": first},
        {"dropout": head.get("dropout", 0.0)},
        *({"dense": number} for number in [*more, head.get("last_hidden_units", missing)]),
    ]


def _replacement_of(head: Any) -> str:
    """What to write in place of a head that is a mapping, or an empty text if it has other errors."""
    if not isinstance(head, Mapping) or not head or not set(head) <= set(MAPPING_KEYS):
        return ""
    try:
        TypeAdapter(Head).validate_python(list_of_mapping(head, missing=1))
    except ValidationError:
        return ""
    complete = {"dense_units", "last_hidden_units"} <= set(head)
    text = head_as_text(list_of_mapping(head, missing="…"))
    return text if complete else f"{text}, with the missing numbers filled in"


def _check_forms(value: Any) -> Any:
    """Check that a head is a list of words and of mappings with one kind each; pydantic checks their values."""
    if not isinstance(value, list):
        replacement = _replacement_of(value)
        raise ValueError(f"must be a list of layers; write {replacement}" if replacement else MUST_BE_LIST)
    wrong = [f"layer {number}: {why}" for number, layer in enumerate(value, 1) if (why := _wrong_form(layer))]
    if wrong:
        raise ValueError("; ".join(wrong))
    return value


def _wrong_form(layer: Any) -> str:
    if isinstance(layer, Conv | Dense | Dropout) or (isinstance(layer, str) and layer in POOLINGS):
        return ""
    if isinstance(layer, Mapping):
        kinds = [kind for kind in KINDS if kind in layer]
        if kinds:
            return f"has {' and '.join(kinds)}; write one layer for each" if len(kinds) > 1 else ""
        near = next((near for key in layer if (near := did_you_mean(str(key), KINDS))), "")
        return f"{_layer_as_text(layer)} is not allowed; allowed: {ALLOWED_LAYERS}{near}"
    if layer in KINDS:
        return f"{layer} needs a number; write {{{layer}: {'0.3' if layer == 'dropout' else '128'}}}"
    return f"{layer!r} is not allowed; allowed: {ALLOWED_LAYERS}{did_you_mean(str(layer), POOLINGS)}"


def _check_order(head: list[Any]) -> list[Any]:
    """Check that convolutions, one pooling or flatten layer and dense layers follow in this order, with valid names."""
    layers = named_layers([layer if isinstance(layer, str) else layer.model_dump() for layer in head])
    kinds = [layer.kind for layer in layers]
    poolings = [kind for kind in kinds if kind in POOLINGS]
    if len(poolings) != 1:
        found = " and ".join(poolings) or "none"
        raise ValueError(f"needs exactly one of {', '.join(POOLINGS)}; it has {found}")
    place = kinds.index(poolings[0])
    wrong = [
        f"layer {number}: {kind} must come {'before' if kind == 'conv' else 'after'} {poolings[0]}"
        for number, kind in enumerate(kinds, 1)
        if (kind == "conv" and number > place) or (kind == "dense" and number <= place)
    ]
    wrong += _wrong_names(layers)
    if wrong:
        raise ValueError("; ".join(wrong))
    return head


def _wrong_names(layers: Sequence[HeadLayer]) -> list[str]:
    wrong, taken = [], {layer.name for layer in layers if not layer.settings.get("name")}
    for number, layer in enumerate(layers, 1):
        name = layer.settings.get("name")
        if not name:
            continue
        if name in RESERVED or name.casefold().replace("_", "") in map(str.casefold, BACKBONES):
            wrong.append(f"layer {number}: the name {name} belongs to another part of the network; choose another")
        elif name in taken:
            wrong.append(f"layer {number}: another layer is named {name}; choose another name")
        taken.add(name)
    return wrong


def _tag_of(value: Any) -> str:
    if isinstance(value, Conv | Dense | Dropout):
        return f"<{type(value).__name__.lower()}>"
    return "<word>" if isinstance(value, str) else f"<{kind_of(value)}>"


Layer = Annotated[
    Annotated[Literal["average_pooling", "max_pooling", "flatten"], Tag("<word>")]
    | Annotated[Conv, Tag("<conv>")]
    | Annotated[Dense, Tag("<dense>")]
    | Annotated[Dropout, Tag("<dropout>")],
    Discriminator(_tag_of),
]
Head = Annotated[
    list[Layer],
    BeforeValidator(_check_forms),
    AfterValidator(_check_order),
    Allowed(f"a list of layers: {ALLOWED_LAYERS}"),
]
"""Convolutions, one pooling or flatten layer, Dense layers, in this order, and dropout anywhere. The output layer follows."""
