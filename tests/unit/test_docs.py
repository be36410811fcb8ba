"""The documents agree with the project: links, make targets, configs, keys, flags and measures."""

import ast
import doctest
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from cxrflow.claims.load import load_claims
from cxrflow.claims.model import KINDS, VERDICTS
from cxrflow.claims.registry import MEASURES
from cxrflow.claims.table import COLUMNS
from cxrflow.cli import COMMANDS
from cxrflow.images.detect import Found
from cxrflow.reference import PAGES
from cxrflow.run.image_survey import Survey
from cxrflow.run.new_study import study_text
from cxrflow.study.merging import PARTIAL_KEYS, merge_keys
from cxrflow.study.models import Config
from cxrflow.study.read import read_config
from cxrflow.study.run import set_values
from cxrflow.study.yaml_files import read_yaml
from documents import (
    FENCE,
    FILES,
    PROGRAMS,
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
from study_config import study_config

MAKEFILE = (PROJECT / "Makefile").read_text()
TUTORIAL = "docs/tutorials/your_own_images.md"


# ---- links ------------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """List the anchors that GitHub creates for a document's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", FILES)
def test_links_have_targets(name: str) -> None:
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
def test_files_named_in_code_exist(name: str) -> None:
    """Paths in code spans that start with a folder of the checkout."""
    paths = re.findall(r"`((?:workflow|envs|studies|profiles|tests|docs)/[\w./-]*)`", plain(name))
    absent_on_purpose = {"envs/cxrflow.sif"}  # documented as absent
    assert [path for path in paths if path not in absent_on_purpose and not (PROJECT / path).exists()] == []


def test_every_document_is_named_in_the_readme_or_the_map() -> None:
    linked = {
        (Path(start).parent / link).as_posix()
        for start in ("README.md", "docs/README.md")
        for link in re.findall(r"\]\(([^)\s#]+)", TEXT[start])
    }
    assert set(FILES) - linked == {"README.md"}
    in_map = re.findall(r"\]\(([^)\s#]+)", TEXT["docs/README.md"])
    pages = {file.relative_to(PROJECT / "docs").as_posix() for file in (PROJECT / "docs").glob("*/*.md")}
    assert pages <= set(in_map)
    assert {Path(page).parent.name for page in pages} == {"tutorials", "how-to", "reference", "explanation"}


def test_the_rule_graph_has_every_rule() -> None:
    drawn = set(re.findall(r"<text[^>]*>(\w+)</text>", (PROJECT / "docs/images/rulegraph.svg").read_text()))
    rules = "".join(file.read_text() for file in (PROJECT / "workflow/rules").glob("*.smk"))
    # The demo draws its images, its weights are random, so that nothing is fetched; no audit may end it, or is measured;
    # there are neither folds nor an external test.
    absent = {"fetch_images", "fetch_weights", "check_audits", "measure_power", "split_folds", "measure_folds"}
    absent |= {"index_external", "evaluate_external", "measure_external"}
    assert drawn == {*re.findall(r"^ *rule (\w+):", rules, re.MULTILINE), "all"} - absent


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
    """Find the config file of a command: one in the checkout, or an overlay that the document shows."""
    if (PROJECT / file).is_file():
        return read_yaml(PROJECT / file)
    overlays = [yaml.safe_load(text) for _, text in blocks(name, "yaml overlay")]
    return next(overlay for overlay in overlays if f"{overlay['name']}.yaml" == file)


def shown_studies(name: str) -> dict[str, str]:
    """Map the folders of studies that a document shows to the text of study.yaml, whose first line names the folder."""
    texts = [text for _, text in blocks(name, "yaml study")]
    return {text.partition("/study.yaml\n")[0].removeprefix("# "): text for text in texts}


def study_named(name: str, study: str) -> dict[str, Any]:
    """Build the raw config of a run: of a study in studies/, one in the tutorial, or one that `cxrflow init` writes."""
    if "/" not in study:
        return study_config(study)
    folder = Path(study).name
    written = [words[3] for words in commands(name) if words[:2] == ["cxrflow", "init"]]
    text = shown_studies(name if study in written else TUTORIAL).get(folder)
    if text is None:
        assert study in written
        found = Found("classes", ["clear", "opacity"])
        survey = Survey(found, "stratified", Counter({("", "clear"): 12, ("", "opacity"): 12}))
        text = study_text(folder, "/tmp/x", None, survey)
    run = read_yaml(PROJECT / "config.yaml")
    return merge_keys({"name": folder, **yaml.safe_load(text)}, {**run, "study": study})


def words_after(words: list[str], flag: str) -> list[str]:
    """Return the words after a flag, up to the next flag."""
    values: list[str] = []
    for word in words[words.index(flag) + 1 :] if flag in words else []:
        if word.startswith("--"):
            break
        values.append(word)
    return values


def configs_of_commands() -> list[Any]:
    """List the configs of all commands in the documents: name of the document, the command, the raw config."""
    found = []
    for name in FILES:
        for words in commands(name):
            flags, values = words, words_after(words, "--config")
            if words[0] == "make":
                given = dict(word.split("=", 1) for word in words if "=" in word)
                flags, values = shlex.split(given.get("FLAGS", "")), shlex.split(given.get("CONFIG", ""))
                values += [f"only=[{', '.join(given['ONLY'].split())}]"] if "ONLY" in given else []
                values += [f"study={given['STUDY']}"] if "STUDY" in given else []
            elif words[:2] == ["cxrflow", "doctor"]:
                values = words_after(words, "--set")
            elif words[0] != "snakemake":
                continue
            raw = study_named(name, set_values(values).get("study", "sha_2021"))
            for file in words_after(flags, "--configfile"):
                raw = merge_keys(raw, overlay_named(name, file))
            found.append(pytest.param(merge_keys(raw, set_values(values)), id=f"{name}: {shlex.join(words)}"))
    return found


def with_images(raw: dict[str, Any]) -> dict[str, Any]:
    return raw if raw.get("phantoms") or raw.get("images") else {**raw, "images": "images"}


@pytest.mark.parametrize("raw", configs_of_commands())
def test_configs_of_commands_are_valid(raw: dict[str, Any]) -> None:
    read_config(with_images(raw))


@pytest.mark.parametrize(("name", "text"), everywhere("yaml overlay"))
def test_overlays_are_valid(name: str, text: str) -> None:
    assert read_config(with_images(merge_keys(study_config(), yaml.safe_load(text)))).selected()


@pytest.mark.parametrize(("name", "text"), everywhere("yaml study"))
def test_studies_are_valid(name: str, text: str) -> None:
    folder = re.match(r"# (\w+)/study.yaml\n", text)
    assert folder
    config = read_config(study_named(name, f"./{folder[1]}"))
    assert config.selected() and config.name == folder[1]


@pytest.mark.parametrize("name", FILES)
def test_stages_are_called_with_flags_that_they_have(name: str) -> None:
    for words in commands(name):
        if words[0] == "cxrflow" or (words[:2] == ["python", "-m"] and words[2].startswith("cxrflow.")):
            flags = {word for word in words if word.startswith("--")}
            module = COMMANDS[words[1]] if words[0] == "cxrflow" else words[2]
            known = flags_of(module.rpartition(".")[2])
            assert flags <= {*known, "--help"}
            assert "--help" in flags or {flag for flag, must in known.items() if must and flag[0] == "-"} <= flags


@pytest.mark.parametrize(("name", "text"), everywhere("python"))
def test_python_is_valid(name: str, text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize(("name", "text"), everywhere("pycon"))
def test_python_sessions_print_what_they_show(name: str, text: str) -> None:
    session = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    assert session.examples
    assert doctest.DocTestRunner(verbose=False).run(session).failed == 0


# ---- generated pages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_current(name: str) -> None:
    """`make docs` writes them."""
    assert TEXT[f"docs/reference/{name}"] == PAGES[name]()


PLACES = {
    **{stage: ("docs/reference/stages.md", stage) for stage in STAGES if PROGRAMS[stage].parent.name == "stages"},
    **{
        module.rpartition(".")[2]: ("docs/reference/commands.md", f"cxrflow {command}")
        for command, module in COMMANDS.items()
    },
}
"""Stage or program to the page that describes it, and the heading there."""


def test_reference_names_every_stage_and_command_and_no_other() -> None:
    assert sorted(PLACES) == STAGES
    for page in {page for page, _ in PLACES.values()}:
        headings = re.findall(r"^## (.+)$", TEXT[page], re.MULTILINE)
        assert headings == [heading for name, heading in PLACES.values() if name == page]


@pytest.mark.parametrize("stage", STAGES)
def test_reference_names_every_flag_of_a_stage_and_no_other(stage: str) -> None:
    documented = {in_code(flag): default == "required" for flag, _, default in rows(section(*PLACES[stage]))[1:]}
    assert list(documented.items()) == list(flags_of(stage).items())
    assert all(meaning for _, meaning, _ in rows(section(*PLACES[stage]))[1:])


# ---- config.md --------------------------------------------------------------------------------------------------------


KEYS = keys_of(Config)
DOCUMENTED = {
    in_code(row[0]): row for row in rows(plain("docs/reference/config.md")) if len(row) == 4 and row[0] != "key"
}
WRITTEN_ONLY = {in_code(row[0]) for row in rows(section("docs/reference/config.md", "Keys of files only"))[1:]}


def test_config_names_every_key_and_no_other() -> None:
    assert sorted(DOCUMENTED) == sorted(KEYS)
    assert {*PARTIAL_KEYS, "experiments.<experiment>.like", "data_of"} == WRITTEN_ONLY


@pytest.mark.parametrize("key", sorted(KEYS))
def test_config_names_every_allowed_word(key: str) -> None:
    words = {
        f"`{str(word).lower() if isinstance(word, bool) else word}`"
        for part in parts_of(KEYS[key].annotation)
        for word in (get_args(part) if get_origin(part) is Literal else (True, False) if part is bool else ())
    }
    assert [word for word in words if word not in DOCUMENTED[key][1]] == []


def default_of(key: str) -> Any:
    """Return the default of a key in the model."""
    return None if key not in KEYS or KEYS[key].is_required() else KEYS[key].get_default()


@pytest.mark.parametrize("key", sorted(DOCUMENTED))
def test_config_states_the_defaults(key: str) -> None:
    default = default_of(key)
    if DOCUMENTED[key][2] == "–":
        assert default is None or isinstance(default, dict | BaseModel)
    else:
        assert yaml.safe_load(in_code(DOCUMENTED[key][2])) == default


def test_the_keys_of_the_how_to_exist() -> None:
    named = [
        key
        for row in rows(section("docs/how-to/change_a_setting.md", "Which key to change"))[1:]
        for key in re.findall(r"`(\w+)`", row[0])
    ]
    assert named
    assert set(named) <= {*Config.model_fields, *PARTIAL_KEYS}


# ---- claims.md --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_claims_names_every_measure_and_no_other(kind: str) -> None:
    documented = {
        in_code(name): arguments for name, arguments, _ in rows(section("docs/reference/measures.md", kind))[1:]
    }
    assert sorted(documented) == sorted(name for name, one in MEASURES.items() if one.kind == kind)
    for name, arguments in documented.items():
        fields = MEASURES[name].fields
        needed = {field for field, (_, default) in fields.items() if default is ...}
        assert set(re.findall(r"`(\w+)`", arguments)) == set(fields), name
        assert set(re.findall(r"(?<!\[)`(\w+)`", arguments)) == needed, name


@pytest.mark.parametrize(("name", "heading"), [("docs/reference/claims.md", "Verdicts")])
def test_every_verdict_is_documented(name: str, heading: str) -> None:
    assert [row[0].strip("`") for row in rows(section(name, heading))[1:]] == list(VERDICTS)


def test_every_kind_is_documented() -> None:
    assert {in_code(row[0]) for row in rows(section("docs/reference/claims.md", "Kinds"))[1:]} == set(KINDS)


@pytest.mark.parametrize("name", ["docs/how-to/write_claims.md", TUTORIAL])
def test_example_claims_are_valid(name: str, tmp_path: Path) -> None:
    file = tmp_path / "claims.csv"
    file.write_text(blocks(name, "csv")[0].text)
    experiments = {one for claim in load_claims(file) for one in claim.experiments}
    assert experiments == {"opacity_mobilenet"}


def test_columns_of_claims_are_documented() -> None:
    assert [in_code(row[0]) for row in rows(section("docs/reference/claims.md", "Columns"))[1:]] == list(COLUMNS)
