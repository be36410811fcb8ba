"""The doctor: what it measures, and how it reports that."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.machine import free_memory, locked_versions, total_memory
from cxrflow.io.words import duration, size, some_of
from cxrflow.networks.parameters import network_parameters
from cxrflow.run.checks import Check, error, long_list, note, ok, short_list
from cxrflow.run.disk_and_memory import Space, check_disk, check_memory, free_disk, needed_space
from cxrflow.run.doctor import check_packages, check_python, config_and_errors, examine_config
from cxrflow.run.downloads import check_weights
from cxrflow.run.duration import check_duration, epochs_left, paces_of_runs, seconds_an_epoch
from cxrflow.run.gpu import TensorFlowView, ask_tensorflow, check_gpu, gpus_in_machine
from cxrflow.run.images import check_image_counts, find_images
from cxrflow.study.models import Config
from cxrflow.study.read import read_config
from cxrflow.study.run import set_values
from damage import damaged_forms
from hypothesis import assume, given
from hypothesis import strategies as st
from snakemake.cli import parse_config
from study_config import study_config

PROJECT = Path(__file__).resolve().parents[2]
STUDY = study_config()
CLASSES = ["covid", "normal", "pneumonia_bac", "pneumonia_vir"]


def study(**values: Any) -> Config:
    return read_config({**STUDY, "images": "/images", **values})


def class_folders(root: Path, each: int = 3, suffix: str = ".png") -> Path:
    for subset in ("train", "test"):
        for name in CLASSES:
            (root / subset / name).mkdir(parents=True)
            for number in range(each):
                (root / subset / name / f"{number}{suffix}").touch()
    return root


def write_run(results: Path, experiment: str, seconds: list[float], name: str = "sha_2021", **record: Any) -> Path:
    folder = results / name / "runs" / experiment / "seed_0"
    folder.mkdir(parents=True)
    rows = "".join(f"{epoch},{second},1\n" for epoch, second in enumerate(seconds, start=1))
    (folder / "timing.csv").write_text(f"epoch,seconds,images_per_second\n{rows}")
    training = {
        "settings": {"backbone": "InceptionV3", "image_size": 224},
        "images": {"training_seen_per_epoch": 100},
        "device": "cpu",
        "epochs": len(seconds),
        "trained_epochs": len(seconds),
    }
    (folder / "training.json").write_text(json.dumps({**training, **record}))
    return folder


# ---- packages


@pytest.mark.parametrize(
    ("version", "level"),
    [("3.11.7", "ok"), ("3.13.0", "ok"), ("3.10.13", "error"), ("3.14.0", "error"), ("3.1.1", "error")],
)
def test_python(version: str, level: str) -> None:
    assert check_python(version).level == level


def test_locked_versions_follow_the_markers(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    lock.write_text(
        "# made\nnumpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:11\n"
        "Types_PyYAML==6.0 \\\n    --hash=sha256:22\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:33\n"
    )
    assert locked_versions(lock, {"python_full_version": "3.11.7", "sys_platform": "linux"}) == {
        "numpy": "2.4.6",
        "types-pyyaml": "6.0",
    }
    assert locked_versions(lock, {"python_full_version": "3.13.0", "sys_platform": "linux"})["numpy"] == "2.5.5"
    with pytest.raises(UserError, match="no such file"):
        locked_versions(tmp_path / "b.lock")


def test_a_differing_package_is_a_note_or_with_locked_versions_an_error() -> None:
    locked = {"keras": "3.15.1", "numpy": "2.4.6", "scipy": "1.17"}
    fine = check_packages(locked, {**locked, "more": "1"}, "locked", "a.lock")
    assert fine == ok("packages", "all 3 as in a.lock")
    installed = {"keras": "3.15.1", "numpy": "2.0.0"}
    for versions, level in (("reported", "note"), ("locked", "error")):
        found = check_packages(locked, installed, versions, "a.lock")
        assert found.level == level
        assert "numpy 2.0.0 (locked: 2.4.6)" in found.text
        assert "not installed: scipy 1.17" in found.text
        assert "keras" not in found.text


def test_either_package_of_tensorflow_is_accepted() -> None:
    assert check_packages({"tensorflow-cpu": "2.21.0"}, {"tensorflow": "2.21.0"}, "locked", "a").level == "ok"
    assert check_packages({"tensorflow-cpu": "2.21.0"}, {"tensorflow": "2.20.0"}, "locked", "a").level == "error"


def test_the_environment_of_the_tests_is_the_locked_one() -> None:
    locked = locked_versions(PROJECT / "envs/dev.lock")
    assert locked["snakemake"] == "9.27.1"
    assert ("tensorflow-cpu" in locked) != ("tensorflow" in locked)


# ---- GPU


def fake_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_gpus_by_the_drivers_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path / "bin", monkeypatch, "echo 'NVIDIA A100, 550.54'; echo 'NVIDIA T4, 550.54'")
    assert gpus_in_machine(tmp_path) == ["NVIDIA A100, driver 550.54", "NVIDIA T4, driver 550.54"]
    assert gpus_in_machine(tmp_path, ask_driver=False) == []


def test_a_driver_that_fails_counts_as_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path / "bin", monkeypatch, "echo 'Failed to initialize NVML: version mismatch' >&2; exit 18")
    assert gpus_in_machine(tmp_path) == ["a GPU whose driver fails: Failed to initialize NVML: version mismatch"]


def test_a_program_that_finds_no_device_counts_as_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path / "bin", monkeypatch, "echo 'No devices were found'; exit 6")
    assert gpus_in_machine(tmp_path) == []


def test_gpus_by_the_drivers_files(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    (tmp_path / "dev/nvidiactl").touch()
    assert gpus_in_machine(tmp_path, ask_driver=False) == ["GPU nvidia0"]
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    assert gpus_in_machine(tmp_path, ask_driver=False) == ["GPU 0000:01:00.0"]


CPU_BUILD = TensorFlowView("2.21.0", cuda_build=False)
CUDA_BUILD = TensorFlowView("2.21.0", cuda_build=True)


@pytest.mark.parametrize(
    ("there", "view", "environ", "cuda", "level", "words"),
    [
        ([], CPU_BUILD, {}, False, "ok", "none in this machine"),
        ([], None, {}, False, "ok", "none in this machine"),
        (["T4"], TensorFlowView("2.21.0", True, ("T4",)), {}, True, "ok", "trains on T4$"),
        (["T4"], CPU_BUILD, {}, False, "note", "CPU build is installed.*GPU=1"),
        (["T4"], None, {}, False, "note", "CPU build is installed.*GPU=1"),
        (["T4"], None, {}, True, "ok", "make doctor GPU=1"),
        (["T4", "T4"], None, {}, True, "ok", "make doctor GPU=1.*; 2 GPUs, one training each$"),
        (["T4"] * 2, TensorFlowView("2.21.0", True, ("T4",) * 2), {}, True, "ok", "T4, T4; 2 GPUs, one training each$"),
        (["T4"], CUDA_BUILD, {}, False, "note", "envs/gpu.lock are not installed"),
        (["T4"], CUDA_BUILD, {}, True, "note", "gives no reason.*driver must be loaded"),
        (
            ["T4"],
            TensorFlowView("2.21.0", True, (), "", "Cannot dlopen libcudnn"),
            {},
            True,
            "note",
            "Cannot dlopen libcudnn",
        ),
        (["T4"], CUDA_BUILD, {"CUDA_VISIBLE_DEVICES": ""}, True, "note", "hidden by CUDA_VISIBLE_DEVICES=''"),
        (["T4"], TensorFlowView("2.21.0", True, ("T4",)), {"CUDA_VISIBLE_DEVICES": "0"}, True, "ok", "trains on T4"),
        ([], TensorFlowView(failure="cannot be loaded: no"), {}, False, "error", "cannot be loaded"),
    ],
)
def test_gpu_in_one_line(
    there: list[str], view: TensorFlowView | None, environ: dict[str, str], cuda: bool, level: str, words: str
) -> None:
    found = check_gpu(there, view, environ, cuda)
    assert found.level == level
    assert re.search(words, found.text)


@pytest.mark.parametrize(
    ("device", "there", "view", "level", "words"),
    [
        (
            "gpu",
            [],
            CPU_BUILD,
            "error",
            "device: gpu, but this machine has none; device: auto or cpu trains on the processor",
        ),
        ("gpu", ["T4"], CPU_BUILD, "error", "device: gpu, but T4 is not used: TensorFlow's CPU build is installed"),
        ("gpu", ["T4"], CUDA_BUILD, "error", "device: gpu, but T4 is not used: TensorFlow 2.21.0 does not see it"),
        ("gpu", [], None, "note", "device: gpu, but this machine has none; trainings on this machine will fail"),
        ("gpu", ["T4"], TensorFlowView("2.21.0", True, ("T4",)), "ok", "trains on T4"),
        ("cpu", ["T4"], TensorFlowView("2.21.0", True, ("T4",)), "ok", "not used (device: cpu)"),
    ],
)
def test_a_gpu_that_is_requested_and_is_missing(
    device: str, there: list[str], view: TensorFlowView | None, level: str, words: str
) -> None:
    found = check_gpu(there, view, {}, view is CUDA_BUILD, device)
    assert found.level == level
    assert words in found.text


def fake_python(folder: Path, script: str) -> str:
    (folder / "python").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "python").chmod(0o755)
    return str(folder / "python")


def test_tensorflows_answer_is_read(tmp_path: Path) -> None:
    answer = json.dumps({"version": "2.21.0", "cuda": True, "gpus": ["T4"]})
    python = fake_python(tmp_path, f"echo noise; echo '{answer}'")
    assert ask_tensorflow(python=python) == TensorFlowView("2.21.0", True, ("T4",))


# The metadata of TensorFlow 2.21's package.
REQUIRES = ["numpy>=1.26.0", 'nvidia-cudnn-cu12<10.0,>=9.3.0.75; extra == "and-cuda"']


def asked_of_cudnn(folder: Path, gpus: list[str], **cudnn: object) -> TensorFlowView:
    """Ask a fake CUDA build of TensorFlow that sees some GPUs."""
    answer = {"version": "2.21.0", "cuda": True, "gpus": gpus, "requires": REQUIRES, **cudnn}
    return ask_tensorflow(python=fake_python(folder, f"echo '{json.dumps(answer)}'"))


@pytest.mark.parametrize(
    ("gpus", "cudnn", "level", "words"),
    [
        (["T4"], {"cudnn_number": 90101, "cudnn_file": "/old/libcudnn.so.9"}, "error", "9.1.1 (/old/libcudnn.so.9)"),
        (["T4"], {"cudnn_number": 8907, "cudnn_package": "9.28.0.42"}, "error", "found 8.9.7; install"),
        (["T4"], {"cudnn_package": "9.1.1.17"}, "error", "found 9.1.1.17; install"),
        ([], {"cudnn_package": "8.9.7.29"}, "note", "found 8.9.7.29; install"),
        (["T4"], {"cudnn_number": 90300}, "ok", "trains on T4"),
        (["T4"], {"cudnn_number": 92800, "cudnn_package": "9.28.0.42"}, "ok", "trains on T4"),
        (["T4"], {}, "ok", "trains on T4"),
        ([], {"cudnn_package": "9.28.0.42"}, "note", "the driver must be loaded"),
    ],
)
def test_outside_problem_an_old_cudnn_is_named_beside_the_one_that_is_needed(
    tmp_path: Path, gpus: list[str], cudnn: dict[str, object], level: str, words: str
) -> None:
    found = check_gpu(["T4"], asked_of_cudnn(tmp_path, gpus, **cudnn), {}, True)
    assert found.level == level and words in found.text
    assert ("TensorFlow 2.21.0 needs cuDNN 9.3.0.75 or a later 9.x" in found.text) == (
        "; install" in words or level == "error"
    )


def test_outside_problem_an_old_cudnn_is_no_matter_on_the_processor(tmp_path: Path) -> None:
    view = asked_of_cudnn(tmp_path, ["T4"], cudnn_number=90101)
    assert check_gpu(["T4"], view, {}, True, "cpu").level == "ok"


def test_tensorflows_own_reason_is_passed_on(tmp_path: Path) -> None:
    answer = json.dumps({"version": "2.21.0", "cuda": True, "gpus": []})
    line = "W0000 00:00:17 12 gpu_device.cc:2341] Cannot dlopen some GPU libraries."
    python = fake_python(tmp_path, f"[ $TF_CPP_MIN_LOG_LEVEL = 3 ] || echo '{line}' >&2; echo '{answer}'")
    assert ask_tensorflow(python=python).complaint == "Cannot dlopen some GPU libraries."


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'ImportError: no such thing' >&2; exit 1", "cannot be loaded: ImportError: no such thing"),
        ("kill -ILL $$", "ended by signal 4"),
        ("exec sleep 20", "does not answer within 1 s"),
    ],
)
def test_a_tensorflow_that_fails_is_reported(tmp_path: Path, script: str, words: str) -> None:
    assert words in ask_tensorflow(seconds=1, python=fake_python(tmp_path, script)).failure


# ---- disk and memory


def test_parameters_are_those_of_the_study() -> None:
    config = study()
    counted = {
        name: network_parameters(one.model_dump(), len(config.tasks[one.task].classes))
        for name, one in config.experiments.items()
    }
    # The total that the study prints for its binary network, and totals calculated by hand.
    assert counted["binary_inception_v3"] == 22_069_217
    inception, mobilenet = 5 * 5 * 2048, 7 * 7 * 1024
    assert counted["multiclass_inception_v3"] == (21_802_784 + (inception + 1) * 512 + 513 * 128 + 129 * 16 + 17 * 4)
    assert counted["multiclass_mobilenet"] == 3_228_864 + (mobilenet + 1) * 512 + 513 * 128 + 129 * 32 + 33 * 4


def test_room_of_the_study(tmp_path: Path) -> None:
    config = study(only="binary_inception_v3", seeds=2)
    room = needed_space(config, {"binary": 148}, tmp_path)
    # Model and separate weights of two seeds; a checkpoint (weights, Adam's two moments, best weights) that is kept of each,
    # and two more while a training runs.
    assert room.models == 2 * 8 * 22_069_217
    assert room.checkpoints == (2 + 2) * 16 * 22_069_217
    assert room.pixels == 148 * 224 * 224 * 3
    assert room.manifests == 2 * 90 * 148 * 90
    assert room.disk == room.models + room.checkpoints + room.pixels + room.manifests
    assert 2e9 < room.memory < 6e9


def test_existing_files_need_no_room(tmp_path: Path) -> None:
    config = study(only="binary_inception_v3")
    folder = write_run(tmp_path, "binary_inception_v3", [1.0], epochs=90, trained_epochs=90)
    (folder / "model.keras").touch()
    (tmp_path / "sha_2021/pixels/224").mkdir(parents=True)
    assert needed_space(config, {"binary": 148}, tmp_path).disk == 0


@pytest.mark.parametrize(
    ("keys", "checkpoints"),
    [
        ({"keep_checkpoints": "none"}, 3),
        ({"keep_checkpoints": "every"}, 1 + 2),
        ({"override": {"selected_epoch": 40}}, 2 + 2),
        ({"override": {"selected_epoch": "best"}}, 1 + 2),
    ],
)
def test_room_for_checkpoints(tmp_path: Path, keys: dict[str, Any], checkpoints: int) -> None:
    """At most three for a running training, and those that are kept."""
    room = needed_space(study(only="binary_inception_v3", **keys), {"binary": 148}, tmp_path)
    assert room.checkpoints == checkpoints * 16 * 22_069_217


def test_folds_take_room_and_time_for_each_of_their_trainings(tmp_path: Path) -> None:
    config = study(only="binary_inception_v3", folds=4, repeats=3)
    room = needed_space(config, {"binary": 148}, tmp_path)
    assert room.models == 13 * 8 * 22_069_217
    assert room.checkpoints == (13 + 2) * 16 * 22_069_217
    assert room.manifests == 13 * 90 * 148 * 90
    write_run(tmp_path, "binary_inception_v3", [10.0] * 90)
    # 100 images took 10 s; of the 148, a fold leaves 111, of which 88.8 are for training.
    text = check_duration(config, {"binary": 130}, tmp_path, {"binary": 148}).text
    assert text == "about 2 h 40 min of training (folds of binary_inception_v3 12 x 13 min), from earlier runs on cpu"


def test_a_longer_training_needs_room_only_for_its_checkpoints(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "binary_inception_v3", [1.0] * 40)
    (folder / "model.keras").touch()
    room = needed_space(study(only="binary_inception_v3"), {"binary": 148}, tmp_path)
    assert (room.models, room.checkpoints) == (0, 2 * 16 * 22_069_217)


def test_two_sizes_are_decoded_twice_and_two_tasks_of_one_size_once(tmp_path: Path) -> None:
    images = {"binary": 148, "multiclass": 306}
    config = study()
    assert needed_space(config, images, tmp_path).pixels == 306 * 224 * 224 * 3
    small = {**STUDY["experiments"]["binary_inception_v3"], "image_size": 96}
    config = study(experiments={**STUDY["experiments"], "binary_inception_v3": small})
    assert needed_space(config, images, tmp_path).pixels == 306 * 224 * 224 * 3 + 148 * 96 * 96 * 3


def test_disk_and_memory() -> None:
    room = Space(models=2.5e9, checkpoints=0.5e9, pixels=1e9, manifests=1e6, memory=4e9)
    assert check_disk(5e9, room, Path("results")).level == "ok"
    assert check_disk(4e9, room, Path("results")).level == "error"
    assert "(models 2.5 GB, checkpoints 500 MB, pixels 1.0 GB, manifests 1 MB)" in check_disk(5e9, room, Path("r")).text
    assert check_memory(4e9, room).level == "ok"
    assert check_memory(3e9, room).level == "note"


def test_free_memory_respects_the_limit_of_a_container(tmp_path: Path) -> None:
    unlimited = free_memory(tmp_path)
    assert unlimited > 0
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) > 5000
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_memory(tmp_path) == 4000
    assert total_memory(tmp_path) == 5000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(tmp_path) < total_memory(tmp_path)


def test_free_disk_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "not" / "yet") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


@pytest.mark.parametrize(
    ("keys", "noted"),
    [
        ({"only": "binary_inception_v3"}, ["binary_inception_v3 (InceptionV3)"]),
        (
            {"only": ["multiclass_vgg16", "binary_inception_v3"]},
            ["multiclass_vgg16 (VGG16)", "binary_inception_v3 (InceptionV3)"],
        ),
        ({"only": ["multiclass_vgg16"], "override": {"input_scaling": "backbone"}}, []),
        ({"image_list": None, "only": ["multiclass_mobilenet"]}, ["multiclass_mobilenet (MobileNet)"]),
        ({"image_list": None, "override": {"input_scaling": "backbone"}}, []),
        *(
            ({"override": {"backbone": name}, "only": ["binary_inception_v3"]}, [f"binary_inception_v3 ({name})"])
            for name in ("EfficientNetB0", "MobileNetV3Small", "ConvNeXtTiny", "DenseNet121")
        ),
    ],
)
def test_outside_problem_11_double_scaling_is_noted_before_any_training(
    tmp_path: Path, keys: dict[str, Any], noted: list[str]
) -> None:
    config = study(**keys)
    checks = [one for one in examine_config(config, tmp_path) if one.subject == "scaling"]
    assert [one.level for one in checks] == ["note"] * bool(noted)
    for check in checks:
        assert f"1/255 of their contrast: {', '.join(noted)}; set input_scaling: backbone" in check.text
        assert short_list(checks)[-1].startswith("note   scaling: ")


# ---- images and weights


def test_images_of_folders_are_counted(tmp_path: Path) -> None:
    class_folders(tmp_path, suffix=".JPEG")
    (tmp_path / "train/covid/notes.txt").touch()
    images = find_images(study(images=str(tmp_path), image_list=None, only="binary_inception_v3"))
    assert [found.level for found in images.checks] == ["ok"]
    assert "train: covid 3, normal 3; test: covid 3, normal 3" in images.checks[0].text
    assert images.count(CLASSES, "train") == 6


def test_an_empty_and_a_misspelt_class_folder_are_one_error(tmp_path: Path) -> None:
    class_folders(tmp_path)
    shutil.rmtree(tmp_path / "test/normal")
    (tmp_path / "train/covid").rename(tmp_path / "train/covids")
    shutil.rmtree(tmp_path / "test/covid")
    (found,) = find_images(study(images=str(tmp_path), image_list=None, only="binary_inception_v3")).checks
    assert found.level == "error"
    assert found.text.startswith("3 class folders")
    assert "did you mean 'covids'?" in found.text


@pytest.mark.parametrize(
    ("images", "words"), [("/not/there", "/not/there: no such folder"), ("", "missing; name the folder")]
)
def test_a_missing_folder_of_images_is_an_error(images: str, words: str) -> None:
    (found,) = find_images(study(images=images)).checks
    assert found.level == "error"
    assert words in found.text
    assert "DATA=FOLDER" in found.text


@pytest.mark.parametrize(("missing_images", "level"), [("error", "error"), ("warn", "note")])
def test_images_are_compared_with_a_list(tmp_path: Path, missing_images: str, level: str) -> None:
    class_folders(tmp_path)
    image_list = tmp_path / "list.csv"
    paths = [f"{subset}/{name}/{n}.png" for subset in ("train", "test") for name in CLASSES for n in range(2)]
    image_list.write_text("path,bytes\n" + "".join(f"{path},1\n" for path in paths))
    values = {"images": str(tmp_path), "image_list": str(image_list), "missing_images": missing_images}
    complete = find_images(study(**values))
    assert complete.checks[0].level == "ok"
    assert complete.count(CLASSES, "train") == 8
    (tmp_path / "train/covid/1.png").unlink()
    lacking = find_images(study(**values))
    assert lacking.checks[0].level == level
    assert "1 of the 16" in lacking.checks[0].text
    assert "train/covid/1.png" in lacking.checks[0].text
    # Images of other tasks are not needed.
    assert find_images(study(**values, only="bac_vir_inception_v3")).checks[0].level == "ok"


def test_images_that_are_fetched(tmp_path: Path) -> None:
    image_list = tmp_path / "mine.csv"
    paths = [f"{subset}/{name}/{n}.png" for subset in ("train", "test") for name in CLASSES for n in range(2)]
    image_list.write_text("path,bytes,sha256\n" + "".join(f"{path},1000000,0\n" for path in paths))
    config = study(images="published", image_list=str(image_list))
    before = find_images(config, tmp_path)
    assert before.count(CLASSES, "train") == 8
    assert before.checks == [
        note(
            "images",
            f"16 of the 16 of {image_list} will be downloaded to {tmp_path}/images/mine (16 MB); "
            "without internet access: DATA=FOLDER",
        )
    ]
    assert before.bytes_to_fetch == 16_000_000
    assert needed_space(config, {"binary": 8, "multiclass": 16}, tmp_path, 16_000_000).images == 16_000_000
    for path in paths[1:]:
        (tmp_path / "images/mine" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images/mine" / path).touch()
    assert find_images(config, tmp_path).bytes_to_fetch == 1_000_000
    record = tmp_path / "images/mine.csv"
    record.touch()
    lacking = find_images(config, tmp_path)
    assert f"1 of the 16 of {image_list} are missing: {paths[0]}" in lacking.checks[0].text
    assert f"delete {record}" in lacking.checks[0].text and lacking.bytes_to_fetch == 0
    (tmp_path / "images/mine" / paths[0]).touch()
    assert find_images(config, tmp_path).checks[0].level == "ok"


def test_the_size_of_a_download_is_a_minimum_if_a_length_is_unknown(tmp_path: Path) -> None:
    """One of the study's files has no length in its list."""
    (found,) = find_images(study(images="published"), tmp_path).checks
    assert "306 of the 306 of" in found.text and "(at least 81 MB)" in found.text


