"""Rules about settings, architecture, data and the text."""

import copy
from typing import Any

import pytest
from claims_study import Case, Made, row

SMALL = {
    "backbone_layers": 10,
    "backbone_output_shape": [5, 5, 32],
    "blocks": [
        {"block": "backbone", "parameters": 1000},
        {"block": "head", "parameters": 200},
        {"block": "last_hidden", "parameters": 90},
        {"block": "output", "parameters": 10},
    ],
    "layers": [
        {"name": "conv_1", "kind": "conv", "output_shape": [5, 5, 8], "parameters": 150},
        {"name": "flatten", "kind": "flatten", "output_shape": [200], "parameters": 0},
        {"name": "last_hidden", "kind": "dense", "output_shape": [9], "parameters": 90},
        {"name": "output", "kind": "dense", "output_shape": [1], "parameters": 10},
    ],
    "parameters": {"total": 1300, "trainable": 1200, "non_trainable": 100},
    "layer_kinds": {"Conv2D": 4},
    "first_dense_parameters": {"average": 100, "flatten": 2500},
}
HEAD = [{"conv": 8, "kernel": 5}, "flatten", {"dropout": 0.05}, {"dense": 9, "activation": "tanh", "name": "map"}]
TEMPLATE = {"rotation_range": 50, "zoom_range": 0.1, "horizontal_flip": True, "without_effect": ["p", "q"]}


def configured(**settings: Any) -> Any:
    def make(made: Made) -> None:
        made.run()
        made.settings["experiments"]["a"] = settings

    return make


def augmented(augmentation: Any) -> Any:
    def make(made: Made) -> None:
        made.run()
        made.settings["augmentation"] = augmentation

    return make


def built(**changes: Any) -> Any:
    """Experiment a with the small network, and b with the same network except for the changes."""

    def make(made: Made) -> None:
        made.run("a").run("b")
        made.networks["experiments"] = {"a": SMALL, "b": {**copy.deepcopy(SMALL), **changes}}

    return make


PNG_224 = {"format": "PNG", "width": 224, "height": 224, "mode": "RGB"}
HALF = {"PNG 224x224 L": 2, "JPEG 224x9 RGB": 2}


def audited(**audit: Any) -> Any:
    whole = {"formats": {"x": {"PNG": 3}}, "width": [224, 224], "height": [224, 224]}
    whole |= {"images": 4, "file_kinds": {"PNG 224x224 RGB": 4}}

    def make(made: Made) -> None:
        made.run()
        made.audit.update({**whole, **audit})

    return make


def counted(**without_top: int) -> Any:
    def make(made: Made) -> None:
        counts = {name: {"with_top": 10 * count, "without_top": count} for name, count in without_top.items()}
        made.networks["backbones"] = counts

    return make


def nothing(made: Made) -> None:
    pass


BIGGER = {
    "blocks": [{"block": "backbone", "parameters": 1500}, *SMALL["blocks"][1:]],
    "parameters": {**SMALL["parameters"], "total": 1800},
    "layer_kinds": {"DepthwiseConv2D": 2},
}
LAYERS = {"keys": ["head.layers"]}
TESTED = {"keys": ["tested_epochs"]}
ADAM, LIKE = {"keys": ["o", "r"]}, {"template": TEMPLATE}
BLOCK, PART = {"block": "last_hidden"}, {"part": "trainable"}
B, DEPTHWISE = {"experiment": "b"}, {"experiment": "b", "kind": "DepthwiseConv2D"}
LAST = row("block_parameters", BLOCK, id="last", value="90")
LAST_B = row("block_parameters", BLOCK, id="last_b", experiment="b", value="91")
BASE = row("block_parameters", {"block": "backbone"}, id="base", value="1,000")
AS_LAST, UNITS = {"row": "last"}, {"row": "last", "inputs": 8}
VGG = {"backbone": "InceptionV3", "than": "VGG16"}

