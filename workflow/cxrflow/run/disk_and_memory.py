"""Disk and memory: how much is free, and how much the selected experiments need."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from cxrflow.io.words import size
from cxrflow.networks.parameters import BYTES, network_parameters
from cxrflow.run.checks import Check, error, note, ok
from cxrflow.run.duration import epochs_left
from cxrflow.study.folds import trainings_of_folds
from cxrflow.study.models import Config

# Rough upper estimates in bytes: a row of a manifest; a process that has loaded TensorFlow; the activations for one image of
# 224 px in a network that is being trained.
MANIFEST_ROW = 90
PROCESS = 900e6
ACTIVATIONS = 100e6


@dataclass(frozen=True)
class Space:
    """Bytes that the selected runs need: on the disk for everything still to be written, in memory for the largest training."""

    models: float
    checkpoints: float
    pixels: float
    manifests: float
    memory: float
    images: float = 0

    @property
    def disk(self) -> float:
        """Bytes on the disk, in total."""
        return self.models + self.checkpoints + self.pixels + self.manifests + self.images


def needed_space(config: Config, images: dict[str, int], results: Path, bytes_to_fetch: int = 0) -> Space:
    """Estimate the disk space and memory that the selected runs need.

    Models: 8 bytes per parameter, for the model and its weights. Checkpoints: 16 bytes per parameter (weights, Adam's two
    moments as if all layers were trained, and the best weights so far), for those that are kept of each training, and two more
    of the largest network while a training writes its newest one. Pixels: size * size * 3 bytes per image, once per size.
    Manifests: 90 bytes per image and epoch, for each task or fold, and seed. Memory: 900 MB, 24 bytes per parameter, 100 MB
    times (size / 224)^2 for each image of a batch, and the pixels.

    Args:
        config: the config of the run.
        images: task to the number of its images, training and test.
        results: folder of all results; what earlier runs of this config have written needs no more space.
        bytes_to_fetch: size of the images that will be downloaded.
    """
    folder = results / config.name
    models = memory = kept = temporary = 0.0
    of_size: dict[int, int] = {}
    rows: dict[tuple[str, int], int] = {}
    for name, experiment in config.selected().items():
        parameters = network_parameters(experiment.model_dump(), len(config.tasks[experiment.task].classes))
        count = images[experiment.task]
        pixels = experiment.image_size**2 * 3 * count
        of_size[experiment.image_size] = max(of_size.get(experiment.image_size, 0), pixels)
        activations = ACTIVATIONS * (experiment.image_size / 224) ** 2 * experiment.batch_size
        memory = max(memory, PROCESS + 6 * BYTES * parameters + activations + pixels)
        trainings = {name: config.seeds_of(name), **trainings_of_folds(config, name)}
        missing = [
            (one, seed)
            for one, seeds in trainings.items()
            for seed in seeds
            if not (folder / f"runs/{one}/seed_{seed}/model.keras").is_file()
        ]
        checkpoint = 4 * BYTES * parameters
        models += 2 * BYTES * parameters * len(missing)
        final = 1 if experiment.selected_epoch in ("last", "best", experiment.epochs) else 2
        kept_of_each = final if config.keep_checkpoints != "none" else 0
        kept += checkpoint * kept_of_each * len(missing)
        if any(any(epochs_left(config, one, results).values()) for one in trainings):
            temporary = max(temporary, checkpoint * (2 + final - kept_of_each))
        for one, seed in missing:
            key = (experiment.task + one.removeprefix(name), seed)
            rows[key] = max(rows.get(key, 0), count * experiment.epochs)
    pixels_left = sum(byte_count for px, byte_count in of_size.items() if not (folder / f"pixels/{px}").is_dir())
    return Space(models, kept + temporary, pixels_left, MANIFEST_ROW * sum(rows.values()), memory, bytes_to_fetch)


def free_disk(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    folder = folder.resolve()
    return shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.exists())).free


def check_disk(free: float, needed: Space, folder: Path) -> Check:
    """Check that the disk of the results has enough space."""
    parts = {name: getattr(needed, name) for name in ("models", "checkpoints", "pixels", "manifests")}
    parts |= {"images": needed.images} if needed.images else {}
    listed = ", ".join(f"{name} {size(byte_count)}" for name, byte_count in parts.items())
    text = f"{size(free)} free for results; about {size(needed.disk)} needed ({listed})"
    if free >= needed.disk:
        return ok("disk", text)
    fix = "free some space (make clean-checkpoints), or run fewer experiments or seeds (ONLY=…)"
    return error("disk", f"{text}; {fix}, below {folder}")


def check_memory(free: float, needed: Space) -> Check:
    """Check that the memory is enough for the largest training."""
    text = f"{size(free)} free; about {size(needed.memory)} needed by the largest training"
    if free >= needed.memory:
        return ok("memory", text)
    return note("memory", f"{text} (a rough figure); end other programs, or choose a smaller batch_size")
