"""What the network sees of an image in an epoch, as a picture to look at."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrflow.augmentation.draw import NUMBERS
from cxrflow.augmentation.transform import transform_image


def seen_picture(image: NDArray[np.uint8], row: Mapping[Any, Any]) -> NDArray[np.uint8]:
    """The transformed image in whole grey levels.

    The network gets the values as they are; here each is rounded to the nearest whole number, halves to the even one.

    Args:
        image: decoded pixels, uint8 (height, width, 3).
        row: a manifest row, of which the nine numbers are used.

    Returns:
        uint8 of the same shape.
    """
    return np.rint(transform_image(image, {name: row[name] for name in NUMBERS})).astype(np.uint8)
