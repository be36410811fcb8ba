"""Measures of architecture: layers, shapes and parameters of the networks as Keras builds them."""

from collections.abc import Mapping
from typing import Any, Literal

from cxrflow.claims.judge import judge_equal
from cxrflow.claims.model import DIFFERS, EXACT, NOT_RUN, Claim, Judgement, UndecidedError, in_words
from cxrflow.claims.registry import RowExperiment, measure
from cxrflow.claims.results import Results
from cxrflow.io.words import joined


@measure("architecture", numeric=True)
def backbone_layers(claim: Claim, results: Results) -> Judgement:
    """Number of layers of the backbone without its top."""
    return _equal(claim, results, {name: results.network(name)["backbone_layers"] for name in results.present(claim)})


@measure("architecture")
def backbone_output_shape(claim: Claim, results: Results) -> Judgement:
    """Output shape of the backbone, such as 5x5x2048."""
    shapes = {name: results.network(name)["backbone_output_shape"] for name in results.present(claim)}
    return _equal(claim, results, {name: "x".join(map(str, shape)) for name, shape in shapes.items()})


@measure("architecture", numeric=True)
def block_parameters(claim: Claim, results: Results, *, block: str) -> Judgement:
    """Parameters of a block of the network.

    `block` is `backbone`, `head` (all layers between the backbone and the last hidden layer), `last_hidden`, `output`, or the
    name of a layer of the head, such as `conv_1`.
    """
    return _equal(claim, results, {name: _block(results, name, block) for name in results.present(claim)})


@measure("architecture")
def layer_output_shape(claim: Claim, results: Results, *, layer: str) -> Judgement:
    """Output shape of a layer of the head, or of `output`: such as 7x7x256, or 12544 for a flat layer."""
    shapes = {name: _layer(results, name, layer)["output_shape"] for name in results.present(claim)}
    return _equal(claim, results, {name: "x".join(map(str, shape)) for name, shape in shapes.items()})


@measure("architecture", numeric=True)
def network_parameters(
    claim: Claim, results: Results, *, part: Literal["total", "trainable", "non_trainable"]
) -> Judgement:
    """Parameters of the whole network, or of its trainable or non-trainable part."""
    return _equal(claim, results, {name: results.network(name)["parameters"][part] for name in results.present(claim)})


@measure("architecture", experiments=2, numeric=True)
def backbone_difference(claim: Claim, results: Results, *, experiment: RowExperiment) -> Judgement:
    """Parameters of the backbone of `experiment` minus those of the other experiment's backbone."""
    more, less = _both(claim, results, experiment)
    return _equal(claim, results, {"": _block(results, more, "backbone") - _block(results, less, "backbone")})


@measure("architecture")
def pooling_saves(claim: Claim, results: Results) -> Judgement:
    """The first Dense layer has fewer parameters after average pooling than after flatten; both are built."""
    sizes = {name: results.network(name)["first_dense_parameters"] for name in results.present(claim)}
    text = "; ".join(f"{in_words(one['average'])} against {in_words(one['flatten'])}" for one in sizes.values())
    return _holds(all(one["average"] < one["flatten"] for one in sizes.values()), text)


@measure("architecture", experiments=2)
def more_parameters(claim: Claim, results: Results, *, experiment: RowExperiment) -> Judgement:
    """The network of `experiment` has more parameters than the other network, in its backbone and as a whole."""
    more, less = _both(claim, results, experiment)
    backbone = _block(results, more, "backbone") - _block(results, less, "backbone")
    whole = results.network(more)["parameters"]["total"] - results.network(less)["parameters"]["total"]
    return _holds(backbone > 0 and whole > 0, f"backbone {in_words(backbone)}, whole {in_words(whole)} more")


@measure("architecture", experiments=2)
def layer_kind_only_in(claim: Claim, results: Results, *, kind: str, experiment: RowExperiment) -> Judgement:
    """The backbone of `experiment` has layers of a kind, such as DepthwiseConv2D, and the other backbone has none."""
    counts = {name: results.network(name)["layer_kinds"].get(kind, 0) for name in _both(claim, results, experiment)}
    has, has_not = counts.values()
    text = ", ".join(f"{count} in {name}" for name, count in counts.items())
    return _holds(has > 0 and has_not == 0, f"{kind}: {text}")


def _block(results: Results, experiment: str, block: str) -> int:
    for one in results.network(experiment)["blocks"]:
        if one["block"] == block:
            return int(one["parameters"])
    return int(_layer(results, experiment, block)["parameters"])


def _layer(results: Results, experiment: str, name: str) -> Mapping[str, Any]:
    """The description of a layer of the head, or of the output layer.

    Raises:
        UndecidedError: the network has no such layer, or it was described by a version that did not list layers.
    """
    layers = {one["name"]: one for one in results.network(experiment).get("layers", [])}
    if name not in layers:
        has = f"; it has {joined(layers)}" if layers else ""
        raise UndecidedError(NOT_RUN, f"the network of {experiment} has no layer {name}{has}")
    return layers[name]


def _both(claim: Claim, results: Results, experiment: str) -> tuple[str, str]:
    """The named experiment and the other experiment of the claim; both have results."""
    results.require(claim.experiments)
    return experiment, claim.other_experiment(experiment)


def _equal(claim: Claim, results: Results, found: dict[str, Any]) -> Judgement:
    values = {place: [value] for place, value in found.items()}
    return judge_equal(claim, values, EXACT, "the built networks have it", results)


def _holds(holds: bool, text: str) -> Judgement:
    verdict, reason = (
        (EXACT, "so the built networks have it") if holds else (DIFFERS, "the built networks say otherwise")
    )
    return Judgement(verdict, text, None, reason)
