"""Decode DICOM files to the 8-bit grey levels that a viewer shows with the first window in the file.

The steps are those of the standard's grey-scale pipeline (PS3.4, N.2): stored values, modality transformation (rescale slope
and intercept, or a table), values of interest (a table, or a window), and presentation: a file whose lowest value is white is
inverted, according to its Presentation LUT Shape (INVERSE) or, without one, to MONOCHROME1. Without a window or a table, the
range of the file's values is used.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openjpeg
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import get_frame
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_rescale, pixel_array

from cxrflow.images.dicom_jpeg import DECODER_DEPENDENCIES, jpeg_parameters
from cxrflow.images.dicom_patient import patient_tags
from cxrflow.images.pixel_values import check_size, to_8_bits, value_range
from cxrflow.io.errors import UserError

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
JPEG = {
    # JPEG of 8 bits is decoded as in JPEG files.
    uid.JPEGBaseline8Bit: "pillow",
    **dict.fromkeys(DECODER_DEPENDENCIES, "imagecodecs"),
}
JPEG_2000 = dict.fromkeys(
    (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), "pylibjpeg"
)
DECODERS = {**JPEG, **JPEG_2000, uid.RLELossless: "pydicom"}
"""Transfer syntax to its decoder. There is only one each: a second one would accept files that the first finds damaged."""

SHAPE_OF = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
"""Photometric interpretation to the Presentation LUT Shape that PS3.3, C.8.11.3 requires with it."""
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def read_dicom_header(path: Path) -> tuple[int, int, str, str, str | None, str | None, str | None, str | None]:
    """Read width, height, photometric interpretation with bits, "DICOM", and the patient's data (`patient_tags`).

    Raises:
        UserError: the file cannot be used; the message does not contain its name. Damaged files raise any exception.
    """
    _check_transfer_syntax(path)
    dataset = dcmread(path, stop_before_pixels=True)
    _check_elements(dataset)
    mode = f"{dataset.PhotometricInterpretation}, {dataset.BitsStored} bits"
    return dataset.Columns, dataset.Rows, mode, "DICOM", *patient_tags(dataset)


def read_dicom(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode a DICOM file whose header has been checked.

    Returns:
        uint8 array of shape (height, width), or (height, width, 3) for colour; and the conversions of its values.

    Raises:
        UserError: the file cannot be used; the message does not contain its name. Damaged files raise any exception.
    """
    dataset = dcmread(path)
    if "PixelData" not in dataset:
        raise UserError("DICOM without pixels")
    stored = _stored_values(dataset)
    if dataset.PhotometricInterpretation in COLOUR:
        return stored.astype(np.uint8), ["DICOM in colour"]
    grey, how = _grey_levels(dataset, stored)
    shape, kind = _presentation_shape(dataset), dataset.PhotometricInterpretation
    inverted = (shape or SHAPE_OF[kind]) == "INVERSE"
    conversions = [how] + (["negative turned positive"] if inverted else [])
    if shape and shape != SHAPE_OF[kind]:
        conversions.append(f"Presentation LUT Shape {shape} overrides {kind}")
    return 255 - grey if inverted else grey, conversions


def _check_transfer_syntax(path: Path) -> None:
    # Only the meta information is read: a deflated data set could expand to any size.
    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax is None:
        raise UserError("DICOM without a transfer syntax, so it cannot be decoded")
    if syntax not in NATIVE and syntax not in DECODERS:
        raise UserError(
            f"DICOM of transfer syntax {syntax.name}, which is not supported; convert it to Explicit VR Little Endian"
        )


def _check_elements(dataset: Dataset) -> None:
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        raise UserError(f"DICOM without pixels (modality {dataset.get('Modality', 'not given')})")
    needed = ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit")
    if absent := [name for name in needed if dataset.get(name) is None]:
        raise UserError(f"DICOM without {', '.join(absent)}, so its pixels cannot be decoded")
    check_size(dataset.Columns, dataset.Rows)
    if (frames := int(dataset.get("NumberOfFrames") or 1)) != 1:
        raise UserError(f"DICOM of {frames} frames; save the right one as a separate file")
    kind, samples, bits = dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.BitsAllocated
    if (kind, samples) not in {*((grey, 1) for grey in SHAPE_OF), *((colour, 3) for colour in COLOUR)}:
        raise UserError(f"DICOM of photometric interpretation {kind} with {samples} samples; export it as MONOCHROME2")
    if bits not in ((8,) if kind in COLOUR else (8, 16, 32)):
        raise UserError(
            f"DICOM of {bits} bits ({kind}), which is not a radiograph; export it as MONOCHROME2 of 8 or 16 bits"
        )
    if kind in SHAPE_OF:
        _presentation_shape(dataset)
    if not (0 < dataset.BitsStored <= bits and dataset.HighBit == dataset.BitsStored - 1):
        raise UserError(
            f"DICOM whose values are not the lowest bits ({dataset.BitsStored} stored, high bit {dataset.HighBit})"
        )


