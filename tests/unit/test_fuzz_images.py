"""Damaged image files of every format: each outcome is pixels or a UserError, never another exception."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from cxrflow.images.decode import read_header, read_image
from cxrflow.io.errors import UserError, one_line
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bad_images import LARGE, STANDARD, saved

# Every case of docs/reference/image_formats.md, valid or not, and pictures with something to compress.
SEEDS = [*STANDARD.values(), *(saved(LARGE.convert("RGB"), kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"))]
SEEDS += [saved(LARGE, "TIFF", compression=how) for how in ("tiff_lzw", "tiff_deflate", "jpeg")]

# About 3,000 inputs with the fuzz tests of texts. HYPOTHESIS_PROFILE=search tries 2,000 new ones for each test.
fuzz = settings(max_examples=max(300, settings().max_examples))

edits = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert"]), st.floats(0, 1) | st.floats(0, 0.05), st.binary(max_size=8)),
    min_size=1,
    max_size=12,
)


def damaged(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """Change, remove or insert some bytes of a file."""
    for kind, share, new in changes:
        place = int(share * len(content))
        behind = {"set": place + len(new), "cut": place + 4 * len(new), "insert": place}[kind]
        content = content[:place] + (b"" if kind == "cut" else new) + content[behind:]
    return content


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.png"


@pytest.fixture(autouse=True)
def without_warnings() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"):
        yield


def is_used_or_reported(file: Path, content: bytes) -> bool:
    """Whether the file is used. A UserError must be one line, and a used file must be as its header says."""
    file.write_bytes(content)
    try:
        header = read_header(file)
        rgb, conversions = read_image(file)
    except UserError as error:
        assert len(error.messages) == 1 and one_line(str(error)).strip()
        return False
    assert rgb.mode == "RGB" and rgb.size == (header.width, header.height) and all(conversions)
    return True


@fuzz
@given(seed=st.sampled_from(SEEDS), changes=edits)
def test_fuzz_damaged_files(file: Path, seed: bytes, changes: list[tuple[str, float, bytes]]) -> None:
    is_used_or_reported(file, damaged(seed, changes))


@fuzz
@given(seed=st.sampled_from(SEEDS), share=st.floats(0, 1))
def test_fuzz_files_that_are_cut_off(file: Path, seed: bytes, share: float) -> None:
    is_used_or_reported(file, seed[: int(share * len(seed))])


@fuzz
@given(seed=st.sampled_from(SEEDS), other=st.sampled_from(SEEDS), share=st.floats(0, 0.5))
def test_fuzz_heads_on_other_bodies(file: Path, seed: bytes, other: bytes, share: float) -> None:
    is_used_or_reported(file, seed[: int(share * len(seed))] + other[int(share * len(other)) :])


@fuzz
@given(head=st.sampled_from([seed[:132] for seed in SEEDS] + [b"", b"\xff\xd8", b"BM"]), body=st.binary(max_size=300))
def test_fuzz_noise(file: Path, head: bytes, body: bytes) -> None:
    is_used_or_reported(file, head + body)
