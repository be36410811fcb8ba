"""Register two images: find the flip, turn, shift, scale and shear that makes one most similar to the other."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrflow.audits.candidates import in_order
from cxrflow.audits.image_details import Array, taper, zoom_matrix

SHIFT = 0.12
"""Largest shift of a candidate, as a share of the side."""
STEPS = 6
"""Steps of each refinement."""
HARDLY = 0.3
"""Correlation of coarse details under which fine ones are not compared; it is above 0.8 for copies."""
SHARE = 0.6
"""Smallest share of the image that both must show."""


@dataclass(frozen=True)
class Registered:
    """The best alignment of an image with another one."""

    correlation: float
    """Pearson correlation of their fine details where both have some, 0 to 1; 0 if the coarse ones hardly correlate."""
    order: int
    """How the image is flipped or turned, from 0 to 7: `candidates.in_order` of order % 4, then by 180° if 4 or more."""
    is_inverted: bool
    scale: tuple[float, float]
    """Height and width of the other image, in those of the image; under 1 if the other one is cropped."""


def turned(image: Array, order: int) -> Array:
    """Flip or turn an image in one of eight ways."""
    image = in_order(image, order % 4)
    return image[..., ::-1, ::-1] if order >= 4 else image


def register(
    coarse: tuple[Array, Array], fine: Callable[[], tuple[Array, Array]], order: int, scale: float
) -> Registered:
    """Register an image with another one.

    Cross-correlation gives the turn by 180°, the sign and the shift (Kuglin and Hines, 1975). Gauss-Newton steps refine them to
    an affine transformation (inverse compositional: Baker and Matthews, 2004), first of the coarse details, then of the fine
    ones, whose correlation counts: ribs can be aligned with those of another person, vessels and noise cannot.

    Args:
        coarse: details of both images from `image_details.details_of`, shape (`COARSE`, `COARSE`).
        fine: makes their fine details, shape (`FINE`, `FINE`); called only if the coarse ones correlate.
        order: 0 to 3, of `candidates.in_order`.
        scale: the share of the image that the other one shows, along each side.
    """
    image, other = coarse
    ways = (order, order + 4)
    _, sign, shift, way = max(((*_shift(turned(image, way), other, scale), way) for way in ways), key=itemgetter(0))
    start = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    correlation, matrix = _refined(turned(image, way) * np.float32(sign), other, start)
    if correlation < HARDLY:
        return Registered(0.0, way, sign < 0, (scale, scale))
    image, other = fine()
    matrix[:, 2] *= len(image) / len(coarse[0])
    correlation, matrix = _refined(turned(image, way) * np.float32(sign), other, matrix)
    height, width = np.hypot(*matrix[:, :2])
    return Registered(max(correlation, 0.0), way, sign < 0, (float(height), float(width)))


def _shift(image: Array, other: Array, scale: float) -> tuple[float, int, NDArray[np.float64]]:
    """Peak of the cross-correlation, its sign, and the shift of the middle, in pixels of the image."""
    side = len(image)
    zoom = zoom_matrix(side, scale)
    window = taper(side)
    spectrum = np.fft.rfft2(zoom @ image @ zoom.T * window) * np.conj(np.fft.rfft2(other * window))
    product = np.fft.irfft2(spectrum, (side, side))
    reach = int(SHIFT * side)
    near = np.roll(product, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    peak = int(np.argmax(np.abs(near)))
    at = np.array(np.unravel_index(peak, near.shape)) - reach
    value = float(near.ravel()[peak])
    return abs(value), 1 if value >= 0 else -1, (at * scale).astype(np.float64)


def _refined(moving: Array, fixed: Array, matrix: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Refine the matrix that maps places of `fixed`, relative to its middle, to those of `moving`."""
    side = len(fixed)
    y, x = np.mgrid[:side, :side].astype(np.float32) - np.float32((side - 1) / 2)
    dy, dx = np.gradient(fixed)
    steepest = np.stack([dy * y, dy * x, dy, dx * y, dx * x, dx]).reshape(6, -1)
    best = (-1.0, matrix)
    for _ in range(STEPS + 1):
        values, inside = _warped(moving, matrix)
        best = max(best, (_correlation(values, inside, fixed), matrix), key=itemgetter(0))
        seen = steepest * inside.ravel()
        error = ((values - fixed) * inside).ravel()
        step = np.linalg.lstsq(seen @ seen.T, seen @ error, rcond=None)[0]
        # Compose with the inverse of the step: matrix(place) <- matrix(step^-1(place)).
        change = np.vstack([step.reshape(2, 3) + np.eye(2, 3), [0, 0, 1]])
        if abs(np.linalg.det(change)) < 0.5:
            break
        matrix = (np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(change))[:2]
        if not _is_plausible(matrix, side):
            break
    return best


def _is_plausible(matrix: NDArray[np.float64], side: int) -> bool:
    return bool(np.abs(matrix[:, :2] - np.eye(2)).max() < 0.2 and np.abs(matrix[:, 2]).max() < 2 * SHIFT * side)


def _warped(moving: Array, matrix: NDArray[np.float64]) -> tuple[Array, NDArray[np.bool_]]:
    """The image at the places of the other one, and where it has any."""
    side = len(moving)
    (yy, yx, y0), (xy, xx, x0) = matrix
    # Pillow maps x before y, from the corner of the image.
    half = side / 2
    data = (xx, xy, x0 + half - (xx + xy) * half, yx, yy, y0 + half - (yx + yy) * half)
    values = Image.fromarray(moving).transform(
        (side, side), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR, fillcolor=1000.0
    )
    array = np.asarray(values)
    inside = array != 1000
    return np.where(inside, array, np.float32(0)), inside


def _correlation(values: Array, inside: NDArray[np.bool_], fixed: Array) -> float:
    if inside.mean() < SHARE:
        return 0.0
    one, two = values[inside], fixed[inside]
    one, two = one - one.mean(), two - two.mean()
    size = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / size if size > 0 else 0.0
