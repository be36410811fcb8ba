"""Random numbers by name."""

import numpy as np
from cxrflow.phantoms.streams import stream
from hypothesis import given, settings
from hypothesis import strategies as st

PARTS = st.one_of(st.integers(0, 2**32), st.text(max_size=8))
NAMES = st.lists(PARTS, min_size=1, max_size=4).filter(lambda name: "\x1f" not in "".join(map(str, name)))


@settings(max_examples=50, deadline=None)
@given(NAMES, NAMES)
def test_a_name_has_one_stream_and_two_names_have_two(one: list, other: list) -> None:
    first = stream(*one).random(4)
    assert np.array_equal(first, stream(*one).random(4))
    if [(type(part), part) for part in one] != [(type(part), part) for part in other]:
        assert not np.array_equal(first, stream(*other).random(4))


def test_known_numbers() -> None:
    """A change here changes every phantom that was ever drawn."""
    assert stream("phantom", 0, "train/covid", 1).integers(0, 1000, 5).tolist() == [383, 311, 340, 223, 613]
