"""A copy of the project with a finished run in it, and what Snakemake plans after a change.

Dry runs do not need real results: `snakemake --touch` records empty files with the right names, so that the whole table takes
a minute or two. For the real rows, the run is a real one.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from forked import CONTEXT


@dataclass(frozen=True)
class Plan:
    """The result of a dry run: jobs as `rule wildcard wildcard`, and the epochs that would be trained."""

    jobs: frozenset[str]
    epochs_of: Mapping[str, int]
    """Training job to the number of epochs that it would train."""
    commands: Mapping[str, str]
    inputs: Mapping[str, list[str]]
    outputs: Mapping[str, list[str]]
    lines: list[str]

    @property
    def epochs(self) -> int:
        return sum(self.epochs_of.values())


def copy_project(project: Path, folder: Path) -> None:
    """Copy the files of the checkout that git tracks, or would track."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=project, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (project / name).is_file() and not name.startswith(
            ("tests/", "docs/", "results/", "studies/sha_2021/results/")
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, folder / name)


def write_config(file: Path, config: Mapping[str, Any]) -> None:
    """Write a config that overrides the project's."""
    file.write_text(yaml.safe_dump(dict(config)))


def dry_run(
    folder: Path,
    *configs: str,
    arguments: Iterable[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Plan:
    """Plan a run in a copy of the project, with some environment variables."""
    answer, question = CONTEXT.Pipe(duplex=False)
    flags = [*(["--configfile", *configs] if configs else []), *arguments]
    process = CONTEXT.Process(target=_plan, args=(str(folder), flags, dict(variables or {}), question))
    process.start()
    question.close()
    received = answer.recv()
    process.join()
    if isinstance(received, str):
        raise AssertionError(received)
    return Plan(frozenset(received["commands"]), **received)


def fake_run(folder: Path, *configs: str) -> None:
    """Create the files of a finished run, empty or nearly so, in a form that Snakemake accepts."""
    plan = dry_run(folder, *configs)
    seconds = {"train_model": 1080}
    for job, outputs in plan.outputs.items():
        for output in map(folder.joinpath, outputs):
            if "." in output.name:
                output.parent.mkdir(parents=True, exist_ok=True)
                output.touch()
            else:
                output.mkdir(parents=True)
        rule = job.split()[0]
        if rule == "train_model":
            _fake_training(folder, plan.commands[job], seconds[rule])
        if rule == "index_images":
            _fake_index(folder, plan.commands[job])
        if rule == "index_external":
            _fake_external_index(folder, plan.commands[job])
    flags = ["--configfile", *configs] if configs else []
    command = [sys.executable, "-m", "snakemake", "--touch", "--forceall", "--no-hooks", "--cores", "1", *flags]
    touched = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert touched.returncode == 0, touched.stderr
    assert dry_run(folder, *configs).jobs == set()


def _plan(folder: str, flags: list[str], variables: dict[str, str], question: Any) -> None:
    try:
        os.chdir(folder)
        os.environ.update(variables)
        sys.path.insert(0, f"{folder}/workflow")
        from cxrflow.run.jobs import planned_jobs
        from cxrflow.run.planned_trainings import verdict_on
        from cxrflow.run.why import explain

        jobs = planned_jobs(flags)
        makers = {output: job for job in jobs for output in job.outputs}
        names = {" ".join([job.rule, *job.wildcards.values()]): job for job in jobs}
        question.send(
            {
                "epochs_of": {
                    name: verdict_on(job, makers).epochs for name, job in names.items() if job.rule == "train_model"
                },
                "commands": {name: job.command for name, job in names.items()},
                "inputs": {name: list(job.inputs) for name, job in names.items()},
                "outputs": {name: list(job.outputs) for name, job in names.items()},
                "lines": explain(jobs),
            }
        )
    except BaseException as wrong:
        question.send(f"{type(wrong).__name__}: {wrong}")
        raise


def _flag(command: str, name: str) -> str:
    words = command.split()
    return words[words.index(f"--{name}") + 1]


def _fake_training(folder: Path, command: str, seconds: int) -> None:
    """Write the record of a training, and a checkpoint under its identity."""
    sys.path.insert(0, str(folder / "workflow"))
    from cxrflow.io.files import sha256_of_file
    from cxrflow.training.environment import training_code_hash

    sys.path.pop(0)
    training = folder / _flag(command, "training")
    settings = json.loads(command.split("--settings '")[1].split("'", maxsplit=1)[0])
    weights = sha256_of_file(folder / _flag(command, "weights")) if "--weights " in command else None
    record = {
        "identity": training.parent.parent.name,
        "epochs": settings["epochs"],
        "trained_epochs": settings["epochs"],
        "settings": settings,
        "threads": int(_flag(command, "threads")),
        "what_identifies_it": {
            "code": training_code_hash(),
            "versions": {},
            "weights_sha256": weights,
        },
    }
    training.write_text(json.dumps(record))
    rows = [f"{epoch},{seconds / settings['epochs']}" for epoch in range(1, settings["epochs"] + 1)]
    (training.parent / "timing.csv").write_text("\n".join(["epoch,seconds", *rows, ""]))
    checkpoint = folder / "results/checkpoints" / record["identity"] / "epoch_000002_batch_0000.json"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.touch()


def _fake_index(folder: Path, command: str) -> None:
    from cxrflow.images.fingerprint import stamps_of, write_record
    from cxrflow.io.files import sha256_of_file

    root = folder / _flag(command, "root")
    classes = command.split("--classes ")[1].split(" --", maxsplit=1)[0].split()
    stamps = stamps_of(root, classes, "train_test")
    hashes = {path: sha256_of_file(root / path) for path in stamps}
    write_record(
        folder / _flag(command, "record"), Path(_flag(command, "root")), _flag(command, "fingerprint"), stamps, hashes
    )


def _fake_external_index(folder: Path, command: str) -> None:
    from cxrflow.images.external import read_external
    from cxrflow.images.fingerprint import write_record
    from cxrflow.io.files import sha256_of_file

    external = read_external(folder / _flag(command, "external"))
    hashes = {path: sha256_of_file(external.root / path) for path in external.stamps}
    record, root = folder / _flag(command, "record"), external.root.relative_to(folder)
    write_record(record, root, _flag(command, "fingerprint"), external.stamps, hashes)
