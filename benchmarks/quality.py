"""Measure how many altered pictures the audit `quality` finds, how strongly they must be altered, and its false alarms.

    clean     the images in which each detector finds something, without any alteration
    altered   the share of altered pictures that are found as such: a twentieth of a data set is altered at a time, each picture
              once
    others    the share of pictures that are no chest X-rays that are found: the sample pictures of scikit-learn and matplotlib,
              rendered screens, and those of a folder (--others), added to a data set one at a time
    alarms    data sets of phantoms, without any alteration, in which any detector finds something

The pictures are phantoms or, with --images, radiographs, resized by nearest neighbour. All parts print tables; random numbers
have fixed seeds. An altered picture counts as found only if the kind of its alteration is found.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from cxrflow.audits.quality import KINDS, Picture, judge, picture_of
from cxrflow.images.decode import read_image, resized
from cxrflow.io.command import stage_parser
from cxrflow.io.words import some_of
from numpy.typing import NDArray
from pictures import phantom
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps
from sklearn.datasets import load_sample_images

PARTS = 20
SCREENS = 40
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif")

Pixels = NDArray[np.uint8]
Random = np.random.Generator
Alteration = Callable[[Image.Image, Random], Image.Image]


def with_text(picture: Image.Image, random: Random, height: float, level: int) -> Image.Image:
    """Write 8 to 14 capitals and digits anywhere; height of the font in parts of the picture's height."""
    marked = picture.copy()
    draw, font = ImageDraw.Draw(marked), ImageFont.load_default(size=height * picture.height)
    text = "".join(random.choice([*"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"], random.integers(8, 15)))
    while draw.textlength(text, font) > 0.96 * picture.width:
        text = text[:-1]
    left = random.uniform(0.01, 0.99) * (picture.width - draw.textlength(text, font))
    draw.text((left, random.uniform(0.02, 0.98 - 1.3 * height) * picture.height), text, fill=(level,) * 3, font=font)
    return marked


def with_arrow(picture: Image.Image, random: Random, colour: tuple[int, int, int] | None = None) -> Image.Image:
    """Draw an arrow with a length of 7 to 14 % of the picture in its central part: white, black on white parts, or coloured."""
    marked, side = picture.copy(), picture.height
    x, y = random.uniform(0.2, 0.8, 2) * side
    length, angle = random.uniform(0.07, 0.14) * side, random.uniform(0, 2 * np.pi)
    if colour is None:
        around = np.asarray(picture)[
            int(y) - side // 40 : int(y) + side // 40, int(x) - side // 40 : int(x) + side // 40
        ]
        colour = (5, 5, 5) if around.mean() > 140 else (255, 255, 255)
    along = np.array([np.cos(angle), np.sin(angle)])
    across, tip = np.array([-along[1], along[0]]), np.array([x, y])
    neck = tip - 0.4 * length * along
    draw = ImageDraw.Draw(marked)
    draw.line([*(tip - length * along), *neck], fill=colour, width=max(2, round(length / 9)))
    corners = [tip, neck + 0.22 * length * across, neck - 0.22 * length * across]
    draw.polygon([tuple(corner) for corner in corners], fill=colour)
    return marked


def blurred(picture: Image.Image, _: Random, radius: float) -> Image.Image:
    """Blur by a Gaussian filter; radius (standard deviation) in pixels of a picture of 224 x 224."""
    return picture.filter(ImageFilter.GaussianBlur(radius * picture.height / 224))


def with_contrast(picture: Image.Image, _: Random, factor: float) -> Image.Image:
    """Reduce the contrast around the mean grey level."""
    return ImageEnhance.Contrast(picture).enhance(factor)


def darkened(picture: Image.Image, _: Random, factor: float) -> Image.Image:
    """Multiply all levels."""
    return ImageEnhance.Brightness(picture).enhance(factor)


def brightened(picture: Image.Image, _: Random, factor: float) -> Image.Image:
    """Multiply all distances from white."""
    return ImageOps.invert(ImageEnhance.Brightness(ImageOps.invert(picture)).enhance(factor))


def turned(picture: Image.Image, _: Random, degrees: int) -> Image.Image:
    """Turn a picture anticlockwise."""
    return picture.rotate(degrees)


