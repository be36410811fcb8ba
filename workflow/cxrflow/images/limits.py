"""What no radiograph is, whatever its format."""

from cxrflow.stage.faults import Fault

MIN_SIDE = 16
MAX_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs; the largest detectors have 20 million
TOO_LARGE = f"more than the {MAX_PIXELS:,} pixels that an image may have (a decompression bomb?); make it smaller"
CONSTANT = "all pixels have the same value, so that it shows nothing"


def check_size(width: int, height: int) -> None:
    """Raise a Fault for an image that is too small or too large."""
    if min(width, height) < MIN_SIDE:
        raise Fault(f"{width} × {height} pixels; an image needs {MIN_SIDE} on each side")
    if width * height > MAX_PIXELS:
        raise Fault(f"{width:,} × {height:,} pixels, {TOO_LARGE}")
