"""Find labels of an image list that are probably misspelt classes."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cxrflow.io.words import some_of
from cxrflow.study.names import same_name

LEAST_LETTERS = 4
"""Words with fewer letters are never taken for a misspelling: `grade_a` and `grade_b` are two classes."""
RARE = 10
"""A misspelling occurs at most once for this number of images of the class (or once)."""


def label_errors(labelled: Iterable[tuple[str, str]], classes: Sequence[str]) -> list[str]:
    """Report missing labels, and labels that differ from a class only in case, blanks or one letter.

    All other labels belong to classes that the run does not use, see `other_labels`.

    Args:
        labelled: path and label of each image in the list.
        classes: classes of the run.

    Returns:
        One message per label.
    """
    images_of = images_by_label(labelled)
    counts = {label: len(images) for label, images in images_of.items()}
    errors = []
    for label, images in images_of.items():
        where = f"{len(images)} {'image' if len(images) == 1 else 'images'}, {some_of(images, 3)}"
        if not label.strip():
            errors.append(f"image list: no label ({where}); add labels, or remove these rows")
        elif near := intended_class(label, classes, counts):
            errors.append(f"image list: label {label!r} is not a class ({where}); did you mean {near!r}?")
    return errors


def images_by_label(labelled: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Map each label, in the Unicode form of `same_name`, to its images."""
    images_of: dict[str, list[str]] = {}
    for image, label in labelled:
        images_of.setdefault(same_name(label), []).append(image)
    return images_of


def other_labels(labels: Iterable[str], classes: Iterable[str]) -> Counter[str]:
    """Count the images of each label that is not a class of the run."""
    own = {same_name(name) for name in classes}
    return Counter(label for label in labels if same_name(label) not in own)


def intended_class(label: str, classes: Sequence[str], counts: Mapping[str, int]) -> str | None:
    """Find the class that a label is a misspelling of: it differs in case and blanks, or is rare and differs in one letter.

    Args:
        label: in the Unicode form of `same_name`.
        classes: candidates.
        counts: label to the number of its images.
    """
    if label in map(same_name, classes):
        return None
    for name in classes:
        if _plain(label) == _plain(name):
            return name
        is_rare = counts[label] <= max(1, counts.get(same_name(name), 0) // RARE)
        if is_rare and _is_misspelling(_plain(label), _plain(name)):
            return name
    return None


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", name).casefold().strip()))


def _is_misspelling(one: str, other: str) -> bool:
    """Whether two texts differ by one letter that is replaced, added, missing or swapped with the next one."""
    start = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    left, right = one[start:], other[start:]
    while left and right and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    if len(left) > 2 or len(right) > 2 or not (left + right).isalpha():
        return False
    words = (word for word in re.finditer(r"[^\W\d_]+", other) if word.start() <= start <= word.end())
    is_long = any(len(word[0]) >= LEAST_LETTERS for word in words)
    return is_long and (max(len(left), len(right)) == 1 or left == right[::-1])
