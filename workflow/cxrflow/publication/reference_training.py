"""Train each backbone of published results for 4 epochs, and record the hashes of the weights.

Results that were trained with different versions of the training code can be joined only if their reference trainings gave the
same bytes. Run this in a checkout of the version that trained the results. The images are random pixels, the initial weights
are random, and nothing is downloaded.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from cxrflow.augmentation.manifest import write_manifest
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import read_json, sha256_of_file, write_json, write_table
from cxrflow.publication.folder import SUMS, changed_files, whole_folder
from cxrflow.stages.plan_augmentation import plan_augmentation
from cxrflow.study.experiment import Experiment
from cxrflow.study.images import Augmentation
from cxrflow.training.environment import training_code_hash

FILE = "reference_training.json"
EPOCHS, SIZE = 4, 96
IMAGES = {"training": 8, "validation": 4}


Weights = dict[str, dict[str, str]]
"""Hash of the training code to backbone to SHA-256 of the weights after its reference training."""


def recorded(folder: Path) -> Weights:
    """The reference trainings on record in a folder of published results; none if there is no such file."""
    weights: Weights = read_json(folder / FILE) if (folder / FILE).is_file() else {}
    return weights


def codes_of(folder: Path) -> set[str]:
    """The versions of the training code that trained published results, by their hashes."""
    return {read_json(file)["what_identifies_it"]["code"] for file in folder.glob("runs/*/*/training.json")}


def different_trainings(folders: Sequence[Path], backbones: Iterable[str]) -> list[str]:
    """Why results of several versions of the training code cannot be joined, one message each.

    Args:
        folders: published results.
        backbones: the backbones that are used in them.
    """
    codes = {folder: codes_of(folder) for folder in folders}
    if len(set().union(*codes.values())) < 2:
        return []
    needed = set(backbones)
    messages = []
    for folder in folders:
        known = recorded(folder)
        missing = sorted({backbone for code in codes[folder] for backbone in needed - known.get(code, {}).keys()})
        if missing:
            messages.append(
                f"{folder}: trained with version {' and '.join(sorted(codes[folder]))} of the training code, other folders "
                f"with other versions; in a checkout of that version, run `cxrflow reference-training --folder {folder} "
                f"--backbones {' '.join(missing)}`, then join again"
            )
    raise_all(messages)
    weights = [one for folder in folders for code, one in recorded(folder).items() if code in codes[folder]]
    changed = sorted(name for name in needed if len({one[name] for one in weights}) > 1)
    if not changed:
        return []
    return [
        f"{', '.join(map(str, folders))}: not joined; reference trainings of {', '.join(changed)} end with other weights in "
        "the versions of the training code that trained these results"
    ]


def train_reference(backbone: str, folder: Path) -> str:
    """Train a backbone for 4 epochs on random pixels.

    Args:
        backbone: a network of `keras.applications`.
        folder: for temporary files.

    Returns:
        SHA-256 of the weights after the last epoch.
    """
    subsets = [subset for subset, count in IMAGES.items() for _ in range(count)]
    names = [f"train/{'ab'[number % 2]}/{number}.png" for number in range(len(subsets))]
    split = pd.DataFrame({"image": names, "class": [name.split("/")[1] for name in names], "subset": subsets})
    write_table(folder / "split.csv", split)
    augmentation = Augmentation().model_dump(exclude={"without_effect"})
    write_manifest(folder / "manifest.parquet", plan_augmentation(split, 0, EPOCHS, augmentation, False))
    pixels = np.random.default_rng(0).integers(0, 256, (len(names), SIZE, SIZE, 3), dtype=np.uint8)
    np.save(folder / "pixels.npy", pixels, allow_pickle=False)
    write_table(folder / "pixels.csv", pd.DataFrame({"image": names}))
    experiment = Experiment.model_validate(
        {
            **{"task": "reference", "backbone": backbone, "image_size": SIZE, "epochs": EPOCHS, "batch_size": 4},
            **{"head": ["average_pooling", {"dense": 8}, {"dropout": 0.2}], "loss": "binary_crossentropy"},
            "learning_rate": 1e-3,
        }
    )
    settings = {**experiment.model_dump(exclude={"task", "seeds"}), "weights": "random", "classes": ["a", "b"]}
    files = {
        **{"split": "split.csv", "manifest": "manifest.parquet", "pixels": "pixels.npy", "checkpoints": "checkpoints"},
        **{"model": "model.keras", "model-weights": "model.weights.h5", "history": "history.csv"},
        **{"timing": "timing.csv", "training": "training.json"},
    }
    flags = {"settings": json.dumps(settings), "seed": 0, "threads": 1, "device": "cpu", "resampling": "none"}
    words = [str(word) for flag, value in {**flags, **files}.items() for word in (f"--{flag}", value)]
    subprocess.run([sys.executable, "-m", "cxrflow.stages.train_model", *words], cwd=folder, check=True)
    return sha256_of_file(folder / "model.weights.h5")


def record_reference(folder: Path, backbones: Sequence[str]) -> Weights:
    """Train each backbone, and add the hashes of the weights to a folder of published results.

    Raises:
        UserError: the folder is not as it was published, or the training code of this checkout trained none of its results.
    """
    raise_all(changed_files(folder))
    code, codes = training_code_hash(), codes_of(folder)
    if code not in codes:
        raise UserError(
            f"{folder}: the results were trained with training code {' and '.join(sorted(codes))} (a hash), but this checkout "
            f"has {code}; check out the commit that trained them and run this command there"
        )
    weights = recorded(folder)
    for backbone in backbones:
        with TemporaryDirectory() as temporary:
            weights.setdefault(code, {})[backbone] = train_reference(backbone, Path(temporary))
    with whole_folder(folder) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(SUMS))
        write_json(part / FILE, weights)
    return weights


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of published results")
    parser.add_argument("--backbones", nargs="+", help="backbones to train (default: those of the results)")
    args = parser.parse_args()
    settings = read_json(args.folder / "config.json")
    backbones = {settings["settings"]["experiments"][name]["backbone"] for name in settings["selected"]}
    for code, weights in record_reference(args.folder, args.backbones or sorted(backbones)).items():
        print(*(f"{code} {backbone} {digest}" for backbone, digest in weights.items()), sep="\n")


if __name__ == "__main__":
    run_stage(main)