def test_the_studys_list_has_306_images() -> None:
    (found,) = find_images(study(images=str(PROJECT))).checks
    assert found.level == "error"
    assert "306 of the 306 of studies/sha_2021/images.csv are missing" in found.text


def test_outside_problem_08_the_doctor_sees_a_validation_folder(tmp_path: Path) -> None:
    for folder, count in (("Train", 4), ("Valid", 1), ("Test", 1)):
        for name in ("covid", "normal"):
            (tmp_path / folder / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / folder / name / f"{number}.png").touch()
    config = study(images=str(tmp_path), image_list=None, only="binary_inception_v3", tsne={"perplexity": 5})
    images = find_images(config)
    (found,) = images.checks
    counts = "Train: covid 4, normal 4; Valid: covid 1, normal 1; Test: covid 1, normal 1"
    assert (found.level, found.text) == ("ok", f"{tmp_path}: {counts}")
    assert check_image_counts(config, images) == [], "a fifth of four images is none; Valid/ has one"
    for name in ("covid", "normal"):
        (tmp_path / f"Valid/{name}/0.png").unlink()
    assert [check.subject for check in check_image_counts(config, find_images(config))] == ["split", "split"]


def test_a_list_without_paths_is_an_error(tmp_path: Path) -> None:
    image_list = tmp_path / "list.csv"
    config = study(images=str(tmp_path), image_list=str(image_list))
    (found,) = find_images(config).checks
    assert found.level == "error" and "no such file" in found.text
    image_list.write_text("file,bytes\na,1\n")
    (found,) = find_images(config).checks
    assert "no column `path`; to use `file`: `columns: {path: file}`; it has file, bytes" in found.text


