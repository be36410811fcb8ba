"""Nested settings of the images: patients, phantoms, audits and augmentation."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from cxrflow.study.fields import Allowed, Fraction, Strict, word_or_other


class Phantoms(Strict):
    """Drawn images in place of real ones."""

    train_per_class: int = Field(default=40, ge=5, le=10_000, description="phantoms of each class in `train/`")
    test_per_class: int = Field(default=10, ge=1, le=10_000, description="phantoms of each class in `test/`")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the drawing")


class Patients(Strict):
    """How images of the same patient are found: a column of the image list, or a pattern on file names."""

    column: str | None = Field(default=None, description="the column of the image list that names the patient")
    pattern: Annotated[str | None, Allowed("a regular expression with one group, empty")] = Field(
        default=None, description=r"searched in the file name; the group is the patient: `'^(\d+)_'`"
    )

    @model_validator(mode="after")
    def _is_one_way_that_works(self) -> "Patients":
        if (self.column is None) == (self.pattern is None):
            raise ValueError("must have either column or pattern")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"pattern: {self.pattern!r} is not a regular expression ({error})") from None
            if groups != 1:
                raise ValueError(f"pattern: {self.pattern!r} must have one group in (), the patient; it has {groups}")
        return self


def _off(level: Any) -> Any:
    """YAML 1.1 reads `off` as false."""
    return "off" if level is False else level


Level = Annotated[Literal["fail", "warn", "off"], BeforeValidator(_off)]


class Audits(Strict):
    """What happens when an audit finds a problem.

    `fail`: end the run before any training starts; `warn`: state it in the report; `off`: skip the audit.
    """

    patients: Level = Field(
        default="warn", description="patients with images in several subsets of a split, or in several classes"
    )
    duplicates: Level = Field(
        default="warn", description="the same image in several files, above all in several subsets or classes"
    )
    look_alikes: Level = Field(
        default="warn",
        description="the same picture in several images: re-encoded, resized, cropped, flipped, rotated by 90°, inverted, "
        "brightened or marked",
    )
    confounders: Level = Field(
        default="warn",
        description="properties that go with the class but are no disease: source, age, sex, view, colour and size",
    )
    rivals: Level = Field(
        default="warn",
        description="classifiers that see too little to recognise disease, such as a thumbnail of 8 × 8 pixels, and are "
        "better than chance",
    )
    quality: Level = Field(
        default="warn",
        description="images that are constant, dark, bright, blurred, inverted, turned, oddly shaped or no chest X-rays, and "
        "burnt-in text and arrows",
    )
    labels: Level = Field(
        default="warn", description="labels that contradict what a classifier learns from the other images (cleanlab)"
    )
    method: Annotated[Literal["warn", "off"], BeforeValidator(_off)] = Field(
        default="warn",
        description="errors of method that the results show: images of another subset in training, epochs or experiments "
        "chosen by test results, unsuitable preprocessing, networks that predict one class, and too few test images",
    )

    def may_fail(self) -> bool:
        """Whether an audit may end a run."""
        return "fail" in self.model_dump().values()


class Augmentation(Strict):
    """Ranges of the random transformations, with the meaning they have in Keras' ImageDataGenerator."""

    rotation_range: float = Field(default=10, ge=0, le=180, description="degrees, uniform in ±")
    width_shift_range: Fraction = Field(default=0.1, description="share of the width, uniform in ±")
    height_shift_range: Fraction = Field(default=0.1, description="share of the height, uniform in ±")
    shear_range: float = Field(default=0, ge=0, lt=90, description="degrees, uniform in ±")
    zoom_range: Fraction = Field(default=0.1, description="uniform in 1 ±, for each axis separately")
    channel_shift_range: float = Field(
        default=20, ge=0, le=255, description="grey levels, uniform in ±, clipped to the range of the image"
    )
    horizontal_flip: bool = Field(default=True, description="mirror left and right with probability 0.5")
    vertical_flip: bool = Field(default=False, description="mirror top and bottom with probability 0.5")
    without_effect: list[Literal["featurewise_center", "featurewise_std_normalization", "zca_whitening"]] = Field(
        default=[],
        description="options of ImageDataGenerator that a study switches on without fitting them, so that they have no effect; "
        "stated in the report",
    )


AugmentationOrNone = Annotated[
    Annotated[Augmentation, Tag("<other>")] | Annotated[Literal["none"], Tag("<word>")],
    Discriminator(word_or_other),
    Allowed("none, or a mapping of ranges, such as {rotation_range: 50}"),
]
