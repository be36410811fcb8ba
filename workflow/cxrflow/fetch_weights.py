"""Fetch a backbone's ImageNet weights, as Keras publishes them, and store them as a weights file.

Keras says which file, where it is published, and its checksum; the download is this project's own, so that it goes on after a
break and never takes another file. A file that lies in Keras' cache already (KERAS_HOME, by default ~/.keras) and is the
right one is taken from there. The published MobileNet file has no checksum in Keras; it is held against the one written here.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras.src.backend.config import keras_home
from keras.src.utils import file_utils

from cxrflow.download.contents import Contents
from cxrflow.download.fetch import Wanted, addresses, fetch_files
from cxrflow.download.transfer import Limits
from cxrflow.networks.keras_settings import set_up_keras
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault
from cxrflow.stage.files import sha256_of_file, whole_file, write_json

PUBLISHED_AT = "https://storage.googleapis.com/"
MD5_UNKNOWN_TO_KERAS = {"mobilenet_1_0_224_tf_no_top.h5": "725ccbd03d61d7ced5b5c4cd17e7d527"}


def fetch_backbone(backbone: str, sources: Sequence[str], folder: Path, limits: Limits) -> tuple[Any, dict[str, str]]:
    """A backbone without top with its ImageNet weights, and which published file that was.

    Args:
        backbone: name in keras.applications.
        sources: addresses with {path} in them, which stands for a file's path at storage.googleapis.com.
        folder: where the published file is put.
        limits: of each try.

    Returns:
        The Keras model, and `url`, `file` and `hash` of the published weights.

    Raises:
        Fault: the file cannot be had, no checksum of it is known, or it is no weights file of the backbone.
    """
    published: dict[str, str] = {}
    original = file_utils.get_file

    def get_file(fname: str, origin: str, file_hash: str | None = None, **options: Any) -> str:
        # The one place where a published file without a known checksum could slip in.
        file_hash = file_hash or options.get("md5_hash") or MD5_UNKNOWN_TO_KERAS.get(fname)
        if file_hash is None:
            raise Fault(
                f"weights: {backbone}: no checksum is known of {fname}; download it yourself from {origin}, "
                "check it, and name the file as `weights`"
            )
        if not origin.startswith(PUBLISHED_AT):
            raise Fault(f"weights: {backbone}: Keras publishes {fname} at {origin}; only {PUBLISHED_AT} is known here")
        published.update(url=origin, file=fname, hash=file_hash)
        contents = Contents(sha256=file_hash) if len(file_hash) == 64 else Contents(md5=file_hash)
        where = addresses(sources, path=origin.removeprefix(PUBLISHED_AT))
        return str(_fetch_published(backbone, Wanted(fname, contents, where), folder, limits))

    file_utils.get_file = get_file
    try:
        with contextlib.redirect_stdout(sys.stderr):
            model = getattr(keras.applications, backbone)(include_top=False, weights="imagenet")
    except ValueError as error:
        raise Fault(f"weights: {backbone}: Keras cannot load them: {' '.join(str(error).split())}") from None
    finally:
        file_utils.get_file = original
    return model, published


def _fetch_published(backbone: str, wanted: Wanted, folder: Path, limits: Limits) -> Path:
    file = folder / wanted.path
    cached = Path(keras_home()) / "models" / wanted.path
    if wanted.contents.fault_of(file) and not wanted.contents.fault_of(cached):
        print(f"{cached}: is the published file")
        with whole_file(file) as part:
            shutil.copyfile(cached, part)
    not_fetched = fetch_files([wanted], folder, limits)
    if not_fetched:
        raise Fault(
            f"weights: {backbone}: {wanted.path} cannot be had: {not_fetched[0].why}; "
            "start again later, or name a weights file or folder as `weights` (WEIGHTS=FOLDER)"
        )
    return file


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--backbone", required=True, help="name in keras.applications")
    parser.add_argument(
        "--sources", nargs="+", required=True, help="addresses with {path} in them, the path at storage.googleapis.com"
    )
    parser.add_argument("--limits", type=Limits.read, default=Limits(), help="timeouts, tries and the like as JSON")
    parser.add_argument("--weights", type=Path, required=True, help="weights file to write (.weights.h5)")
    parser.add_argument("--record", type=Path, required=True, help="where they are from, to write (JSON)")
    args = parser.parse_args()
    set_up_keras()
    model, published = fetch_backbone(args.backbone, args.sources, args.weights.parent, args.limits)
    with whole_file(args.weights) as part:
        model.save_weights(part)
    write_json(args.record, {"backbone": args.backbone, **published, "sha256": sha256_of_file(args.weights)})
    (args.weights.parent / published["file"]).unlink(missing_ok=True)
    print(
        f"{args.backbone}: {published['file']}, as published at {published['url']}, checksum {published['hash']} held"
    )


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    run_stage(main)