def test_phantoms_always_exist() -> None:
    config = read_config(study_config("demo"))
    images = find_images(config)
    assert config.phantoms is not None
    train, test = 4 * config.phantoms.train_per_class, 4 * config.phantoms.test_per_class
    assert images.checks == [ok("images", f"{train + test} phantoms, drawn by cxrflow")]
    assert (images.count(CLASSES, "train"), images.count(CLASSES, "test")) == (train, test)


def test_images_too_few_for_the_split_or_for_tsne(tmp_path: Path) -> None:
    """Reported before any job, not after the training."""
    phantoms = {"train_per_class": 5, "test_per_class": 2}
    config = study(images=None, phantoms=phantoms, only="binary_inception_v3", validation_fraction=0.1)
    found = check_image_counts(config, find_images(config))
    assert [one.level for one in found] == ["error"] * 3
    assert found[0].text.startswith("class covid has no validation image (5 in train/); add images of this class")
    assert found[2].text.startswith(
        "tsne.perplexity is 30, but task binary has only 10 images to show; choose a smaller perplexity"
    )
    fine = study(images=None, phantoms=phantoms, only="binary_inception_v3", tsne={"perplexity": 9})
    assert check_image_counts(fine, find_images(fine)) == []


def test_a_list_without_images_of_the_classes(tmp_path: Path) -> None:
    (tmp_path / "train/nodule").mkdir(parents=True)
    tasks = {**STUDY["tasks"], "mine": {"classes": ["healthy", "nodule"]}}
    config = study(images=str(tmp_path), tasks=tasks, only="binary_inception_v3", override={"task": "mine"})
    (check,) = find_images(config).checks
    assert check.level == "error"
    assert "contains no image of the classes healthy, nodule; for your own images, set image_list to null" in check.text


