"""Find the file of a backbone's initial weights, without importing Keras."""

from pathlib import Path

from cxrflow.io.errors import UserError
from cxrflow.study.fields import WITHOUT_FILE

SUFFIXES = (".weights.h5", ".h5")


def find_weights(source: str, backbone: str) -> Path | None:
    """Find the weights file that the key `weights` of the config names for a backbone.

    Args:
        source: "imagenet" (downloaded by a separate rule), "random", a weights file, or a folder of weights files. In a
            folder, a backbone's file is the one whose name starts with the name of the backbone, ignoring case, `_`
            and `-`: inception_v3_imagenet_notop.weights.h5 for InceptionV3.
        backbone: name in keras.applications.

    Returns:
        The file, or None for "imagenet" and "random".

    Raises:
        UserError: the file or folder does not exist, or the folder has no file for the backbone or more than one.
    """
    if source in WITHOUT_FILE:
        return None
    path = Path(source)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise UserError(
                f"weights: {path}: must end in {' or '.join(SUFFIXES)} (a file written by Keras' save_weights)"
            )
        return path
    if not path.is_dir():
        raise UserError(
            f"weights: {path}: no such file or folder; allowed: imagenet, random, a weights file, a folder of them"
        )
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    fitting = [file for file in files if belongs_to(file.name, backbone)]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(file.name for file in fitting or files) or "no file that ends in " + " or ".join(SUFFIXES)
    if fitting:
        raise UserError(f"weights: {path}: several files for {backbone}: {listed}; name one of them")
    raise UserError(
        f"weights: {path}: no file for {backbone} (expected a name such as {backbone.lower()}.weights.h5); found: {listed}"
    )


def belongs_to(file_name: str, backbone: str) -> bool:
    """Whether a file is named after a backbone, and not after one with a longer name (MobileNet and MobileNetV2)."""
    plain, wanted = _plain(file_name), _plain(backbone)
    rest = plain[len(wanted) :]
    return plain.startswith(wanted) and not rest.startswith("v")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
