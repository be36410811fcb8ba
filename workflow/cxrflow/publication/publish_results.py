"""Copy the results of a run into a folder that can be published.

The folder has all files that the scorecard is made from, what explanations measured, the plots and the report, but no
models, checkpoints, pixels, heat maps (except those in the report), augmentation manifests or logs, and no paths of this
machine. `cxrflow verify` rebuilds the scorecard from such a folder.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrflow.evaluation.consistency import inconsistencies, other_settings
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import raise_all
from cxrflow.io.files import read_json, write_json
from cxrflow.publication.folder import (
    RIVALS,
    SEALS,
    Selected,
    explanations_of_run,
    files_of_evaluation,
    files_of_run,
    whole_folder,
)
from cxrflow.study.merging import merge_keys
from cxrflow.study.models import explained_seeds
from cxrflow.study.read import read_config
from cxrflow.study.run import set_values, with_study
from cxrflow.study.settings import whole_settings
from cxrflow.study.yaml_files import read_yaml

PRIVATE = ("images", "weights", "lungs", "external")
"""Keys whose values are paths of the machine; they are not published."""


def publish_results(results: Path, folder: Path, settings: Mapping[str, Any], selected: Selected) -> int:
    """Replace a folder by the publishable part of some results.

    Args:
        results: folder of the results of one config.
        folder: folder to make; SHA256SUMS in it lists its files.
        settings: see `whole_settings`.
        selected: experiment to the seeds of its trainings.

    Returns:
        The number of files.

    Raises:
        UserError: results are missing, were trained with other settings, or do not belong together; or the folder has other
            files.
    """
    experiments = {name: settings["experiments"][name] for name in selected}
    explained = explained_seeds(settings["explain"], selected)
    trainings = [(name, seed) for name, seeds in selected.items() for seed in seeds]
    names = [
        *("networks.json", "data_audit.json", RIVALS, "report/index.html"),
        *(["scorecard.csv"] if settings["claims"] is not None else []),
        *([SEALS] if settings["claims"] is not None and (results / SEALS).is_file() else []),
        *(f"split/{task}.csv" for task in sorted({experiment["task"] for experiment in experiments.values()})),
        *(file for name, seed in trainings for file in files_of_run(name, seed)),
        *files_of_evaluation(selected),
        *(explanations_of_run(name, seed) for name, seeds in explained.items() for seed in seeds),
    ]
    raise_all([f"{results / name} is missing; run Snakemake first" for name in names if not (results / name).is_file()])
    records = {(name, seed): results / f"runs/{name}/seed_{seed}/training.json" for name, seed in trainings}
    raise_all(
        [
            f"{record}: {difference}; give the same overlays and values of --set as for Snakemake"
            for (name, _), record in records.items()
            for difference in other_settings(read_json(record)["settings"], experiments[name])
        ]
    )
    raise_all(inconsistencies(results / "runs", results / "split", settings, selected, explained))
    with whole_folder(folder) as part:
        for name in names:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(results / name, part / name)
        public = {key: value for key, value in settings.items() if key not in PRIVATE}
        write_json(part / "config.json", {"settings": public, "selected": {k: list(v) for k, v in selected.items()}})
    return len(names) + 2


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="config.yaml, and overlays on it")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="further values, as for snakemake --config"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder of all results (default: %(default)s)"
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder to make, or a published one to replace")
    args = parser.parse_args()
    config = read_config(with_study(merge_keys(read_yaml(*args.config), set_values(args.set))))
    selected = {name: config.seeds_of(name) for name in config.selected()}
    count = publish_results(args.results / config.name, args.folder, whole_settings(config), selected)
    print(f"{args.folder}: {count} files")


if __name__ == "__main__":
    run_stage(main)
