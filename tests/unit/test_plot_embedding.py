"""Tests of the plot of the t-SNE map."""

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.io.files import write_json, write_table
from cxrflow.plotting.style import CLASS_COLOURS, styled
from cxrflow.stages import plot_embedding
from cxrflow.stages.plot_embedding import embedding_figure
from matplotlib.colors import to_hex

CLASSES = ["normal", "NA"]  # in the order of the network, which is not the alphabet's; NA is a name, not a gap
SEPARATION = {
    "k": 5,
    "neighbour_shares": {name: {} for name in CLASSES},
    "same_class_share": 0.834,
    "silhouette": 0.3149,
}


@pytest.fixture
def embedding():
    generator = np.random.default_rng(0)
    rows = [
        (f"{name}/{subset}{place}.png", name, subset, *generator.normal(size=2))
        for name in CLASSES
        for subset, count in (("training", 20), ("validation", 5), ("test", 3))
        for place in range(count)
    ]
    return pd.DataFrame(rows, columns=["image", "class", "subset", "x", "y"])


def drawn(embedding, separation=SEPARATION):
    with styled():
        return embedding_figure(embedding, separation)


def collections(figure):
    return {collection.get_gid(): collection for collection in figure.axes[0].collections}


def test_all_points_are_drawn_where_they_are(embedding):
    found = collections(drawn(embedding))
    assert len(found) == 6
    for place, name in enumerate(CLASSES):
        for subset in ("training", "validation", "test"):
            rows = embedding[(embedding["class"] == name) & (embedding["subset"] == subset)]
            np.testing.assert_array_equal(found[f"points-{place}-{subset}"].get_offsets(), rows[["x", "y"]])


def test_colour_is_the_class_and_marker_the_subset(embedding):
    found = collections(drawn(embedding))
    for place in (0, 1):
        colours = {to_hex(found[f"points-{place}-{subset}"].get_facecolor()[0]) for subset in ("training", "test")}
        assert colours == {CLASS_COLOURS[place]}
    corners = {
        subset: len(found[f"points-0-{subset}"].get_paths()[0].vertices) for subset in ("training", "validation")
    }
    assert corners["training"] != corners["validation"]
    legend = [text.get_text() for text in drawn(embedding).legends[0].get_texts()]
    assert legend == ["class", *CLASSES, "subset", "training", "validation", "test"]


def test_missing_subsets_are_not_in_the_legend(embedding):
    legend = drawn(embedding[embedding["subset"] != "test"]).legends[0]
    assert "test" not in [text.get_text() for text in legend.get_texts()]


def test_the_separation_is_shown(embedding):
    expected = drawn(embedding).get_supxlabel()
    assert "83 % of the 5 nearest neighbours" in expected and "silhouette 0.31" in expected
    assert "silhouette –" in drawn(embedding, {**SEPARATION, "silhouette": None}).get_supxlabel()


def test_the_file_has_each_point_and_is_the_same_each_time(embedding, tmp_path, monkeypatch):
    write_table(tmp_path / "embedding.csv", embedding)
    write_json(tmp_path / "separation.json", SEPARATION)
    for name in ("a.svg", "b.svg"):
        inputs = ["--embedding", tmp_path / "embedding.csv", "--separation", tmp_path / "separation.json"]
        monkeypatch.setattr(sys, "argv", ["plot_embedding.py", *map(str, inputs), "--figure", str(tmp_path / name)])
        plot_embedding.main()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    root = ET.parse(tmp_path / "a.svg").getroot()
    groups = {group.get("id"): group for group in root.iter("{http://www.w3.org/2000/svg}g")}
    points = {name: len(list(group.iter("{http://www.w3.org/2000/svg}use"))) for name, group in groups.items()}
    assert points["points-0-training"] == points["points-1-training"] == 20
    assert points["points-1-test"] == 3


def test_very_many_points_are_drawn_as_a_picture():
    generator = np.random.default_rng(0)
    count = plot_embedding.PIXELS_FROM + 1
    table = pd.DataFrame(generator.normal(size=(count, 2)), columns=["x", "y"])
    table["class"], table["subset"] = np.resize(CLASSES, count), "training"
    assert all(collection.get_rasterized() for collection in drawn(table).axes[0].collections)
    assert not any(collection.get_rasterized() for collection in drawn(table.iloc[:100]).axes[0].collections)


def test_an_unknown_subset_is_an_error(embedding):
    embedding.loc[0, "subset"] = "train"
    with pytest.raises(UserError, match="unknown subset train; allowed: training, validation, test"):
        drawn(embedding)