def test_weights_that_are_missing_or_will_be_downloaded(tmp_path: Path) -> None:
    (found,) = check_weights(study(weights="imagenet"), tmp_path)
    assert found.level == "note"
    assert found.text.startswith("InceptionV3, MobileNet: ImageNet weights will be downloaded")
    (tmp_path / "weights").mkdir()
    for backbone in ("InceptionV3", "MobileNet"):
        (tmp_path / f"weights/{backbone}.weights.h5").touch()
    assert [one.level for one in check_weights(study(weights="imagenet"), tmp_path)] == ["ok"]
    assert [one.level for one in check_weights(study(weights=str(tmp_path / "weights")), tmp_path)] == ["ok"]
    (tmp_path / "weights/MobileNet.weights.h5").unlink()
    fine, wrong = check_weights(study(weights=str(tmp_path / "weights")), tmp_path)
    assert (fine.level, wrong.level) == ("ok", "error")
    assert "no file for MobileNet" in wrong.text
    assert [one.level for one in check_weights(study(weights="random"), tmp_path)] == ["ok"]


# ---- time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than 1 s"),
        (1, "1 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5340, "89 min"),
        (12000, "3 h 20 min"),
        (187200, "2 days 4 h"),
    ],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_estimate_by_earlier_runs(tmp_path: Path) -> None:
    experiment = study().experiments["binary_inception_v3"]
    assert paces_of_runs(tmp_path) == []
    settings = {"backbone": "InceptionV3", "image_size": 112}
    other = write_run(tmp_path, "other", [9.0, 5.0, 5.0], settings=settings, device="T4")
    paces = paces_of_runs(tmp_path)
    # 100 images in 5 s at half the size: 130 * 0.8 images at full size take 4 * 5.2 s.
    estimate = seconds_an_epoch("binary_inception_v3", experiment, 130, paces, 0.2)
    assert estimate == (pytest.approx(20.8), "earlier runs on T4")
    write_run(tmp_path, "binary_inception_v3", [30.0, 8.0])
    os.utime(other / "timing.csv", (4e9, 4e9))
    estimate = seconds_an_epoch("binary_inception_v3", experiment, 130, paces_of_runs(tmp_path), 0.2)
    assert estimate == (pytest.approx(8.32), "earlier runs on cpu")