ALTERATIONS: dict[str, tuple[str, Alteration]] = {
    **{f"contrast x {factor}": ("constant", partial(with_contrast, factor=factor)) for factor in (0.02, 0.05, 0.1)},
    **{f"levels x {factor}": ("dark", partial(darkened, factor=factor)) for factor in (0.2, 0.3, 0.4)},
    **{f"distance from white x {factor}": ("bright", partial(brightened, factor=factor)) for factor in (0.2, 0.3, 0.4)},
    **{f"blur of {radius} px": ("blurred", partial(blurred, radius=radius)) for radius in (1, 1.5, 2, 3)},
    "inverted": ("inverted", lambda picture, _: ImageOps.invert(picture)),
    **{f"turned by {degrees}°": ("turned", partial(turned, degrees=degrees)) for degrees in (90, 180, 270)},
    **{
        f"{name} text, {height * 224:.0f} px": ("text", partial(with_text, height=height, level=level))
        for name, level in {"white": 255, "black": 0}.items()
        for height in (8 / 224, 10 / 224, 14 / 224, 18 / 224)
    },
    "grey arrow": ("arrows", with_arrow),
    "red arrow": ("arrows", partial(with_arrow, colour=(230, 30, 30))),
}
"""Name to the kind that should be found, and the alteration of a picture of the networks' input size."""


def screen(random: Random) -> Image.Image:
    """Render a window with a title bar, lines of text and boxes."""
    is_dark = random.random() < 0.3
    picture = Image.new("RGB", (800, 600), (30, 30, 30) if is_dark else (250, 250, 250))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 800, 24), fill=tuple(random.integers(40, 220, 3).tolist()))
    top = 40
    while top < 590:
        size = int(random.integers(10, 22))
        text = "".join(random.choice([*"abcdefghijklmnopqrstuvwxyz    "], random.integers(10, 70)))
        fill = (220, 220, 220) if is_dark else (20, 20, 20)
        draw.text((10 + int(random.integers(40)), top), text, fill=fill, font=ImageFont.load_default(size=size))
        top += size + 6
    for _ in range(int(random.integers(4))):
        left, upper = int(random.integers(700)), int(random.integers(40, 500))
        size_of_box = random.integers(20, 250, 2).tolist()
        draw.rectangle(
            (left, upper, left + size_of_box[0], upper + size_of_box[1]), fill=(90, 140, 200), outline=(0, 0, 90)
        )
    return picture


def other_pictures(folder: Path | None) -> dict[str, Image.Image]:
    """Pictures that are no chest X-rays."""
    random = np.random.default_rng(0)
    found = {f"screen {number}": screen(random) for number in range(SCREENS)}
    photographs = zip(load_sample_images().filenames, load_sample_images().images, strict=True)
    found |= {Path(name).name: Image.fromarray(image) for name, image in photographs}
    folders = [Path(matplotlib.get_data_path()) / "sample_data", *([folder] if folder else [])]
    paths = sorted(path for one in folders for path in one.iterdir() if path.suffix in SUFFIXES)
    return found | {path.name: Image.open(path).convert("RGB") for path in paths}


def data_set(images: Path | None, size: int) -> tuple[dict[str, Pixels], dict[str, tuple[int, int]]]:
    """Read radiographs, or draw 300 phantoms: name to pixels, and name to width and height of the file."""
    if images:
        paths = [path for path in sorted(images.rglob("*")) if path.suffix.lower() in SUFFIXES]
        pictures = {str(path.relative_to(images)): read_image(path)[0] for path in paths}
    else:
        pictures = {f"{number:03}": phantom(number, 0) for number in range(300)}
    return {name: resized(one, size, "nearest") for name, one in pictures.items()}, {
        name: one.size for name, one in pictures.items()
    }


def print_clean(clean: dict[str, Picture]) -> None:
    """Print what is found in unaltered pictures."""
    table = judge(list(clean.values())).set_index(np.array(list(clean)))
    print(f"{len(clean)} unaltered pictures:")
    for kind in KINDS:
        found = table.index[table[kind]].tolist()
        print(f"  {kind:15} {len(found):3} {some_of(found, 12)}")


