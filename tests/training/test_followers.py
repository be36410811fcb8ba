"""What shows a running training: the picture and TensorBoard's files; and when their process ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from cxrflow.io.files import write_table
from cxrflow.stages import follow_training
from cxrflow.stages.follow_training import EventFiles, draw_picture
from PIL import Image
from tiny_training import environment

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [0.75, 0.5, 0.25],
        "accuracy": [0.5, 0.625, 0.75],
        "val_loss": [1.0, 0.875, 0.8125],
        "val_accuracy": [0.25, 0.375, 0.5],
    }
)


def events_of(folder: Path) -> dict[tuple[str, str, int], float]:
    """Read event files: subset, curve and epoch to the value."""
    import tensorflow as tf

    found = {}
    for file in sorted(folder.glob("*/events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                key = (file.parent.name, value.tag, event.step)
                assert key not in found
                found[key] = float(tf.make_ndarray(value.tensor))
    return found


def wanted_events(history: pd.DataFrame) -> dict[tuple[str, str, int], float]:
    return {
        (subset, curve, int(row["epoch"])): row[f"{prefix}{curve}"]
        for row in history.to_dict("records")
        for subset, prefix in (("training", ""), ("validation", "val_"))
        for curve in ("loss", "accuracy")
    }


def test_event_files_are_read_back(tmp_path: Path) -> None:
    events = EventFiles(tmp_path)
    events.write(HISTORY.head(2))
    assert events_of(tmp_path) == wanted_events(HISTORY.head(2))
    events.write(HISTORY)
    assert events_of(tmp_path) == wanted_events(HISTORY)
    assert len(list(tmp_path.glob("*/*"))) == 2


def test_picture_is_drawn(tmp_path: Path) -> None:
    pictures = []
    for epochs in (2, 3):
        draw_picture(HISTORY.head(epochs), tmp_path / "progress.png")
        with Image.open(tmp_path / "progress.png") as image:
            assert image.format == "PNG" and min(image.size) > 200
            pictures.append(image.convert("RGB").tobytes())
    assert pictures[0] != pictures[1]
    assert [file.name for file in tmp_path.iterdir()] == ["progress.png"]


def test_it_draws_during_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training is running as long as its end of the pipe is open."""
    reading, writing = os.pipe()
    history, picture, events = tmp_path / "history.csv", tmp_path / "progress.png", tmp_path / "events"
    (events / "training").mkdir(parents=True)
    (events / "training/events.out.tfevents.1.of_an_earlier_process").write_bytes(b"none")
    arguments = ["--history", history, "--picture", picture, "--tensorboard", events]
    monkeypatch.setattr(sys, "argv", ["follow_training.py", *map(str, arguments)])
    monkeypatch.setattr(follow_training, "SECONDS", 0.05)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    drawn: list[int] = []

    def train() -> None:
        for epochs in (1, 2):
            write_table(history, HISTORY.head(epochs))
            before = picture.stat().st_mtime_ns if picture.exists() else 0
            while not picture.exists() or picture.stat().st_mtime_ns == before:
                time.sleep(0.01)
            drawn.append(picture.stat().st_mtime_ns)
        write_table(history, HISTORY)
        os.close(writing)

    training = threading.Thread(target=train, daemon=True)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        training.start()
        follow_training.main()
    training.join()
    assert len(drawn) == 2
    assert picture.stat().st_mtime_ns > drawn[1]  # once more at the end
    assert events_of(events) == wanted_events(HISTORY)


PARENT = """
import sys, time
from pathlib import Path
from cxrflow.training.progress import following
with following(Path(sys.argv[1]), Path(sys.argv[1]) / "progress.png", None) as follow:
    print("under way", flush=True)
    time.sleep(600)
"""


def test_follower_ends_when_the_training_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "under way\n"
        (follower,) = psutil.Process(parent.pid).children()
        deadline = time.monotonic() + 60
        while "cxrflow.stages.follow_training" not in follower.cmdline():  # empty while its program is being started
            assert time.monotonic() < deadline, follower.cmdline()
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    psutil.wait_procs([follower], timeout=60)
    assert not follower.is_running()
