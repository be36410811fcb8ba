"""Tests of the plot of the confusion matrix."""

import sys

import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json
from cxrflow.plotting.style import styled, write_figure
from cxrflow.stages import plot_confusion
from cxrflow.stages.plot_confusion import confusion_figure

METRICS = {"classes": ["covid", "normal", "pneumonia_bac"], "confusion_matrix": [[9, 0, 0], [2, 6, 1], [0, 0, 0]]}


def drawn(metrics=METRICS):
    with styled():
        return confusion_figure(metrics)


def test_each_cell_shows_its_count_and_its_share_of_the_true_class():
    axes = drawn().axes[0]
    cells = {}
    for text in axes.texts:
        cells.setdefault((int(text.xy[1]), int(text.xy[0])), []).append(text.get_text())
    assert cells[0, 0] == ["9", "100 %"]
    assert cells[1, 0] == ["2", "22 %"]
    assert cells[1, 1] == ["6", "67 %"]
    assert cells[1, 2] == ["1", "11 %"]
    assert cells[2, 2] == ["0", "0 %"]  # a class without test images
    assert len(cells) == 9


def test_rows_are_true_classes_from_top_to_bottom():
    axes = drawn().axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "truth")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["covid", "normal", "pneumonia\nbac"]
    top, bottom = axes.get_ylim()[1], axes.get_ylim()[0]
    assert top == 0 and bottom == 3


def test_numbers_stay_readable_on_dark_cells():
    colours = {text.get_text(): text.get_color() for text in drawn().axes[0].texts}
    assert colours["9"] != colours["0"]


def test_a_matrix_that_does_not_match_its_classes():
    with pytest.raises(UserError, match=r"its shape is \(3, 3\); there are 2 classes"):
        drawn({**METRICS, "classes": ["a", "b"]})


def test_the_same_bytes_each_time(tmp_path, monkeypatch):
    write_json(tmp_path / "metrics.json", METRICS)
    for name in ("a.svg", "b.svg"):
        arguments = ["--metrics", tmp_path / "metrics.json", "--title", "t", "--figure", tmp_path / name]
        monkeypatch.setattr(sys, "argv", ["plot_confusion.py", *map(str, arguments)])
        plot_confusion.main()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "67 %" in (tmp_path / "a.svg").read_text()


def test_outside_problem_23_names_of_any_letters_are_drawn(tmp_path, recwarn):
    """As text in lines that do not overlap, and without a warning about fonts."""
    names = ["Kein Befund (Röntgen) [x] & mehr", "健康", "_hidden 50%"]
    write_json(tmp_path / "metrics.json", {"classes": names, "confusion_matrix": [[1, 0, 0]] * 3})
    with styled():
        figure = confusion_figure({"classes": names, "confusion_matrix": [[1, 0, 0]] * 3})
        labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        write_figure(figure, tmp_path / "plot.svg")
    assert labels == ["Kein Befund\n(Röntgen) [x]\n& mehr", "健康", "\nhidden 50%"]
    svg = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert "健康" in svg and "&amp; mehr" in svg and not list(recwarn)
