"""What Slurm wrote in the logs of jobs that it ended: in words, and with what to do."""

import re
from pathlib import Path

OUT_OF_MEMORY = re.compile(r"exceeded memory limit|oom[-_ ]?kill|out of memory", re.IGNORECASE)
OUT_OF_TIME = re.compile(r"DUE TO TIME LIMIT")


def jobs_ended_by_slurm(logs: Path, since: float) -> list[str]:
    """One line for each job that Slurm ended, by the logs of failed jobs that the plugin keeps.

    Args:
        logs: the plugin's folder, of files such as rule_train_model/binary_0/17.log, rule_describe_networks/3.log and,
            of groups, group_evaluation_plot_curves/18.log.
        since: seconds since the epoch; older logs are those of other runs.
    """
    recent = [file for file in logs.rglob("*.log") if file.stat().st_mtime >= since]
    told = []
    for file in sorted(recent, key=lambda file: file.stat().st_mtime):
        kind, *wildcards = file.parent.relative_to(logs).parts
        reason = _reason(file.read_text(encoding="utf-8", errors="replace"), kind)
        if reason:
            name = " ".join([re.sub(r"^(rule|group)_", "", kind), *wildcards])
            told.append(f"error: {name}, Slurm job {file.stem}, {reason}")
    return told


def _reason(log: str, kind: str) -> str:
    training = kind == "rule_train_model"
    if OUT_OF_MEMORY.search(log):
        more = "CXRFLOW_SLURM_TRAINING_MB=9000" if training else "mem_mb in profiles/slurm/config.yaml"
        return (
            f"had too little memory; each attempt asks for more than the one before, and {more} for more from the first; "
            "a smaller batch_size needs less"
        )
    if OUT_OF_TIME.search(log):
        more = "CXRFLOW_SLURM_TRAINING_MINUTES=1440" if training else "runtime in profiles/slurm/config.yaml"
        rest = "; the same command goes on from its last state" if training else ""
        return f"reached its time limit; {more} gives more{rest}"
    return ""
