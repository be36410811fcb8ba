"""Measure the time of planning 1, 100 and 1,000 trainings, compared with a minimal Snakefile of the same shape.

The minimal Snakefile has the same jobs and files, but no config, params, messages or logs. The two take turns, and medians over
the rounds are compared.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from cxrflow.io.command import stage_parser

PROJECT = Path(__file__).resolve().parent.parent
TARGET = "12 s, 500 MB, for 1,000"

# rule: its inputs, its outputs; {seed} as in cxrflow
SHAPE = {
    "plan": (["split.csv"], ["manifest/{seed}.parquet"]),
    "train": (
        ["split.csv", *(f"pixels/{n}.npy" for n in range(8)), "manifest/{seed}.parquet", "network.json"],
        [
            f"runs/{{seed}}/{name}"
            for name in ("model.keras", "weights.h5", "history.csv", "timing.csv", "training.json")
        ],
    ),
    "evaluate": (
        ["split.csv", *(f"pixels/{n}.npy" for n in range(8)), "runs/{seed}/model.keras", "runs/{seed}/training.json"],
        ["runs/{seed}/predictions.csv", "runs/{seed}/validation_predictions.csv", "runs/{seed}/metrics.json"],
    ),
    "extract": (
        ["split.csv", *(f"pixels/{n}.npy" for n in range(8)), "runs/{seed}/model.keras"],
        ["runs/{seed}/features.npz"],
    ),
    "embed": (
        ["runs/{seed}/features.npz", "split.csv", *(f"pixels/{n}.npy" for n in range(8))],
        ["runs/{seed}/embedding.csv", "runs/{seed}/separation.json"],
    ),
    "plot_curves": (["runs/{seed}/history.csv", "runs/{seed}/training.json"], ["plots/{seed}/curves.svg"]),
    "plot_confusion": (["runs/{seed}/metrics.json"], ["plots/{seed}/confusion.svg"]),
    "plot_embedding": (["runs/{seed}/embedding.csv", "runs/{seed}/separation.json"], ["plots/{seed}/embedding.svg"]),
    "data": ([], ["split.csv", *(f"pixels/{n}.npy" for n in range(8)), "network.json"]),
}
TRAINING_FILES = [
    *(f"runs/{{seed}}/{name}" for name in ("history.csv", "timing.csv", "training.json", "predictions.csv")),
    "runs/{seed}/validation_predictions.csv",
    *(f"runs/{{seed}}/{name}" for name in ("metrics.json", "embedding.csv", "separation.json", "model.keras")),
    *(f"plots/{{seed}}/{name}.svg" for name in ("curves", "confusion", "embedding")),
]


def bare_snakefile(trainings: int) -> str:
    """Write a Snakefile with only the same jobs and files."""
    files = [f"expand({file!r}, seed=range({trainings}))" for file in TRAINING_FILES]
    rules = [f"rule all:\n    input: {', '.join(files)}\n"]
    for name, (inputs, outputs) in SHAPE.items():
        given = f"    input: {', '.join(map(repr, inputs))}\n" if inputs else ""
        rules.append(
            f"rule {name}:\n{given}    output: {', '.join(map(repr, outputs))}\n    shell: 'touch {{output}}'\n"
        )
    return "\n".join(rules)


def config(trainings: int) -> dict[str, object]:
    """Config of one experiment with this number of seeds."""
    return {
        "name": "dry_run",
        "phantoms": {"train_per_class": 40},
        "image_list": None,
        "weights": "random",
        "claims": None,
        "only": ["multiclass_mobilenet"],
        "seeds": trainings,
    }


def dry_run(folder: Path, *arguments: str) -> tuple[float, float, float]:
    """Run a dry run in a folder; return seconds, CPU seconds, and peak memory in MB."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "-d", str(folder), *arguments]
    start = time.perf_counter()
    with (folder / "screen.txt").open("w") as screen:
        process = subprocess.Popen(command, cwd=folder, stdout=screen, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit((folder / "screen.txt").read_text()[-2000:])
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--trainings", type=int, nargs="+", default=[1, 100, 1000], help="numbers of trainings")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: %(default)s)")
    args = parser.parse_args()
    print(f"{'trainings':>9}  {'ratio':>5}  {'cxrflow':>25}  {'bare':>25}  target", flush=True)
    for trainings in args.trainings:
        with tempfile.TemporaryDirectory() as place:
            folders = {name: Path(place, name) for name in ("cxrflow", "bare")}
            for folder in folders.values():
                folder.mkdir()
            (folders["bare"] / "Snakefile").write_text(bare_snakefile(trainings))
            (folders["cxrflow"] / "many.yaml").write_text(yaml.safe_dump(config(trainings)))
            how = {
                "cxrflow": ["-s", str(PROJECT / "Snakefile"), "--configfile", str(folders["cxrflow"] / "many.yaml")],
                "bare": ["-s", str(folders["bare"] / "Snakefile")],
            }
            rounds = [{name: dry_run(folders[name], *how[name]) for name in how} for _ in range(args.rounds)]
        shown, middle = [], {}
        for name in folders:
            seconds, processor, memory = (statistics.median(one[name][which] for one in rounds) for which in range(3))
            middle[name] = processor
            shown.append(f"{seconds:6.1f} s {processor:6.1f} s {memory:4.0f} MB")
        ratio = middle["cxrflow"] / middle["bare"]
        print(f"{trainings:9,}  {ratio:5.2f}  {shown[0]:>25}  {shown[1]:>25}  {TARGET}", flush=True)


if __name__ == "__main__":
    main()
