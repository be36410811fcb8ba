"""The doctor's checks of a Slurm cluster, with fake commands; and the logs of jobs that Slurm ended."""

import os
import re
from pathlib import Path

import pytest
from cxrflow.run.checks import Check, error
from cxrflow.run.cluster import Partition, check_cluster, examine_cluster, jobs_ended_by_slurm, read_partitions

SINFO = """batch*|up|(null)|7-00:00:00
gpu|up|gpu:a100:4(S:0-1)|1-12:00:00
gpu|up|gpu:t4:2,shard:8|1-12:00:00
old|down|gpu:1|30:00
"""
NO_ACCOUNTING = "AccountingStorageType   = accounting_storage/none\nMinJobAge               = 300 sec\n"
ACCOUNTING = NO_ACCOUNTING.replace("/none", "/slurmdbd")


def found(sinfo: str | Check = SINFO, settings: str | Check = NO_ACCOUNTING, **site: str) -> list[Check]:
    environ = {f"CXRFLOW_SLURM_{name}": value for name, value in site.items()}
    return check_cluster(sinfo, settings, environ, plugin=True)


def worst(checks: list[Check]) -> list[Check]:
    return [check for check in checks if check.level != "ok"]


def test_lines_of_sinfo() -> None:
    assert read_partitions(SINFO) == [
        Partition("batch", default=True, up=True, gpus=0, minutes=7 * 1440),
        Partition("gpu", default=False, up=True, gpus=4, minutes=36 * 60),
        Partition("gpu", default=False, up=True, gpus=2, minutes=36 * 60),
        Partition("old", default=False, up=False, gpus=1, minutes=30),
    ]


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("infinite", float("inf")),
        ("n/a", float("inf")),
        ("0:30", 0.5),
        ("5:00", 5),
        ("2:00:00", 120),
        ("3-00:00:00", 4320),
    ],
)
def test_time_limits(limit: str, minutes: float) -> None:
    assert read_partitions(f"a|up|(null)|{limit}")[0].minutes == minutes


def test_a_cluster_that_can_run_it() -> None:
    checks = found(GPU_PARTITION="gpu")
    assert worst(checks) == []
    texts = [check.text for check in checks]
    assert texts == [
        "partition batch, the default",
        "partition gpu",
        "4 per node in partition gpu",
        "none; jobs are monitored by squeue",
    ]


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ({"PARTITION": "cpu"}, "no partition cpu; choose one of batch, gpu, old: CXRFLOW_SLURM_PARTITION="),
        ({"PARTITION": "gpu", "GPU_PARTITION": "a100"}, "no partition a100.*CXRFLOW_SLURM_GPU_PARTITION="),
        ({"PARTITION": "old", "TRAINING_MINUTES": "30"}, "partition old is down"),
        ({}, "1 requested per training, but a node of partition batch has 0; .*CXRFLOW_SLURM_GPUS=0"),
        ({"PARTITION": "gpu", "GPUS": "8"}, "8 requested per training, but a node of partition gpu has 4"),
        (
            {"PARTITION": "gpu", "TRAINING_MINUTES": "3000"},
            "3000 minutes requested .*CXRFLOW_SLURM_TRAINING_MINUTES=2160",
        ),
        ({"PARTITION": "gpu", "STATUS": "sacct"}, "none, so that.*would hang.*squeue"),
        ({"PARTITION": "gpu", "FIRST_CHECK": "120"}, "for 300 s only.*CXRFLOW_SLURM_FIRST_CHECK=100"),
        ({"PARTITION": "gpu", "GPUS": "many"}, "CXRFLOW_SLURM_GPUS: 'many' is not a whole number"),
    ],
)
def test_what_a_cluster_lacks_is_reported_with_a_fix(site: dict[str, str], words: str) -> None:
    (check,) = worst(found(**site))
    assert check.level == "error"
    assert re.search(words, check.text)


def test_trainings_on_processors_need_no_gpu() -> None:
    assert worst(found(GPUS="0")) == []


def test_a_cluster_without_a_default_partition() -> None:
    (check,) = worst(found(SINFO.replace("*", "")))
    assert check.text.startswith("no default partition; choose one of batch, gpu, old")


def test_with_accounting_sacct_is_accepted() -> None:
    assert worst(found(settings=ACCOUNTING, PARTITION="gpu", STATUS="sacct")) == []
    (check,) = worst(found(settings=ACCOUNTING, PARTITION="gpu", FIRST_CHECK="120"))
    assert (check.level, "STATUS=sacct" in check.text) == ("note", True)


def test_a_cluster_that_does_not_answer_is_reported_once() -> None:
    down = error("Slurm", "sinfo fails: Unable to contact slurm controller; is the cluster up?")
    assert found(down, down) == [down]


def test_a_missing_plugin_is_reported() -> None:
    assert check_cluster(SINFO, NO_ACCOUNTING, {}, plugin=False)[0].level == "error"


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_programs_of_slurm_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "sbatch", "")
    program(tmp_path, "sinfo", '[ "$*" = "-h -o %P|%a|%G|%l" ] && echo "only*|up|gpu:2|infinite"')
    program(tmp_path, "scontrol", f"echo '{NO_ACCOUNTING}'")
    # If the plugin is not installed here, its error comes before them.
    assert [check.text for check in examine_cluster({})][-3:] == [
        "partition only, the default",
        "2 per node in partition only",
        "none; jobs are monitored by squeue",
    ]
    program(tmp_path, "sinfo", "echo 'sinfo: error: no controller' >&2; exit 1")
    assert "sinfo fails: sinfo: error: no controller" in examine_cluster({})[-1].text


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = examine_cluster({})
    assert (check.level, check.text.startswith("sbatch not found")) == ("error", True)


# ---- logs of jobs


def log(folder: Path, name: str, text: str, time: float = 1000) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(text)
    os.utime(folder / name, (time, time))


@pytest.mark.parametrize(
    "text",
    [
        "slurmstepd: error: Step 3.0 exceeded memory limit (358907904 > 314572800), being killed",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=3.batch. Some of the step tasks have been OOM Killed.",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=3.0 cgroup.",
    ],
)
def test_too_little_memory_is_reported(tmp_path: Path, text: str) -> None:
    log(tmp_path, "rule_train_model/binary_0/3.log", f"some\n{text}\nmore\n")
    (line,) = jobs_ended_by_slurm(tmp_path, 999)
    assert line.startswith("error: train_model binary_0, Slurm job 3, ran out of memory")
    assert "CXRFLOW_SLURM_TRAINING_MB" in line


def test_time_limits_are_reported_in_the_order_of_the_logs(tmp_path: Path) -> None:
    limit = "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***\n"
    log(tmp_path, "rule_train_model/binary_1/5.log", limit, 1002)
    log(tmp_path, "group_evaluation_plot_curves/4.log", limit, 1001)
    log(tmp_path, "rule_train_model/binary_0/1.log", limit, 998)
    log(
        tmp_path,
        "rule_train_model/binary_2/6.log",
        "slurmstepd: error: *** JOB 6 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***",
    )
    first, second = jobs_ended_by_slurm(tmp_path, 999)
    assert first.startswith(
        "error: evaluation_plot_curves, Slurm job 4, reached its time limit; runtime in profiles/slurm"
    )
    assert "CXRFLOW_SLURM_TRAINING_MINUTES" in second and second.endswith("resumes from its last checkpoint")


def test_without_slurm_there_are_no_logs(tmp_path: Path) -> None:
    assert jobs_ended_by_slurm(tmp_path / "nowhere", 0) == []
