"""Download the ImageNet weights that Keras publishes for a backbone, and store them as a weights file.

Keras provides the file's address and checksum, but cxrflow downloads it, so that an interrupted download can continue and the
checksum is always checked. If Keras' cache (KERAS_HOME, by default ~/.keras) has the right file, it is copied from there. Keras
has no checksum for the MobileNet file; it is given below.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import keras
from keras.src.backend.config import keras_home
from keras.src.utils import file_utils

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.fetch import Wanted, addresses, fetch_files
from cxrflow.io.files import sha256_of_file, whole_file, write_json
from cxrflow.io.hashes import Contents
from cxrflow.io.transfer import Limits
from cxrflow.networks.keras_settings import set_up_keras

PUBLISHED_AT = "https://storage.googleapis.com/"
MD5_UNKNOWN_TO_KERAS = {"mobilenet_1_0_224_tf_no_top.h5": "725ccbd03d61d7ced5b5c4cd17e7d527"}


def fetch_backbone(backbone: str, sources: Sequence[str], folder: Path, limits: Limits) -> tuple[Any, dict[str, str]]:
    """Build a backbone without top with its ImageNet weights.

    Args:
        backbone: name in keras.applications.
        sources: addresses that contain {path}, the file's path at storage.googleapis.com.
        folder: folder to download the file into.
        limits: limits of each download.

    Returns:
        The Keras model, and `url`, `file` and `hash` of the published weights.

    Raises:
        UserError: the file cannot be downloaded, has no known checksum, or does not fit the backbone.
    """
    published: dict[str, str] = {}
    original = file_utils.get_file

    def get_file(fname: str, origin: str, file_hash: str | None = None, **options: Any) -> str:
        # Refuse files without a known checksum.
        file_hash = file_hash or options.get("md5_hash") or MD5_UNKNOWN_TO_KERAS.get(fname)
        if file_hash is None:
            raise UserError(
                f"weights: {backbone}: no checksum is known for {fname}; download it from {origin}, "
                "check it, and set the file as `weights`"
            )
        if not origin.startswith(PUBLISHED_AT):
            raise UserError(
                f"weights: {backbone}: Keras publishes {fname} at {origin}; only {PUBLISHED_AT} is supported"
            )
        published.update(url=origin, file=fname, hash=file_hash)
        contents = Contents(sha256=file_hash) if len(file_hash) == 64 else Contents(md5=file_hash)
        where = addresses(sources, path=origin.removeprefix(PUBLISHED_AT))
        return str(_fetch_published(backbone, Wanted(fname, contents, where), folder, limits))

    file_utils.get_file = get_file
    try:
        with contextlib.redirect_stdout(sys.stderr):
            model = getattr(keras.applications, backbone)(include_top=False, weights="imagenet")
    except ValueError as error:
        raise UserError(f"weights: {backbone}: Keras cannot load them: {' '.join(str(error).split())}") from None
    finally:
        file_utils.get_file = original
    return model, published


def _fetch_published(backbone: str, wanted: Wanted, folder: Path, limits: Limits) -> Path:
    file = folder / wanted.path
    cached = Path(keras_home()) / "models" / wanted.path
    if wanted.contents.mismatch(file) and not wanted.contents.mismatch(cached):
        print(f"copying {cached}, which has the right checksum")
        with whole_file(file) as part:
            shutil.copyfile(cached, part)
    not_fetched = fetch_files([wanted], folder, limits)
    if not_fetched:
        raise UserError(
            f"weights: {backbone}: {wanted.path} cannot be downloaded: {not_fetched[0].why}; "
            "try again later, or set a weights file or folder as `weights` (WEIGHTS=FOLDER)"
        )
    return file


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--backbone", required=True, help="name in keras.applications")
    parser.add_argument(
        "--sources", nargs="+", required=True, help="addresses that contain {path}, the path at storage.googleapis.com"
    )
    parser.add_argument("--limits", type=Limits.read, default=Limits(), help="timeouts and numbers of tries (JSON)")
    parser.add_argument("--weights", type=Path, required=True, help="weights file to write (.weights.h5)")
    parser.add_argument("--record", type=Path, required=True, help="origin of the weights to write (JSON)")
    args = parser.parse_args()
    set_up_keras()
    model, published = fetch_backbone(args.backbone, args.sources, args.weights.parent, args.limits)
    with whole_file(args.weights) as part:
        model.save_weights(part)
    write_json(args.record, {"backbone": args.backbone, **published, "sha256": sha256_of_file(args.weights)})
    (args.weights.parent / published["file"]).unlink(missing_ok=True)
    print(
        f"{args.backbone}: {published['file']}, published at {published['url']}, checksum {published['hash']} verified"
    )


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    run_stage(main)
