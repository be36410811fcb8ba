"""Trivial rivals: classifiers that see too little to recognise disease, each with the few numbers of an image that it gets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Features = NDArray[np.float64]

COLOUR_LEVELS = 8
"""Channels that differ by more levels make a pixel coloured: JPEG compression of grey images causes smaller differences."""
BINS = 32
PATCH = 4
"""Side of the patches of a 16 x 16 thumbnail that `shuffled` moves, in pixels."""
MOST_ITERATIONS = 1000
"""Of the logistic regression, which usually converges after 10 to 100."""


@dataclass(frozen=True)
class Picture:
    """An image as a network gets it."""

    pixels: NDArray[np.uint8]
    """Shape (size, size, 3)."""
    grey: Image.Image
    """Its luminance (ITU-R 601), Pillow's mode F, 0 to 255."""
    sha256: str


@dataclass(frozen=True)
class Rival:
    """A classifier that sees too little to recognise disease."""

    name: str
    description: str
    """How it classifies and what it sees; the subject of a sentence."""
    of_picture: Callable[[Picture], Features] | None
    """Features of an image, shape (features,), from what reaches the network; None: from the file (`file_features`)."""
    classifier: Callable[[], Pipeline]
    """Makes a classifier that is not fitted yet."""

    @property
    def reaches_network(self) -> bool:
        """Whether the network gets what the rival sees."""
        return self.of_picture is not None


def file_features(rows: pd.DataFrame) -> Features:
    """Return what a file shows without its picture, shape (images, features).

    The features are: colour mode and format (one column for each value), the logarithms of width, height and bytes, aspect
    ratio, bytes per pixel, JPEG quantisation (0 for other formats), and whether it has one.

    Args:
        rows: columns mode, format, width, height, bytes and jpeg_quantisation of `cxrflow.images.facts.FACTS`.
    """
    kinds = [
        (rows[column] == value).to_numpy(np.float64)
        for column in ("mode", "format")
        for value in sorted(rows[column].dropna().unique())
    ]
    width, height, size = (rows[column].to_numpy(np.float64) for column in ("width", "height", "bytes"))
    quantisation = rows["jpeg_quantisation"].to_numpy(np.float64, na_value=np.nan)
    numbers = [np.log(width), np.log(height), width / height, np.log(size), size / (width * height)]
    numbers += [np.nan_to_num(quantisation), np.isfinite(quantisation).astype(np.float64)]
    return np.column_stack([*kinds, *numbers])


def picture_features(
    rivals: list[Rival], rows: pd.DataFrame, pixels: Mapping[str, NDArray[np.uint8]]
) -> list[Features]:
    """Return the features of each rival that reaches the network, each of shape (images, features).

    Args:
        rivals: rivals with `of_picture`.
        rows: columns image and sha256.
        pixels: image to its pixels, shape (size, size, 3).
    """
    found: list[list[Features]] = [[] for _ in rivals]
    for image, sha256 in zip(rows["image"], rows["sha256"], strict=True):
        picture = picture_of(pixels[image], sha256)
        for features, rival in zip(found, rivals, strict=True):
            assert rival.of_picture is not None
            features.append(rival.of_picture(picture))
    return [np.array(features, np.float64) for features in found]


def picture_of(pixels: NDArray[np.uint8], sha256: str) -> Picture:
    """Prepare an image of shape (size, size, 3) for the rivals."""
    grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return Picture(pixels, Image.fromarray(grey), sha256)


def thumbnail(picture: Picture, side: int) -> Features:
    """Average the grey levels over `side` x `side` equal areas; shape (side, side), values 0 to 255."""
    return np.asarray(picture.grey.resize((side, side), Image.Resampling.BOX), np.float64)


def colour(picture: Picture) -> Features:
    """Return the share of coloured pixels, and the mean difference between the largest and the smallest channel."""
    red, green, blue = np.moveaxis(picture.pixels, 2, 0)
    smallest = np.minimum(np.minimum(red, green), blue)
    difference = np.maximum(np.maximum(red, green), blue) - smallest
    return np.array([np.mean(difference > COLOUR_LEVELS), np.mean(difference)])


