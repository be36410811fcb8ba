"""The kinds of JPEG that DICOM uses and Pillow does not read, compared with the values that were compressed."""

from pathlib import Path

import numpy as np
import pytest
from cxrflow.images.decode import read_image
from cxrflow.images.dicom_jpeg import jpeg_parameters
from cxrflow.io.errors import UserError
from imagecodecs import jpeg8_encode, jpegls_encode
from made_images import GREY, JPEG_LOSSLESS, JPEG_LS, TWELVE_BITS, dicom_bytes, write
from pydicom import uid

COLOUR = np.stack([GREY, 255 - GREY, GREY.T // 2], axis=2)


def grey_of(folder: Path, frame: bytes, syntax: uid.UID) -> np.ndarray:
    """Read the grey levels of a DICOM file of TWELVE_BITS, scaled by their own range, as signed numbers."""
    rgb, _ = read_image(write(folder / "x.dcm", dicom_bytes(TWELVE_BITS, frame, syntax)))
    return np.asarray(rgb)[..., 0].astype(int)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_lossless_jpeg_of_every_predictor(tmp_path: Path, predictor: int) -> None:
    frame = jpeg8_encode(TWELVE_BITS, lossless=True, predictor=predictor, bitspersample=12)
    np.testing.assert_array_equal(grey_of(tmp_path, frame, uid.JPEGLossless), GREY)


def test_jpeg_of_twelve_bits(tmp_path: Path) -> None:
    frame = jpeg8_encode(TWELVE_BITS, level=98, bitspersample=12)
    assert np.abs(grey_of(tmp_path, frame, uid.JPEGExtended12Bit) - GREY).max() <= 1


def test_jpeg_ls_that_is_nearly_lossless(tmp_path: Path) -> None:
    frame = jpegls_encode(TWELVE_BITS, level=16)  # values differ by 16 of 4095 at most
    assert 0 < np.abs(grey_of(tmp_path, frame, uid.JPEGLSNearLossless) - GREY).max() <= 2


def test_colour_is_taken_as_it_is_stored(tmp_path: Path) -> None:
    frame = jpeg8_encode(COLOUR, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB")
    rgb, conversions = read_image(write(tmp_path / "x.dcm", dicom_bytes(COLOUR, frame, uid.JPEGLosslessSV1)))
    np.testing.assert_array_equal(np.asarray(rgb), COLOUR)
    assert conversions == ["DICOM in colour"]


@pytest.mark.parametrize(
    ("frame", "precision"), [(JPEG_LOSSLESS, 16), (JPEG_LS, 16), (jpeg8_encode(TWELVE_BITS, bitspersample=12), 12)]
)
def test_a_picture_contains_its_size(frame: bytes, precision: int) -> None:
    wanted = {"rows": 16, "columns": 16, "precision": precision}
    assert jpeg_parameters(frame) == wanted
    comment = b"\xff\xfe\x00\x06text"
    assert jpeg_parameters(frame[:2] + comment + b"\xff" + frame[2:]) == wanted


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9" * 9, JPEG_LS[:8], b"\xff\xd8" + bytes(99)])
def test_a_picture_without_a_size_is_reported(frame: bytes) -> None:
    with pytest.raises(UserError, match="its compressed pixels have no header with their size"):
        jpeg_parameters(frame)
