"""Copy what came out of a run into a folder that can be published: all that its scorecard is made from, its plots, its page.

Not a stage: it reads the config as Snakemake would. Left behind are models, states, pixels, manifests, logs, and the paths of
this machine; contents are known by their hashes in training.json and data_audit.json all the same. `verify_results` makes the
scorecard again from such a folder.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrflow.config.read import laid_over, read_config, read_yaml
from cxrflow.config.set_values import set_values
from cxrflow.config.settings import training_settings, whole_settings
from cxrflow.published.folder import Selected, files_of_runs, whole_folder
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import raise_all
from cxrflow.stage.files import read_json, write_json

OF_RESULTS = ("networks.json", "data_audit.json", "scorecard.csv", "report/index.html")
# Where things lie on the machine that ran it.
PATHS = ("images", "weights")


def files_to_publish(tasks: Sequence[str], selected: Selected, claims: bool) -> list[str]:
    """Paths below the results' folder."""
    return [
        *(name for name in OF_RESULTS if claims or name != "scorecard.csv"),
        *(f"split/{task}.csv" for task in tasks),
        *files_of_runs(selected),
    ]


def publish_results(results: Path, folder: Path, settings: Mapping[str, Any], selected: Selected) -> int:
    """Replace a folder by the publishable part of some results.

    Args:
        results: folder of one config's results.
        folder: made anew; SHA256SUMS in it lists its files.
        settings: of `whole_settings`.
        selected: experiment to the seeds of its runs.

    Returns:
        The number of files.

    Raises:
        Fault: results are missing, or trained with other settings, all of them are named; or the folder holds other files.
    """
    tasks = sorted({settings["experiments"][name]["task"] for name in selected})
    names = files_to_publish(tasks, selected, settings["claims"] is not None)
    raise_all([f"{results / name} is missing; run Snakemake first" for name in names if not (results / name).is_file()])
    raise_all(trained_otherwise(results, settings, selected))
    with whole_folder(folder) as part:
        for name in names:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(results / name, part / name)
        shown = {key: value for key, value in settings.items() if key not in PATHS}
        write_json(part / "config.json", {"settings": shown, "selected": {k: list(v) for k, v in selected.items()}})
    return len(names) + 2


def trained_otherwise(results: Path, settings: Mapping[str, Any], selected: Selected) -> list[str]:
    """One message for each setting of a training that is another in the config."""
    messages = []
    for name, seeds in selected.items():
        wanted = training_settings(settings["experiments"][name])
        for seed in seeds:
            record = results / f"runs/{name}/seed_{seed}/training.json"
            trained = read_json(record)["settings"]
            messages += [
                f"{record}: {key} was {trained[key]!r} in that training, and is {value!r} in the config; name the same "
                "overlays, and by --set the same values, as for Snakemake"
                for key, value in wanted.items()
                if trained[key] != value
            ]
    return messages


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="config.yaml, and overlays on it")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further values, as for --config")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
    parser.add_argument(
        "--folder", type=Path, required=True, help="folder to make, or one published before, to replace"
    )
    args = parser.parse_args()
    config = read_config(laid_over(read_yaml(*args.config), set_values(args.set)))
    selected = {name: config.seeds_of(name) for name in config.selected()}
    count = publish_results(args.results / config.name, args.folder, whole_settings(config), selected)
    print(f"{args.folder}: {count} files")


if __name__ == "__main__":
    run_stage(main)