CASES = [
    Case("setting", "as configured", configured(batch_size=25), {"keys": ["batch_size"]}, value="25", this_run="25"),
    Case("initial_weights", "as configured", configured(weights="imagenet"), value="imagenet"),
    Case("initial_weights", "differs", configured(weights="random"), value="imagenet", this_run="random"),
    Case("initial_weights", "undecided", configured(weights="file"), value="imagenet", this_run="file"),
    Case("setting", "differs", configured(batch_size=20), {"keys": ["batch_size"]}, value="25", this_run="20"),
    Case("setting", "as configured", configured(head=HEAD), {"keys": ["head.dropout"]}, value="0.05"),
    Case("setting", "as configured", configured(head=HEAD), {"keys": ["head.conv_1", "head.conv_1.kernel"]}, value="8 5"),
    Case("setting", "as configured", configured(head=HEAD), {"keys": ["head.map.activation"]}, value="tanh"),
    Case("setting", "not run", configured(head=HEAD), {"keys": ["head.last_hidden"]}, value="9"),
    Case("setting", "differs", configured(head=HEAD), LAYERS, value="x", this_run="conv_1 flatten dropout map"),
    Case("setting", "as configured", configured(o="adam", r=1e-5), ADAM, value="adam 0.00001"),
    Case("setting", "differs", configured(o="adam", r=1e-4), ADAM, value="adam 0.00001", this_run="adam 0.0001"),
    Case("setting", "as configured", configured(epochs=350, selected_epoch=220), TESTED, value="220", this_run="220"),
    Case("setting", "differs", configured(epochs=220, selected_epoch=200), TESTED, value="220", this_run="200"),
    Case("setting", "as configured", configured(epochs=220, selected_epoch="best"), TESTED, value="220"),
    Case("setting", "as configured", configured(units=[512, 128]), {"keys": ["units"]}, value="512 128"),
    Case("augmentation", "as configured", augmented({**TEMPLATE, "without_effect": ["q", "p"]}), LIKE),
    Case("augmentation", "differs", augmented({**TEMPLATE, "zoom_range": 0.2}), LIKE, this_run="zoom_range 0.2, not 0.1"),
    Case("augmentation", "differs", augmented("none"), LIKE, this_run="none"),
    Case("backbone_layers", "exact", built(), value="10"),
    Case("backbone_layers", "differs", built(), value="11", this_run="10"),
    Case("backbone_output_shape", "exact", built(), value="5x5x32"),
    Case("backbone_output_shape", "differs", built(), value="5x5x31", this_run="5x5x32"),
    Case("block_parameters", "exact", built(), BLOCK, value="90"),
    Case("block_parameters", "differs", built(), BLOCK, value="91"),
    Case("block_parameters", "exact", built(), {"block": "conv_1"}, value="150"),
    Case("block_parameters", "differs", built(), {"block": "conv_1"}, value="151", this_run="150"),
    Case("block_parameters", "not run", built(), {"block": "conv_2"}, value="151"),
    Case("layer_output_shape", "exact", built(), {"layer": "conv_1"}, value="5x5x8"),
    Case("layer_output_shape", "exact", built(), {"layer": "flatten"}, value="200"),
    Case("layer_output_shape", "differs", built(), {"layer": "flatten"}, value="1,201", this_run="200"),
    Case("layer_output_shape", "not run", built(layers=[]), {"layer": "flatten"}, "b", value="200"),
    Case("network_parameters", "exact", built(), PART, value="1,200"),
    Case("network_parameters", "differs", built(), PART, value="1,201", this_run="1,200"),
    Case("backbone_difference", "exact", built(**BIGGER), B, "a b", value="500"),
    Case("backbone_difference", "differs", built(), B, "a b", value="500", this_run="0"),
    Case("pooling_saves", "exact", built(), this_run="100 against 2,500"),
    Case("pooling_saves", "differs", built(first_dense_parameters={"average": 5, "flatten": 5}), experiment="b"),
    Case("more_parameters", "exact", built(**BIGGER), B, "a b", this_run="backbone 500, whole 500 more"),
    Case("more_parameters", "differs", built(blocks=BIGGER["blocks"]), B, "a b"),
    Case("layer_kind_only_in", "exact", built(**BIGGER), DEPTHWISE, "a b"),
    Case("layer_kind_only_in", "differs", built(), DEPTHWISE, "a b"),
    Case("layer_kind_only_in", "differs", built(**BIGGER), {"experiment": "a", "kind": "DepthwiseConv2D"}, "a b"),
    Case("tested_images", "exact", lambda made: made.run(metrics={}), value="18"),
    Case("tested_images", "differs", lambda made: made.run(metrics={"images": 17}), value="18", this_run="17"),
    Case("share_of_images", "exact", audited(), PNG_224, value="png"),
    Case(
        "share_of_images",
        "differs",
        audited(file_kinds={"PNG 224x224 RGB": 2, "PNG 9x224 RGB": 2}, width=[9, 9]),
        PNG_224,
        value="png",
        this_run="PNG, 9 to 9 px wide",
    ),
    Case("share_of_images", "exact", audited(file_kinds=HALF), {"mode": "L", "least": 0.5}),
    Case("share_of_images", "differs", audited(file_kinds=HALF), {"mode": "L", "height": 9}),
    Case("share_of_images", "differs", audited(file_kinds={"PNG 224x224 RGB": 0}), PNG_224),
    Case("share_of_images", "undecided", audited(file_kinds={"PNG 224x224 RGB": 0}), {"mode": "L"}),
    Case("share_of_images", "undecided", audited(images=0), PNG_224),
    Case("same_as_row", "contradicted", nothing, AS_LAST, value="80", rows=(LAST,)),
    Case("same_as_row", "consistent", nothing, AS_LAST, value="90", rows=(LAST,)),
    Case("units_as_row", "contradicted", nothing, UNITS, value="32", rows=(LAST,)),
    Case("units_as_row", "consistent", nothing, UNITS, value="10", rows=(LAST,)),
    Case("rows_the_same", "contradicted", nothing, {"first": "last", "second": "last_b"}, rows=(LAST, LAST_B)),
    Case("rows_the_same", "consistent", nothing, {"first": "last", "second": "last"}, rows=(LAST,)),
    Case("fewer_backbone_parameters", "contradicted", counted(InceptionV3=200, VGG16=100), VGG),
    Case("fewer_backbone_parameters", "consistent", counted(InceptionV3=100, VGG16=200), VGG),
    Case("fewer_backbone_parameters", "undecided", nothing, VGG),
]  # fmt: skip


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.measure}-{one.verdict}")
def test_rule(one, tmp_path):
    one.check(tmp_path)


