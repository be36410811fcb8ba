"""Each line of docs/reference/image_formats.md: which images are used, and how; which are not, and why.

`pytest -k bad_image` runs these.
"""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from cxrflow.audits.description import describe_data
from cxrflow.audits.duplicates import duplicate_images
from cxrflow.images.decode import decode_image, read_header
from cxrflow.images.dicom import window
from cxrflow.io.errors import UserError
from documents import rows, section
from made_data_sets import doubts_about
from made_images import (
    GREY,
    JPEG_LOSSLESS,
    JPEG_LS,
    TWELVE_BITS,
    dicom_bytes,
    index_images,
    png_bytes,
    png_with_header,
    tiff_bytes,
    write,
)
from numpy.typing import NDArray
from open_folders import open_folder
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from pydicom import Dataset, uid
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_windowing
from pydicom.pixels.encoders import JPEG2000LosslessEncoder, RLELosslessEncoder

TABLE = rows(section("docs/reference/image_formats.md", "What can be wrong"))[1:]
DOCUMENTED = {case: (what.split()[0].strip(",:;"), words.strip("`")) for case, what, words in TABLE}
NOTHING = "–"


# ---- files ------------------------------------------------------------------------------------------------------------


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


RAMP = Image.fromarray(GREY)
LARGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
FLAT = np.full((16, 16), 7, np.uint8)
OTHER = Image.fromarray(GREY[::-1])


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def palette() -> bytes:
    image = Image.fromarray(255 - GREY, "P")
    image.putpalette([255 - place // 3 for place in range(768)])
    return saved(image, "PNG")


def turned() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return saved(LARGE, "JPEG", exif=exif)


def damaged_exif() -> PngInfo:
    info = PngInfo()
    info.add_text("Raw profile type exif", "\n\n\nno hexadecimal number")
    return info


def compressed(values: NDArray[np.uint16], encoder: Any, syntax: uid.UID) -> bytes:
    rows, columns = values.shape
    description = {"rows": rows, "columns": columns, "samples_per_pixel": 1, "bits_allocated": 16, "bits_stored": 12}
    description |= {"pixel_representation": 0, "number_of_frames": 1, "photometric_interpretation": "MONOCHROME2"}
    return dicom_bytes(values, next(encoder.iter_encode(values, **description)), syntax)


def voi_table() -> Dataset:
    table = Dataset()
    table.LUTDescriptor = [4081, 0, 12]
    table.LUTData = np.rint(np.arange(4081) * (4095 / 4080)).astype(np.uint16).tobytes()
    table["LUTData"].VR = "OW"
    return table


def padded() -> bytes:
    values = np.pad(TWELVE_BITS.astype(np.int16), 1, constant_values=-2000)
    return dicom_bytes(values, PixelPaddingValue=-2000, BitsStored=16, HighBit=15)


COLOUR = np.dstack([GREY, GREY.T[::-1], 255 - GREY])
CMYK_JPEG = saved(Image.merge("CMYK", [Image.fromarray(COLOUR[..., n]) for n in (0, 1, 2, 0)]), "JPEG", quality=100)
WHOLE = {"WindowCenter": 2040.5, "WindowWidth": 4081}  # 0 to 4080, by LINEAR
STANDARD = {
    "empty file": b"",
    "PNG cut off": half(saved(LARGE, "PNG")),
    "JPEG cut off": half(saved(LARGE, "JPEG")),
    "TIFF cut off": half(saved(LARGE, "TIFF")),
    "WebP cut off": half(saved(LARGE, "WEBP")),
    "BMP cut off": half(saved(LARGE, "BMP")),
    "PNG with a flipped bit": flipped(saved(LARGE, "PNG")),
    "HTML page named .jpg": b"<!DOCTYPE html><title>404</title>",
    "GIF named .png": saved(RAMP, "GIF", comment=b"x"),
    "PNG named .jpg": saved(RAMP, "PNG"),
    "grey of 16 bits, PNG": png_bytes(GREY.astype(np.uint16) * 257),
    "grey of 12 bits in 16, PNG": png_bytes(TWELVE_BITS),
    "grey of 16 bits, TIFF": tiff_bytes(GREY.astype(np.uint16) * 257),
    "grey of 16 bits, TIFF, white is zero": tiff_bytes(65535 - GREY.astype(np.uint16) * 257, white_is_zero=True),
    "grey of 16 bits with a sign, TIFF": tiff_bytes((GREY.astype(np.int32) * 257 - 32768).astype(np.int16)),
    "grey of 32 bits, TIFF": tiff_bytes(GREY.astype(np.uint32) * 16_843_009),
    "float, TIFF": tiff_bytes(GREY.astype(np.float32) / 255 - 3),
    "float with NaN": tiff_bytes(np.where(GREY == 255, np.nan, GREY).astype(np.float32)),
    "colour of 16 bits": png_bytes(COLOUR.astype(np.uint16) * 257, colour_type=2),
    "colour of 12 bits in 16": png_bytes(COLOUR.astype(np.uint16) * 16, colour_type=2),
    "palette": palette(),
    "CMYK": saved(Image.merge("CMYK", [Image.fromarray(255 - GREY)] * 3 + [Image.new("L", (16, 16))]), "TIFF"),
    "CMYK, JPEG": CMYK_JPEG,
    "1 bit": saved(Image.fromarray(GREY > 127), "PNG"),
    "alpha channel": saved(Image.merge("LA", [RAMP, OTHER]), "PNG"),
    "alpha channel, in colour": png_bytes(np.dstack([COLOUR, GREY[::-1]]), colour_type=6),
    "alpha channel, 16 bits": png_bytes(np.dstack([GREY, GREY[::-1]]).astype(np.uint16) * 257, colour_type=4),
    "turned by EXIF": turned(),
    "damaged EXIF": saved(RAMP, "PNG", pnginfo=damaged_exif()),
    "animated PNG": saved(RAMP, "PNG", save_all=True, append_images=[OTHER]),
    "animated WebP": saved(RAMP, "WEBP", save_all=True, append_images=[OTHER]),
    "JPEG of several pictures (MPO, as some cameras write it)": saved(
        RAMP.convert("RGB"), "MPO", save_all=True, append_images=[OTHER.convert("RGB")]
    ),
    "TIFF of several pages": saved(RAMP, "TIFF", save_all=True, append_images=[OTHER]),
    "50,000 × 50,000 pixels in a tiny file": png_with_header(50_000, 50_000, 8, 0, bytes(1000)),
    "10,000 × 10,000 pixels in a tiny file": png_with_header(10_000, 10_000, 8, 0, bytes(1000)),
    "1 × 1": saved(Image.new("L", (1, 1), 9), "PNG"),
    "constant": saved(Image.fromarray(FLAT), "PNG"),
    "constant, 16 bits": png_bytes(FLAT.astype(np.uint16)),
    "DICOM with a window": dicom_bytes(TWELVE_BITS, **WHOLE),
    "DICOM with rescale slope and intercept": dicom_bytes(
        TWELVE_BITS, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3080.5, WindowWidth=8161
    ),
    "DICOM with a VOI table": dicom_bytes(TWELVE_BITS, VOILUTSequence=[voi_table()], WindowCenter=9, WindowWidth=9),
    "DICOM without a window": dicom_bytes(TWELVE_BITS),
    "DICOM with padding": padded(),
    "DICOM, MONOCHROME1": dicom_bytes(4080 - TWELVE_BITS, PhotometricInterpretation="MONOCHROME1"),
    "DICOM, Presentation LUT Shape INVERSE": dicom_bytes(4080 - TWELVE_BITS, PresentationLUTShape="INVERSE"),
    "DICOM, another Presentation LUT Shape": dicom_bytes(TWELVE_BITS, PresentationLUTShape="LIN OD"),
    "DICOM in colour": dicom_bytes(COLOUR),
    "DICOM, JPEG": dicom_bytes(np.asarray(LARGE), saved(LARGE, "JPEG"), uid.JPEGBaseline8Bit),
    "DICOM, lossless JPEG": dicom_bytes(TWELVE_BITS, JPEG_LOSSLESS, uid.JPEGLosslessSV1),
    "DICOM, JPEG-LS": dicom_bytes(TWELVE_BITS, JPEG_LS, uid.JPEGLSLossless),
    "DICOM, JPEG 2000": compressed(
        TWELVE_BITS.repeat(4, 0).repeat(4, 1), JPEG2000LosslessEncoder, uid.JPEG2000Lossless
    ),
    "DICOM, RLE": compressed(TWELVE_BITS, RLELosslessEncoder, uid.RLELossless),
    "DICOM cut off": dicom_bytes(TWELVE_BITS)[:-100],
    "DICOM, compressed pixels cut off": dicom_bytes(TWELVE_BITS, half(JPEG_LOSSLESS), uid.JPEGLosslessSV1),
    "DICOM, compressed pixels of another size": dicom_bytes(TWELVE_BITS, JPEG_LS, uid.JPEGLSLossless, Rows=17),
    "DICOM of several frames": dicom_bytes(TWELVE_BITS, NumberOfFrames=2, PixelData=TWELVE_BITS.tobytes() * 2),
    "DICOM without pixels": dicom_bytes(TWELVE_BITS, Modality="SR", Rows=None, Columns=None, PixelData=None),
    "DICOM without its preamble": dicom_bytes(TWELVE_BITS)[132:],
    "DICOM, deflated": dicom_bytes(TWELVE_BITS, syntax=uid.DeflatedExplicitVRLittleEndian),
    "DICOM with a palette": dicom_bytes(GREY, PhotometricInterpretation="PALETTE COLOR"),
    "DICOM, window of no width": dicom_bytes(TWELVE_BITS, WindowCenter=100, WindowWidth=0),
    "DICOM, overlay in unused bits": dicom_bytes(TWELVE_BITS + 4096),
    "DICOM, compressed pixels of more bits than declared": dicom_bytes(
        TWELVE_BITS, JPEG_LOSSLESS, uid.JPEGLosslessSV1, BitsStored=10, HighBit=9
    ),
    "DICOM, size of a bomb": dicom_bytes(TWELVE_BITS, Rows=60_000, Columns=60_000),
}
"""Case to the bytes of the file."""

AS_DRAWN: dict[str, Any] = {
    **dict.fromkeys([case for case in STANDARD if case.startswith(("grey of", "float, ", "DICOM"))], GREY),
    **dict.fromkeys(["PNG named .jpg", "palette", "CMYK", "damaged EXIF"], GREY),
    **dict.fromkeys(["alpha channel", "alpha channel, 16 bits"], GREY),
    **dict.fromkeys(["colour of 16 bits", "DICOM in colour", "alpha channel, in colour"], COLOUR),
    "CMYK, JPEG": np.asarray(Image.open(io.BytesIO(CMYK_JPEG)).convert("RGB")),
    "1 bit": np.where(GREY > 127, 255, 0),
    "turned by EXIF": np.asarray(Image.open(io.BytesIO(saved(LARGE, "JPEG")))),
    "DICOM, JPEG": None,
    "DICOM, JPEG 2000": GREY.repeat(4, 0).repeat(4, 1),
    "DICOM with padding": np.pad(GREY, 1),
}
"""Case to the expected grey levels or colours, if the image is used."""


def suffix(case: str) -> str:
    if case.startswith("DICOM"):
        return ".dcm"
    return ".jpg" if "named .jpg" in case else ".tif" if "TIFF" in case else ".png"


# ---- other things in the place of an image


def make_pipe(folder: Path) -> None:
    os.mkfifo(folder / "x.png")


def make_unreadable(folder: Path) -> None:
    write(folder / "x.png", saved(RAMP, "PNG")).chmod(0)


def make_unreadable_folder(folder: Path) -> None:
    write(folder / "x/y.png", saved(RAMP, "PNG")).parent.chmod(0)


def link_to_image(folder: Path) -> None:
    (folder / "x.png").symlink_to(write(folder.parent / "elsewhere/y.png", saved(OTHER, "PNG")))


def link_to_folder(folder: Path) -> None:
    (folder / "x").symlink_to(write(folder.parent / "elsewhere/y.png", saved(OTHER, "PNG")).parent)


def same_bytes(folder: Path, other: str) -> None:
    for path in (folder / "x.png", folder / other):
        write(path, saved(OTHER, "PNG"))


def same_pixels(folder: Path, other: str) -> None:
    write(folder / "x.png", saved(OTHER, "PNG"))
    write(folder / other, saved(OTHER, "BMP"))


ODD_NAME = "a b'c\"d {e} {f} ; $(touch g) `h` <script>alert(1)</script> & %i \\ -- é 胸.png".replace("</", "<")
PLACES: dict[str, Callable[[Path], Any]] = {
    "no right to read it": make_unreadable,
    "no right to read a sub-folder": make_unreadable_folder,
    "folder named x.png": lambda folder: write(folder / "x.png/y.png", saved(RAMP, "PNG")),
    "pipe named x.png": make_pipe,
    "link that leads nowhere": lambda folder: (folder / "x.png").symlink_to("gone.png"),
    "link that leads to itself": lambda folder: (folder / "x.png").symlink_to("x.png"),
    "link to an image": link_to_image,
    "link to a sub-folder": link_to_folder,
    "name with a line break": lambda folder: write(folder / "x\ny.png", saved(RAMP, "PNG")),
    "name that is not UTF-8": lambda folder: write(folder / os.fsdecode(b"x\xe9.png"), saved(RAMP, "PNG")),
    "name of blanks, quotes, braces, `;`, `$(…)`, `<script>`": lambda folder: write(
        folder / ODD_NAME, saved(OTHER, "PNG")
    ),
    "names that differ only in case": lambda folder: [
        write(folder / name, saved(image, "PNG")) for name, image in (("x.png", RAMP), ("X.png", OTHER))
    ],
    "same bytes twice, in one class": lambda folder: same_bytes(folder, "y.png"),
    "same bytes in two classes": lambda folder: same_bytes(folder, "../b/y.png"),
    "same bytes in train and test": lambda folder: same_bytes(folder, "../../test/a/y.png"),
    "same pixels in other bytes, in one class": lambda folder: same_pixels(folder, "y.bmp"),
    "same pixels in other bytes, in two classes": lambda folder: same_pixels(folder, "../b/y.bmp"),
    "same pixels in other bytes, in train and test": lambda folder: same_pixels(folder, "../../test/a/y.bmp"),
}
"""Case to what makes it, in the folder train/a of a data set."""


@pytest.fixture
def root() -> Iterator[Path]:
    """A data set of two classes with one valid image per folder, all different, which any user can read."""
    with open_folder() as folder:
        for number, place in enumerate(("train/a", "train/b", "test/a", "test/b")):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
            write(folder / place / "fine.png", saved(Image.fromarray(pixels), "PNG"))
        yield folder


def as_nobody(function: Callable[[], Any]) -> Any:
    """Call a function as a user without rights, since root may read everything; return its result, as JSON."""
    function()  # load the imports now, since that user may not be able to read them
    read, written = os.pipe()
    child = os.fork()
    if not child:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            os.write(written, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(written)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def indexed(root: Path) -> list[dict[str, Any]]:
    index, errors = index_images(root, ["a", "b"])
    assert len(errors) == (index["status"] != "ok").sum()
    return json.loads(index.drop(columns=["age"]).to_json(orient="records"))


# ---- the tests ----------------------------------------------------------------------------------------------------------


def test_every_line_of_the_table_is_tested() -> None:
    assert list(DOCUMENTED) == [*STANDARD, *PLACES]


@pytest.mark.parametrize("case", STANDARD)
def test_bad_image(root: Path, case: str) -> None:
    what, words = DOCUMENTED[case]
    file = write(root / f"train/a/x{suffix(case)}", STANDARD[case])
    (row,) = [row for row in indexed(root) if row["image"] == f"train/a/{file.name}"]
    if what == "error":
        assert row["status"] == "unreadable" and words in row["problem"]
        with pytest.raises(UserError, match=re.escape(f"{file}: unreadable: ")):
            decode_image(file, 16, "nearest")
        return
    assert (what, row["status"]) == ("used", "ok"), row["problem"]
    assert words in (row["conversions"] or NOTHING).split("; ")
    wanted = AS_DRAWN[case]
    if wanted is None:  # lossy, and stretched to its own range
        wanted = np.asarray(Image.open(io.BytesIO(saved(LARGE, "JPEG")))).astype(float)
        wanted = np.rint((wanted - wanted.min()) * 255 / (wanted.max() - wanted.min()))
    if wanted.ndim == 2:
        wanted = np.dstack([wanted] * 3)
    assert (row["width"], row["height"]) == wanted.shape[1::-1]
    size = wanted.shape[0]
    np.testing.assert_array_equal(decode_image(file, size, "nearest"), wanted)
    if not case.startswith(("grey of", "float", "DICOM")):
        np.testing.assert_array_equal(keras.utils.load_img(file, target_size=(size, size)), wanted)


@pytest.mark.parametrize("case", PLACES)
def test_bad_image_by_its_place(root: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    what, words = DOCUMENTED[case]
    PLACES[case](root / "train/a")
    if "no right" in case:
        monkeypatch.setattr("cxrflow.images.index.decoding_hash", lambda: "0123abcd")  # reads code and packages
        found = as_nobody(lambda: indexed(root))
        (root / "train/a/x").with_suffix(".png" if "read it" in case else "").chmod(0o700)
    else:
        found = indexed(root)
    more = [row for row in found if not row["image"].endswith("fine.png")]
    assert {row["status"] for row in more} == {"unreadable" if what == "error" else "ok"}
    if what == "error":
        (row,) = more
        assert words in row["problem"]
        escaped = {"name with a line break": r"x\ny.png", "name that is not UTF-8": r"x\xe9.png"}.get(case, "x")
        assert row["image"].isprintable() and row["image"].startswith(f"train/a/{escaped}")
        return
    assert [row["bytes"] for row in more] == [(root / row["image"]).stat().st_size for row in more]
    doubts, groups = doubts_about(pd.DataFrame(found)), duplicate_images(pd.DataFrame(found))
    doubts = [doubt for doubt in doubts if "patients of all " not in doubt]
    assert words == NOTHING or [words in doubt for doubt in doubts].count(True) == 1
    assert (groups["same_bytes"] != []) == case.startswith("same bytes")
    assert (groups["same_pixels"] != []) == case.startswith("same pixels")
    assert len(doubts) == (words != NOTHING)


def test_bad_image_names_survive_tables(root: Path) -> None:
    write(root / "train/a" / ODD_NAME, saved(OTHER, "PNG"))
    index, _ = index_images(root, ["a", "b"])
    index.to_parquet(root / "index.parquet")
    index[["image", "sha256"]].to_csv(root / "index.csv", index=False)
    for table in (pd.read_parquet(root / "index.parquet"), pd.read_csv(root / "index.csv")):
        assert f"train/a/{ODD_NAME}" in set(table["image"])


def run_index(root: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxrflow.stages.index_images", "--root", str(root), "--classes", "a", "b"]
    return subprocess.run(
        [*command, "--images", str(root / "index.parquet"), *flags], capture_output=True, text=True, check=False
    )


def test_bad_images_are_reported_together_and_headers_first(root: Path) -> None:
    contents, header = ["PNG cut off", "constant", "float with NaN"], ["empty file", "1 × 1"]
    for place, case in enumerate(contents + header):
        write(root / f"train/a/{place}{suffix(case)}", STANDARD[case])
    PLACES["name with a line break"](root / "train/a")
    run = run_index(root)
    assert run.returncode == 1 and not (root / "index.parquet").exists()
    *reported, advice = run.stderr.splitlines()
    assert len(reported) == 6 and all(line.startswith("error: ") for line in reported)
    assert r"x\ny.png: unreadable: its name holds a line break" in reported[-1]
    assert "on_bad_image: skip" in advice
    assert run.stdout.count("problem: ") == 3, "problems of headers and names are reported before anything is decoded"


def test_bad_images_are_skipped_on_request(root: Path) -> None:
    for place, case in enumerate(("empty file", "constant")):
        write(root / f"train/a/{place}.png", STANDARD[case])
    run = run_index(root, "--settings", '{"on_bad_image": "skip"}')
    assert run.returncode == 0, run.stderr
    assert "warning: " in run.stdout and "6 images: 4 ok, 2 unreadable" in run.stdout
    audit = describe_data(pd.read_parquet(root / "index.parquet"))
    assert audit["images"] == 4 and set(audit["faults"]) == {"train/a/0.png", "train/a/1.png"} == set(
        audit["unreadable"]
    )
    assert audit["faults"]["train/a/0.png"] == "empty (0 bytes)"


def test_only_bad_images_are_not_a_data_set(root: Path) -> None:
    for file in root.rglob("*.png"):
        file.write_bytes(b"")
    run = run_index(root, "--settings", '{"on_bad_image": "skip"}')
    assert run.returncode == 1 and not (root / "index.parquet").exists()
    assert run.stderr.count("empty (0 bytes)") == 4 and run.stderr.endswith("error: no image can be used\n")


def test_skipping_bad_images_does_not_allow_missing_ones(root: Path) -> None:
    (root / "list.csv").write_text("path\ntrain/a/fine.png\ntrain/b/gone.png\n")
    run = run_index(root, "--settings", '{"on_bad_image": "skip"}', "--image-list", str(root / "list.csv"))
    assert run.returncode == 1 and "gone.png: missing" in run.stderr and "missing_images: warn" in run.stderr


def test_missing_and_different_files_are_one_line_each(root: Path) -> None:
    """The user's own folder with a list of hashes: an error, or a warning."""
    rows = ["train/a/fine.png,", f"train/b/fine.png,{'0' * 64}", "test/a/gone.png,", f"test/b/fine.png,{'1' * 64}"]
    (root / "list.csv").write_text("\n".join(["path,sha256", *rows]))
    lines = [
        f"{root}/test/a/gone.png: missing",
        *(
            f"{root}/{place}/b/fine.png: its contents differ from the image list (SHA-256)"
            for place in ("test", "train")
        ),
    ]
    stopped = run_index(root, "--image-list", str(root / "list.csv"))
    assert stopped.returncode == 1 and not (root / "index.parquet").exists()
    assert stopped.stderr.splitlines()[:-1] == [f"error: {line}" for line in lines]
    assert "missing_images: warn" in stopped.stderr.splitlines()[-1]
    warned = run_index(root, "--image-list", str(root / "list.csv"), "--settings", '{"missing_images": "warn"}')
    assert warned.returncode == 0 and "4 images: 2 changed, 1 missing, 1 ok" in warned.stdout, warned.stdout
    assert [line for line in warned.stdout.splitlines() if line.startswith("warning")] == [
        f"warning: {line}" for line in lines
    ]


def test_bad_image_headers_are_enough_without_decoding(root: Path) -> None:
    """Reading a header takes the same time for any size of the picture."""
    file = write(root / "train/a/x.png", png_with_header(9000, 9000, 8, 0, b""))
    assert read_header(file).width == 9000


# ---- windows, against pydicom's own --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2000, 3000), (100.5, 1), (4000, 17), (-50, 9000.25)])
def test_window_is_that_of_pydicom(function: str, centre: float, width: float) -> None:
    dataset = Dataset()
    dataset.PhotometricInterpretation, dataset.PixelRepresentation, dataset.BitsStored = "MONOCHROME2", 0, 12
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = centre, width, function
    peer = apply_windowing(TWELVE_BITS, dataset) / 4095
    np.testing.assert_allclose(window(TWELVE_BITS.astype(float), centre, width, function), peer, atol=1e-12)


# ---- the same picture in several transfer syntaxes, files that come with pydicom ------------------------------------------


@pytest.mark.parametrize("kind", ["RLE", "bigendian", "implicit", "jp2klossless", "jpeg_ls_lossless", "padded"])
def test_dicom_grey_of_every_transfer_syntax(kind: str) -> None:
    plain, other = (pydicom_file(f"MR_small{end}.dcm") for end in ("", f"_{kind}"))
    np.testing.assert_array_equal(decode_image(other, 64, "nearest"), decode_image(plain, 64, "nearest"))


def test_dicom_colour_by_lossless_jpeg_and_rle() -> None:
    plain = decode_image(pydicom_file("SC_rgb_rle.dcm"), 100, "nearest")
    np.testing.assert_array_equal(decode_image(pydicom_file("SC_rgb_jpeg_gdcm.dcm"), 100, "nearest"), plain)
    assert plain[5, 50].tolist() == [255, 0, 0] and plain[45, 50].tolist() == [0, 0, 255]


def pydicom_file(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))
