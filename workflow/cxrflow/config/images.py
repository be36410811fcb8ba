"""What a config says of images: which show the same patient, how they are transformed, and how many are made up."""

import re
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from cxrflow.config.fields import Fraction, word_or_other
from cxrflow.config.strict import Strict


class Phantoms(Strict):
    """Made images in place of real ones: how many a class, drawn from which seed."""

    train_per_class: Annotated[int, Field(ge=5, le=10_000)] = 40
    test_per_class: Annotated[int, Field(ge=1, le=10_000)] = 10
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Patients(Strict):
    """How it is known which images show the same patient: a column of the image list, or a pattern on file names."""

    column: str | None = None
    pattern: str | None = None
    """A regular expression that is searched in the file's name; its one group is the patient."""

    @model_validator(mode="after")
    def _one_way_that_works(self) -> "Patients":
        if (self.column is None) == (self.pattern is None):
            raise ValueError("must have either column or pattern")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"pattern: {self.pattern!r} is no regular expression ({error})") from None
            if groups != 1:
                raise ValueError(f"pattern: {self.pattern!r} must have one group in (), the patient; it has {groups}")
        return self


class Augmentation(Strict):
    """Ranges of the random transformations, by the semantics of Keras' ImageDataGenerator."""

    rotation_range: Annotated[float, Field(ge=0, le=180)] = 50
    width_shift_range: Fraction = 0.2
    height_shift_range: Fraction = 0.2
    shear_range: Annotated[float, Field(ge=0, lt=90)] = 0.25
    zoom_range: Fraction = 0.1
    channel_shift_range: Annotated[float, Field(ge=0, le=255)] = 20
    horizontal_flip: bool = True
    vertical_flip: bool = True
    without_effect: list[Literal["featurewise_center", "featurewise_std_normalization", "zca_whitening"]] = Field(
        default=["featurewise_center", "featurewise_std_normalization", "zca_whitening"]
    )


AugmentationOrNone = Annotated[
    Annotated[Augmentation, Tag("<other>")] | Annotated[Literal["none"], Tag("<word>")],
    Discriminator(word_or_other),
    Field(description="none, or a mapping of ranges, such as {rotation_range: 50}"),
]