def test_runs_that_do_not_show_the_pace(tmp_path: Path) -> None:
    """A single epoch is mostly compilation, and small images are mostly overhead."""
    write_run(tmp_path, "one_epoch", [30.0])
    assert paces_of_runs(tmp_path) == []
    write_run(tmp_path, "tiny", [9.0, 5.0], settings={"backbone": "InceptionV3", "image_size": 96})
    paces = paces_of_runs(tmp_path)
    assert len(paces) == 1
    estimate = seconds_an_epoch("x", study().experiments["binary_inception_v3"], 130, paces, 0.2)
    assert estimate is not None and estimate[1] == "a rough figure for two processor cores"


def test_a_rough_estimate_without_earlier_runs() -> None:
    config = study()
    estimate = seconds_an_epoch("binary_inception_v3", config.experiments["binary_inception_v3"], 100, [], 0.2)
    assert estimate == (pytest.approx(80 * 0.060 + 20 * 0.024), "a rough figure for two processor cores")
    assert seconds_an_epoch("multiclass_vgg16", config.extras["multiclass_vgg16"], 100, [], 0.2) is None


def test_existing_trainings_take_no_time(tmp_path: Path) -> None:
    config = study(only="binary_inception_v3", override={"epochs": 2})
    write_run(tmp_path, "binary_inception_v3", [8.0])
    assert epochs_left(config, "binary_inception_v3", tmp_path) == {0: 1}
    shutil.rmtree(tmp_path / "sha_2021")
    write_run(tmp_path, "binary_inception_v3", [8.0, 8.0])
    assert epochs_left(config, "binary_inception_v3", tmp_path) == {0: 0}
    assert check_duration(config, {"binary": 130}, tmp_path).text.startswith("all selected trainings have run before")
    more = study(only="binary_inception_v3", override={"epochs": 2}, seeds=3)
    assert "2 x" in check_duration(more, {"binary": 130}, tmp_path).text


