"""A pydicom decoder for 12-bit JPEG, lossless JPEG and JPEG-LS, based on imagecodecs (libjpeg-turbo, CharLS).

It follows pydicom's guide "Decoding plugins", which requires `is_available`, `DECODER_DEPENDENCIES` and a decoding function.
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

from cxrflow.io.errors import UserError

JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
DECODER_DEPENDENCIES = dict.fromkeys(
    (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, *JPEG_LS), ("imagecodecs",)
)
# Markers for the start of a frame in JPEG (0xC4, 0xC8 and 0xCC are other markers) and JPEG-LS.
FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xDA)}


def is_available(syntax: str) -> bool:
    """Whether this module decodes a transfer syntax."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytearray:
    """Decode a compressed picture without converting colours, and set the layout of its values in `runner`."""
    if runner.transfer_syntax in JPEG_LS:
        values = jpegls_decode(frame)
    else:
        stored = "RGB" if runner.samples_per_pixel == 3 else None  # the same for input and output: no conversion
        values = jpeg8_decode(frame, colorspace=stored, outcolorspace=stored)
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * values.itemsize)
    return bytearray(values.tobytes())


def jpeg_parameters(frame: bytes) -> dict[str, int]:
    """Read rows, columns and precision (bits per value) from the header of a JPEG or JPEG-LS picture.

    Raises:
        UserError: there is no such header.
    """
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in FRAME:
            precision, rows, columns = struct.unpack_from(">BHH", frame, place + 4)
            return {"rows": rows, "columns": columns, "precision": precision}
        if marker == 0xFF:  # padding, allowed before any marker
            place += 1
        elif marker in WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", frame, place + 2)[0]
    raise UserError("its compressed pixels have no header with their size")


for decoder in (
    JPEGExtended12BitDecoder,
    JPEGLosslessDecoder,
    JPEGLosslessSV1Decoder,
    JPEGLSLosslessDecoder,
    JPEGLSNearLosslessDecoder,
):
    decoder.add_plugin("imagecodecs", (__name__, "decode_frame"))
