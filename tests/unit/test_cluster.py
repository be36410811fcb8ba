"""The doctor's look at a Slurm cluster, by what its commands say; and what Slurm wrote of jobs that it ended."""

import os
import re
from pathlib import Path

import pytest
from cxrflow.machine.cluster import Partition, cluster_findings, examine_cluster, read_partitions
from cxrflow.machine.findings import Finding, fault
from cxrflow.machine.slurm_jobs import jobs_ended_by_slurm

SINFO = """batch*|up|(null)|7-00:00:00
gpu|up|gpu:a100:4(S:0-1)|1-12:00:00
gpu|up|gpu:t4:2,shard:8|1-12:00:00
old|down|gpu:1|30:00
"""
NO_ACCOUNTING = "AccountingStorageType   = accounting_storage/none\nMinJobAge               = 300 sec\n"
ACCOUNTING = NO_ACCOUNTING.replace("/none", "/slurmdbd")


def found(sinfo: str | Finding = SINFO, settings: str | Finding = NO_ACCOUNTING, **site: str) -> list[Finding]:
    environ = {f"CXRFLOW_SLURM_{name}": value for name, value in site.items()}
    return cluster_findings(sinfo, settings, environ, plugin=True)


def worst(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


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
    findings = found(GPU_PARTITION="gpu")
    assert worst(findings) == []
    told = [finding.text for finding in findings]
    assert told == [
        "partition batch, the default",
        "partition gpu",
        "4 a node in partition gpu",
        "none; jobs are looked after by squeue",
    ]


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ({"PARTITION": "cpu"}, "no partition cpu; name one of batch, gpu, old: CXRFLOW_SLURM_PARTITION="),
        ({"PARTITION": "gpu", "GPU_PARTITION": "a100"}, "no partition a100.*CXRFLOW_SLURM_GPU_PARTITION="),
        ({"PARTITION": "old", "TRAINING_MINUTES": "30"}, "partition old is down"),
        ({}, "1 asked for a training, a node of partition batch has 0; .*CXRFLOW_SLURM_GPUS=0"),
        ({"PARTITION": "gpu", "GPUS": "8"}, "8 asked for a training, a node of partition gpu has 4"),
        ({"PARTITION": "gpu", "TRAINING_MINUTES": "3000"}, "3000 minutes asked .*CXRFLOW_SLURM_TRAINING_MINUTES=2160"),
        ({"PARTITION": "gpu", "STATUS": "sacct"}, "none here.*would hang.*squeue"),
        ({"PARTITION": "gpu", "FIRST_CHECK": "120"}, "for 300 s alone.*CXRFLOW_SLURM_FIRST_CHECK=100"),
        ({"PARTITION": "gpu", "GPUS": "many"}, "CXRFLOW_SLURM_GPUS: 'many'; it must be a whole number"),
    ],
)
def test_what_a_cluster_lacks_is_told_with_what_to_do(site: dict[str, str], words: str) -> None:
    (finding,) = worst(found(**site))
    assert finding.level == "fault"
    assert re.search(words, finding.text)


def test_trainings_on_processors_need_no_gpu() -> None:
    assert worst(found(GPUS="0")) == []


def test_a_cluster_without_a_default_partition() -> None:
    (finding,) = worst(found(SINFO.replace("*", "")))
    assert finding.text.startswith("no default partition; name one of batch, gpu, old")


def test_with_accounting_sacct_serves() -> None:
    assert worst(found(settings=ACCOUNTING, PARTITION="gpu", STATUS="sacct")) == []
    (finding,) = worst(found(settings=ACCOUNTING, PARTITION="gpu", FIRST_CHECK="120"))
    assert (finding.level, "STATUS=sacct" in finding.text) == ("note", True)


def test_a_cluster_that_does_not_answer_is_told_once() -> None:
    down = fault("Slurm", "sinfo fails: Unable to contact slurm controller; is the cluster up?")
    assert found(down, down) == [down]


def test_the_plugin_is_missed() -> None:
    assert cluster_findings(SINFO, NO_ACCOUNTING, {}, plugin=False)[0].level == "fault"


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_programs_of_slurm_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "sbatch", "")
    program(tmp_path, "sinfo", '[ "$*" = "-h -o %P|%a|%G|%l" ] && echo "only*|up|gpu:2|infinite"')
    program(tmp_path, "scontrol", f"echo '{NO_ACCOUNTING}'")
    # The plugin's fault, where it is not installed here, stands before them.
    assert [finding.text for finding in examine_cluster({})][-3:] == [
        "partition only, the default",
        "2 a node in partition only",
        "none; jobs are looked after by squeue",
    ]
    program(tmp_path, "sinfo", "echo 'sinfo: error: no controller' >&2; exit 1")
    assert "sinfo fails: sinfo: error: no controller" in examine_cluster({})[-1].text


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = examine_cluster({})
    assert (finding.level, finding.text.startswith("no sbatch here")) == ("fault", True)


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
def test_too_little_memory_is_told(tmp_path: Path, text: str) -> None:
    log(tmp_path, "rule_train_model/binary_0/3.log", f"some\n{text}\nmore\n")
    (line,) = jobs_ended_by_slurm(tmp_path, 999)
    assert line.startswith("error: train_model binary_0, Slurm job 3, had too little memory")
    assert "CXRFLOW_SLURM_TRAINING_MB" in line


def test_time_limits_are_told_in_the_order_of_the_logs(tmp_path: Path) -> None:
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
    assert "CXRFLOW_SLURM_TRAINING_MINUTES" in second and second.endswith("goes on from its last state")


def test_without_slurm_there_are_no_logs(tmp_path: Path) -> None:
    assert jobs_ended_by_slurm(tmp_path / "nowhere", 0) == []
