"""Where a backbone's initial weights lie. Knows files and names only, not Keras."""

from pathlib import Path

from cxrflow.stage.faults import Fault

SUFFIXES = (".weights.h5", ".h5")

WITHOUT_FILE = ("imagenet", "random")


def find_weights(source: str, backbone: str) -> Path | None:
    """The weights file that a config's `weights` names for a backbone.

    Args:
        source: "imagenet" (a rule of its own downloads them), "random", a weights file, or a folder of such files. In a
            folder, a backbone's file is the one whose name begins with the backbone's, small and capital letters,
            `_` and `-` aside: inception_v3_imagenet_notop.weights.h5 for InceptionV3.
        backbone: name in keras.applications.

    Returns:
        The file, or None for "imagenet" and "random".

    Raises:
        Fault: the file or folder is not there, or holds no file for the backbone, or more than one.
    """
    if source in WITHOUT_FILE:
        return None
    path = Path(source)
    if path.is_file():
        if not path.name.endswith(SUFFIXES):
            raise Fault(f"weights: {path}: must end in {' or '.join(SUFFIXES)} (a file that Keras' save_weights wrote)")
        return path
    if not path.is_dir():
        raise Fault(
            f"weights: {path}: no such file or folder; allowed: imagenet, random, a weights file, a folder of them"
        )
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    fitting = [file for file in files if _belongs_to(file.name, backbone)]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(file.name for file in fitting or files) or "nothing that ends in " + " or ".join(SUFFIXES)
    if fitting:
        raise Fault(f"weights: {path}: more than one file for {backbone}: {listed}; name one of them")
    raise Fault(
        f"weights: {path}: no file for {backbone} (a name such as {backbone.lower()}.weights.h5); found: {listed}"
    )


def _belongs_to(file_name: str, backbone: str) -> bool:
    """Whether a file is named for a backbone, and not for one whose name is longer (MobileNet and MobileNetV2)."""
    plain, wanted = _plain(file_name), _plain(backbone)
    rest = plain[len(wanted) :]
    return plain.startswith(wanted) and not rest.startswith("v")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
