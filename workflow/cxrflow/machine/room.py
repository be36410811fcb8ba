"""Disk and memory: what is free, and what the selected runs need."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from cxrflow.config.models import Config
from cxrflow.machine.duration import epochs_left
from cxrflow.machine.findings import Finding, fault, note, ok, size
from cxrflow.machine.parameters import BYTES, network_parameters

# Rough figures, on the safe side: a row of a manifest; what a process with TensorFlow loaded takes; what one image of
# 224 px leaves in memory on its way through a network that is trained.
MANIFEST_ROW = 90
PROCESS = 900e6
ACTIVATIONS = 100e6


@dataclass(frozen=True)
class Room:
    """Bytes that the selected runs need: on the disk, what is not there yet; in memory, for the largest training."""

    models: float
    states: float
    pixels: float
    manifests: float
    memory: float
    images: float = 0

    @property
    def disk(self) -> float:
        """All that is written."""
        return self.models + self.states + self.pixels + self.manifests + self.images


def needed_room(config: Config, images: dict[str, int], results: Path, bytes_to_fetch: int = 0) -> Room:
    """What the selected runs need.

    Models: 8 bytes a parameter, for the model and its weights alone. States: 16 bytes a parameter for one (weights, Adam's two
    moments as if all were trained, and the best weights so far); those that stay of each training, and for the one under way,
    of the largest network, two more while its newest is written. Pixels: size * size * 3 bytes an image, once a size.
    Manifests: 90 bytes an image and epoch, for each task and seed. Memory: 900 MB, 24 bytes a parameter, 100 MB times
    (size / 224)^2 for each image of a batch, and the pixels.

    Args:
        config: the config.
        images: task to the number of its images, training and test.
        results: folder of all results; what a run of this config has written already needs no room.
        bytes_to_fetch: of images that are fetched.
    """
    folder = results / config.name
    models = memory = staying = passing = 0.0
    of_size: dict[int, int] = {}
    rows: dict[tuple[str, int], int] = {}
    for name, experiment in config.selected().items():
        parameters = network_parameters(experiment, len(config.tasks[experiment.task].classes))
        count = images[experiment.task]
        pixels = experiment.image_size**2 * 3 * count
        of_size[experiment.image_size] = max(of_size.get(experiment.image_size, 0), pixels)
        activations = ACTIVATIONS * (experiment.image_size / 224) ** 2 * experiment.batch_size
        memory = max(memory, PROCESS + 6 * BYTES * parameters + activations + pixels)
        waiting = [
            seed for seed in config.seeds_of(name) if not (folder / f"runs/{name}/seed_{seed}/model.keras").is_file()
        ]
        state = 4 * BYTES * parameters
        models += 2 * BYTES * parameters * len(waiting)
        of_one = 1 if experiment.selected_epoch in ("last", "best", experiment.epochs) else 2
        stays = of_one if config.keep_states != "none" else 0
        staying += state * stays * len(waiting)
        if any(epochs_left(config, name, results).values()):
            passing = max(passing, state * (2 + of_one - stays))
        for seed in waiting:
            key = (experiment.task, seed)
            rows[key] = max(rows.get(key, 0), count * experiment.epochs)
    pixels_left = sum(byte_count for px, byte_count in of_size.items() if not (folder / f"pixels/{px}").is_dir())
    return Room(models, staying + passing, pixels_left, MANIFEST_ROW * sum(rows.values()), memory, bytes_to_fetch)


def free_disk(folder: Path) -> int:
    """Free bytes on the disk that a folder lies on, or will lie on."""
    folder = folder.resolve()
    return shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.exists())).free


def free_memory(limits: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that a new process can have, within the limit of the container that it runs in."""
    free = psutil.virtual_memory().available
    most, used = limits / "memory.max", limits / "memory.current"
    if most.is_file() and used.is_file() and (limit := most.read_text().strip()).isdigit():
        free = min(free, int(limit) - int(used.read_text()))
    return max(free, 0)


def disk_finding(free: float, room: Room, folder: Path) -> Finding:
    """Whether the disk has room."""
    needs = {"models": room.models, "states": room.states, "pixels": room.pixels, "manifests": room.manifests}
    needs |= {"images": room.images} if room.images else {}
    parts = ", ".join(f"{what} {size(byte_count)}" for what, byte_count in needs.items())
    text = f"{size(free)} free for results; about {size(room.disk)} needed ({parts})"
    if free >= room.disk:
        return ok("disk", text)
    return fault(
        "disk", f"{text}; make room (make clean-states), or run fewer experiments or seeds (ONLY=…), below {folder}"
    )


def memory_finding(free: float, room: Room) -> Finding:
    """Whether memory is enough for the largest training."""
    text = f"{size(free)} free; about {size(room.memory)} needed by the largest training"
    if free >= room.memory:
        return ok("memory", text)
    return note(
        "memory", f"{text} (a rough figure); end other programs, or choose a smaller batch_size if it does not fit"
    )
