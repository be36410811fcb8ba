"""Initial weights, and whether images and weights that a run would download can be reached."""

import os
import re
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cxrflow.io.errors import UserError
from cxrflow.io.transfer import why_unreachable
from cxrflow.networks.weights import belongs_to, find_weights
from cxrflow.run.checks import Check, error, note, ok
from cxrflow.study.models import Config

SECONDS = 5.0
"""Timeout for a source's answer. Name look-ups have no timeout, so that the total wait may be twice as long."""


def weights_to_fetch(config: Config, results: Path) -> list[str]:
    """List the backbones of the selected experiments whose ImageNet weights have to be downloaded."""
    backbones = {one.backbone for one in config.selected().values() if (one.weights or config.weights) == "imagenet"}
    return sorted(one for one in backbones if not _fetched_weights(results, one).is_file())


def _fetched_weights(results: Path, backbone: str) -> Path:
    return results / "weights" / f"{backbone}.weights.h5"


def check_weights(config: Config, results: Path) -> list[Check]:
    """Check that the initial weights of the selected experiments' backbones exist or will be downloaded."""
    needed = {(one.weights or config.weights, one.backbone) for one in config.selected().values()}
    found: list[str] = []
    errors: list[str] = []
    for source, backbone in sorted(needed):
        try:
            file = find_weights(source, backbone)
        except UserError as wrong:
            errors += [message.removeprefix("weights: ") for message in wrong.messages]
            continue
        if source == "imagenet":
            file = _fetched_weights(results, backbone)
            if not file.is_file():
                continue
        found.append(f"{backbone} {file or 'random'}")
    checks = [ok("weights", "; ".join(found))] if found else []
    checks += [error("weights", message) for message in dict.fromkeys(errors)]
    if downloads := weights_to_fetch(config, results):
        text = f"{', '.join(downloads)}: ImageNet weights will be downloaded to {results / 'weights'}"
        checks.append(note("weights", f"{text} (without internet access: WEIGHTS=FOLDER)"))
    return checks


def check_sources(config: Config, backbones: Collection[str], images: bool) -> list[Check]:
    """Report images or weights that have to be downloaded while none of their sources can be reached.

    Args:
        config: the config, which names the sources.
        backbones: backbones whose weights have to be downloaded.
        images: whether images have to be downloaded.
    """
    to_fetch = [backbone for backbone in backbones if not _in_cache_of_keras(backbone)]
    needed = {
        **({"images": config.image_sources} if images else {}),
        **({"weights": config.weights_sources} if to_fetch else {}),
    }
    why = _unreachable({source for sources in needed.values() for source in sources})
    hint = " (MobileNet's are in studies/demo/weights)" if "MobileNet" in to_fetch else ""
    fixes = {
        "images": "DATA=FOLDER (`images`) takes them from a folder, `image_sources` from a mirror",
        "weights": f"WEIGHTS=FOLDER (`weights`) takes them from a folder{hint}, `weights_sources` from a mirror, and "
        "`weights: random` needs none",
    }
    names = {"images": "images", "weights": f"ImageNet weights of {', '.join(to_fetch)}"}
    return [
        error(
            key,
            f"{names[key]} have to be downloaded, but no source can be reached: "
            + "; ".join(f"{urlsplit(source).netloc}: {why[source]}" for source in sources)
            + f". {fixes[key]}; if this machine needs a proxy, set HTTPS_PROXY",
        )
        for key, sources in needed.items()
        if all(why[source] for source in sources)
    ]


def _unreachable(sources: Collection[str]) -> dict[str, str]:
    """Ask all sources at the same time; each is mapped to why it cannot be reached, or to an empty text."""
    why = dict.fromkeys(sources, f"no answer within {2 * SECONDS:g} s")

    def ask(source: str) -> None:
        why[source] = why_unreachable(re.sub("{.*?}", "", source), SECONDS)

    # Daemon threads do not keep the program running: the look-up of a name may take minutes.
    threads: Sequence[threading.Thread] = [threading.Thread(target=ask, args=[one], daemon=True) for one in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SECONDS)
    return dict(why)


def _in_cache_of_keras(backbone: str) -> bool:
    """Whether Keras has already downloaded weights of a backbone without top; those are used."""
    # Path.home() fails for a user whom the machine does not know.
    models = Path(os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras"))) / "models"  # noqa: PTH111
    return any(belongs_to(file.name.removeprefix("weights_"), backbone) for file in models.glob("*no*top*.h5"))
