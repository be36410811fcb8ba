"""Measures of architecture: layers and parameters of the networks as Keras builds them."""

from typing import Any, Literal

from cxrflow.claims.judge import judge_equal
from cxrflow.claims.model import DIFFERS, EXACT, Claim, Finding
from cxrflow.claims.registry import RowExperiment, measure
from cxrflow.claims.runs import Runs
from cxrflow.claims.words import shown


@measure("architecture", numeric=True)
def backbone_layers(claim: Claim, runs: Runs) -> Finding:
    """Number of layers of the backbone without its top."""
    return _equal(claim, runs, {name: runs.network(name)["backbone_layers"] for name in runs.present(claim)})


@measure("architecture")
def backbone_output_shape(claim: Claim, runs: Runs) -> Finding:
    """Output shape of the backbone, as 5x5x2048."""
    shapes = {name: runs.network(name)["backbone_output_shape"] for name in runs.present(claim)}
    return _equal(claim, runs, {name: "x".join(map(str, shape)) for name, shape in shapes.items()})


@measure("architecture", numeric=True)
def block_parameters(
    claim: Claim, runs: Runs, *, block: Literal["backbone", "head", "last_hidden", "output"]
) -> Finding:
    """Parameters of one block of the network; `head` is all between the backbone and the last hidden layer."""
    return _equal(claim, runs, {name: _block(runs, name, block) for name in runs.present(claim)})


@measure("architecture", numeric=True)
def network_parameters(claim: Claim, runs: Runs, *, part: Literal["total", "trainable", "non_trainable"]) -> Finding:
    """Parameters of the whole network, of its trainable or of its non-trainable part."""
    return _equal(claim, runs, {name: runs.network(name)["parameters"][part] for name in runs.present(claim)})


@measure("architecture", experiments=2, numeric=True)
def backbone_difference(claim: Claim, runs: Runs, *, experiment: RowExperiment) -> Finding:
    """Parameters of the backbone of `experiment` minus those of the claim's other experiment."""
    more, less = _both(claim, runs, experiment)
    return _equal(claim, runs, {"": _block(runs, more, "backbone") - _block(runs, less, "backbone")})


@measure("architecture")
def pooling_saves(claim: Claim, runs: Runs) -> Finding:
    """The first Dense layer has fewer parameters behind average pooling than behind flatten, both built."""
    sizes = {name: runs.network(name)["first_dense_parameters"] for name in runs.present(claim)}
    text = "; ".join(f"{shown(one['average'])} against {shown(one['flatten'])}" for one in sizes.values())
    return _holds(all(one["average"] < one["flatten"] for one in sizes.values()), text)


@measure("architecture", experiments=2)
def more_parameters(claim: Claim, runs: Runs, *, experiment: RowExperiment) -> Finding:
    """The network of `experiment` has more parameters than the claim's other one, in its backbone and as a whole."""
    more, less = _both(claim, runs, experiment)
    backbone = _block(runs, more, "backbone") - _block(runs, less, "backbone")
    whole = runs.network(more)["parameters"]["total"] - runs.network(less)["parameters"]["total"]
    return _holds(backbone > 0 and whole > 0, f"backbone {shown(backbone)}, whole {shown(whole)} more")


@measure("architecture", experiments=2)
def layer_kind_only_in(claim: Claim, runs: Runs, *, kind: str, experiment: RowExperiment) -> Finding:
    """Layers of a kind, such as DepthwiseConv2D, are in the backbone of `experiment` and not in the other."""
    counts = {name: runs.network(name)["layer_kinds"].get(kind, 0) for name in _both(claim, runs, experiment)}
    has, has_not = counts.values()
    text = ", ".join(f"{count} in {name}" for name, count in counts.items())
    return _holds(has > 0 and has_not == 0, f"{kind}: {text}")


def _block(runs: Runs, experiment: str, block: str) -> int:
    return next(one["parameters"] for one in runs.network(experiment)["blocks"] if one["block"] == block)


def _both(claim: Claim, runs: Runs, experiment: str) -> tuple[str, str]:
    """The named experiment and the claim's other one, both with runs."""
    runs.require(claim.experiments)
    (other,) = (name for name in claim.experiments if name != experiment)
    return experiment, other


def _equal(claim: Claim, runs: Runs, found: dict[str, Any]) -> Finding:
    return judge_equal(
        claim, {place: [value] for place, value in found.items()}, EXACT, "the built networks have it", runs
    )


def _holds(holds: bool, text: str) -> Finding:
    return Finding(
        EXACT if holds else DIFFERS,
        text,
        None,
        "so the built networks have it" if holds else "the built networks say otherwise",
    )
