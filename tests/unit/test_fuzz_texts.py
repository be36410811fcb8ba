"""Malformed configs and CSVs: each gives a result or a UserError with one-line messages, and no other exception."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cxrflow.claims.load import load_claims
from cxrflow.images.columns import read_image_list
from cxrflow.images.listing import LAYOUTS, list_images
from cxrflow.io.errors import UserError
from cxrflow.io.fetch import is_below
from cxrflow.io.tables import read_csv_as_text
from cxrflow.stages.fetch_images import licences, wanted_images
from cxrflow.stages.split_images import split_by_table
from cxrflow.study.merging import merge_keys
from cxrflow.study.read import read_config
from cxrflow.study.yaml_files import read_yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from study_config import study_config

PROJECT = Path(__file__).resolve().parents[2]
STUDY = study_config()
STUDY_TEXT = (PROJECT / "config.yaml").read_bytes()
IMAGE_LIST = (
    b"path,label,split,patient\ncovid/a.png,covid,training,p\nnormal/b.png,normal,test,\ncovid/c.png,covid,,q\n"
)
TO_FETCH = b"path,bytes,sha256,git_blob_sha1,licence\ntrain/covid/a.png,12,%064d,,CC0\ntest/b.png,,,%040d,\n" % (1, 2)
SPLIT = b"image,subset\ncovid/a.png,training\nnormal/b.png,test\n"
CLAIMS = b"".join((PROJECT / "studies/demo/claims.csv").read_bytes().splitlines(keepends=True)[:6])

# About 3,000 inputs with the fuzz tests of images. HYPOTHESIS_PROFILE=search tries 2,000 new ones for each test.
fuzz = settings(max_examples=max(300, settings().max_examples))

words = st.sampled_from([*STUDY, *STUDY["experiments"]["binary_inception_v3"], "like", "layout", "patients", "kind"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates() | words
keys = words | st.integers() | st.none() | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=8)


def edited(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Replace some bytes by others."""
    for share, length, new in changes:
        place = int(share * len(content))
        content = content[:place] + new + content[place + length :]
    return content


def result_or_error(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except UserError as error:
        assert error.messages and all(message.strip() for message in error.messages)
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(changes=st.dictionaries(words | st.text(max_size=5) | st.integers() | st.none(), values, max_size=3))
def test_fuzz_of_configs_by_any_values(changes: dict[Any, Any]) -> None:
    result_or_error(lambda: read_config({**STUDY, **changes}))


@fuzz
@given(data=st.data(), value=values)
def test_fuzz_of_configs_by_one_value_anywhere(data: st.DataObject, value: Any) -> None:
    raw = copy.deepcopy(STUDY)
    place: Any = raw
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    result_or_error(lambda: read_config(raw))


@fuzz
@given(changes=edits)
def test_fuzz_of_yaml(folder: Path, changes: list[tuple[float, int, bytes]]) -> None:
    (folder / "config.yaml").write_bytes(edited(STUDY_TEXT, changes))
    result_or_error(lambda: read_config(merge_keys(STUDY, read_yaml(folder / "config.yaml"))))


@fuzz
@given(
    changes=edits, layout=st.sampled_from(LAYOUTS), columns=st.sampled_from([{}, {"patient": "p"}, {"path": "label"}])
)
def test_fuzz_of_image_lists(
    folder: Path, changes: list[tuple[float, int, bytes]], layout: str, columns: dict[str, str]
) -> None:
    (folder / "list.csv").write_bytes(edited(IMAGE_LIST, changes))
    for name in ("covid", "normal"):
        for subset in ("", "train", "test"):
            (folder / subset / name).mkdir(parents=True, exist_ok=True)

    def listed() -> Any:
        table = read_image_list(folder / "list.csv", columns=columns).as_frame()
        return list_images(folder, ["covid", "normal"], layout, table)

    index = result_or_error(listed)
    if index is not None:
        assert not any(image.startswith("/") or ".." in image.split("/") for image in index["image"])


@pytest.fixture(scope="module")
def index(folder: Path) -> pd.DataFrame:
    (folder / "index.csv").write_bytes(IMAGE_LIST)
    return list_images(folder, ["covid", "normal"], "listed", read_csv_as_text(folder / "index.csv", "x"))


@fuzz
@given(changes=edits)
def test_fuzz_of_splits(folder: Path, index: pd.DataFrame, changes: list[tuple[float, int, bytes]]) -> None:
    (folder / "split.csv").write_bytes(edited(SPLIT, changes))
    table = lambda: read_csv_as_text(folder / "split.csv", "split")  # noqa: E731
    result_or_error(lambda: split_by_table(index.assign(status="ok"), ["covid", "normal"], table()))


@fuzz
@given(changes=edits)
def test_fuzz_of_lists_to_fetch(folder: Path, changes: list[tuple[float, int, bytes]]) -> None:
    (folder / "fetch.csv").write_bytes(edited(TO_FETCH, changes))
    table = lambda: read_csv_as_text(folder / "fetch.csv", "image_list")  # noqa: E731
    wanted = result_or_error(lambda: wanted_images(table(), ["https://nowhere/{path}", "https://nowhere/{sha256}"]))
    result_or_error(lambda: licences(table()))
    for one in wanted or []:
        if is_below(folder, one.path):
            assert (folder / one.path).resolve().is_relative_to(folder.resolve())


@fuzz
@given(changes=edits)
def test_fuzz_of_claims(folder: Path, changes: list[tuple[float, int, bytes]]) -> None:
    (folder / "claims.csv").write_bytes(edited(CLAIMS, changes))
    result_or_error(lambda: load_claims(folder / "claims.csv"))


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [touch GOT_OUT]", "a: !!python/name:os.system"])
def test_yaml_makes_no_objects(folder: Path, text: str) -> None:
    (folder / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="not valid YAML"):
        read_yaml(folder / "config.yaml")
