"""Transform an image with parameters of the manifest, with the same pixels as Keras' ImageDataGenerator.

Follows `apply_affine_transform`, `apply_channel_shift` and `flip_axis` of keras.src.legacy.preprocessing.image, and is tested
against them. It is faster: a grey image is transformed once, not three times, and Pillow interpolates in double precision
in a third of the time that scipy takes for Keras.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrflow.augmentation.draw import NUMBERS


def transform_image(image: NDArray[Any], row: Mapping[str, Any]) -> NDArray[np.float32]:
    """Transform one image: rotation, shift, shear, zoom about the centre (bilinear, 0 outside), channel shift, flips.

    Args:
        image: shape (height, width, channels), values 0 to 255.
        row: manifest row; its nine numbers are used.

    Returns:
        float32 of the same shape, values 0 to 255.
    """
    height, width, channels = image.shape
    first = image[..., 0]
    grey = all(np.array_equal(first, image[..., channel]) for channel in range(1, channels))
    planes = [np.ascontiguousarray(image[..., channel], np.float32) for channel in range(1 if grey else channels)]
    matrix = affine_matrix(row, height, width)
    if not np.array_equal(matrix, np.eye(3)):
        inside = _inside(matrix, height, width)
        planes = [np.where(inside, _interpolated(plane, matrix), np.float32(0)) for plane in planes]
    if row["channel_shift"] != 0:
        low, high = min(plane.min() for plane in planes), max(plane.max() for plane in planes)
        planes = [np.clip(plane + np.float32(row["channel_shift"]), low, high) for plane in planes]
    flips = tuple(slice(None, None, -1 if row[flip] else 1) for flip in ("flip_vertical", "flip_horizontal"))
    transformed = np.empty(image.shape, np.float32)
    for channel in range(channels):
        transformed[..., channel] = planes[0 if grey else channel][flips]
    return transformed


def transformed_picture(image: NDArray[np.uint8], row: Mapping[Any, Any]) -> NDArray[np.uint8]:
    """Transform an image and round it to whole grey levels, halves to even; networks get the values unrounded.

    Args:
        image: decoded pixels, uint8 (height, width, 3).
        row: manifest row; its nine numbers are used.

    Returns:
        uint8 of the same shape.
    """
    return np.rint(transform_image(image, {name: row[name] for name in NUMBERS})).astype(np.uint8)


def _interpolated(plane: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Interpolate bilinearly at the input coordinates of each output pixel; outside, use the values at the edge."""
    (a, b, c), (d, e, f) = matrix[:2]
    # Pillow uses x before y, and the corner of a pixel as its origin, where scipy uses the centre.
    numbers = (e, d, f + 0.5 - (d + e) / 2, b, a, c + 0.5 - (a + b) / 2)
    size = (plane.shape[1], plane.shape[0])
    moved = Image.fromarray(plane).transform(size, Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)
    return np.asarray(moved)


def _inside(matrix: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Mask of the output pixels whose input coordinates are inside the image; exact, with scipy's order of additions."""
    (a, b, c), (d, e, f) = matrix[:2]
    rows, columns = np.arange(height)[:, None], np.arange(width)
    y, x = (c + a * rows) + b * columns, (f + d * rows) + e * columns
    return (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)


def affine_matrix(row: Mapping[str, Any], height: int, width: int) -> NDArray[np.float64]:
    """Compute the 3x3 matrix from output to input coordinates (row, column), about the centre of the image."""
    theta, shear = np.deg2rad(row["theta"]), np.deg2rad(row["shear"])
    rotation = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.array([[1, 0, row["tx"] * height], [0, 1, row["ty"] * width], [0, 0, 1]])
    sheared = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([row["zx"], row["zy"], 1.0])
    centre = np.array([[1, 0, height / 2 - 0.5], [0, 1, width / 2 - 0.5], [0, 0, 1]])
    back = np.array([[1, 0, 0.5 - height / 2], [0, 1, 0.5 - width / 2], [0, 0, 1]])
    matrix = centre @ rotation @ shift @ sheared @ zoom @ back
    # Keras builds the matrix for (x, y) and swaps the axes for arrays, which are (row, column).
    return matrix[[1, 0, 2]][:, [1, 0, 2]]
