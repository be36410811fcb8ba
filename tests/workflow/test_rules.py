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
    # Run by a person, or by train_model itself, not by a rule.
    programs = {
        "doctor",
        "explain_plan",
        "show_augmentation",
        "clean_states",
        "follow_training",
        "predict_images",
        "join_results",
        "publish_results",
        "rebuild_outdated",
        "tabulate_results",
        "verify_results",
        "write_config",
    }
    stages = {file.stem for file in (PROJECT / "workflow/cxrflow").glob("*.py")} - {"__init__", *programs}
    assert set(RULES) == stages


@pytest.mark.parametrize("name", sorted(RULES))
def test_one_name_for_rule_module_log_and_benchmark(name: str) -> None:
    body = RULES[name]
    assert f"python -m cxrflow.{name} " in body
    assert f'code=code_hash("cxrflow.{name}")' in body
    assert re.search(rf'log:\n\s+(RESULTS / )?f?"(results/)?logs/{name}[./]', body)
    assert re.search(rf'benchmark:\n\s+(RESULTS / )?f?"(results/)?benchmarks/{name}[./]', body)
    assert "mem_mb=" in body and "conda:" in body
    # Ctrl-C and Slurm's warning reach every process of a job: tee outlives both, to write down how a training ends by them.
    tee = '(trap "" TERM; exec tee -i {log:q})' if name == "train_model" else "tee {log:q}"
    assert f"2>&1 | {tee}\n" in body
    assert re.match(r'\s+"""[A-Z].+\."""\n', body), "a rule begins with a sentence that says what it does"


@pytest.mark.parametrize("name", sorted(RULES))
def test_everything_in_a_command_is_quoted(name: str) -> None:
    """No name of a file, class or experiment reaches the shell bare."""
    command = RULES[name].split("shell:")[1]
    bare = [field for field in re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", command) if not field.endswith(":q")]
    assert bare == []


@pytest.mark.parametrize("file", sorted(TEXT))
def test_each_file_of_rules_begins_with_its_contract(file: str) -> None:
    if file != "common.smk":
        head = TEXT[file].split("\n\n")[0]
        assert head.startswith("#") and "# Requires:" in head and "# Makes:" in head


def test_rule_helpers_stay_small() -> None:
    assert len(TEXT["common.smk"].splitlines()) < 200


def test_training_alone_takes_a_gpu() -> None:
    assert [name for name, body in RULES.items() if "gpu=1" in body] == ["train_model"]


def test_what_needs_the_internet_or_takes_seconds_stays_where_snakemake_is_started() -> None:
    local = {
        name
        for text in TEXT.values()
        for block in re.findall(r"localrules:\n((?: +\w+,\n)+)", text)
        for name in block.split()
    }
    names = {name.rstrip(",") for name in local}
    assert names == {"fetch_images", "fetch_weights", "score_claims", "assemble_report"}
    told = re.search(
        r"^\| where Snakemake is started \| (.*) \|$", (PROJECT / "docs/cluster.md").read_text(), re.MULTILINE
    )
    assert told and set(re.findall(r"`(\w+)`", told[1])) == names
