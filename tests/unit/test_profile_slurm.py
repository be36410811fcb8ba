"""profiles/slurm as Snakemake reads it: what becomes of each variable of a site."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cxrflow.machine.cluster import NUMBERS, SITE
from snakemake.cli import parse_set_resources
from snakemake.profiles import ProfileConfigFileParser
from snakemake.resources import Resources
from snakemake_executor_plugin_slurm.utils import set_gres_string

PROFILE = Path(__file__).resolve().parents[2] / "profiles/slurm/config.yaml"
TEXT = PROFILE.read_text(encoding="utf-8")
READ = set(re.findall(r"""\bsite\(\\?["'](\w+)""", TEXT))
# The head of the profile: each variable, and the last word of what stands where it is not set.
TOLD = dict(re.findall(rf"^#   {SITE}(\w+) .* (\S+)$", TEXT, re.MULTILINE))
IN_WORDS = {"PARTITION", "GPU_PARTITION", "ACCOUNT"}

ANOTHER = "index_images"  # a rule of which the profile says nothing


def profile_of(monkeypatch: pytest.MonkeyPatch, **site: str) -> dict[str, Any]:
    """The profile where these variables are set and none else, as Snakemake hands it to its command line."""
    for variable in [name for name in os.environ if name.startswith(SITE)]:
        monkeypatch.delenv(variable)
    for name, value in site.items():
        monkeypatch.setenv(f"{SITE}{name}", value)
    with PROFILE.open(encoding="utf-8") as stream:
        return ProfileConfigFileParser().parse(stream)


def resources_of(profile: dict[str, Any], rule: str, attempt: int = 1) -> dict[str, Any]:
    """What the profile asks for a rule's jobs."""
    asked = {
        **Resources.parse(profile["default-resources"], allow_expressions=True),
        **parse_set_resources(profile["set-resources"]).get(rule, {}),
    }
    given = {"input": [], "attempt": attempt, "threads": 1, "rulename": rule, "async_run": None}
    return {name: resource.evaluate(None, **given).value for name, resource in asked.items()}


# Site, rule, and what its jobs ask for; None: they ask for nothing of the kind.
RESOURCES = [
    ({}, ANOTHER, {"slurm_partition": None, "slurm_account": None, "gpu": None, "mem_mb": 1000, "runtime": 60}),
    ({}, "train_model", {"slurm_partition": None, "slurm_account": None, "gpu": 1, "mem_mb": 6000, "runtime": 720}),
    ({}, "train_model", {"slurm_extra": "--signal=TERM@120"}),
    ({"PARTITION": "batch"}, ANOTHER, {"slurm_partition": "batch"}),
    ({"PARTITION": "batch"}, "train_model", {"slurm_partition": "batch"}),
    ({"PARTITION": "batch", "GPU_PARTITION": "gpu"}, ANOTHER, {"slurm_partition": "batch"}),
    ({"PARTITION": "batch", "GPU_PARTITION": "gpu"}, "train_model", {"slurm_partition": "gpu"}),
    ({"GPU_PARTITION": "gpu"}, ANOTHER, {"slurm_partition": None}),
    ({"GPU_PARTITION": "gpu"}, "train_model", {"slurm_partition": "gpu"}),
    ({"ACCOUNT": "chest"}, ANOTHER, {"slurm_account": "chest"}),
    ({"ACCOUNT": "chest"}, "train_model", {"slurm_account": "chest"}),
    ({"GPUS": "2"}, "train_model", {"gpu": 2}),
    ({"GPUS": "0"}, "train_model", {"gpu": 0}),
    ({"GPUS": "2"}, "evaluate_model", {"gpu": None}),
    ({"TRAINING_MINUTES": "90"}, "train_model", {"runtime": 90}),
    ({"TRAINING_MINUTES": "90"}, ANOTHER, {"runtime": 60}),
    ({"WARNING": "300"}, "train_model", {"slurm_extra": "--signal=TERM@300"}),
    ({"WARNING": "300"}, ANOTHER, {"slurm_extra": "--signal=TERM@300"}),
    # Names that mean something to Python, or look like numbers.
    ({"PARTITION": "all", "GPU_PARTITION": "open"}, ANOTHER, {"slurm_partition": "all"}),
    ({"PARTITION": "all", "GPU_PARTITION": "open"}, "train_model", {"slurm_partition": "open"}),
    ({"PARTITION": "gpu-a100,long", "ACCOUNT": "0042"}, ANOTHER, {"slurm_partition": "gpu-a100,long"}),
    ({"PARTITION": "gpu-a100,long", "ACCOUNT": "0042"}, "train_model", {"slurm_account": "0042"}),
]

