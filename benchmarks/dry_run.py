"""How long planning takes: dry runs of 1, 100 and 1,000 trainings, cxrflow against a bare Snakefile of the same shape.

The bare Snakefile has as many jobs, with the same files between them, and nothing else: no config, params, messages or logs.
The two take turns, a dry run each; the medians of the rounds are compared.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from cxrflow.stage.command import stage_parser

PROJECT = Path(__file__).resolve().parent.parent
WANTED = "12 s, 500 MB, for 1,000"

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
        ["runs/{seed}/predictions.csv", "runs/{seed}/metrics.json"],
    ),
    "extract": (
        ["split.csv", *(f"pixels/{n}.npy" for n in range(8)), "runs/{seed}/model.keras"],
        ["runs/{seed}/features.npz"],
    ),
    "embed": (["runs/{seed}/features.npz"], ["runs/{seed}/embedding.csv", "runs/{seed}/separation.json"]),
    "plot_curves": (["runs/{seed}/history.csv", "runs/{seed}/training.json"], ["plots/{seed}/curves.svg"]),
    "plot_confusion": (["runs/{seed}/metrics.json"], ["plots/{seed}/confusion.svg"]),
    "plot_embedding": (["runs/{seed}/embedding.csv", "runs/{seed}/separation.json"], ["plots/{seed}/embedding.svg"]),
    "data": ([], ["split.csv", *(f"pixels/{n}.npy" for n in range(8)), "network.json"]),
}
OF_A_RUN = [
    *(f"runs/{{seed}}/{name}" for name in ("history.csv", "timing.csv", "training.json", "predictions.csv")),
    *(f"runs/{{seed}}/{name}" for name in ("metrics.json", "embedding.csv", "separation.json", "model.keras")),
    *(f"plots/{{seed}}/{name}.svg" for name in ("curves", "confusion", "embedding")),
]


def bare_snakefile(trainings: int) -> str:
    """A Snakefile of the same jobs and files, without all else."""
    files = [f"expand({file!r}, seed=range({trainings}))" for file in OF_A_RUN]
    rules = [f"rule all:\n    input: {', '.join(files)}\n"]
    for name, (inputs, outputs) in SHAPE.items():
        given = f"    input: {', '.join(map(repr, inputs))}\n" if inputs else ""
        rules.append(
            f"rule {name}:\n{given}    output: {', '.join(map(repr, outputs))}\n    shell: 'touch {{output}}'\n"
        )
    return "\n".join(rules)


def config(trainings: int) -> dict[str, object]:
    """One experiment with so many seeds."""
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
    """Seconds, seconds of the processor, and MB (largest resident set) of a dry run in a folder."""
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
    parser.add_argument("--trainings", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"{'trainings':>9}  {'ratio':>5}  {'cxrflow':>25}  {'bare':>25}  wanted", flush=True)
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
        print(f"{trainings:9,}  {ratio:5.2f}  {shown[0]:>25}  {shown[1]:>25}  {WANTED}", flush=True)


if __name__ == "__main__":
    main()
