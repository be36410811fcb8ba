"""Check whether this machine is ready for a run: packages, GPU, disk, memory, weights, images, and how long it will take.

Not a stage: it reads the config as Snakemake does, and writes nothing. Each line is ok, a note (a run starts anyway) or an
error with a fix. All errors are reported together; the exit status is 1 if there is one.
"""

import os
import platform
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError
from cxrflow.io.machine import by_one_name, free_memory, installed_versions, locked_versions, one_name
from cxrflow.io.words import counted, some_of
from cxrflow.run.checks import Check, error, long_list, note, ok, short_list
from cxrflow.run.cluster import examine_cluster
from cxrflow.run.disk_and_memory import check_disk, check_memory, free_disk, needed_space
from cxrflow.run.downloads import check_sources, check_weights, weights_to_fetch
from cxrflow.run.duration import check_duration
from cxrflow.run.gpu import ask_tensorflow, check_gpu, cuda_packages_installed, gpus_in_machine
from cxrflow.run.images import check_external, check_image_counts, find_images
from cxrflow.study.merging import merge_keys
from cxrflow.study.models import Config
from cxrflow.study.names import SUBSETS
from cxrflow.study.read import read_config
from cxrflow.study.run import set_values, with_study
from cxrflow.study.yaml_files import read_yaml

PYTHONS = ("3.11", "3.12", "3.13")
"""As in requires-python of pyproject.toml."""


def config_and_errors(raw: Mapping[str, Any]) -> tuple[Config | None, list[Check]]:
    """Read the config; its errors become checks. A config that lacks only its images is read anyway, for the other checks."""
    try:
        keys = with_study(raw)
        if keys.get("images") is None and keys.get("phantoms") is None:
            keys["images"] = ""
        return read_config(keys), []
    except UserError as wrong:
        return None, [error("config", message) for message in wrong.messages]


def examine_config(config: Config, results: Path) -> list[Check]:
    """Compare what a config needs with this machine: images, weights, disk, memory, time."""
    images = find_images(config, results)
    tasks = {experiment.task for experiment in config.selected().values()}
    training = {task: images.count(config.tasks[task].classes, "train", "validation") for task in tasks}
    of_task = {task: images.count(config.tasks[task].classes, *SUBSETS) for task in tasks}
    needed = needed_space(config, of_task, results, images.bytes_to_fetch)
    return [
        *images.checks,
        *check_backend(config.backend),
        *check_image_counts(config, images),
        *check_external(config),
        *check_input_scaling(config),
        *check_weights(config, results),
        check_disk(free_disk(results), needed, results),
        check_memory(free_memory(), needed),
        check_duration(config, training, results, of_task),
    ]


def check_backend(backend: str) -> list[Check]:
    """Report a backend that is not installed."""
    if find_spec(backend) is not None:
        return []
    fix = "install PyTorch (pip install torch)" if backend == "torch" else "install it from the lock file"
    return [error("backend", f"{backend} is not installed; {fix}, or choose another `backend`")]


def check_input_scaling(config: Config) -> list[Check]:
    """Note the experiments with double scaling.

    Every backbone scales its input once and linearly, by its `preprocess_input` or in its first layers (EfficientNet,
    EfficientNetV2, MobileNetV3, ConvNeXt). An input that has already been divided by 255 keeps 1/255 of its contrast in each.
    """
    selected = config.selected().items()
    scaled_twice = [f"{name} ({one.backbone})" for name, one in selected if one.input_scaling == "double"]
    if not scaled_twice:
        return []
    text = (
        f"input_scaling: double divides pixels by 255 once more, so that the network sees 1/255 of their contrast: "
        f"{some_of(scaled_twice, 4)}; set input_scaling: backbone, which is right for every backbone, unless this is intended"
    )
    return [note("scaling", text)]


def examine_packages(lock: Path, versions: str) -> list[Check]:
    """Compare Python and the packages with a lock file; `versions` as in `check_packages`."""
    try:
        packages = check_packages(locked_versions(lock), installed_versions(), versions, lock)
    except UserError as wrong:
        packages = error("packages", wrong.messages[0])
    return [check_python(platform.python_version()), packages]


def check_python(version: str) -> Check:
    """Check that the locked packages support a Python version such as "3.11.7"."""
    if ".".join(version.split(".")[:2]) in PYTHONS:
        return ok("Python", version)
    return error("Python", f"{version}; cxrflow needs {', '.join(PYTHONS)}: make demo PYTHON=python3.12")


def check_packages(locked: Mapping[str, str], installed: Mapping[str, str], versions: str, lock: Path | str) -> Check:
    """Compare the installed packages with the locked ones.

    Args:
        locked: package to version, of the lock file.
        installed: package to version, of this environment.
        versions: the config's `versions`: "reported" makes a difference a note, "locked" makes it an error.
        lock: name of the lock file, for messages.
    """
    found = by_one_name(installed)
    differing, missing = [], []
    for name, version in sorted(locked.items()):
        here = found.get(one_name(name))
        if here is None:
            missing.append(f"{name} {version}")
        elif here != version:
            differing.append(f"{name} {here} (locked: {version})")
    if not differing and not missing:
        return ok("packages", f"all {len(locked)} as in {lock}")
    parts = [
        f"{some_of(differing)} installed" if differing else "",
        f"not installed: {some_of(missing)}" if missing else "",
    ]
    text = f"{'; '.join(filter(None, parts))}; pip install --require-hashes -r {lock} installs the locked ones"
    return error("packages", text) if versions == "locked" else note("packages", f"{text}; results may differ")


def examine_gpu(short: bool, device: str = "auto", trainings_per_gpu: int = 1) -> Check:
    """Compare the GPUs with the config's `device`; `short` does not ask TensorFlow."""
    gpus = gpus_in_machine(ask_driver=not short)
    view = None if short else ask_tensorflow()
    return check_gpu(gpus, view, os.environ, cuda_packages_installed(), device, trainings_per_gpu)


def check_cores(config: Config, cores: int) -> list[Check]:
    """Note if there are fewer cores than the config gives TensorFlow threads."""
    if cores >= config.threads:
        return []
    text = f"{cores} for the config's {config.threads} threads: results stay the same, trainings are slower"
    return [note("cores", text)]


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="config.yaml, and overlays on it")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="further values, as for --config of Snakemake"
    )
    parser.add_argument("--lock", type=Path, default=Path("envs/cpu.lock"), help="lock file of the installed packages")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
    parser.add_argument(
        "--short", action="store_true", help="a few lines in less than a second; does not ask TensorFlow"
    )
    parser.add_argument(
        "--slurm",
        action="store_true",
        help="check a Slurm cluster's partitions, GPUs and accounting, for profiles/slurm, instead of this machine's GPU",
    )
    args = parser.parse_args()
    config, checks = config_and_errors(merge_keys(read_yaml(*args.config), set_values(args.set)))
    checks += examine_packages(args.lock, config.versions if config else "reported")
    of_gpu = (config.device, config.trainings_per_gpu) if config else ()
    checks += examine_cluster(os.environ) if args.slurm else [examine_gpu(args.short, *of_gpu)]
    if config and not args.short:
        images = find_images(config, args.results).to_fetch > 0
        checks += check_sources(config, weights_to_fetch(config, args.results), images)
    if config:
        checks += [*check_cores(config, os.cpu_count() or 1), *examine_config(config, args.results)]
    for line in (short_list if args.short else long_list)(checks):
        print(line)
    errors = sum(check.level == "error" for check in checks)
    if errors:
        raise UserError(f"the doctor found {counted(errors, 'error')}, see above")


if __name__ == "__main__":
    run_stage(main)
