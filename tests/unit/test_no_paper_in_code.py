"""The package knows no study: no module names a paper, its classes or its number of files. Phantoms are drawn by class name."""

import csv
import re
from pathlib import Path

import yaml

ORDINARY = {"normal"}
"""Class names that are ordinary words of statistics, too."""


def test_no_module_names_a_study_its_classes_or_its_number_of_files(project: Path) -> None:
    words: set[str] = set()
    for folder in (project / "studies").iterdir():
        study = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
        words |= {folder.name, *(name for task in study.get("tasks", {}).values() for name in task["classes"])}
        if (folder / "images.csv").is_file():
            with (folder / "images.csv").open(encoding="utf-8", newline="") as file:
                words.add(str(len(list(csv.DictReader(file)))))
    words -= {*ORDINARY, "demo"}
    assert {"sha_2021", "xu_2020", "covid", "306"} <= words
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, sorted(words)))})\b", re.IGNORECASE)
    package = project / "workflow/cxrflow"
    named = [
        f"{file.relative_to(package)}:{number}: {line.strip()}"
        for file in sorted(package.rglob("*.py"))
        if file.relative_to(package).parts[0] != "phantoms"
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert named == []