def test_a_longer_training_takes_the_time_of_its_further_epochs(tmp_path: Path) -> None:
    write_run(tmp_path, "binary_inception_v3", [10.0] * 40)
    # 100 images took 10 s, 104 of the 130 are for training: 50 epochs of 10.4 s.
    text = check_duration(study(only="binary_inception_v3"), {"binary": 130}, tmp_path).text
    assert text == "about 9 min of training (binary_inception_v3 9 min), from earlier runs on cpu"
    without_checkpoints = study(only="binary_inception_v3", keep_checkpoints="none")
    assert epochs_left(without_checkpoints, "binary_inception_v3", tmp_path) == {0: 90}
    two = study(only="binary_inception_v3", seeds=2)
    assert epochs_left(two, "binary_inception_v3", tmp_path) == {0: 50, 1: 90}
    assert "(binary_inception_v3 24 min)" in check_duration(two, {"binary": 130}, tmp_path).text


def test_outside_problem_19_a_damaged_record_of_a_run_leaves_the_other_runs_estimate(tmp_path: Path) -> None:
    config, name = study(), "binary_inception_v3"
    write_run(tmp_path, "whole", [9.0, 5.0], name="another")
    folder = write_run(tmp_path, name, [9.0, 7.0, 7.0])
    for file in (folder / "training.json", folder / "timing.csv"):
        whole = file.read_bytes()
        for content in damaged_forms(whole):
            file.write_bytes(content)
            assert "whole" in {pace.experiment for pace in paces_of_runs(tmp_path)}
            assert epochs_left(config, name, tmp_path) == {0: 90 if file.suffix == ".json" else 87}
        file.write_bytes(whole)
    assert len(paces_of_runs(tmp_path)) == 2


