"""Join published results: runs of one study that were made at several times or places become one folder, scorecard and page.

Not a stage. Reads folders that `publish_results` made of the same images with the same settings; each may hold other
experiments, or other seeds of the same. The scorecard is judged anew, the page written anew, from all runs together.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrflow.published.folder import Selected, changed_files, files_of_run, whole_folder
from cxrflow.published.judged import scorecard_again
from cxrflow.report.inputs import (
    Inputs,
    read_assumptions,
    read_locked_versions,
    read_runs,
    read_study_config,
    read_text_table,
    selected_experiments,
)
from cxrflow.report.page import render_page
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.faults import Fault, raise_all
from cxrflow.stage.files import read_json, write_json, write_table, write_text

# Settings that say which runs there are and how they were made, not what they are.
OF_THE_RUN = (
    *("remarks", "only", "with_extras", "seeds", "device", "save_every", "keep_states", "tensorboard"),
    *("environment", "versions", "embed_images"),
)


def join_results(folders: Sequence[Path], folder: Path) -> dict[str, list[int]]:
    """Copy the runs of several folders into one, without scorecard and page.

    Args:
        folders: published results; what they share (a split, a run) must be the same in each.
        folder: to fill: runs/, plots/, split/, networks.json, data_audit.json, config.json.

    Returns:
        Experiment to the seeds of its runs.

    Raises:
        Fault: a folder is not as it was published, or they do not belong together; all of it is told.
    """
    raise_all([message for one in folders for message in changed_files(one)])
    configs = [read_json(one / "config.json") for one in folders]
    raise_all(
        [
            message
            for one, config in zip(folders[1:], configs[1:], strict=True)
            for message in _differences(folders[0], configs[0], one, config)
        ]
    )
    selected: dict[str, list[int]] = {}
    for one, config in zip(folders, configs, strict=True):
        for experiment, seeds in config["selected"].items():
            selected[experiment] = sorted({*selected.get(experiment, []), *seeds})
            for name in (name for seed in seeds for name in files_of_run(experiment, seed)):
                _copy(one / name, folder / name)
        for split in sorted((one / "split").iterdir()):
            _copy(split, folder / "split" / split.name)
    _copy(folders[0] / "data_audit.json", folder / "data_audit.json")
    networks = [read_json(one / "networks.json") for one in folders]
    write_json(
        folder / "networks.json",
        {key: {name: value for one in networks for name, value in one[key].items()} for key in networks[0]},
    )
    write_json(folder / "config.json", {"settings": _joined_settings(configs), "selected": selected})
    return selected


def _differences(first: Path, config: Mapping[str, Any], other: Path, other_config: Mapping[str, Any]) -> list[str]:
    """Why two folders do not belong together, one message each."""
    one, two = config["settings"], other_config["settings"]
    keys = [key for key in one if key not in (*OF_THE_RUN, "experiments") and one[key] != two.get(key)]
    run = [*config["selected"], *other_config["selected"]]
    keys += [
        f"experiments.{name}"
        for name in dict.fromkeys(run)
        if one["experiments"].get(name) != two["experiments"].get(name)
    ]
    messages = [f"{other}: {key} is not what it is in {first}; join results of the same settings" for key in keys]
    if read_json(first / "data_audit.json") != read_json(other / "data_audit.json"):
        messages.append(f"{other}: the images are not those of {first}; join results of the same images")
    return messages


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and target.read_bytes() != source.read_bytes():
        raise Fault(f"{source}: there is another such file in the folders before; publish one of these runs alone")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _joined_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    settings = [config["settings"] for config in configs]
    return {
        **settings[0],
        "remarks": list(dict.fromkeys(remark for one in settings for remark in one["remarks"])),
        "embed_images": "none",  # the page of joined results has no pictures of X-rays
        "only": list(dict.fromkeys(name for config in configs for name in config["selected"])),
    }


def page_of(folder: Path, selected: Selected, resources: Mapping[str, Path]) -> str:
    """The page of published results, without pictures of X-rays.

    Args:
        folder: published results.
        selected: experiment to the seeds of its runs.
        resources: `assumptions`, `study_config`, `locked_versions` and `page`, as `assemble_report` takes them.
    """
    settings = read_json(folder / "config.json")["settings"]
    runs = read_runs(folder / "runs", selected)
    python = next(iter(runs.values()))[0].training["versions"]["python"]
    scorecard = folder / "scorecard.csv"
    inputs = Inputs(
        settings=settings,
        experiments=selected_experiments(settings, selected),
        runs=runs,
        networks=read_json(folder / "networks.json"),
        audit=read_json(folder / "data_audit.json"),
        assumptions=read_assumptions(resources["assumptions"]),
        splits={path.stem: read_text_table(path) for path in sorted((folder / "split").iterdir())},
        plots=folder / "plots",
        study=read_study_config(resources["study_config"]),
        locked=read_locked_versions(resources["locked_versions"], python),
        scorecard=read_text_table(scorecard) if scorecard.is_file() else None,
    )
    return render_page(inputs, resources["page"])


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--folders", type=Path, nargs="+", required=True, help="folders of published results")
    parser.add_argument("--claims", type=Path, default=Path("workflow/resources/claims.csv"), help="claims (CSV)")
    parser.add_argument(
        "--assumptions",
        type=Path,
        default=Path("workflow/resources/assumptions.csv"),
        help="what the study leaves open (CSV)",
    )
    parser.add_argument("--study-config", type=Path, default=Path("config.yaml"), help="the study's own config (YAML)")
    parser.add_argument("--locked-versions", type=Path, default=Path("envs/cpu.lock"), help="lock file")
    parser.add_argument("--page", type=Path, default=Path("workflow/report/page"), help="folder of the page's template")
    parser.add_argument("--folder", type=Path, required=True, help="folder to make; what it holds is replaced")
    args = parser.parse_args()
    with whole_folder(args.folder) as part:
        selected = join_results(args.folders, part)
        if read_json(part / "config.json")["settings"]["claims"] is not None:
            write_table(part / "scorecard.csv", scorecard_again(part, args.claims))
        resources = {name: getattr(args, name) for name in ("assumptions", "study_config", "locked_versions", "page")}
        write_text(part / "report/index.html", page_of(part, selected, resources))
    print(f"{args.folder}: {', '.join(f'{name} with {len(seeds)} seeds' for name, seeds in selected.items())}")


if __name__ == "__main__":
    run_stage(main)
