"""From an empty folder to the report, with a server on this machine in place of the internet."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cxrflow.io.files import sha256_of_file
from file_server import FileServer, serving
from PIL import Image
from tiny_run import planned_jobs

CLASSES = ("covid", "normal", "pneumonia_bac", "pneumonia_vir")
TARGETS = ("results/tiny/data_audit.json", "results/tiny/split/multiclass.csv")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


@pytest.fixture
def config(server: FileServer, overlay: Callable[..., str], tmp_path: Path) -> str:
    """A config file for images that the server publishes, ten per class, one of them without a known SHA-256."""
    rows = []
    for number, name in enumerate(CLASSES):
        for subset, count in (("train", 8), ("test", 2)):
            for image in range(count):
                path = f"{subset}/{name}/{image}.png"
                file = tmp_path / "published" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                values = np.random.default_rng([number, count, image]).integers(0, 256, (30, 40), dtype=np.uint8)
                Image.fromarray(values).save(file)
                server.files[f"all/{path}"] = file.read_bytes()
                rows.append({"path": path, "bytes": file.stat().st_size, "sha256": sha256_of_file(file)})
    pd.DataFrame(rows).to_csv(tmp_path / "made.csv", index=False)
    return overlay(
        phantoms=None,
        images="published",
        image_list=str(tmp_path / "made.csv"),
        image_sources=[f"{server.address}/not/here/{{path}}", f"{server.address}/all/{{path}}"],
        tsne={"perplexity": 5},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where Snakemake runs."""
    folder = tmp_path / "a run"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_from_nothing_to_audit_and_split_and_then_nothing_to_do(
    snakemake: Any, server: FileServer, config: str, folder: Path
) -> None:
    run = snakemake(folder, "--cores", "2", "--configfile", config, "--", *TARGETS)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads((folder / TARGETS[0]).read_text())["images"] == 40
    assert pd.read_csv(folder / TARGETS[1]).groupby("subset").size().to_dict() == {
        "training": 28,
        "validation": 4,
        "test": 8,
    }
    images = folder / "results/images/made"
    assert {f"all/{file.relative_to(images)}": file.read_bytes() for file in images.rglob("*.png")} == server.files
    log = (folder / "results/logs/fetch_images.log").read_text()
    assert "licences, with the number of images: source not given: not given in the list (40)" in log
    assert "40 of 40 files" in log
    asked = len(server.asked)
    again = snakemake(folder, "--cores", "2", "--configfile", config, "--", *TARGETS)
    assert planned_jobs(again) == {} and len(server.asked) == asked
    # Another address is no reason to fetch again, and another name shares the images.
    mirror = Path(config).with_name("mirror.yaml")
    mirror.write_text("name: other\nimage_sources: ['http://127.0.0.1:1/{path}']\n")
    other = [target.replace("tiny", "other") for target in TARGETS]
    named = snakemake(folder, "-n", "--configfile", config, str(mirror), "--", *other)
    assert set(planned_jobs(named)) == {"index_images", "audit_data", "split_images", "cache_pixels"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        "an image is deleted",
        *(pytest.param(f"the record is {way}", marks=pytest.mark.long) for way in ("cut off", "of another shape")),
    ],
)
def test_outside_problem_01_a_deleted_fetched_image_is_fetched_again(
    snakemake: Any, server: FileServer, config: str, folder: Path, damage: str
) -> None:
    arguments = ("--cores", "2", "--configfile", config, "--", *TARGETS)
    run = snakemake(folder, *arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    before = {target: (folder / target).read_bytes() for target in TARGETS}
    image, record = folder / "results/images/made/train/covid/0.png", folder / "results/images/made.csv"
    fetched, recorded = image.read_bytes(), record.read_bytes()
    image.unlink()
    if damage == "the record is cut off":
        record.write_bytes(recorded[: len(recorded) // 2 - 3] + b"\xff")
    elif damage == "the record is of another shape":
        record.write_text("[]\n1\n")
    kept = server.files.pop("all/train/covid/0.png")
    for _ in range(2):
        run = snakemake(folder, *arguments)
        assert run.returncode == 1 and "train/covid/0.png: no source has it" in run.stderr
    server.files["all/train/covid/0.png"] = kept
    run = snakemake(folder, *arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (image.read_bytes(), record.read_bytes()) == (fetched, recorded)
    assert {target: (folder / target).read_bytes() for target in TARGETS} == before
    assert planned_jobs(snakemake(folder, "-n", *arguments)) == {}


@pytest.mark.slow
def test_from_nothing_to_the_report(snakemake: Any, server: FileServer, config: str, folder: Path) -> None:
    """Only the images are downloaded; the report describes them."""
    run = snakemake(folder, "--cores", "2", "--configfile", config)
    assert run.returncode == 0, run.stdout + run.stderr
    assert {path for path in server.count if not path.startswith("not/here/")} == set(server.files)
    page = (folder / "results/tiny/report/index.html").read_text(encoding="utf-8")
    data = page[page.index('id="data"') :]
    assert "<b>40</b> images used" in data and "<b>40 to 40</b> px wide" in data and "<b>30 to 30</b> px high" in data
    assert planned_jobs(snakemake(folder, "-n", "--configfile", config)) == {}


@pytest.mark.slow
def test_files_that_no_source_has_end_the_run_or_are_reported(
    snakemake: Any, server: FileServer, config: str, folder: Path
) -> None:
    missing = ["test/covid/1.png", "train/normal/7.png"]
    for path in missing:
        del server.files[f"all/{path}"]
    run = snakemake(folder, "--cores", "2", "--configfile", config, "--", *TARGETS)
    assert run.returncode != 0
    end = "\n".join(run.stderr.splitlines()[-8:])
    for path in missing:
        assert f"results/logs/fetch_images.log: error: {path}: no source has it: " in end
    assert "missing_images: warn" in end
    asked = len(server.asked)
    warned = ("--configfile", config, "--config", "missing_images=warn")
    run = snakemake(folder, "--cores", "2", *warned, "--", *TARGETS)
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(server.asked) == asked + 4, "the two missing files, at both sources"
    assert json.loads((folder / TARGETS[0]).read_text())["missing"] == missing
    assert planned_jobs(snakemake(folder, "-n", *warned, "--", *TARGETS)) == {}


@pytest.mark.slow
def test_outside_problem_24_weights_out_of_reach_end_the_run_before_any_job(
    snakemake: Any, overlay: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not dry runs, or runs that stop before any weights are read."""
    monkeypatch.setenv("KERAS_HOME", str(folder / "no files of Keras"))
    config = overlay(weights="imagenet", weights_sources=["http://127.0.0.1:1/{path}"])
    run = snakemake(folder, "--cores", "1", "--configfile", config)
    assert run.returncode != 0 and "Traceback" not in run.stderr
    assert (
        "error  weights: ImageNet weights of MobileNet have to be downloaded, but no source can be reached"
        in run.stderr
    )
    assert "rule make_phantoms" not in run.stderr and not (folder / "results/tiny/phantoms").exists()
    assert planned_jobs(snakemake(folder, "-n", "--configfile", config))["fetch_weights"] == 1
    part = snakemake(folder, "--cores", "1", "--configfile", config, "--until", "make_phantoms")
    assert part.returncode == 0 and (folder / "results/tiny/phantoms/phantoms.csv").is_file()


@pytest.mark.slow
def test_weights_that_no_source_has_end_the_run(
    snakemake: Any, server: FileServer, overlay: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule asks the sources in the config for the path at which Keras publishes the file."""
    monkeypatch.setenv("KERAS_HOME", str(folder / "no files of Keras"))
    config = overlay(weights="imagenet", weights_sources=[f"{server.address}/keras/{{path}}"])
    target = "results/weights/MobileNet.weights.h5"
    run = snakemake(folder, "--cores", "1", "--configfile", config, "--", target)
    assert run.returncode != 0
    published = "mobilenet_1_0_224_tf_no_top.h5"
    log = (folder / "results/logs/fetch_weights/MobileNet.log").read_text()
    assert f"error: weights: MobileNet: {published} cannot be downloaded: " in log
    assert "set a weights file or folder as `weights`" in log and "Traceback" not in log
    assert f"results/logs/fetch_weights/MobileNet.log: error: weights: MobileNet: {published}" in run.stderr
    # Snakemake retries the job twice.
    assert [path for path, _ in server.asked] == 3 * [f"keras/tensorflow/keras-applications/mobilenet/{published}"]
    assert [path.name for path in (folder / "results/weights").rglob("*.h5")] == []


@pytest.mark.slow
@pytest.mark.long
def test_the_studys_own_images(snakemake: Any, server: FileServer, folder: Path, study_data: Path) -> None:
    """With all defaults except the address, and without the one file that is not available."""
    files = [file for file in study_data.rglob("*") if file.is_file()]
    server.files = {f"all/{file.relative_to(study_data).as_posix()}": file.read_bytes() for file in files}
    local = folder / "local.yaml"
    local.write_text(f"image_sources: ['{server.address}/all/{{path}}', '{server.address}/raw/{{git_blob_sha1}}/']\n")
    arguments = ("--configfile", str(local), "--config", "missing_images=warn", "--")
    targets = ["results/sha_2021/data_audit.json", "results/sha_2021/split/multiclass.csv"]
    run = snakemake(folder, "--cores", "2", *arguments, *targets)
    assert run.returncode == 0, run.stdout + run.stderr
    audit = json.loads((folder / targets[0]).read_text())
    assert (audit["images"], audit["listed"]) == (305, 306)
    assert audit["missing"] == ["train/covid/covid-19-pneumonia-14-PA.png"] and audit["changed"] == []
    assert server.count["raw/4f594f4fa9377c4ac9710b465b99687f084528bb/"] == 1
    split = pd.read_csv(folder / targets[1])
    assert split.groupby("subset").size().to_dict() == {"training": 215, "validation": 54, "test": 36}
    assert planned_jobs(snakemake(folder, "-n", *arguments, *targets)) == {}