def test_a_setting_that_differs_names_both_values(tmp_path):
    made = Made(tmp_path)
    configured(epochs=2)(made)
    judgement = made.judge(row("setting", {"keys": ["epochs"]}, value="90"))
    assert (judgement.reason, judgement.difference) == ("90 stated, 2 found", -88)


def test_a_setting_of_several_experiments_is_looked_up_in_those_with_runs(tmp_path):
    made = Made(tmp_path).run("a").run("b")
    made.settings["experiments"] = {"a": {"size": 224}, "b": {"size": 96}, "c": {"size": 1}}
    judgement = made.judge(row("setting", {"keys": ["size"]}, value="224", experiment="a b c"))
    assert (judgement.verdict, judgement.this_run) == ("differs", "a: 224; b: 96")
    assert judgement.reason == "224 stated, a: 224; b: 96 found; c not run"
    judgement = made.judge(row("setting", {"keys": ["size"]}, value="224", experiment="a c"))
    assert (judgement.verdict, judgement.reason) == ("as configured", "a setting, not a result; c not run")
    judgement = made.judge(row("setting", {"keys": ["size"]}, value="1", experiment="c"))
    assert (judgement.verdict, judgement.reason) == ("not run", "no runs of c in these results")


def test_an_unknown_setting_is_an_error(tmp_path):
    made = Made(tmp_path)
    configured(batch_size=2)(made)
    with pytest.raises(Exception, match="no setting 'batchsize'; did you mean 'batch_size'"):
        made.judge(row("setting", {"keys": ["batchsize"]}, value="2"))


def test_a_network_that_was_not_built_is_not_run(tmp_path):
    judgement = Made(tmp_path).run().judge(row("backbone_layers", value="10"))
    assert (judgement.verdict, judgement.reason) == ("not run", "the network of a was not built for these results")


def test_a_contradiction_says_whether_the_built_networks_confirm_it(tmp_path):
    made = Made(tmp_path)
    claim = row("same_as_row", {"row": "last", "rather": "base"}, value="1,000")
    judgement = made.judge(claim, LAST, BASE)
    assert (judgement.this_run, judgement.reason) == ("", "last says 90; it is base that has 1,000")
    built()(made)
    judgement = made.judge(claim, LAST, BASE)
    assert judgement.verdict == "contradicted"
    assert judgement.this_run == "last: 90; base: 1,000"
    assert judgement.reason == "last says 90; it is base that has 1,000; so do the networks built here"
    other = row("block_parameters", BLOCK, id="last", value="91")
    judgement = made.judge(row("same_as_row", AS_LAST, value="80"), other)
    assert (judgement.verdict, judgement.this_run) == ("contradicted", "90")
    assert judgement.reason == "last says 91; the networks built here differ in last"