def test_a_training_that_stopped_early_needs_nothing_more(tmp_path: Path) -> None:
    write_run(tmp_path, "binary_inception_v3", [10.0] * 30, epochs=50)
    assert epochs_left(study(), "binary_inception_v3", tmp_path) == {0: 0}


def test_a_shorter_training_resumes_from_the_longest_checkpoint_that_is_not_too_long(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "binary_inception_v3", [10.0] * 50)
    record = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps(record | {"identity": "abc"}))
    shorter = study(override={"epochs": 40})
    assert epochs_left(shorter, "binary_inception_v3", tmp_path) == {0: 40}
    (tmp_path / "checkpoints/abc").mkdir(parents=True)
    for epochs in (30, 50):
        (tmp_path / f"checkpoints/abc/epoch_{epochs:06}_batch_0000.json").touch()
    assert epochs_left(shorter, "binary_inception_v3", tmp_path) == {0: 10}
    assert epochs_left(study(override={"epochs": 30}), "binary_inception_v3", tmp_path) == {0: 0}


def test_a_training_of_a_version_without_checkpoints_cannot_resume(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "binary_inception_v3", [10.0] * 40)
    record = json.loads((folder / "training.json").read_text())
    del record["trained_epochs"]
    (folder / "training.json").write_text(json.dumps(record))
    assert epochs_left(study(), "binary_inception_v3", tmp_path) == {0: 90}
    assert epochs_left(study(override={"epochs": 40}), "binary_inception_v3", tmp_path) == {0: 0}


def test_time_of_unknown_trainings(tmp_path: Path) -> None:
    unknown = check_duration(study(only="multiclass_vgg16"), {"multiclass": 270}, tmp_path)
    assert unknown == note("time", "no figure for multiclass_vgg16: the first run will show")
    assert check_duration(study(only="binary_inception_v3"), {"binary": 0}, tmp_path).text.endswith("no images")


