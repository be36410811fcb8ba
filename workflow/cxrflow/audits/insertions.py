"""Insert known problems into copies of a data set: copied pictures, shared patients, marks, contrast and sources.

Nothing here changes the images of a user: pictures are altered in memory.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from cxrflow.audits.findings import DataSet
from cxrflow.images.decode import read_image, resized
from cxrflow.images.facts import pixels_hash_of_file
from cxrflow.images.grouping import groups_of, place_of
from cxrflow.io.errors import UserError
from cxrflow.io.files import sha256_of_file
from cxrflow.statistics.permutation import permuted_labels

LARGEST = 1024
"""Longer side of the pictures that altered copies are made of, in pixels: larger files are reduced to it, as on web pages."""
CORNER = 0.02
"""Distance of a mark from the top and the left, as a share of the side."""
INSERTED_SOURCE = "an inserted source"
OTHER_SOURCE = "the source of the others"

Picture = Image.Image
Random = np.random.Generator
Pixels = NDArray[np.uint8]


def encoded(picture: Picture, kind: str, quality: int) -> Picture:
    """Encode and decode a picture."""
    file = io.BytesIO()
    picture.save(file, kind, quality=quality)
    return Image.open(file).convert("RGB")


def scaled(picture: Picture, random: Random) -> Picture:
    """Resize a picture by a random factor between 0.4 and 1.5, with bicubic interpolation."""
    factor = random.uniform(0.4, 1.5)
    width, height = max(round(picture.width * factor), 1), max(round(picture.height * factor), 1)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def cropped(picture: Picture, random: Random) -> Picture:
    """Cut a tenth off the height and the width, at random sides."""
    width, height = round(0.9 * picture.width), round(0.9 * picture.height)
    left, top = int(random.integers(picture.width - width + 1)), int(random.integers(picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height))


def lettered(picture: Picture, random: Random) -> Picture:
    """Write a white letter, a ninth of the height, anywhere."""
    marked = picture.copy()
    place = (random.uniform(0.03, 0.85) * picture.width, random.uniform(0.03, 0.85) * picture.height)
    font = ImageFont.load_default(size=picture.height / 9)
    ImageDraw.Draw(marked).text(place, "R", fill=(255, 255, 255), font=font)
    return marked


TRANSFORMATIONS: dict[str, Callable[[Picture, Random], Picture]] = {
    "JPEG, quality 50": lambda picture, _: encoded(picture, "JPEG", 50),
    "WebP, quality 75": lambda picture, _: encoded(picture, "WEBP", 75),
    "resized by 0.4 to 1.5": scaled,
    "cropped by 10 %": cropped,
    "flipped left to right": lambda picture, _: ImageOps.mirror(picture),
    "flipped upside down": lambda picture, _: ImageOps.flip(picture),
    "rotated by 90°": lambda picture, _: picture.transpose(Image.Transpose.ROTATE_90),
    "inverted": lambda picture, _: ImageOps.invert(picture),
    "brightened by 40 %": lambda picture, _: ImageEnhance.Brightness(picture).enhance(1.4),
    "a letter burnt in": lettered,
}
"""What is done to a picture, an RGB image, to what it becomes. Random places and factors come from the generator."""


@dataclass(frozen=True)
class Originals:
    """The image files of a data set, and how they are decoded."""

    root: Path
    resampling: str
    """One of `cxrflow.images.decode.RESAMPLING`."""

    def picture(self, image: str) -> Picture:
        """Read an image file as RGB.

        Raises:
            UserError: it cannot be read any more.
        """
        try:
            return read_image(self.root / image)[0]
        except UserError as error:
            raise UserError(f"{self.root / image}: {error}; run the same command again") from None


def copy_name(image: str) -> str:
    """The id of an inserted copy of an image."""
    return f"copy of {image}"


def with_copies(
    data: DataSet, images: Sequence[str], transformation: str, originals: Originals, random: Random
) -> DataSet:
    """Add a copy of each of some images, altered before it is resized to the size of the pixels.

    Copies have the class of their original, a random subset of each of its tasks, and an unknown patient.

    Args:
        data: a data set, with pixels.
        images: ids of the images to copy.
        transformation: one of `TRANSFORMATIONS`.
        originals: their files.
        random: decides on places, factors and subsets.
    """
    pixels, widths, heights = {}, [], []
    for image in images:
        picture = originals.picture(image)
        picture.thumbnail((LARGEST, LARGEST))
        altered = TRANSFORMATIONS[transformation](picture, random)
        pixels[copy_name(image)] = resized(altered, len(data.pixels[image]), originals.resampling)
        widths.append(altered.width)
        heights.append(altered.height)
    copies = _copied_rows(data, images).assign(width=widths, height=heights, pixels_blake2=None)
    copies["sha256"] = [f"{transformation} of {sha256}" for sha256 in copies["sha256"]]
    return _with_rows(data, copies, images, pixels, random)


def with_same_pixels(data: DataSet, images: Sequence[str], originals: Originals, random: Random) -> DataSet:
    """Add a copy of each of some images in a lossless file with other bytes, whose pixels are hashed as in the index.

    Arguments as for `with_copies`.
    """
    hashes = []
    with TemporaryDirectory() as folder:
        for image in images:
            is_bmp = originals.root.joinpath(image).suffix.lower() == ".bmp"
            file = Path(folder, "copy.png" if is_bmp else "copy.bmp")
            originals.picture(image).save(file)
            hashes.append(
                (sha256_of_file(file), pixels_hash_of_file(file), pixels_hash_of_file(originals.root / image))
            )
    sha256, of_copies, of_originals = zip(*hashes, strict=True) if hashes else ((), (), ())
    copies = _copied_rows(data, images).assign(sha256=sha256, pixels_blake2=of_copies)
    index = data.index.set_index("image")
    index.loc[list(images), "pixels_blake2"] = list(of_originals)
    known = replace(data, index=index.reset_index()[list(data.index)])
    return _with_rows(known, copies, images, {copy_name(image): data.pixels[image] for image in images}, random)


def _copied_rows(data: DataSet, images: Sequence[str]) -> pd.DataFrame:
    rows = data.index.set_index("image").loc[list(images)].reset_index()[list(data.index)]
    return rows.assign(image=[copy_name(image) for image in images], patient=None)


def _with_rows(
    data: DataSet, copies: pd.DataFrame, images: Sequence[str], pixels: dict[str, Pixels], random: Random
) -> DataSet:
    """Add the rows of copies to the index, and those of their originals to the splits, in random subsets."""
    index = pd.concat([data.index, copies.astype(data.index.dtypes)], ignore_index=True)
    splits = {}
    for task, split in data.splits.items():
        subsets = sorted(set(split["subset"]))
        own = split[split["image"].isin(list(images))]
        own = own.assign(image=own["image"].map(copy_name), subset=random.choice(subsets, len(own)), patient="")
        splits[task] = pd.concat([split, own], ignore_index=True)
    return replace(data, index=index, splits=splits, pixels={**data.pixels, **pixels})


def with_shared_patients(data: DataSet, pairs: Sequence[tuple[str, str]]) -> DataSet:
    """Give the two images of each pair the same new patient, `inserted patient 0` and so on."""
    patient_of = {image: f"inserted patient {number}" for number, pair in enumerate(pairs) for image in pair}
    patients = data.index["image"].map(patient_of).astype("string").fillna(data.index["patient"].astype("string"))
    return replace(data, index=data.index.assign(patient=patients))


def some_images(data: DataSet, most: int) -> DataSet:
    """Keep at most `most` images, of whole groups (patients), by the order of the groups' hashes.

    A single group is kept even if it is larger.
    """
    if len(data.index) <= most:
        return data
    places = groups_of(data.index).map(lambda group: place_of(group, 0))
    ordered = places.value_counts().sort_index().cumsum()
    kept = places.isin([ordered.index[0], *ordered.index[ordered <= most]])
    images = set(data.index.loc[kept, "image"])
    splits = {task: split[split["image"].isin(images)] for task, split in data.splits.items()}
    return replace(
        data,
        index=data.index[kept],
        splits=splits,
        pixels={image: data.pixels[image] for image in data.index.loc[kept, "image"]},
    )


def only_task(data: DataSet, task: str) -> DataSet:
    """Keep one task, and its images."""
    images = list(data.splits[task]["image"])
    return DataSet(
        data.index[data.index["image"].isin(images)],
        {task: data.splits[task]},
        {task: data.classes[task]},
        {image: data.pixels[image] for image in images},
    )


def with_permuted_classes(data: DataSet, task: str, seed: int) -> DataSet:
    """Keep one task and permute its classes among groups (patients), so that nothing in the data set goes with a class."""
    data = only_task(data, task)
    rows = data.images_of(task)
    classes = permuted_labels(rows["class"].to_numpy(str), rows["group"].to_numpy(str), seed)
    class_of = dict(zip(rows["image"], classes.tolist(), strict=True))
    split, index = (
        table.assign(**{"class": table["image"].map(class_of)}) for table in (data.splits[task], data.index)
    )
    return replace(data, index=index, splits={task: split})


def with_marks(data: DataSet, images: Sequence[str], side: float, opacity: float) -> DataSet:
    """Put a white square in the upper left corner of some images.

    Args:
        data: a data set, with pixels.
        images: ids of the images to mark.
        side: side of the square, as a share of that of the image.
        opacity: 1 for a white square; less, and the image shows through.
    """

    def marked(pixels: Pixels) -> Pixels:
        length, start = max(round(side * len(pixels)), 1), round(CORNER * len(pixels))
        found = pixels.astype(np.float32)
        place = found[start : start + length, start : start + length]
        place += np.float32(opacity) * (255 - place)
        return np.rint(found).astype(np.uint8)

    return replace(data, pixels={**data.pixels, **{image: marked(data.pixels[image]) for image in images}})


def with_contrast(data: DataSet, images: Sequence[str], factor: float) -> DataSet:
    """Multiply the contrast of some images: the distance of each pixel from the image's mean, within 0 to 255."""

    def changed(pixels: Pixels) -> Pixels:
        mean = pixels.mean(dtype=np.float64)
        return np.clip(np.rint(mean + factor * (pixels - mean)), 0, 255).astype(np.uint8)

    return replace(data, pixels={**data.pixels, **{image: changed(data.pixels[image]) for image in images}})


def with_source(data: DataSet, images: Sequence[str]) -> DataSet:
    """Give some images a source that no other image has; others of unknown source get a common one."""
    is_chosen = data.index["image"].isin(list(images))
    source = data.index["source"].astype("string").fillna(OTHER_SOURCE).mask(is_chosen, INSERTED_SOURCE)
    return replace(data, index=data.index.assign(source=source))
