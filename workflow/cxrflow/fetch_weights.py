"""Download a backbone's ImageNet weights, as Keras publishes them, and store them as a weights file.

Keras' own download is used (its cache is KERAS_HOME, by default ~/.keras), with the checksums that Keras knows. The published
MobileNet file has none in Keras; it is held against the one written here.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import keras
from keras.src.utils import file_utils

from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file, whole_file, write_json

MD5_UNKNOWN_TO_KERAS = {"mobilenet_1_0_224_tf_no_top.h5": "725ccbd03d61d7ced5b5c4cd17e7d527"}


def fetch_backbone(backbone: str) -> tuple[Any, dict[str, str]]:
    """A backbone without top with its ImageNet weights, and what was downloaded for it.

    Returns:
        The Keras model, and `url`, `md5` or other hash, and `file` of the published weights.

    Raises:
        Fault: the file cannot be had, is not the published one, or no checksum of it is known.
    """
    asked: dict[str, str] = {}
    original = file_utils.get_file

    def checked_get_file(fname: str, origin: str, file_hash: str | None = None, **options: Any) -> str:
        # The one place where a published file without a known checksum could slip in.
        file_hash = file_hash or options.pop("md5_hash", None) or MD5_UNKNOWN_TO_KERAS.get(fname)
        if file_hash is None:
            raise Fault(
                f"weights: {backbone}: no checksum is known of {fname}; download it yourself from {origin}, "
                "check it, and name the file as `weights`"
            )
        asked.update(url=origin, file=fname, hash=file_hash)
        return str(original(fname, origin, file_hash=file_hash, **options))

    file_utils.get_file = checked_get_file
    try:
        with contextlib.redirect_stdout(sys.stderr):
            model = getattr(keras.applications, backbone)(include_top=False, weights="imagenet")
    except Fault:
        raise
    except Exception as error:  # noqa: BLE001 - Keras raises a bare Exception for a failed download
        where = f" ({asked['url']})" if asked else ""
        raise Fault(
            f"weights: {backbone}: cannot be had{where}: {' '.join(str(error).split())}; "
            "check the connection, or name a weights file or folder as `weights`"
        ) from None
    finally:
        file_utils.get_file = original
    return model, asked


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--backbone", required=True, help="name in keras.applications")
    parser.add_argument("--weights", type=Path, required=True, help="weights file to write (.weights.h5)")
    parser.add_argument("--record", type=Path, required=True, help="where they are from, to write (JSON)")
    args = parser.parse_args()
    model, asked = fetch_backbone(args.backbone)
    with whole_file(args.weights) as part:
        model.save_weights(part)
    write_json(args.record, {"backbone": args.backbone, **asked, "sha256": sha256_of_file(args.weights)})
    print(f"{args.backbone}: {asked['file']} from {asked['url']}, checksum {asked['hash']} held")


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    run_stage(main)
