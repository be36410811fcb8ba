"""End a run before any training if an audit that is set to `fail` found a problem."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrflow.io.command import add_settings, run_stage, stage_parser
from cxrflow.io.errors import raise_all
from cxrflow.io.files import read_json, write_json
from cxrflow.io.words import some_of
from cxrflow.study.models import AuditSettings

NAMED_IMAGES = 12


def failures(audit: Mapping[str, Any], settings: AuditSettings) -> list[str]:
    """One message for each finding of an audit that is set to `fail`.

    Args:
        audit: the audit of the data, as `audit_data` writes it.
        settings: the level of each audit.
    """
    levels = settings.audits.model_dump()
    return [
        f"audits.{name}: {finding['text']}{_images(finding['images'])} Move or remove images, change the key "
        f"`split`, or set `audits: {{{name}: warn}}` to train anyway"
        for name, of_audit in audit["audits"].items()
        if levels[name] == "fail"
        for finding in of_audit["findings"]
    ]


def _images(images: list[str]) -> str:
    return f" Images: {some_of(images, NAMED_IMAGES)}." if images else ""


def main() -> None:
    parser = stage_parser(__doc__)
    add_settings(parser, AuditSettings)
    parser.add_argument("--audit", type=Path, required=True, help="audit of the data (JSON)")
    parser.add_argument("--passed", type=Path, required=True, help="the audits that found no problem, to write (JSON)")
    args = parser.parse_args()
    raise_all(failures(read_json(args.audit), args.settings))
    passed = [name for name, level in args.settings.audits.model_dump().items() if level == "fail"]
    write_json(args.passed, {"passed": passed})
    print(f"{', '.join(passed)}: no problem found")


if __name__ == "__main__":
    run_stage(main)
