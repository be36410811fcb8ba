"""Audit the images of a study without any training, and print the findings.

With --measure-power, known problems of graded severity are also inserted into copies of the images, in memory. A table says
how many of them the audits find in these images, and how many of the reported ones are false. This takes minutes.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cxrflow.audits.power import COLUMNS, in_markdown
from cxrflow.audits.registry import AUDITS
from cxrflow.io.command import run_command, stage_parser
from cxrflow.io.files import read_json
from cxrflow.io.words import counted, some_of
from cxrflow.run.start import CHECKOUT, SNAKEFILES, command_of, config_values, with_environment
from cxrflow.study.merging import merge_keys
from cxrflow.study.run import set_values, with_study
from cxrflow.study.yaml_files import read_yaml

NAMED_IMAGES = 6


def findings_text(audit: Mapping[str, Any]) -> str:
    """What the audits found: one block for each audit, with effects and images.

    Args:
        audit: `data_audit.json`, as `cxrflow.stages.audit_data` writes it.
    """
    blocks = [_block(name, audit["audits"].get(name)) for name in AUDITS]
    return "\n\n".join("\n".join(block) for block in blocks)


def _block(name: str, of_audit: Mapping[str, Any] | None) -> Iterator[str]:
    findings = of_audit["findings"] if of_audit else []
    number = counted(len(findings), "finding") if findings else "nothing found"
    yield f"{name}: {number if of_audit else 'off'}"
    for finding in findings:
        suspected = " (suspected)" if finding["certainty"] == "suspected" else ""
        yield f"  * {finding['text']}{suspected}"
        yield f"    effect: {finding['effect']}"
        if finding["images"]:
            yield f"    images: {some_of(finding['images'], NAMED_IMAGES)}"


def results_folder(args: argparse.Namespace) -> Path:
    """The folder of the results, by the config that Snakemake reads, too.

    Raises:
        UserError: the config cannot be read, or there is no such study.
    """
    base = Path() if any(Path(name).is_file() for name in SNAKEFILES) else CHECKOUT
    keys = merge_keys(read_yaml(base / "config.yaml", *args.configfile), set_values(config_values(args)))
    return Path("results", str(with_study(keys)["name"]))


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--study", default="", help="a shipped study, or the path of its folder")
    parser.add_argument("--data", help="folder of the images; by default $CXRFLOW_STUDY_DATA")
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE", help="more values of the config")
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="overlays on config.yaml"
    )
    parser.add_argument("--cores", default="all", help="cores to use")
    parser.add_argument(
        "--measure-power", action="store_true", help="also measure what the audits find in these images"
    )
    parser.set_defaults(weights=None, only="", extras=False, config_text="", slurm=False)
    parser.set_defaults(dry_run=False, why=False, doctor=False)
    args = with_environment(parser.parse_args())
    targets = ["audit_data", *(["measure_power"] if args.measure_power else [])]
    overlays = ["--configfile", *map(str, args.configfile)] if args.configfile else []
    args.flags = shlex.join([*targets, *overlays])
    results = results_folder(args)
    run = subprocess.run([sys.executable, *command_of(args, [])], check=False)
    if run.returncode:
        sys.exit(run.returncode)
    audit = read_json(results / "data_audit.json")
    print(f"\n{results}: {audit['images']:,} of {counted(audit['listed'], 'image')}\n\n{findings_text(audit)}")
    if args.measure_power:
        table = pd.read_csv(results / "audits/power.csv", dtype=COLUMNS)
        print(f"What the audits find in these images ({results}/audits/power.csv):\n\n{in_markdown(table)}")


if __name__ == "__main__":
    run_command(main)
