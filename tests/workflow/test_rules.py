"""A rule, its stage module, its log and its benchmark share one name."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TEXT = {file.name: file.read_text() for file in sorted((PROJECT / "workflow/rules").glob("*.smk"))}
RULES = {
    name: body
    for text in TEXT.values()
    for name, body in re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |^if |\Z)", text, flags=re.MULTILINE | re.DOTALL)
}


def test_all_stages_have_a_rule() -> None:
    # Run by the user, or by train_model itself, not by a rule.
    programs = {"follow_training"}
    stages = {file.stem for file in (PROJECT / "workflow/cxrflow/stages").glob("*.py")} - {"__init__", *programs}
    assert set(RULES) == stages


@pytest.mark.parametrize("name", sorted(RULES))
def test_one_name_for_rule_module_log_and_benchmark(name: str) -> None:
    body = RULES[name]
    assert f"python -m cxrflow.stages.{name} " in body
    assert f'code=code_of("{name}")' in body
    assert re.search(rf'log:\n\s+(RESULTS / )?f?"(results/)?logs/{name}[./]', body)
    assert re.search(rf'benchmark:\n\s+(RESULTS / )?f?"(results/)?benchmarks/{name}[./]', body)
    assert "mem_mb=" in body and "conda:" in body
    # Ctrl-C and Slurm's warning reach every process of a job: tee survives both, to log how the training ends.
    tee = '(trap "" TERM; exec tee -i {log:q})' if name == "train_model" else "tee {log:q}"
    assert f"2>&1 | {tee}\n" in body
    assert re.match(r'\s+"""[A-Z].+\."""\n', body), "the docstring of a rule is a sentence that says what it does"


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_rule_declares_its_resources(name: str) -> None:
    assert all(re.search(rf"^ +{resource}=\d+,$", RULES[name], re.MULTILINE) for resource in ("runtime", "disk_mb"))
    assert ("retries:" in RULES[name]) == name.startswith("fetch_")


@pytest.mark.parametrize("name", sorted(RULES))
def test_everything_in_a_command_is_quoted(name: str) -> None:
    """No name of a file, class or experiment reaches the shell unquoted."""
    command = RULES[name].split("shell:")[1]
    bare = [field for field in re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", command) if not field.endswith(":q")]
    assert bare == []


@pytest.mark.parametrize("file", sorted(TEXT))
def test_each_file_of_rules_starts_with_its_contract(file: str) -> None:
    if file not in ("common.smk", "checkout.smk"):
        head = TEXT[file].split("\n\n")[0]
        assert head.startswith("#") and "# Requires:" in head and "# Makes:" in head


@pytest.mark.parametrize("file", ["checkout.smk", "common.smk", "begin_and_end.smk"])
def test_rule_helpers_stay_small(file: str) -> None:
    assert len(TEXT[file].splitlines()) < 150


def test_only_training_requests_a_gpu() -> None:
    assert [name for name, body in RULES.items() if re.search(r"\bgpu=", body)] == ["train_model"]
    assert [name for name, body in RULES.items() if "training_slots=" in body] == ["train_model"]


def test_what_needs_the_internet_or_takes_seconds_stays_where_snakemake_is_started() -> None:
    names = {name for name, body in RULES.items() if "localrule: True" in body}
    assert names == {
        *("fetch_images", "fetch_weights", "check_audits"),
        *("compare_experiments", "score_claims", "assemble_report"),
    }
    found = re.search(
        r"^\| where Snakemake is started \| (.*) \|$",
        (PROJECT / "docs/how-to/run_on_slurm.md").read_text(),
        re.MULTILINE,
    )
    assert found and set(re.findall(r"`(\w+)`", found[1])) == names
