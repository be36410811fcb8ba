"""Find the pairs of images that may show the same picture, among all pairs of a data set.

Magnitudes of the Fourier transform do not change with a shift, an inversion or a turn by 180°; flips and turns by 90° permute
them (Chen et al., 1994; Reddy and Chatterji, 1996). So one descriptor per image, in four orders and a few scales, covers all
flips and turns, and the similarity of all pairs is a matrix product. Descriptors are whitened (Kessy et al., 2018): what varies
between all chests in the same few ways, such as the distance of the ribs, counts less than what is unique to an image.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cxrflow.audits.image_details import Array, taper, unpacked, zoom_matrix

SCALES = (1.0, 0.95, 0.9)
"""Shares of an image, along each side, that another one may show."""
FREQUENCIES = (1.5, 14)
"""Smallest and largest frequency of the descriptors, in cycles per image."""
BLOCK = 1024
"""Images per block: a block of similarities takes 4 MB."""
LIKELY = 0.5
"""Similarity from which on pairs are likely to be copies; all of them are candidates, up to `PER_IMAGE` for each image."""
PER_IMAGE = 8
UNLIKELY = 2_000
"""Candidates that are less similar: a few copies, but mostly pairs of different pictures."""

CANDIDATE = np.dtype([("first", "i4"), ("second", "i4"), ("order", "i1"), ("scale", "i1"), ("similarity", "f4")])


def candidate_pairs(details: NDArray[np.int8]) -> NDArray[np.void]:
    """Find the most similar pairs of images.

    Args:
        details: stored details of n images, int8 of shape (n, side, side), from `image_details.packed`.

    Returns:
        Different pairs, the most similar first, as an array of `CANDIDATE`: the middle `SCALES[scale]` of image `first`, in the
        given order (`in_order`), looks like `second`. All pairs are compared, in 12 n² products of descriptors. This takes up
        to 16 KB of memory per image, as measured with 10,000, and 100 MB for blocks.
    """
    most = PER_IMAGE * len(details) + UNLIKELY
    if len(details) < 2:
        return np.empty(0, CANDIDATE)
    raw = _magnitudes_of_all(details)
    common = _whitening(raw)
    columns = _whitened(raw, common)
    del raw
    least = -1.0
    kept: list[NDArray[np.void]] = []
    total = 0
    for start, order, scale, rows in _oriented(details, common):
        # Without zoom, each unordered pair occurs twice: as (i, j) and as (j, i) in the inverse order.
        for below in range(start if scale == 0 else 0, len(details), BLOCK):
            found = _similar(rows, columns[below : below + BLOCK], least, start, below)
            found["order"], found["scale"] = order, scale
            if not len(found):
                continue
            kept.append(found)
            total += len(found)
            if total > 8 * most:
                kept = [_best(kept, most)]
                total = len(kept[0])
                least = float(kept[0]["similarity"][-1]) if len(kept[0]) == most else least
    best = _best(kept, most)
    likely = int(np.count_nonzero(best["similarity"] >= LIKELY))
    return best[: likely + UNLIKELY]


def in_order(image: Array, order: int) -> Array:
    """Flip and transpose an image: 0 as it is, 1 flipped left to right, 2 transposed, 3 both (a turn by 90°)."""
    turned = image.swapaxes(-1, -2) if order >= 2 else image
    return turned[..., ::-1] if order % 2 else turned


def _similar(rows: Array, columns: Array, least: float, start: int, below: int) -> NDArray[np.void]:
    similarity = rows @ columns.T
    at = np.flatnonzero(similarity.ravel() > least)
    found = np.empty(len(at), CANDIDATE)
    found["first"], found["second"] = np.divmod(at, len(columns))
    found["first"] += start
    found["second"] += below
    found["similarity"] = similarity.ravel()[at]
    return found[found["first"] != found["second"]]


def _best(parts: list[NDArray[np.void]], most: int) -> NDArray[np.void]:
    """Keep the best orientation of each pair, and of these the best pairs."""
    found = np.concatenate(parts)
    found = found[np.argsort(-found["similarity"], kind="stable")]
    ordered = np.sort(np.stack([found["first"], found["second"]]), axis=0).astype(np.int64)
    _, at = np.unique(ordered[0] << 32 | ordered[1], return_index=True)
    return found[np.sort(at)[:most]]


@dataclass(frozen=True)
class _Whitening:
    """What the images of a data set have in common: mean, spread and correlations of their frequencies."""

    mean: Array
    spread: Array
    matrix: Array


def _whitening(raw: Array) -> _Whitening:
    """Estimate it from the magnitudes of all images, shape (n, d)."""
    mean, spread = raw.mean(axis=0), raw.std(axis=0) + np.float32(1e-6)
    centred = _centred((raw - mean) / spread)
    # Shrunk to a unit matrix: a few images do not show what all have in common.
    values, vectors = np.linalg.eigh(centred.T @ centred / np.float32(len(raw) + raw.shape[1]))
    return _Whitening(mean, spread, (vectors / np.sqrt(np.maximum(values, 0) + 1)) @ vectors.T)


def _whitened(raw: Array, common: _Whitening) -> Array:
    """Descriptors of length 1, shape (n, d), in which what all chests have in common hardly counts."""
    vectors = _centred((raw - common.mean) / common.spread) @ common.matrix
    unit: Array = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.float32(1e-6))
    return unit


def _centred(vectors: Array) -> Array:
    return vectors - vectors.mean(axis=1, keepdims=True)


def _magnitudes_of_all(details: NDArray[np.int8]) -> Array:
    rows, columns = _places(2 * FREQUENCIES[1] + 1)
    return np.concatenate([_magnitudes(unpacked(part))[:, rows, columns] for part in _blocks(details)])


def _oriented(details: NDArray[np.int8], common: _Whitening) -> Iterator[tuple[int, int, int, Array]]:
    """Descriptors of each block of images, in each order and scale: start of the block, order, scale, shape (block, d)."""
    for number, part in enumerate(_blocks(details)):
        images = unpacked(part)
        for scale, share in enumerate(SCALES):
            zoom = zoom_matrix(images.shape[-1], share)
            zoomed = (zoom @ images @ zoom.T).astype(np.float32)
            raw = _magnitudes(zoomed if scale else images)
            at = _places(raw.shape[-1])
            for order in range(4):
                chosen = in_order(raw, order)[:, at[0], at[1]]
                yield number * BLOCK, order, scale, _whitened(chosen, common)


def _blocks(details: NDArray[np.int8]) -> Iterator[NDArray[np.int8]]:
    for start in range(0, len(details), BLOCK):
        yield details[start : start + BLOCK]


def _magnitudes(images: Array) -> Array:
    """Logarithms of the magnitudes at low frequencies, shape (n, 2 r + 1, 2 r + 1), frequency 0 in the middle."""
    side, r = images.shape[-1], FREQUENCIES[1]
    transformed = np.abs(np.fft.fft2(images * taper(side))).astype(np.float32)
    low = np.fft.fftshift(transformed, axes=(1, 2))[
        :, side // 2 - r : side // 2 + r + 1, side // 2 - r : side // 2 + r + 1
    ]
    noise = 0.1 * low.mean(axis=(1, 2), keepdims=True) + np.float32(1e-6)
    smooth: Array = gaussian_filter(np.log(low + noise), (0, 0.6, 0.6))
    return smooth


def _places(side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of one half of the frequencies, the other half being the same."""
    y, x = np.mgrid[:side, :side] - side // 2
    frequency = np.hypot(y, x)
    rows, columns = np.nonzero(
        ((y > 0) | ((y == 0) & (x > 0))) & (frequency >= FREQUENCIES[0]) & (frequency <= FREQUENCIES[1])
    )
    return rows, columns