def brightness(picture: Picture) -> Features:
    """Return mean and standard deviation of the grey levels."""
    grey = np.asarray(picture.grey, np.float64)
    return np.array([grey.mean(), grey.std()])


def histogram(picture: Picture) -> Features:
    """Return the share of pixels in each of 32 equal ranges of grey levels."""
    counts, _ = np.histogram(np.asarray(picture.grey), BINS, (0, 256))
    return counts / counts.sum()


def border(picture: Picture) -> Features:
    """Return the outer tenth on each side: a ring of 2 pixels of a 20 x 20 thumbnail."""
    return thumbnail(picture, 20)[~_middle(20, 16)]


def without_centre(picture: Picture) -> Features:
    """Return a 16 x 16 thumbnail whose central half, in width and height, is black."""
    small = thumbnail(picture, 16)
    small[_middle(16, 8)] = 0
    return small.ravel()


def centre(picture: Picture) -> Features:
    """Return a 16 x 16 thumbnail of the central half, in width and height."""
    return thumbnail(picture, 32)[_middle(32, 16)]


def shuffled(picture: Picture) -> Features:
    """Return a 16 x 16 thumbnail whose patches of 4 x 4 are in an order that is random, but the same for the same file."""
    patches = thumbnail(picture, 16).reshape(4, PATCH, 4, PATCH).swapaxes(1, 2).reshape(16, PATCH * PATCH)
    order = np.random.default_rng(int(picture.sha256, 16)).permutation(len(patches))
    return patches[order].ravel()


def correlated(picture: Picture) -> Features:
    """Return a 32 x 32 thumbnail with mean 0 and length 1: Euclidean distances order images as their correlations do."""
    small = thumbnail(picture, 32).ravel()
    small -= small.mean()
    length = np.linalg.norm(small)
    return small / length if length > 1e-6 else np.zeros_like(small)


def _middle(side: int, inner: int) -> NDArray[np.bool_]:
    """Mark the central `inner` x `inner` pixels of `side` x `side`."""
    edge = (side - inner) // 2
    inside = np.zeros((side, side), bool)
    inside[edge : edge + inner, edge : edge + inner] = True
    return inside


def logistic_regression() -> Pipeline:
    """Make a logistic regression (L2 penalty, C = 1) of standardised features; constant features have no effect.

    With hundreds of features, Newton's method takes half the time of scikit-learn's default, for the same solution.
    """
    return make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cg", max_iter=MOST_ITERATIONS))


def nearest_neighbour() -> Pipeline:
    """Make a classifier that gives an image the class of the nearest one."""
    return make_pipeline(KNeighborsClassifier(1))


def _logistic(name: str, description: str, of_picture: Callable[[Picture], Features] | None) -> Rival:
    return Rival(name, f"logistic regression on {description}", of_picture, logistic_regression)


RIVALS = [
    _logistic("file", "the properties of the file", None),
    _logistic("colour", "the amount of colour", colour),
    _logistic("brightness", "brightness and contrast", brightness),
    _logistic("histogram", "a histogram of 32 grey levels", histogram),
    _logistic("thumbnail_8", "an 8 × 8 grey thumbnail", lambda picture: thumbnail(picture, 8).ravel()),
    _logistic("thumbnail_16", "a 16 × 16 grey thumbnail", lambda picture: thumbnail(picture, 16).ravel()),
    _logistic("border", "the outer tenth of each side", border),
    _logistic("without_centre", "a 16 × 16 grey thumbnail with its central half blacked out", without_centre),
    _logistic("centre", "a 16 × 16 grey thumbnail of the central half", centre),
    _logistic("shuffled", "a 16 × 16 grey thumbnail in shuffled patches", shuffled),
    Rival("nearest", "the nearest neighbour among 32 × 32 grey thumbnails", correlated, nearest_neighbour),
]
"""All rivals."""
