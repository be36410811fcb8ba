"""Put together what the experiments' networks are, and count what their backbones have with and without a top."""

from pathlib import Path

import keras

from cxrflow.networks.backbones import make_backbone
from cxrflow.networks.keras_settings import set_up_keras
from cxrflow.stage.command import run_stage, stage_parser
from cxrflow.stage.files import read_json, write_json


def backbone_parameters(backbone: str) -> dict[str, int]:
    """Parameters of a backbone with and without its top (its ImageNet classifier)."""
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
        "--descriptions", type=Path, nargs="+", required=True, help="their networks (JSON), in this order"
    )
    parser.add_argument("--backbones", nargs="*", default=[], help="backbones to count with and without top")
    parser.add_argument("--networks", type=Path, required=True, help="description to write (JSON)")
    args = parser.parse_args()
    set_up_keras()
    networks = map(read_json, args.descriptions)
    description = {
        "experiments": dict(zip(args.experiments, networks, strict=True)),
        "backbones": {name: backbone_parameters(name) for name in args.backbones},
    }
    write_json(args.networks, description)
    print(f"{len(args.experiments)} networks, {len(args.backbones)} backbones")


if __name__ == "__main__":
    run_stage(main)
