"""Image files of known grey levels, in formats and with errors that Pillow cannot write."""

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cxrflow.images import index
from cxrflow.images.listing import list_images
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian

GREY = np.rint(8.5 * np.add.outer(np.arange(16), np.arange(16))).astype(np.uint8)
"""A ramp of grey levels: shape (16, 16), values 0 to 255."""
TWELVE_BITS = GREY.astype(np.uint16) * 16
"""The ramp with values 0 to 4080; scaled to 0 to 255 it equals GREY."""


def png_bytes(rows: NDArray[Any], colour_type: int = 0) -> bytes:
    """Encode a PNG with 8 or 16 bits per channel: colour type 0 is grey, 2 RGB, 4 grey with alpha, 6 RGBA."""
    lines = b"".join(b"\0" + row.astype(f">u{row.itemsize}").tobytes() for row in rows)
    return png_with_header(rows.shape[1], rows.shape[0], 8 * rows.itemsize, colour_type, lines)


def png_with_header(width: int, height: int, bits: int, colour_type: int, lines: bytes) -> bytes:
    """Encode a PNG with any header, valid or not."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def tiff_bytes(values: NDArray[Any], white_is_zero: bool = False) -> bytes:
    """Encode an uncompressed little-endian TIFF with one channel."""
    sample_format = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width = values.shape
    body = values.astype(values.dtype.newbyteorder("<")).tobytes()
    tags = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 0 if white_is_zero else 1}
    tags |= {273: 8, 277: 1, 278: height, 279: len(body), 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def dicom_bytes(
    values: NDArray[Any], frame: bytes = b"", syntax: UID = ExplicitVRLittleEndian, **elements: Any
) -> bytes:
    """Encode a DICOM file with 12 or 8 bits per channel, unless `elements` says otherwise.

    Args:
        values: shape (height, width), or (height, width, 3) for RGB.
        frame: the compressed pixels, in place of the values.
        syntax: transfer syntax.
        elements: keyword to value; elements with the value None are left out.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    bits = 12 if values.itemsize == 2 else 8
    described = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
        "SOPInstanceUID": "1.2.3.4",
        "Modality": "CR",
        "Rows": values.shape[0],
        "Columns": values.shape[1],
        "SamplesPerPixel": 3 if values.ndim == 3 else 1,
        "PlanarConfiguration": 0 if values.ndim == 3 else None,
        "PhotometricInterpretation": "RGB" if values.ndim == 3 else "MONOCHROME2",
        "BitsAllocated": 8 * values.itemsize,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "PixelData": encapsulate([frame]) if frame else values.tobytes(),
        **elements,
    }
    for keyword, value in described.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if frame or values.itemsize == 1 else "OW"
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def write(path: Path, content: bytes) -> Path:
    """Write a file, and create its parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# TWELVE_BITS, compressed with GDCM, since the libraries used here only read these formats: JPEG Lossless (SV1) and JPEG-LS.
JPEG_LOSSLESS = base64.b64decode(
    "/9j/wwALEAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAACBD/2gAIAQEAAQAAkAkEggEAkEggEAkEggEAkEggEgkEAgEg"
    "kEAgEgkEAgEgkEAkEggEAkEggEAkEggEAkEggEAkEAgEgkEAgEgkEAgEgkEAgEggEAkEggEAkEggEAkEggEAkEggEgkEAgEg"
    "kEAgEgkEAgEgkEAkEggEAkEggEAkEggEAkEggEAkEAgEgkEAgEgkEAgEgkEAgEggEAkEggEAkEggEAkEggEAkEggEgkEAgEg"
    "kEAgEgkEAgEgkEAkEggEAkEggEAkEggEAkEggEAkEAgEgkEAgEgkEAgEgkEAgEggEAkEggEAkEggEAkEggEAkEggEgkEAgEg"
    "kEAgEgkEAgEgkEAkEggEAkEggEAkEggEAkEggEAkEAgEgkEAgEgkEAgEgkEAgEh//9k="
)
JPEG_LS = base64.b64decode(
    "/9j/9wALEAAQABABAREA//gADQH//wASAEMBFABA/9oACAEBAAAAAKf9H6Oz/n7jeM3veuJoj7/ahaE0ApBR6/L6xjFr0+SI"
    "Id7PUhCDUAQRAvB3v5+ux1vp8uhzvZ6uRP7zcTheDvbzddjrbTZdDnazVY5qNNxOFoM9vN1mEstFkkEcrMaRSoUyEQSgT359"
    "JhLenkkEdfCMRXRzIRBcG9+fWxrenloXt3ZmZ1dGNjcnFgX25tXFtilpaaWhXV2ZlVFRkY1JSYiJUSEgYL379cufPVix26fD"
    "pypUOHCdO3bJkzVqle7VIkaNEaNmzRo2TJChIZChIkUUSJFFEiRRRIkKiRIookSKKJEiiiRIvQiRRRIkUUSJFFEiRReZFFEi"
    "RRRIkUUSJFFEggD/2QA="
)


def index_images(
    root: Path,
    classes: list[str],
    image_list: pd.DataFrame | None = None,
    layout: str = "train_test",
    patient_pattern: str | None = None,
    **options: Any,
) -> tuple[pd.DataFrame, list[str]]:
    """List and index images, as the stage `index_images` does."""
    listed = list_images(root, classes, layout, image_list, patient_pattern)
    return index.index_images(root, listed, **options)
