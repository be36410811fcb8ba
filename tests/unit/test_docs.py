"""The documents say what is there: links, make targets, configs, keys, flags and measures."""

import ast
import doctest
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from cxrflow.claims.load import COLUMNS, load_claims
from cxrflow.claims.model import KINDS, VERDICTS
from cxrflow.claims.registry import MEASURES
from cxrflow.config.models import Config
from cxrflow.config.read import PARTIAL_KEYS, laid_over, read_config, read_yaml
from cxrflow.config.set_values import set_values
from cxrflow.write_config import Seen, config_text
from documents import (
    FENCE,
    FILES,
    PROJECT,
    STAGES,
    TEXT,
    blocks,
    commands,
    everywhere,
    flags_of,
    in_code,
    keys_of,
    parts_of,
    plain,
    rows,
    section,
)
from pydantic import BaseModel

MAKEFILE = (PROJECT / "Makefile").read_text()


# ---- links ------------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", FILES)
def test_links_lead_somewhere(name: str) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", plain(name)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (PROJECT / name).parent / file if file else PROJECT / name
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("name", FILES)
def test_files_named_in_code_are_there(name: str) -> None:
    """Paths of the checkout in code spans, those that begin with one of its folders."""
    paths = re.findall(r"`((?:workflow|envs|examples|profiles|tests|docs)/[\w./-]*)`", plain(name))
    absent_on_purpose = {"envs/cxrflow.sif"}  # said to be absent
    assert [path for path in paths if path not in absent_on_purpose and not (PROJECT / path).exists()] == []


def test_every_document_is_named_in_the_readme() -> None:
    assert [name for name in FILES if name != "README.md" and f"({name})" not in TEXT["README.md"]] == []


def test_the_rule_graph_has_every_rule() -> None:
    drawn = set(re.findall(r"<text[^>]*>(\w+)</text>", (PROJECT / "docs/images/rulegraph.svg").read_text()))
    # The demo draws its images, and its weights are random, so that nothing is fetched.
    assert drawn == {*STAGES, "all"} - {
        "doctor",
        "explain_plan",
        "show_augmentation",
        "follow_training",
        "clean_states",
        "join_results",
        "publish_results",
        "tabulate_results",
        "verify_results",
        "write_config",
        "predict_images",
        "rebuild_outdated",
        "fetch_images",
        "fetch_weights",
    }


# ---- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_make_targets_and_variables_exist(name: str) -> None:
    code = "\n".join(re.findall(r"`([^`\n]+)`", plain(name)) + [block[1] for block in FENCE.findall(TEXT[name])])
    calls = re.findall(r"^ *make ([a-z].*)$", code, re.MULTILINE)
    targets = {call.split()[0] for call in calls}
    assert targets <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    variables = {name for call in calls for name in re.findall(r"(?:^| )([A-Z]+)=", call)}
    assert variables <= {*re.findall(r"^#   ([A-Z]+)=", MAKEFILE, re.MULTILINE), "UPGRADE"}


def overlay_named(name: str, file: str) -> dict[str, Any]:
    """A config file of a command: one of the checkout, one that the document has written, or an overlay that it shows."""
    if (PROJECT / file).is_file():
        return read_yaml(PROJECT / file)
    if any(words[2:3] == ["cxrflow.write_config"] and words[-2:] == ["--config", file] for words in commands(name)):
        seen = Seen("classes", "stratified", ["clear", "opacity"], Counter({("", "clear"): 12, ("", "opacity"): 12}))
        return dict(yaml.safe_load(config_text(Path(file).stem, Path("/tmp/x"), None, seen)))
    overlays = [yaml.safe_load(text) for _, text in blocks(name, "yaml overlay")]
    return next(overlay for overlay in overlays if f"{overlay['name']}.yaml" == file)


def behind(words: list[str], flag: str) -> list[str]:
    """The words behind a flag, up to the next flag."""
    values: list[str] = []
    for word in words[words.index(flag) + 1 :] if flag in words else []:
        if word.startswith("--"):
            break
        values.append(word)
    return values


def configs_of_commands() -> list[Any]:
    """Every config that a command of the documents makes: name of the document, the command, the raw config."""
    found = []
    for name in FILES:
        for words in commands(name):
            flags, values = words, behind(words, "--config")
            if words[0] == "make":
                given = dict(word.split("=", 1) for word in words if "=" in word)
                flags, values = shlex.split(given.get("FLAGS", "")), shlex.split(given.get("CONFIG", ""))
                values += [f"only=[{', '.join(given['ONLY'].split())}]"] if "ONLY" in given else []
            elif words[0] != "snakemake":
                continue
            raw = read_yaml(PROJECT / "config.yaml")
            for file in behind(flags, "--configfile"):
                raw = laid_over(raw, overlay_named(name, file))
            found.append(pytest.param(laid_over(raw, set_values(values)), id=f"{name}: {shlex.join(words)}"))
    return found


def with_images(raw: dict[str, Any]) -> dict[str, Any]:
    return raw if raw.get("phantoms") or raw.get("images") else {**raw, "images": "images"}


@pytest.mark.parametrize("raw", configs_of_commands())
def test_configs_of_commands_are_valid(raw: dict[str, Any]) -> None:
    read_config(with_images(raw))


@pytest.mark.parametrize(("name", "text"), everywhere("yaml overlay"))
def test_overlays_are_valid(name: str, text: str) -> None:
    assert read_config(with_images(laid_over(read_yaml(PROJECT / "config.yaml"), yaml.safe_load(text)))).selected()


