"""Types of the values of a config: names that become parts of paths, seeds, addresses, fractions."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from cxrflow.io.words import did_you_mean
from cxrflow.study.names import OTHER_NAMES, class_problem, name_problem, same_name

Metadata = TypeVar("Metadata")


class Strict(BaseModel):
    """Base of all settings: unknown keys are errors, values are immutable, and true and false are not numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false, which pydantic would read as 1 and 0."""
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        if any(isinstance(one, bool) for one in inner) and info.field_name is not None:
            types = [*parts_of(cls.model_fields[info.field_name].annotation)]
            # If the key also takes words, the message for a wrong word lists all allowed values.
            takes_words = isinstance(value, bool) and any(get_origin(one) is Literal for one in types)
            if (int in types or float in types) and bool not in types and not takes_words:
                raise ValueError("it should be a number, not true or false")
        return value


def parts_of(annotation: Any) -> Iterator[Any]:
    """The types that a union, an annotated type, a list or a mapping consists of, the whole first."""
    yield annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, list, dict):
        for argument in get_args(annotation):
            yield from parts_of(argument)


@dataclass(frozen=True)
class Allowed:
    """The allowed values of a key in words, where the type does not show them."""

    words: str


@dataclass(frozen=True)
class IsPath:
    """Marks a key that names a file or folder. Paths in a `study.yaml` are relative to its folder."""

    words: tuple[str, ...] = ()
    """Values that are not paths."""


def metadata_of(field: FieldInfo, kind: type[Metadata]) -> Metadata | None:
    """The metadata of one kind in a field's type, also inside a union."""
    return next((one for one in [*field.metadata, *parts_of(field.annotation)] if isinstance(one, kind)), None)


SPLIT_RULES = ("keras", "stratified", "listed")
"""Values of `split` that are not a file."""
PUBLISHED = "published"
"""Value of `images`: the files of the image list, fetched from where they are published."""
WITHOUT_FILE = ("imagenet", "random")
"""Values of `weights` that are not a file."""
MOST_SEEDS = 10_000
RESERVED_NAMES = ("benchmarks", "images", "locks", "logs", "pixels", "README.md", "checkpoints", "weights")
"""Files and folders in `results/` that all results share."""
RESERVED_EXPERIMENTS = ("augmentation",)
"""Folders next to those of the experiments in a results folder (`plots/`)."""
# Written out, so that a config is checked in milliseconds, without importing Keras; a test compares it with Keras.
BACKBONES = tuple(
    """
    ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201
    EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6
    EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L
    EfficientNetV2M EfficientNetV2S InceptionResNetV2 InceptionV3 MobileNet MobileNetV2 MobileNetV3Large
    MobileNetV3Small NASNetLarge NASNetMobile ResNet101 ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2
    VGG16 VGG19 Xception
    """.split()
)


def _address_with(*names: str) -> AfterValidator:
    """A check that a value is an address of http or https with at least one of some placeholders, and no others."""
    allowed = ", ".join(f"{{{name}}}" for name in names)

    def check(address: str) -> str:
        used = re.findall(r"{(.*?)}", address)
        if address.startswith("["):  # not valid YAML because of the braces, so that Snakemake passes it on as text
            raise ValueError(f"not a list; quote each address of a list: '[\"https://…/{{{names[0]}}}\", …]'")
        if not address.startswith(("http://", "https://")):
            raise ValueError("must start with https:// or http://")
        if not used or not set(used) <= set(names):
            raise ValueError(f"must contain a placeholder for the file; allowed: {allowed}")
        return address

    return AfterValidator(check)


def _path(path: str) -> str:
    if path.startswith("-"):
        raise ValueError(f"must not start with a dash, like a flag; write ./{path}")
    if why := name_problem(path):
        raise ValueError(why)
    return path


def _path_for_rules(path: str) -> str:
    if set("{}<>") & set(path):
        raise ValueError("must not contain {, }, < or >, which have a meaning in Snakemake; rename it, or use a link")
    return path