def print_altered(pixels: dict[str, Pixels], clean: dict[str, Picture], alterations: list[str]) -> None:
    """Print the share of altered pictures that are found, for some alterations."""
    names = list(clean)
    for alteration in alterations:
        kind, alter = ALTERATIONS[alteration]
        random = np.random.default_rng(0)
        altered = {
            name: picture_of(
                np.asarray(alter(Image.fromarray(pixels[name]), random)), 1000, round(1000 / clean[name].aspect)
            )
            for name in names
        }
        found = others = 0
        for part in range(PARTS):
            chosen = set(np.random.default_rng(1).permutation(names)[part::PARTS])
            table = judge([altered[name] if name in chosen else clean[name] for name in names])
            of_chosen = table[[name in chosen for name in names]]
            found += int(of_chosen[kind].sum())
            others += int((of_chosen[[*KINDS]].any(axis=1) & ~of_chosen[kind]).sum())
        print(f"  {alteration:28} {found / len(names):6.1%} as {kind}, {others / len(names):6.1%} as another kind only")


def print_others(clean: dict[str, Picture], size: int, folder: Path | None) -> None:
    """Print which pictures that are no chest X-rays are found."""
    missed: dict[str, list[str]] = {"screens": [], "pictures": []}
    count = dict.fromkeys(missed, 0)
    for name, picture in other_pictures(folder).items():
        added = picture_of(resized(picture, size, "nearest"), *picture.size)
        row = judge([*clean.values(), added]).iloc[-1]
        group = "screens" if name.startswith("screen ") else "pictures"
        count[group] += 1
        if not row["no_chest_xray"]:
            missed[group].append(f"{name} ({', '.join(kind for kind in KINDS if row[kind]) or 'nothing'})")
    for group, names in missed.items():
        print(
            f"  {group}: {count[group] - len(names)} of {count[group]} are found; not found: {some_of(names, 30) or 'none'}"
        )


def print_alarms(sets: int, count: int, size: int, first: int) -> None:
    """Print in how many unaltered data sets of phantoms something is found."""
    alarms = 0
    kinds = dict.fromkeys(KINDS, 0)
    for seed in range(first, first + sets):
        table = judge([picture_of(resized(one, size, "nearest"), *one.size) for one in _phantoms(count, seed)])
        found = table[[*KINDS]].any()
        alarms += bool(found.any())
        for kind in found.index[found]:
            kinds[kind] += 1
    found_kinds = {kind: number for kind, number in kinds.items() if number}
    print(f"{alarms} of {sets} data sets of {count} phantoms at {size} px with an alarm {found_kinds or ''}")


def _phantoms(count: int, seed: int) -> Iterator[Image.Image]:
    return (phantom(number, seed) for number in range(count))


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, help="folder of radiographs, at any depth")
    parser.add_argument("--others", type=Path, help="folder of pictures that are no chest X-rays, such as skimage/data")
    parser.add_argument("--size", type=int, default=224, help="input size of the networks, in pixels")
    parser.add_argument("--only", choices=["clean", "altered", "others", "alarms"], help="measure only one part")
    parser.add_argument("--alterations", nargs="+", choices=[*ALTERATIONS], default=[*ALTERATIONS], help="only these")
    parser.add_argument("--sets", type=int, default=300, help="unaltered data sets of phantoms")
    parser.add_argument("--set-size", type=int, default=100, help="phantoms in each of them")
    parser.add_argument("--first-seed", type=int, default=1, help="seed of the first data set")
    args = parser.parse_args()
    if args.only != "alarms":
        pixels, sizes = data_set(args.images, args.size)
        clean = {name: picture_of(pixels[name], *sizes[name]) for name in pixels}
    if args.only in (None, "clean"):
        print_clean(clean)
    if args.only in (None, "altered"):
        print_altered(pixels, clean, args.alterations)
    if args.only in (None, "others"):
        print_others(clean, args.size, args.others)
    if args.only in (None, "alarms") and not args.images:
        print_alarms(args.sets, args.set_size, args.size, args.first_seed)


if __name__ == "__main__":
    main()
