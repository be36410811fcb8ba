"""profiles/slurm as Snakemake reads it: the effect of each variable of a site."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cxrflow.run.cluster import NUMBERS, SITE
from snakemake.cli import parse_set_resources
from snakemake.profiles import ProfileConfigFileParser
from snakemake.resources import Resources
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

PROFILE = Path(__file__).resolve().parents[2] / "profiles/slurm/config.yaml"
TEXT = PROFILE.read_text(encoding="utf-8")
READ = set(re.findall(r"""\bsite\(\\?["'](\w+)""", TEXT))
# The head of the profile: each variable, and the last word of its default.
DOCUMENTED = dict(re.findall(rf"^#   {SITE}(\w+) .* (\S+)$", TEXT, re.MULTILINE))
IN_WORDS = {"PARTITION", "GPU_PARTITION", "ACCOUNT"}

ANOTHER = "index_images"  # a rule that is not in the profile


def profile_of(monkeypatch: pytest.MonkeyPatch, **site: str) -> dict[str, Any]:
    """Read the profile with only these variables set, as flags of Snakemake."""
    for variable in [name for name in os.environ if name.startswith(SITE)]:
        monkeypatch.delenv(variable)
    for name, value in site.items():
        monkeypatch.setenv(f"{SITE}{name}", value)
    with PROFILE.open(encoding="utf-8") as stream:
        return ProfileConfigFileParser().parse(stream)


def resources_of(profile: dict[str, Any], rule: str, attempt: int = 1) -> dict[str, Any]:
    """Return the resources that the profile requests for a rule's jobs."""
    asked = {
        **Resources.parse(profile["default-resources"], allow_expressions=True),
        **parse_set_resources(profile["set-resources"]).get(rule, {}),
    }
    given = {"input": [], "attempt": attempt, "threads": 1, "rulename": rule, "async_run": None}
    return {name: resource.evaluate(None, **given).value for name, resource in asked.items()}


# Site, rule, and the resources of its jobs; None if they do not request a resource.
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
    ({"TRAINING_MB": "8000", "MOST_MB": "4000"}, "train_model", [8000, 8000]),  # less than requested
]

# Variable, value, and Snakemake's flag for it.
FLAGS = [
    ("CORES", "4", "cores"),
    ("RETRIES", "5", "retries"),
    ("STATUS", "sacct", "slurm-status-command"),
    ("FIRST_CHECK", "8", "slurm-init-seconds-before-status-checks"),
]


@pytest.mark.parametrize(("site", "rule", "asked"), RESOURCES)
def test_resources_of_jobs(
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
    assert profile_of(monkeypatch)[flag] == DOCUMENTED[variable]
    assert profile_of(monkeypatch, **{variable: value})[flag] == value


def test_each_variable_is_documented_and_tested() -> None:
    """A new variable of the profile must be in its head, and in a table above."""
    tried = {name for site, *_ in [*RESOURCES, *MEMORY] for name in site} | {name for name, *_ in FLAGS}
    assert set(DOCUMENTED) == READ
    assert tried == READ


def test_the_head_states_the_defaults_of_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_set = profile_of(monkeypatch)
    documented = {name: value for name, value in DOCUMENTED.items() if name not in IN_WORDS}
    assert profile_of(monkeypatch, **documented) == nothing_set
    assert profile_of(monkeypatch, **dict.fromkeys(DOCUMENTED, "")) == nothing_set, "empty is not set"
    assert {name: int(DOCUMENTED[name]) for name in NUMBERS} == NUMBERS, "the doctor uses the same"


@pytest.mark.parametrize(("gpus", "flag"), [("0", ""), ("1", " --gpus=1"), ("2", " --gpus=2")])
def test_sbatch_is_asked_for_that_number_of_gpus_or_for_none(
    monkeypatch: pytest.MonkeyPatch, gpus: str, flag: str
) -> None:
    """In the options of the plugin; the rule requests one, and the number in the profile replaces it."""
    resources = resources_of(profile_of(monkeypatch, GPUS=gpus), "train_model")
    assert set_gres_string(SimpleNamespace(resources=resources)) == flag


def test_outside_problem_slurm_alone_requeues_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """With this flag, the plugin waits for a job whose node failed; without it, it submits a second one."""
    assert profile_of(monkeypatch)["slurm-requeue"] == "True"
    names = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir", "exec_job")
    job = SimpleNamespace(resources={}, threads=1, is_group=lambda: False)
    settings = SimpleNamespace(requeue=True, no_requeue=False, qos=None, reservation=None)
    call = get_submit_command(job, dict.fromkeys(names, "x"), settings)
    assert " --requeue" in call


def test_outside_problem_retries_are_those_of_the_profile_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of a rule would be applied again within each job: 10 executions with 2 retries. Rules that never become a job
    of the cluster may have their own."""
    assert profile_of(monkeypatch)["retries"] == "3"
    workflow = PROFILE.parents[2] / "workflow"
    files = [workflow / "Snakefile", *(workflow / "rules").glob("*.smk")]
    rules = [rule for file in files for rule in re.split(r"^ *rule ", file.read_text(encoding="utf-8"), flags=re.M)]
    assert len(rules) > 20
    assert [rule for rule in rules if re.search(r"\bretries\b", rule) and "localrule: True" not in rule] == []
