"""Combine the descriptions of the experiments' networks, and count the parameters of backbones with and without top."""

from pathlib import Path

import cxrflow.networks.start_keras  # noqa: F401  # isort: skip
import keras

from cxrflow.io.command import run_stage, stage_parser
from cxrflow.io.files import read_json, write_json
from cxrflow.io.words import counted
from cxrflow.networks.backbones import make_backbone
from cxrflow.networks.keras_settings import set_up_keras


def backbone_parameters(backbone: str) -> dict[str, int]:
    """Count the parameters of a backbone with and without its top (the ImageNet classifier)."""
    counts = {
        "with_top": getattr(keras.applications, backbone)(weights=None).count_params(),
        "without_top": make_backbone(backbone, 224).count_params(),
    }
    keras.backend.clear_session()
    return counts


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--experiments", nargs="+", required=True, help="names of experiments")
    parser.add_argument(
        "--descriptions",
        type=Path,
        nargs="+",
        required=True,
        help="descriptions of their networks (JSON), in this order",
    )
    parser.add_argument("--backbones", nargs="*", default=[], help="backbones to count the parameters of")
    parser.add_argument("--networks", type=Path, required=True, help="description to write (JSON)")
    args = parser.parse_args()
    set_up_keras()
    networks = map(read_json, args.descriptions)
    description = {
        "experiments": dict(zip(args.experiments, networks, strict=True)),
        "backbones": {name: backbone_parameters(name) for name in args.backbones},
    }
    write_json(args.networks, description)
    print(f"{counted(len(args.experiments), 'network')}, {counted(len(args.backbones), 'backbone')} counted")


if __name__ == "__main__":
    run_stage(main)