# ---- all together


@given(
    st.one_of(
        st.integers().map(str),
        st.floats(allow_nan=False).map(str),
        st.sampled_from(
            ["", "True", "False", "true", "null", "{epochs: 2}", "[a, b]", " 'a b' ", "'x'", "a: b: c", "{a", "1_0"]
        ),
        st.text(alphabet="ab c/'\"{}[]:,#1.-_~", max_size=12),
    )
)
def test_values_are_read_as_snakemake_reads_them(text: str) -> None:
    value = text.strip("'\"")
    assume(not value or value.strip()[:1] not in ("", "#"))  # YAML reads an empty value, with which Snakemake fails
    assert set_values([f"key={text}"]) == parse_config([f"key={text}"])


def test_values_without_a_key_are_all_reported() -> None:
    with pytest.raises(UserError) as caught:
        set_values(["images", "a=b", "weights"])
    assert len(caught.value.messages) == 2


def test_a_config_without_images_is_examined_all_the_same() -> None:
    config, errors = config_and_errors(STUDY)
    assert config is not None
    assert errors == []
    config, errors = config_and_errors({**STUDY, "seeds": 0, "nmae": "x"})
    assert config is None
    assert len(errors) == 2


def test_the_short_list_joins_checks_that_are_ok() -> None:
    checks = [
        ok("Python", "3.11"),
        ok("disk", "room"),
        error("images", "missing"),
        note("GPU", "hidden"),
        ok("time", "1 h"),
    ]
    assert short_list(checks) == [
        "ok     time 1 h",
        "ok     Python, disk",
        "error  images: missing",
        "note   GPU: hidden",
    ]


def test_an_error_replaces_the_notes_on_its_subject() -> None:
    """Without internet access, weights would otherwise be listed twice: to be downloaded, and out of reach."""
    checks = [
        ok("weights", "a"),
        note("weights", "will be downloaded"),
        error("weights", "no source"),
        note("GPU", "x"),
    ]
    assert long_list(checks) == ["ok     weights: a", "error  weights: no source", "note   GPU: x"]
    assert short_list(checks) == ["ok     weights", "error  weights: no source", "note   GPU: x"]


def test_small_words() -> None:
    assert some_of(["a", "b", "c"], 2) == "a, b and 1 more"
    assert some_of(["a", "b"], 2) == "a, b"
    assert (size(2.34e9), size(1.2e6)) == ("2.3 GB", "1 MB")
    assert Check("ok", "a", "b") == ok("a", "b")


def doctor(*arguments: str, cwd: Path = PROJECT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxrflow.run.doctor", "--config", str(PROJECT / "config.yaml"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(PROJECT / "workflow"), **(env or {})}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_the_short_list_is_short_and_quick_and_reports_all_errors_together(tmp_path: Path) -> None:
    lock = str(PROJECT / "envs/cpu.lock")
    begin = time.perf_counter()
    ended = doctor(
        "--short", "--lock", lock, "--results", str(tmp_path), "--set", "images=/not/there", "weights=/nor/here"
    )
    assert time.perf_counter() - begin < 10  # less than a second on an idle machine
    lines = ended.stdout.splitlines()
    assert ended.returncode == 1
    assert len(lines) <= 6
    assert [line.split(":")[0] for line in lines if line.startswith("error")] == ["error  images", "error  weights"]
    assert ended.stderr == "error: the doctor found 2 errors, see above\n"


def test_a_fit_machine_passes_and_nothing_is_written(tmp_path: Path) -> None:
    ended = doctor(
        *("--short", "--lock", str(PROJECT / "envs/cpu.lock"), "--set", "study=demo", "only=multiclass_mobilenet"),
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stdout
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_short_list_loads_no_heavy_package() -> None:
    heavy = "('tensorflow', 'keras', 'pandas', 'sklearn')"
    code = f"import cxrflow.run.doctor, sys; print([m for m in {heavy} if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(PROJECT / "workflow")}
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.slow
def test_outside_problem_without_internet_images_and_weights_are_reported_once(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1/{path}"
    ended = doctor(
        *(
            "--lock",
            str(PROJECT / "envs/cpu.lock"),
            "--results",
            str(tmp_path),
            "--set",
            "study=sha_2021",
            "device=cpu",
        ),
        *(f"image_sources=[{nobody!r}]", f"weights_sources=[{nobody!r}]", "weights=imagenet"),
        env={"KERAS_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"},
    )
    lines = [line.split(":")[0] for line in ended.stdout.splitlines()]
    assert [line for line in lines if line.endswith((" images", " weights"))] == ["error  images", "error  weights"]
    assert ended.returncode == 1


def test_errors_of_the_config_are_reported_with_the_rest() -> None:
    ended = doctor("--short", "--set", "images=/not/there", "seeds=none", "treads=3")
    assert ended.returncode == 1
    assert "error  config: treads: unknown key; did you mean 'threads'?" in ended.stdout
    assert "ok     Python" in ended.stdout
