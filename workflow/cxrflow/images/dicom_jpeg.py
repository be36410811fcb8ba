"""JPEG of 12 bits, lossless JPEG and JPEG-LS within DICOM: imagecodecs (libjpeg-turbo, CharLS) as a decoder of pydicom's.

What pydicom asks of such a module is in its guide "Decoding plugins": `is_available`, `DECODER_DEPENDENCIES`, and a function.
"""

import struct

from imagecodecs import jpeg8_decode, jpegls_decode
from pydicom import uid
from pydicom.pixels.decoders import (
    JPEGExtended12BitDecoder,
    JPEGLosslessDecoder,
    JPEGLosslessSV1Decoder,
    JPEGLSLosslessDecoder,
    JPEGLSNearLosslessDecoder,
)
from pydicom.pixels.decoders.base import DecodeRunner

from cxrflow.stage.faults import Fault

JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
DECODER_DEPENDENCIES = dict.fromkeys(
    (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, *JPEG_LS), ("imagecodecs",)
)
# Start of a frame: of the kinds of JPEG (0xC4, 0xC8 and 0xCC are other markers), and of JPEG-LS.
FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}


def is_available(syntax: str) -> bool:
    """Whether a transfer syntax can be decoded here."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytearray:
    """The values of a compressed picture, colours as they are stored; `runner` is told in what form they are."""
    if runner.transfer_syntax in JPEG_LS:
        values = jpegls_decode(frame)
    else:
        stored = "RGB" if runner.samples_per_pixel == 3 else None  # the same in and out: no conversion
        values = jpeg8_decode(frame, colorspace=stored, outcolorspace=stored)
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * values.itemsize)
    return bytearray(values.tobytes())


def jpeg_parameters(frame: bytes) -> dict[str, int]:
    """Rows, columns and precision (bits of a value) that a JPEG or JPEG-LS picture tells of itself.

    Raises:
        Fault: it tells none.
    """
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in FRAME:
            precision, rows, columns = struct.unpack_from(">BHH", frame, place + 4)
            return {"rows": rows, "columns": columns, "precision": precision}
        if marker == 0xFF:  # may stand before any marker
            place += 1
        elif marker in WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", frame, place + 2)[0]
    raise Fault("its compressed pixels do not tell their size")


for decoder in (
    JPEGExtended12BitDecoder,
    JPEGLosslessDecoder,
    JPEGLosslessSV1Decoder,
    JPEGLSLosslessDecoder,
    JPEGLSNearLosslessDecoder,
):
    decoder.add_plugin("imagecodecs", (__name__, "decode_frame"))
