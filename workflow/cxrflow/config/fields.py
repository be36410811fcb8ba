"""What values of a config look like: names that become parts of paths, seeds, addresses, fractions."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from cxrflow.config.backbones import BACKBONES
from cxrflow.config.suggest import did_you_mean
from cxrflow.images.folder import name_fault

SPLIT_RULES = ("keras", "stratified", "listed")
"""Values of `split` that are no file."""
MOST_SEEDS = 10_000


def _address_with(*names: str) -> AfterValidator:
    """A check that an address is http or https, and names in {} nothing else than what is known of a file."""

    def check(address: str) -> str:
        asked = re.findall(r"{(.*?)}", address)
        allowed = ", ".join(f"{{{name}}}" for name in names)
        if address.startswith("["):  # YAML takes the braces for its own, and Snakemake then the whole for a text
            raise ValueError(f"not a list; in one, each address is quoted: '[\"https://…/{{{names[0]}}}\", …]'")
        if not address.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// or http://")
        if not asked or not set(asked) <= set(names):
            raise ValueError(f"must say where the file's own part stands; allowed: {allowed}")
        return address

    return AfterValidator(check)


def _path(path: str) -> str:
    """A path that can be a word of a command, and stand on one line."""
    if path.startswith("-"):
        raise ValueError(f"begins as a flag does; write it as ./{path}")
    if why := name_fault(path):
        raise ValueError(why)
    return path


def _path_for_rules(path: str) -> str:
    if set("{}<>") & set(path):
        raise ValueError("holds {, }, < or >, which Snakemake takes for names of its own; rename it, or link to it")
    return path


def _known_backbone(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(
            f"not a backbone of keras.applications{did_you_mean(name, BACKBONES)}; allowed: {', '.join(BACKBONES)}"
        )
    return name


def as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def word_or_other(value: Any) -> str:
    if isinstance(value, str):
        try:
            float(value)  # within mappings of the command line numbers are texts
        except ValueError:
            return "<word>"
    return "<word>" if value is None or isinstance(value, bool) else "<other>"


def _seed_list(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if value < 1:
        raise ValueError("at least 1 seed is needed: a number of seeds (5 means 0 to 4) or a list of seeds")
    if value > MOST_SEEDS:
        raise ValueError(
            f"more than {MOST_SEEDS:,} seeds: this is their number (5 means 0 to 4); one seed is a list, [7]"
        )
    return list(range(value))


def no_repeats(values: list[Any]) -> list[Any]:
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
    AfterValidator(no_repeats),
    Field(min_length=1),
]
FolderPath = Annotated[str, AfterValidator(_path)]
RulePath = Annotated[FolderPath, AfterValidator(_path_for_rules)]
"""A file that is an input of rules, or a folder of such files."""
ImageSource = Annotated[str, _address_with("path", "sha256", "git_blob_sha1")]
WeightsSource = Annotated[str, _address_with("path")]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
