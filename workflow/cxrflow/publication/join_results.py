"""Join published results of one study that were computed at different times or places.

The folders are from `cxrflow publish`, with the same images and the same settings; they may have different experiments, or
different seeds of an experiment. The scorecard and the report are made from all trainings together.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.evaluation.consistency import inconsistencies
from cxrflow.evaluation.experiments import compare_experiments, measure_experiment, read_experiment
from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.errors import UserError, raise_all
from cxrflow.io.files import read_json, write_json, write_table, write_text
from cxrflow.io.words import counted
from cxrflow.plotting.style import styled, write_figure
from cxrflow.publication.folder import (
    COMPARISONS,
    RIVALS,
    VALIDATION,
    changed_files,
    explanations_of_run,
    files_of_run,
    whole_folder,
)
from cxrflow.publication.reference_training import FILE, Weights, different_trainings, recorded
from cxrflow.publication.verify_results import score_published
from cxrflow.report.inputs import read_inputs, read_text_table
from cxrflow.report.page import render_page
from cxrflow.stages.measure_results import metrics_table
from cxrflow.stages.plot_evaluation import evaluation_figure
from cxrflow.study.decides import WITHOUT_EFFECT, keys_that_decide
from cxrflow.study.earlier import read_published_audit, read_published_config
from cxrflow.study.folder import study_keys
from cxrflow.study.merging import merge_keys
from cxrflow.study.models import Config

# Keys that decide which experiments run and how they are computed and reported, not what the results are.
OF_THE_RUN = keys_that_decide(
    Config, "selection", "audits", "explanations", "external", "device", *WITHOUT_EFFECT, "report"
)


def join_results(folders: Sequence[Path], folder: Path) -> dict[str, list[int]]:
    """Copy the trainings of several folders into one, without scorecard and report.

    Args:
        folders: published results; a split or a training that several of them have must be the same in each.
        folder: folder to fill with runs/, plots/, split/, networks.json, data_audit.json, audits/rivals.csv and
            config.json.

    Returns:
        Experiment to the seeds of its trainings.

    Raises:
        UserError: files of a folder are changed, missing or inconsistent, or the folders do not belong together.
    """
    raise_all([message for one in folders for message in changed_files(one)])
    configs = [read_published_config(one) for one in folders]
    raise_all([message for one, config in zip(folders, configs, strict=True) for message in _of_folder(one, config)])
    raise_all(
        [
            message
            for one, config in zip(folders[1:], configs[1:], strict=True)
            for message in _differences(folders[0], configs[0], one, config)
        ]
    )
    run = {name: config["settings"]["experiments"][name] for config in configs for name in config["selected"]}
    raise_all(different_trainings(folders, (experiment["backbone"] for experiment in run.values())))
    weights: Weights = {}
    for source in folders:
        for code, hashes in recorded(source).items():
            weights.setdefault(code, {}).update(hashes)
    if weights:
        write_json(folder / FILE, weights)
    selected: dict[str, list[int]] = {}
    for one, config in zip(folders, configs, strict=True):
        for experiment, seeds in config["selected"].items():
            selected[experiment] = sorted({*selected.get(experiment, []), *seeds})
            for name in (name for seed in seeds for name in files_of_run(experiment, seed)):
                if (one / name).is_file() or Path(name).name != VALIDATION:
                    _copy(one / name, folder / name)
            for name in (explanations_of_run(experiment, seed) for seed in seeds):
                if (one / name).is_file():  # not every network is explained
                    _copy(one / name, folder / name)
        for split in sorted((one / "split").iterdir()):
            _copy(split, folder / "split" / split.name)
    write_json(folder / "data_audit.json", _joined_audit([read_published_audit(one) for one in folders]))
    rivals = [read_text_table(one / RIVALS) for one in folders if (one / RIVALS).is_file()]
    if rivals:
        write_table(folder / RIVALS, pd.concat(rivals).drop_duplicates(["task", "rival", "image"]))
    networks = [read_json(one / "networks.json") for one in folders]
    write_json(
        folder / "networks.json",
        {key: {name: value for one in networks for name, value in one[key].items()} for key in networks[0]},
    )
    write_json(folder / "config.json", {"settings": _joined_settings(configs), "selected": selected})
    return selected


def measure_joined(folder: Path, settings: Mapping[str, Any], selected: Mapping[str, Sequence[int]]) -> None:
    """Write what is measured and plotted of all seeds of experiments: evaluation/ and plots/EXPERIMENT/evaluation.svg."""
    splits = {path.stem: read_text_table(path) for path in sorted((folder / "split").iterdir())}
    experiments = {}
    for name, seeds in selected.items():
        runs, task = folder / "runs" / name, settings["experiments"][name]["task"]
        experiments[name] = read_experiment(runs, seeds, task, splits[task])
        measured = measure_experiment(experiments[name], splits[task])
        write_json(folder / f"evaluation/{name}.json", measured)
        write_table(folder / f"evaluation/{name}.csv", metrics_table(measured))
        histories = [pd.read_csv(runs / f"seed_{seed}/history.csv") for seed in seeds]
        with styled():
            write_figure(evaluation_figure(measured, histories, name), folder / f"plots/{name}/evaluation.svg")
    write_json(folder / COMPARISONS, compare_experiments(experiments, splits))


def _of_folder(folder: Path, config: Mapping[str, Any]) -> list[str]:
    return inconsistencies(folder / "runs", folder / "split", config["settings"], config["selected"])


def _differences(first: Path, config: Mapping[str, Any], other: Path, other_config: Mapping[str, Any]) -> list[str]:
    """The reasons why two folders do not belong together, one message each."""
    one, two = config["settings"], other_config["settings"]
    keys = [key for key in one if key not in OF_THE_RUN and one[key] != two.get(key)]
    run = [*config["selected"], *other_config["selected"]]
    keys += [
        f"experiments.{name}"
        for name in dict.fromkeys(run)
        if one["experiments"].get(name) != two["experiments"].get(name)
    ]
    messages = [f"{other}: {key} differs from that of {first}; join results with the same settings" for key in keys]
    audits = [read_json(folder / "data_audit.json") for folder in (first, other)]
    # Newer versions report more about the same images, and audits are of the tasks of a run.
    if any(audits[0][key] != audits[1][key] for key in (audits[0].keys() & audits[1].keys()) - {"audits"}):
        messages.append(f"{other}: the images differ from those of {first}; join results of the same images")
    return messages


def _joined_audit(audits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The audit of the same images with the findings and details of all tasks."""
    names = dict.fromkeys(name for audit in audits for name in audit["audits"])
    joined: dict[str, dict[str, Any]] = {name: {"findings": [], "details": {}} for name in names}
    for audit in audits:
        for name, of_audit in audit["audits"].items():
            findings = joined[name]["findings"]
            findings += [finding for finding in of_audit["findings"] if finding not in findings]
            joined[name]["details"] = merge_keys(joined[name]["details"], of_audit["details"])
    return {**audits[0], "audits": joined}


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and target.read_bytes() != source.read_bytes():
        raise UserError(f"{source}: differs from the same file in another folder; publish only one of these trainings")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _joined_settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    settings = [config["settings"] for config in configs]
    return {
        **settings[0],
        "remarks": list(dict.fromkeys(remark for one in settings for remark in one["remarks"])),
        "embed_images": "none",  # published results have no pictures of X-rays
        "only": list(dict.fromkeys(name for config in configs for name in config["selected"])),
    }


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--folders", type=Path, nargs="+", required=True, help="folders of published results")
    parser.add_argument("--study", type=Path, help="study.yaml of the study, if there is one")
    parser.add_argument(
        "--locked-versions", type=Path, default=Path("envs/cpu.lock"), help="lock file (default: %(default)s)"
    )
    parser.add_argument(
        "--page",
        type=Path,
        default=Path("workflow/report/page"),
        help="folder of the page template (default: %(default)s)",
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder to make, or a published one to replace")
    args = parser.parse_args()
    with whole_folder(args.folder) as part:
        selected = join_results(args.folders, part)
        settings = read_json(part / "config.json")["settings"]
        own = study_keys(args.study.parent) if args.study else {}
        settings |= {
            key: own.get(key) for key in ("claims", "image_list", "open_points") if settings.get(key) is not None
        }
        scorecard = part / "scorecard.csv" if settings["claims"] is not None else None
        if scorecard:
            write_table(scorecard, score_published(part, Path(settings["claims"])))
        measure_joined(part, settings, selected)
        inputs = read_inputs(
            settings,
            selected,
            runs=part / "runs",
            plots=part / "plots",
            networks=part / "networks.json",
            audit=part / "data_audit.json",
            rivals=part / RIVALS if (part / RIVALS).is_file() else None,
            splits=sorted((part / "split").iterdir()),
            evaluation=part / "evaluation",
            study=args.study,
            open_points=own.get("open_points") and Path(own["open_points"]),
            locked_versions=args.locked_versions,
            scorecard=scorecard,
            explained={
                name: [seed for seed in seeds if (part / explanations_of_run(name, seed)).is_file()]
                for name, seeds in selected.items()
            },
        )
        write_text(part / "report/index.html", render_page(inputs, args.page))
    joined = ", ".join(f"{name} with {counted(len(seeds), 'seed')}" for name, seeds in selected.items())
    print(f"{args.folder}: {joined}")


if __name__ == "__main__":
    run_stage(main)
