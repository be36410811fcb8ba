"""Tests of the plot of accuracy and loss."""

import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json, write_table
from cxrflow.plotting.style import styled
from cxrflow.stages import plot_curves
from cxrflow.stages.plot_curves import curves_figure


@pytest.fixture
def history():
    zigzag = np.resize([0.0, 0.1], 30)  # no point is on the line between its neighbours
    return pd.DataFrame(
        {
            "epoch": range(1, 31),
            "loss": 0.7 - zigzag,
            "accuracy": 0.6 + zigzag,
            "val_loss": 0.8 - 2 * zigzag,
            "val_accuracy": 0.55 + 3 * zigzag,
        }
    )


def drawn(history, **arguments):
    with styled():
        return curves_figure(history, **arguments)


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["plot_curves.py", *map(str, arguments)])
    plot_curves.main()


def test_both_panels_show_every_epoch_of_both_subsets(history):
    accuracy, loss = drawn(history).axes
    for axes, quantity in ((accuracy, "accuracy"), (loss, "loss")):
        lines = {line.get_label(): line for line in axes.lines}
        assert set(lines) == {"training", "validation"}
        np.testing.assert_array_equal(lines["training"].get_xdata(), range(1, 31))
        np.testing.assert_array_equal(lines["training"].get_ydata(), history[quantity])
        np.testing.assert_array_equal(lines["validation"].get_ydata(), history[f"val_{quantity}"])
        assert lines["training"].get_linestyle() != lines["validation"].get_linestyle()


def test_the_file_has_the_points(history, tmp_path, monkeypatch):
    write_table(tmp_path / "history.csv", history)
    run_main(monkeypatch, "--history", tmp_path / "history.csv", "--figure", tmp_path / "curves.svg")
    root = ET.parse(tmp_path / "curves.svg").getroot()
    groups = {group.get("id"): group for group in root.iter("{http://www.w3.org/2000/svg}g")}
    for quantity, column in {"loss-training": "loss", "accuracy-validation": "val_accuracy"}.items():
        path = next(groups[quantity].iter("{http://www.w3.org/2000/svg}path")).get("d")
        x, y = np.array(re.findall(r"[ML] (\S+) (\S+)", path), dtype=float).T
        # SVG's y grows downwards; apart from that, places are linear in the values, to the 0.01 pt that are written.
        for places, values in ((x, history["epoch"]), (-y, history[column])):
            slope, start = np.polyfit(values, places, 1)
            assert slope > 0
            np.testing.assert_allclose(start + slope * values, places, atol=0.011)


def test_the_tested_epoch_is_marked_in_both_panels(history):
    figure = drawn(history, selected_epoch=12)
    for axes in figure.axes:
        mark = next(line for line in axes.lines if line.get_label() == "tested: epoch 12")
        assert list(mark.get_xdata()) == [12, 12]
    assert "tested: epoch 12" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_tested_epoch_comes_from_the_training_or_the_command_line(history, tmp_path, monkeypatch):
    write_table(tmp_path / "history.csv", history)
    write_json(tmp_path / "training.json", {"selected_epoch": {"rule": "best", "epoch": 7, "val_loss": 0.5}})
    common = ("--history", tmp_path / "history.csv", "--title", "x, seed 0")
    run_main(monkeypatch, *common, "--training", tmp_path / "training.json", "--figure", tmp_path / "a.svg")
    run_main(monkeypatch, *common, "--selected-epoch", 7, "--figure", tmp_path / "b.svg")
    assert "tested: epoch 7" in (tmp_path / "a.svg").read_text()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_loss_that_spans_orders_is_drawn_on_a_logarithmic_scale(history):
    assert drawn(history).axes[1].get_yscale() == "linear"
    history.loc[0, "val_loss"] = 300.0
    loss = drawn(history).axes[1]
    assert loss.get_yscale() == "log"
    assert loss.get_title(loc="left") == "loss (logarithmic scale)"


def test_one_epoch_and_gaps_are_drawn(history):
    assert drawn(history.iloc[:1], selected_epoch=1).axes[0].lines[0].get_marker() == "o"
    history.loc[3, "loss"] = np.nan
    assert np.isnan(drawn(history).axes[1].lines[0].get_ydata()[3])


def test_accuracy_is_never_cut_off(history):
    history.loc[5, "val_accuracy"] = 0.13
    low, high = drawn(history).axes[0].get_ylim()
    assert low <= 0.13 and high >= 1


@pytest.mark.parametrize(
    ("change", "selected", "message"),
    [
        (lambda history: history.drop(columns="val_loss"), None, "column val_loss is missing"),
        (lambda history: history.iloc[:0], None, "has no epoch"),
        (lambda history: history, 31, "there is no epoch 31; the last is 30"),
    ],
)
def test_errors(history, change, selected, message):
    with pytest.raises(UserError, match=message):
        drawn(change(history), selected_epoch=selected)


def test_350_epochs_make_a_small_file(tmp_path, monkeypatch):
    values = np.random.default_rng(0).uniform(size=(4, 350))
    history = pd.DataFrame(dict(zip(["loss", "accuracy", "val_loss", "val_accuracy"], values, strict=True)))
    history.insert(0, "epoch", range(1, 351))
    write_table(tmp_path / "history.csv", history)
    run_main(monkeypatch, "--history", tmp_path / "history.csv", "--figure", tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").stat().st_size < 80_000