# Site, rule, and the memory of its attempts, in MB.
MEMORY = [
    ({}, "train_model", [6000, 12000, 18000, 24000, 24000]),
    ({"TRAINING_MB": "8000"}, "train_model", [8000, 16000, 24000, 24000]),
    ({"MOST_MB": "10000"}, "train_model", [6000, 10000, 10000]),
    ({"MOST_MB": "10000"}, "evaluate_model", [3000, 6000, 9000, 10000]),
    ({"MOST_MB": "4000"}, "extract_features", [3000, 4000, 4000]),
    ({"MOST_MB": "4000"}, "embed_features", [1500, 3000, 4000]),
    ({"TRAINING_MB": "8000", "MOST_MB": "4000"}, "train_model", [8000, 8000]),  # less is not what was asked for
]

# Variable, value, and the flag of Snakemake's that has it.
FLAGS = [
    ("CORES", "4", "cores"),
    ("RETRIES", "5", "retries"),
    ("STATUS", "sacct", "slurm-status-command"),
    ("FIRST_CHECK", "8", "slurm-init-seconds-before-status-checks"),
]


@pytest.mark.parametrize(("site", "rule", "asked"), RESOURCES)
def test_what_jobs_ask_for(
    monkeypatch: pytest.MonkeyPatch, site: dict[str, str], rule: str, asked: dict[str, Any]
) -> None:
    resources = resources_of(profile_of(monkeypatch, **site), rule)
    assert {name: resources.get(name) for name in asked} == asked


@pytest.mark.parametrize(("site", "rule", "memory"), MEMORY)
def test_each_attempt_has_more_memory_up_to_the_most(
    monkeypatch: pytest.MonkeyPatch, site: dict[str, str], rule: str, memory: list[int]
) -> None:
    profile = profile_of(monkeypatch, **site)
    assert [resources_of(profile, rule, attempt)["mem_mb"] for attempt in range(1, len(memory) + 1)] == memory


@pytest.mark.parametrize(("variable", "value", "flag"), FLAGS)
def test_flags_of_snakemake(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, flag: str) -> None:
    assert profile_of(monkeypatch)[flag] == TOLD[variable]
    assert profile_of(monkeypatch, **{variable: value})[flag] == value


def test_each_variable_is_told_and_tried() -> None:
    """A variable that is new in the profile belongs into its head, and into a table above."""
    tried = {name for site, *_ in [*RESOURCES, *MEMORY] for name in site} | {name for name, *_ in FLAGS}
    assert set(TOLD) == READ
    assert tried == READ


def test_the_head_tells_what_stands_for_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_set = profile_of(monkeypatch)
    told = {name: value for name, value in TOLD.items() if name not in IN_WORDS}
    assert profile_of(monkeypatch, **told) == nothing_set
    assert profile_of(monkeypatch, **dict.fromkeys(TOLD, "")) == nothing_set, "empty is not set"
    assert {name: int(TOLD[name]) for name in NUMBERS} == NUMBERS, "the doctor goes by the same"


@pytest.mark.parametrize(("gpus", "flag"), [("0", ""), ("1", " --gpus=1"), ("2", " --gpus=2")])
def test_sbatch_is_asked_for_so_many_gpus_or_for_none(monkeypatch: pytest.MonkeyPatch, gpus: str, flag: str) -> None:
    """By the plugin's own words; the rule asks for one, and the profile's number takes its place."""
    resources = resources_of(profile_of(monkeypatch, GPUS=gpus), "train_model")
    assert set_gres_string(SimpleNamespace(resources=resources)) == flag
