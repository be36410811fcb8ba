"""A config whose whole flow takes a minute, and a reader of Snakemake's plans."""

import re
import subprocess
from collections import Counter

# One small network on few phantoms: the whole flow in about a minute.
TINY = {
    "name": "tiny",
    "phantoms": {"train_per_class": 6, "test_per_class": 2},
    "image_list": None,
    "weights": "random",
    "claims": None,
    # They take seconds each time; the demo has them.
    "audits": {"rivals": "off", "look_alikes": "off", "labels": "off", "quality": "off"},
    "explain": "none",
    "feature_images": "both",
    "only": ["multiclass_mobilenet"],
    "override": {"image_size": 32, "epochs": 2, "batch_size": 5},
    "tsne": {"perplexity": 5},
}


def planned_jobs(run: subprocess.CompletedProcess[str]) -> Counter[str]:
    """Rule to number of jobs, from the table that a dry run prints."""
    assert run.returncode == 0, run.stdout + run.stderr
    text = run.stdout + run.stderr
    if "Nothing to be done" in text:
        return Counter()
    table = text[text.index("Job stats:") :]
    table = table[: table.index("\ntotal")]
    return Counter({name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)})
