"""DICOM files to 8 bits: the grey levels that a viewer shows by the file's own first window.

The steps and their order are those of the standard's grey-scale pipeline (PS3.4, N.2): stored values, modality
transformation (rescale slope and intercept, or a table), values of interest (a table, or a window), and MONOCHROME1, whose
lowest value is white, inverted. A file without a window or a table is shown by its own range.
"""

from pathlib import Path
from typing import Any

import numpy as np
import openjpeg
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import get_frame
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_modality_lut, apply_voi, pixel_array

from cxrflow.images.dicom_jpeg import DECODER_DEPENDENCIES, jpeg_parameters
from cxrflow.images.grey import own_range, to_8_bits
from cxrflow.images.limits import check_size
from cxrflow.stage.faults import Fault

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
JPEG = {
    # JPEG of 8 bits is decoded by what decodes JPEG files, too.
    uid.JPEGBaseline8Bit: "pillow",
    **dict.fromkeys(DECODER_DEPENDENCIES, "imagecodecs"),
}
JPEG_2000 = dict.fromkeys(
    (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), "pylibjpeg"
)
DECODERS = {**JPEG, **JPEG_2000, uid.RLELossless: "pydicom"}
"""Transfer syntax to the decoder that takes it. One each: a second would give pixels for what the first finds damaged."""

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def read_dicom_header(path: Path) -> tuple[int, int, str, str]:
    """Width, height, photometric interpretation with bits, and "DICOM".

    Raises:
        Fault: the file cannot be used; its name is not part of the message. Damaged files raise anything.
    """
    _check_transfer_syntax(path)
    dataset = dcmread(path, stop_before_pixels=True)
    _check_elements(dataset)
    mode = f"{dataset.PhotometricInterpretation}, {dataset.BitsStored} bits"
    return dataset.Columns, dataset.Rows, mode, "DICOM"


def read_dicom(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode a DICOM file whose header is in order.

    Returns:
        uint8 array of shape (height, width), or (height, width, 3) for colour; and how its values were converted.

    Raises:
        Fault: the file cannot be used; its name is not part of the message. Damaged files raise anything.
    """
    dataset = dcmread(path)
    if "PixelData" not in dataset:
        raise Fault("DICOM without pixels")
    stored = _stored_values(dataset)
    if dataset.PhotometricInterpretation in COLOUR:
        return stored.astype(np.uint8), ["DICOM in colour"]
    grey, how = _shown(dataset, stored)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        return 255 - grey, [how, "negative turned positive"]
    return grey, [how]


def _check_transfer_syntax(path: Path) -> None:
    # By the meta information alone: the deflated syntaxes would be inflated, to any size, in reading further.
    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax is None:
        raise Fault("DICOM without a transfer syntax, so that its bytes cannot be understood")
    if syntax not in NATIVE and syntax not in DECODERS:
        raise Fault(
            f"DICOM of transfer syntax {syntax.name}, which is not read; convert it to Explicit VR Little Endian"
        )


def _check_elements(dataset: Dataset) -> None:
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        raise Fault(f"DICOM without pixels (modality {dataset.get('Modality', 'not given')})")
    needed = ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit")
    if absent := [name for name in needed if dataset.get(name) is None]:
        raise Fault(f"DICOM without {', '.join(absent)}, so that its pixels cannot be understood")
    check_size(dataset.Columns, dataset.Rows)
    if (frames := int(dataset.get("NumberOfFrames") or 1)) != 1:
        raise Fault(f"DICOM of {frames} frames; save the one that counts as a file of its own")
    kind, samples, bits = dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.BitsAllocated
    if (kind, samples) not in {*((grey, 1) for grey in GREY), *((colour, 3) for colour in COLOUR)}:
        raise Fault(f"DICOM of photometric interpretation {kind} with {samples} samples; export it as MONOCHROME2")
    if bits not in ((8,) if kind in COLOUR else (8, 16, 32)):
        raise Fault(f"DICOM of {bits} bits ({kind}), which is no radiograph; export it as MONOCHROME2 of 8 or 16 bits")
    if not (0 < dataset.BitsStored <= bits and dataset.HighBit == dataset.BitsStored - 1):
        raise Fault(
            f"DICOM whose values are not the lowest bits ({dataset.BitsStored} stored, high bit {dataset.HighBit})"
        )


def _stored_values(dataset: Dataset) -> NDArray[Any]:
    syntax = dataset.file_meta.TransferSyntaxUID
    bits, signed = dataset.BitsStored, dataset.get("PixelRepresentation", 0)
    precision = bits
    if syntax in JPEG or syntax in JPEG_2000:
        precision = _check_codestream(dataset, get_frame(dataset.PixelData, 0, number_of_frames=1))
    # Bits above those stored are cleared (old overlays), but not where the picture itself was compressed with more.
    values = pixel_array(dataset, decoding_plugin=DECODERS.get(syntax, ""), correct_unused_bits=precision <= bits)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if values.min() < low or values.max() > high:
        raise Fault(f"DICOM with values beyond the {bits} bits that it declares")
    return values


def _check_codestream(dataset: Dataset, frame: bytes) -> int:
    """Hold a compressed picture against the file's header, and see whether it is whole.

    The size that it tells is what a decoder makes room for, and JPEG decoders fill up what is missing.

    Returns:
        Bits of a value.
    """
    if not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise Fault("cut off: its compressed pixels have no end")
    parameters = openjpeg.get_parameters if dataset.file_meta.TransferSyntaxUID in JPEG_2000 else jpeg_parameters
    found = parameters(frame)
    if (found["columns"], found["rows"]) != (dataset.Columns, dataset.Rows):
        told = f"{dataset.Columns} × {dataset.Rows}"
        raise Fault(f"DICOM of {told} pixels by its header, {found['columns']} × {found['rows']} by what it holds")
    return int(found["precision"])


def _shown(dataset: Dataset, stored: NDArray[Any]) -> tuple[NDArray[np.uint8], str]:
    """Stored values of one channel as grey levels 0 to 255, MONOCHROME1 not yet inverted; and by what they were chosen."""
    values = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        looked_up = apply_voi(np.rint(values).astype(np.int64), dataset)
        return to_8_bits(looked_up, 0, (1 << bits) - 1), "DICOM by its table (VOI LUT)"
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None:
        function = str(dataset.get("VOILUTFunction") or "LINEAR")
        return to_8_bits(window(values, centre, width, function), 0, 1), "DICOM by its window"
    low, high = own_range(values[~_padding(dataset, stored)])
    return to_8_bits(values, low, high), "DICOM by its own range"


def _first(value: Any) -> float | None:
    """The first of one or more numbers; None where there is none."""
    values = [value] if value is None or isinstance(value, str | float | int) else list(value)
    return None if not values or values[0] in (None, "") else float(values[0])


def window(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """A window of values, as 0 to 1: functions LINEAR, LINEAR_EXACT and SIGMOID of PS3.3, C.11.2.1.2 and C.11.2.1.3.

    Raises:
        Fault: no such function, or a width that it does not allow.
    """
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise Fault(f"DICOM with a window function {function!r} that the standard does not have")
    if not (np.isfinite([centre, width]).all() and (width >= 1 if function == "LINEAR" else width > 0)):
        raise Fault(f"DICOM with a window {width:g} wide about {centre:g}, which shows nothing")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels are said to be no picture (Pixel Padding Value, or a range up to Pixel Padding Range Limit)."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    ends = sorted([int(value), int(dataset.get("PixelPaddingRangeLimit", value))])
    return (stored >= ends[0]) & (stored <= ends[1])