@pytest.mark.parametrize("name", FILES)
def test_stages_are_called_with_flags_that_they_have(name: str) -> None:
    for words in commands(name):
        if words[:2] == ["python", "-m"] and words[2].startswith("cxrflow."):
            flags = {word for word in words if word.startswith("--")}
            known = flags_of(words[2].removeprefix("cxrflow."))
            assert flags <= {*known, "--help"}
            assert "--help" in flags or {flag for flag, must in known.items() if must} <= flags


@pytest.mark.parametrize(("name", "text"), everywhere("python"))
def test_python_is_valid(name: str, text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize(("name", "text"), everywhere("pycon"))
def test_python_sessions_give_what_they_say(name: str, text: str) -> None:
    session = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    assert session.examples
    assert doctest.DocTestRunner(verbose=False).run(session).failed == 0


# ---- stages.md --------------------------------------------------------------------------------------------------------


def test_stages_names_every_stage_and_no_other() -> None:
    assert sorted(re.findall(r"^## (\w+)$", TEXT["docs/stages.md"], re.MULTILINE)) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_stages_names_every_flag_of_a_stage_and_no_other(stage: str) -> None:
    told = {in_code(flag): not left_out for flag, _, left_out in rows(section("docs/stages.md", stage))[1:]}
    assert list(told.items()) == list(flags_of(stage).items())


# ---- config.md --------------------------------------------------------------------------------------------------------


KEYS = keys_of(Config)
TOLD = {in_code(row[0]): row for row in rows(plain("docs/config.md")) if len(row) == 4 and row[0] != "key"}


def test_config_names_every_key_and_no_other() -> None:
    written_only = {*PARTIAL_KEYS, "experiments.<experiment>.like"}
    assert sorted(TOLD) == sorted({*KEYS, *written_only})


@pytest.mark.parametrize("key", sorted(KEYS))
def test_config_names_every_allowed_word(key: str) -> None:
    words = {
        f"`{str(word).lower() if isinstance(word, bool) else word}`"
        for part in parts_of(KEYS[key].annotation)
        for word in (get_args(part) if get_origin(part) is Literal else (True, False) if part is bool else ())
    }
    assert [word for word in words if word not in TOLD[key][1]] == []


def default_of(key: str) -> Any:
    """The value of a key in config.yaml: in its own place, or among those of all experiments; else that of the model."""
    raw: Any = read_yaml(PROJECT / "config.yaml")
    steps = key.removeprefix("experiments.<experiment>.").split(".")
    if key.startswith("experiments.<experiment>."):
        raw = raw["experiment_defaults"]
    for step in steps:
        if not isinstance(raw, dict) or step not in raw:
            return None if key not in KEYS or KEYS[key].is_required() else KEYS[key].get_default()
        raw = raw[step]
    return raw


@pytest.mark.parametrize("key", sorted(TOLD))
def test_config_tells_the_defaults(key: str) -> None:
    default = default_of(key)
    if TOLD[key][2] == "–":
        assert default is None or isinstance(default, dict | BaseModel)
    else:
        assert yaml.safe_load(in_code(TOLD[key][2])) == default


def test_config_marks_the_open_keys() -> None:
    """Keys marked [open] in config.yaml are those that the table calls open."""
    marked = re.findall(r"^ *(\w+):[^\n]*\[open\]", (PROJECT / "config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    told = {key.rpartition(".")[2] for key, row in TOLD.items() if "**open" in row[3]}
    assert told == set(marked)


def test_the_readme_tells_of_keys_that_there_are() -> None:
    named = [key for row in rows(section("README.md", "The config"))[1:] for key in re.findall(r"`(\w+)`", row[0])]
    assert named
    assert set(named) <= {*Config.model_fields, *PARTIAL_KEYS}


# ---- claims.md --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_claims_names_every_measure_and_no_other(kind: str) -> None:
    told = {in_code(name): arguments for name, arguments, _ in rows(section("docs/claims.md", kind))[1:]}
    assert sorted(told) == sorted(name for name, one in MEASURES.items() if one.kind == kind)
    for name, arguments in told.items():
        fields = MEASURES[name].fields
        needed = {field for field, (_, default) in fields.items() if default is ...}
        assert set(re.findall(r"`(\w+)`", arguments)) == set(fields), name
        assert set(re.findall(r"(?<!\[)`(\w+)`", arguments)) == needed, name


@pytest.mark.parametrize(("name", "heading"), [("README.md", "What the verdicts mean"), ("docs/claims.md", "Verdicts")])
def test_every_verdict_is_told(name: str, heading: str) -> None:
    assert [row[0].strip("`") for row in rows(section(name, heading))[1:]] == list(VERDICTS)


def test_every_kind_is_told() -> None:
    assert {in_code(row[0]) for row in rows(section("docs/claims.md", "Kinds"))[1:]} == set(KINDS)


@pytest.mark.parametrize("name", ["docs/claims.md", "docs/own_data.md"])
def test_example_claims_are_valid(name: str, tmp_path: Path) -> None:
    file = tmp_path / "claims.csv"
    file.write_text(blocks(name, "csv")[0].text)
    experiments = {one for claim in load_claims(file) for one in claim.experiments}
    assert experiments == {"opacity_mobilenet"}


def test_columns_of_claims_are_told() -> None:
    assert [in_code(row[0]) for row in rows(section("docs/claims.md", "How a claims file is written"))[1:]] == list(
        COLUMNS
    )