def _known_backbone(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(
            f"not a backbone of keras.applications{did_you_mean(name, BACKBONES)}; allowed: {', '.join(BACKBONES)}"
        )
    return name


def is_reserved(name: str, reserved: Iterable[str]) -> bool:
    """Whether a name is reserved, in any case, since some file systems ignore case."""
    return name.casefold() in map(str.casefold, reserved)


def _not_reserved(name: str) -> str:
    if is_reserved(name, RESERVED_NAMES):
        raise ValueError(
            f"results/{name} is shared by all results; choose another name; reserved, in any case: "
            + ", ".join(RESERVED_NAMES)
        )
    return name


def as_list(value: Any) -> Any:
    """A single text as a list of one; other values unchanged."""
    return [value] if isinstance(value, str) else value


def word_or_other(value: Any) -> str:
    """The tag of a value of a key that takes words and something else: `<word>` or `<other>`."""
    if isinstance(value, str):
        try:
            float(value)  # numbers inside a mapping on the command line are texts
        except ValueError:
            return "<word>"
    return "<word>" if value is None or isinstance(value, bool) else "<other>"


def _seed_list(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if value < 1:
        raise ValueError("at least 1 seed is needed; allowed: a number of seeds (5 means 0 to 4), or a list of seeds")
    if value > MOST_SEEDS:
        raise ValueError(
            f"more than {MOST_SEEDS:,} seeds; a number is the number of seeds (5 means 0 to 4); one seed is a list, [7]"
        )
    return list(range(value))


def no_repeats(values: list[Any]) -> list[Any]:
    """Check that no value is repeated."""
    if len(set(values)) != len(values):
        raise ValueError("a value is repeated; give each once")
    return values


def no_same_names(names: list[str]) -> list[str]:
    """Check that no two names consist of the same letters, in any Unicode form."""
    if repeated := sorted({name for name in names if [*map(same_name, names)].count(same_name(name)) > 1}):
        raise ValueError(f"{' and '.join(repeated)}: repeated; give each once")
    return names


def _class_name(name: str) -> str:
    if why := class_problem(name):
        raise ValueError(why)
    return name


def _column_meaning(word: str) -> str:
    if word not in OTHER_NAMES:
        raise ValueError(
            f"not the meaning of a column{did_you_mean(word, OTHER_NAMES)}; allowed: {', '.join(OTHER_NAMES)}"
        )
    return word


FileName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_+.-]*$", max_length=80),
    Allowed("letters, digits, `_ + . -`"),
]
"""A name that becomes part of a path: the first character is a letter, a digit or `_`."""
ResultsName = Annotated[FileName, AfterValidator(_not_reserved)]
ClassName = Annotated[str, AfterValidator(_class_name)]
ColumnMeaning = Annotated[str, AfterValidator(_column_meaning)]
Backbone = Annotated[str, AfterValidator(_known_backbone), Allowed("a network of keras.applications")]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**31)]],
    BeforeValidator(_seed_list),
    AfterValidator(no_repeats),
    Field(min_length=1),
    Allowed(f"a number up to {MOST_SEEDS:,}, or a list of numbers from 0"),
]
ImageFolder = Annotated[str, AfterValidator(_path), IsPath((PUBLISHED,)), Allowed(f"`{PUBLISHED}`, a folder")]
RulePath = Annotated[str, AfterValidator(_path), AfterValidator(_path_for_rules), IsPath()]
"""A file that is an input of rules, or a folder of such files."""
SplitRule = Annotated[
    str,
    AfterValidator(_path),
    AfterValidator(_path_for_rules),
    IsPath(SPLIT_RULES),
    Allowed("`keras`, `stratified`, `listed`, a CSV"),
]
InitialWeights = Annotated[
    str,
    AfterValidator(_path),
    AfterValidator(_path_for_rules),
    IsPath(WITHOUT_FILE),
    Allowed("`imagenet`, `random`, a file, a folder"),
]
ImageSource = Annotated[str, _address_with("path", "sha256", "git_blob_sha1")]
WeightsSource = Annotated[str, _address_with("path")]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]