def _presentation_shape(dataset: Dataset) -> str:
    """Return IDENTITY or INVERSE, or an empty text if the file has no Presentation LUT Shape.

    Raises:
        UserError: another shape, or a table (of print jobs and presentation states, PS3.3, C.11.4 and C.11.6).
    """
    if dataset.get("PresentationLUTSequence"):
        raise UserError("DICOM with a Presentation LUT Sequence, which is not supported; export it as it is displayed")
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    if shape not in ("", *SHAPE_OF.values()):
        raise UserError(f"DICOM with Presentation LUT Shape {shape!r}; allowed: IDENTITY, INVERSE")
    return shape


def _stored_values(dataset: Dataset) -> NDArray[Any]:
    syntax = dataset.file_meta.TransferSyntaxUID
    bits, signed = dataset.BitsStored, dataset.get("PixelRepresentation", 0)
    precision = bits
    if syntax in JPEG or syntax in JPEG_2000:
        precision = _check_codestream(dataset, get_frame(dataset.PixelData, 0, number_of_frames=1))
    # Unused high bits (old overlays) are cleared, but not if the compressed picture has more bits than the header says.
    values = pixel_array(dataset, decoding_plugin=DECODERS.get(syntax, ""), correct_unused_bits=precision <= bits)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if values.min() < low or values.max() > high:
        raise UserError(f"DICOM with values beyond the {bits} bits that it declares")
    return values


def _check_codestream(dataset: Dataset, frame: bytes) -> int:
    """Check a compressed picture against the file's header, and whether it is complete.

    Decoders allocate memory for the size in the picture, and JPEG decoders fill missing pixels.

    Returns:
        Number of bits per value.
    """
    if not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise UserError("truncated: its compressed pixels have no end")
    parameters = openjpeg.get_parameters if dataset.file_meta.TransferSyntaxUID in JPEG_2000 else jpeg_parameters
    found = parameters(frame)
    if (found["columns"], found["rows"]) != (dataset.Columns, dataset.Rows):
        declared = f"{dataset.Columns} × {dataset.Rows}"
        raise UserError(f"DICOM of {declared} pixels, but its picture has {found['columns']} × {found['rows']}")
    return int(found["precision"])


def _grey_levels(dataset: Dataset, stored: NDArray[Any]) -> tuple[NDArray[np.uint8], str]:
    """Convert the stored values of one channel to grey levels 0 to 255, before inversion; also return the method."""
    if tables := dataset.get("ModalityLUTSequence"):
        values = _looked_up(dataset, tables[0], stored.astype(np.int64))[0].astype(np.float64)
    else:
        values = np.asarray(apply_rescale(stored, dataset), dtype=np.float64)
    if tables := dataset.get("VOILUTSequence"):
        looked_up, bits = _looked_up(dataset, tables[0], np.rint(values).astype(np.int64))
        return to_8_bits(looked_up, 0, (1 << bits) - 1), "DICOM by its table (VOI LUT)"
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None:
        function = str(dataset.get("VOILUTFunction") or "LINEAR")
        return to_8_bits(window(values, centre, width, function), 0, 1), "DICOM by its window"
    low, high = value_range(values[~_padding(dataset, stored)])
    return to_8_bits(values, low, high), "DICOM by its own range"


def _looked_up(dataset: Dataset, table: Dataset, values: NDArray[np.int64]) -> tuple[NDArray[np.integer], int]:
    """Look values up in a table (PS3.3, C.11.1.1 and C.11.2.1.1); also return the number of bits of its entries.

    pydicom 3.0 stores indices with as few bits as the entries or stored values have, so it uses wrong entries or fails.

    Raises:
        UserError: the table has fewer entries than declared, or its entries do not have 1 to 16 bits.
    """
    count, first, bits = (int(number) for number in table.LUTDescriptor)
    count = count or 1 << 16
    entries = table.LUTData
    if isinstance(entries, bytes):
        packed = bits <= 8 and len(entries) < 2 * count
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        entries = np.frombuffer(entries, "u1" if packed else f"{order}u2")
    entries = np.atleast_1d(np.asarray(entries))
    if len(entries) < count or not 1 <= bits <= 16:
        raise UserError(f"DICOM with a table of {len(entries)} entries, {count} of {bits} bits declared")
    return entries[np.clip(values - first, 0, count - 1)], bits


def _first(value: Any) -> float | None:
    """Return the first of one or more numbers, or None if there is none."""
    values = [value] if value is None or isinstance(value, str | float | int) else list(value)
    return None if not values or values[0] in (None, "") else float(values[0])


def window(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Map a window of values to 0 to 1: functions LINEAR, LINEAR_EXACT and SIGMOID of PS3.3, C.11.2.1.2 and C.11.2.1.3.

    Raises:
        UserError: an unknown function, or a width that the function does not allow.
    """
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UserError(f"DICOM with the window function {function!r}; allowed: LINEAR, LINEAR_EXACT, SIGMOID")
    if not (np.isfinite([centre, width]).all() and (width >= 1 if function == "LINEAR" else width > 0)):
        raise UserError(f"DICOM header: window width {width:g} (centre {centre:g}) is not usable; correct the header")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Mask of the padding pixels (Pixel Padding Value, or a range up to Pixel Padding Range Limit)."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    ends = sorted([int(value), int(dataset.get("PixelPaddingRangeLimit", value))])
    return (stored >= ends[0]) & (stored <= ends[1])
