"""The locked environments: their contents, and that they agree."""

import re
from pathlib import Path

import pytest
import yaml
from cxrflow.run import adapter
from packaging.markers import Marker
from packaging.requirements import Requirement

ENVS = Path(__file__).resolve().parents[2] / "envs"
LOCKS = ("cpu", "gpu", "dev")
CONDA = ("cpu", "gpu")

Pins = dict[tuple[str, str], tuple[str, frozenset[str]]]
"""(package, marker) to version and hashes."""


def pins_of(requirements: list[str]) -> Pins:
    pins: Pins = {}
    for line in requirements:
        text, *hashes = re.split(r"\s+--hash=", line)
        requirement = Requirement(text)
        (pin,) = requirement.specifier
        assert pin.operator == "==", text
        assert (requirement.name, str(requirement.marker)) not in pins, text
        pins[requirement.name, str(requirement.marker)] = (pin.version, frozenset(hashes))
    return pins


def lock_pins(kind: str) -> Pins:
    lines = (ENVS / f"{kind}.lock").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return pins_of([line for line in lines if line and not line.startswith("#")])


def conda_environment(kind: str) -> dict[str, list[object]]:
    return yaml.safe_load((ENVS / f"{kind}.yaml").read_text(encoding="utf-8"))


def input_lines(kind: str) -> list[str]:
    lines = (ENVS / f"{kind}.in").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("#", "-r"))]


def requirement_in(line: str) -> Requirement:
    return Requirement(line.split("#", maxsplit=1)[0].strip())


@pytest.mark.parametrize(
    ("system", "machine", "package"),
    [
        ("linux", "x86_64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
    ],
)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_each_machine_gets_one_tensorflow(system: str, machine: str, package: str, python: str) -> None:
    platform = {"linux": "Linux", "darwin": "Darwin"}[system]
    of_machine = {"sys_platform": system, "platform_machine": machine, "platform_system": platform}
    environment = {**of_machine, "python_version": python, "python_full_version": f"{python}.0"}
    for kind in ("cpu", "dev"):
        wanted = [name for name, marker in lock_pins(kind) if marker == "None" or Marker(marker).evaluate(environment)]
        assert [name for name in wanted if name in ("tensorflow", "tensorflow-cpu")] == [package]
        assert {"keras", "numpy", "snakemake"} <= set(wanted)


def is_tensorflow_or_cuda(package: str) -> bool:
    return package.startswith(("tensorflow", "nvidia-"))


@pytest.mark.parametrize("kind", LOCKS)
def test_each_requirement_has_sha256_hashes(kind: str) -> None:
    pins = lock_pins(kind)
    assert len(pins) > 50
    for _, hashes in pins.values():
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)


@pytest.mark.parametrize("kind", CONDA)
def test_conda_environment_holds_the_locked_requirements_with_their_hashes(kind: str) -> None:
    *_, last = conda_environment(kind)["dependencies"]
    assert isinstance(last, dict)
    assert pins_of(last["pip"]) == lock_pins(kind)


@pytest.mark.parametrize("kind", CONDA)
def test_conda_environment_takes_only_python_from_conda_forge(kind: str) -> None:
    environment = conda_environment(kind)
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert environment["dependencies"][:2] == ["python=3.12", "pip"]
    assert set(environment) == {"channels", "dependencies"}


def test_dev_holds_all_of_cpu() -> None:
    cpu, dev = lock_pins("cpu"), lock_pins("dev")
    assert {package: dev.get(package) for package in cpu} == cpu


def test_gpu_differs_from_cpu_only_in_tensorflow_and_cuda() -> None:
    cpu, gpu = (
        {key: pin for key, pin in lock_pins(kind).items() if not is_tensorflow_or_cuda(key[0])}
        for kind in ("cpu", "gpu")
    )
    assert cpu == gpu
    versions = {pin[0] for kind in CONDA for (name, _), pin in lock_pins(kind).items() if name.startswith("tensorflow")}
    assert len(versions) == 1


@pytest.mark.parametrize("kind", LOCKS)
def test_each_input_line_is_met_by_the_lock(kind: str) -> None:
    versions: dict[str, set[str]] = {}
    for (name, _), (version, _) in lock_pins(kind).items():
        versions.setdefault(name, set()).add(version)
    for line in input_lines(kind):
        wanted = requirement_in(line)
        assert wanted.name in versions, line
        assert all(wanted.specifier.contains(version) for version in versions[wanted.name]), line


def test_gpu_input_names_what_cpu_input_names() -> None:
    cpu, gpu = (
        {requirement.name: str(requirement.specifier) for requirement in map(requirement_in, input_lines(kind))}
        for kind in ("cpu", "gpu")
    )
    assert {name: cpu[name] for name in cpu if name != "tensorflow-cpu"} == gpu


@pytest.mark.parametrize("kind", ["cpu", "dev"])
def test_each_input_line_says_why(kind: str) -> None:
    for line in input_lines(kind):
        assert re.search(r"#\s+\w+", line), line


@pytest.mark.parametrize("file", sorted(ENVS.iterdir()), ids=lambda file: file.name)
def test_no_address_and_no_path_of_a_machine(file: Path) -> None:
    if file.suffix in (".lock", ".yaml", ".in"):
        text = file.read_text(encoding="utf-8").lower()
        assert not re.search(r"https?:|://|file:|index-url|find-links|@ |(^|[\s'\"])/\w", text, re.MULTILINE)


@pytest.mark.parametrize("name", [*(f"{kind}.lock" for kind in LOCKS), *(f"{kind}.yaml" for kind in CONDA)])
def test_generated_files_say_what_made_them(name: str) -> None:
    assert (ENVS / name).read_text(encoding="utf-8").startswith("# Made by `make lock`")


def test_container_installs_the_lock_and_the_python_of_the_conda_environments() -> None:
    recipe = (ENVS / "cxrflow.def").read_text(encoding="utf-8")
    assert "envs/cpu.lock /opt/cpu.lock" in recipe
    installs = re.findall(r"^ *(.*\binstall\b.*)$", recipe, re.MULTILINE)
    assert installs == ["python -m pip install --no-cache-dir --require-hashes -r /opt/cpu.lock"]
    assert "From: python:3.12-" in recipe and conda_environment("cpu")["dependencies"][0] == "python=3.12"
    snakefile = (ENVS.parent / "workflow/Snakefile").read_text(encoding="utf-8")
    assert "container: container_image(workflow, PROJECT)" in snakefile
    assert adapter.IMAGE == "envs/cxrflow.sif" and adapter.BUILD_IMAGE in recipe
