"""Which licences let a report show an image."""

import pytest
from cxrflow.images.licence import allows_showing
from hypothesis import given
from hypothesis import strategies as st

FREE = [
    "CC BY 4.0",
    "CC BY",
    "cc-by",
    "CC-BY-SA",
    "CC BY-SA 3.0",
    "CC BY 4.0 International",
    "CC BY-SA 3.0 Unported",
    "CC0",
    "CC0 1.0",
    "CC0 1.0 Universal",
    "CC Zero",
    "Public Domain",
    "public domain mark 1.0",
    "Creative Commons Attribution 4.0 International",
    "Creative Commons Attribution-ShareAlike 4.0 International",
    "https://creativecommons.org/licenses/by/4.0/",
    "http://creativecommons.org/licenses/by-sa/4.0",
    "https://creativecommons.org/publicdomain/zero/1.0/deed.en",
    " CC  BY 4.0 ",
]
NOT_FREE = [
    None,
    "",
    " ",
    "CC BY-NC",
    "CC BY-NC-SA",
    "CC BY-NC-ND",
    "CC BY-ND 4.0",
    "CC BY-NC-SA 4.0",
    "CC BY NC",
    "cc by nd",
    "CC",
    "Creative Commons Attribution-NonCommercial 4.0 International",
    "Creative Commons Attribution-NoDerivs 2.0",
    "https://creativecommons.org/licenses/by-nc/4.0/",
    "https://creativecommons.org/licenses/by-nd/4.0/",
    "https://creativecommons.org.example/licenses/by/4.0/",
    "all rights reserved",
    "not public domain",
    "CC BY 4.0, non-commercial use only",
    "unknown",
]


@pytest.mark.parametrize("licence", FREE)
def test_free_licences(licence: str) -> None:
    assert allows_showing(licence)


@pytest.mark.parametrize("licence", NOT_FREE)
def test_other_licences_and_none(licence: str | None) -> None:
    assert not allows_showing(licence)


@given(
    st.sampled_from(FREE), st.sampled_from(["NC", "ND", "NonCommercial", "NoDerivatives", "research only"]), st.data()
)
def test_a_restriction_anywhere_is_heeded(licence: str, restriction: str, data: st.DataObject) -> None:
    words = licence.split()
    words.insert(data.draw(st.integers(0, len(words))), restriction)
    assert not allows_showing(data.draw(st.sampled_from([" ", "-"])).join(words))
