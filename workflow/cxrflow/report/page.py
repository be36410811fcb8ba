"""Lay the page out: one HTML file that holds everything, with every value escaped."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cxrflow.report import words
from cxrflow.report.again import overlay_of, weights_named
from cxrflow.report.deviations import find_deviations
from cxrflow.report.inputs import PLOTS, Inputs
from cxrflow.report.readings import readings_in_use
from cxrflow.report.scorecard import claims_file, scorecard_view, stated
from cxrflow.report.summary import FEW_TEST_IMAGES, TOLD_RESULTS, results_in_words, warnings, what_was_run
from cxrflow.report.tables import (
    backbones_side_by_side,
    experiment_rows,
    image_counts,
    machine_rows,
    result_tables,
    run_rows,
    separation_tables,
    version_rows,
    weight_files,
)
from cxrflow.stage.faults import Fault, raise_all

TEMPLATE, STYLE = "index.html.j2", "style.css"
FILTERS = (
    *(words.shown, words.number, words.percent, words.percent_range, words.thousands, words.shape),
    *(words.duration, words.joined, words.counted, words.breakable, stated),
)


def render_page(inputs: Inputs, folder: Path) -> str:
    """The page as HTML.

    Args:
        inputs: what it tells of.
        folder: holds the template, its parts and the style sheet.

    Raises:
        Fault: the folder lacks the template or the style sheet, or a plot is missing.
    """
    raise_all([f"--page: {folder / name} is missing" for name in (TEMPLATE, STYLE) if not (folder / name).is_file()])
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in FILTERS})
    # The style sheet is the project's own file and holds no value of a run.
    style = Markup((folder / STYLE).read_text(encoding="utf-8"))
    html = environment.get_template(TEMPLATE).render(style=style, **page_values(inputs))
    return re.sub(r"\n\s*\n+", "\n", html)


def page_values(inputs: Inputs) -> dict[str, Any]:
    """All that the template shows, as plain values."""
    deviations = find_deviations(inputs)
    tested = results_in_words(inputs)
    return {
        "name": inputs.settings["name"],
        "on_phantoms": inputs.on_phantoms,
        "weights_named": weights_named(inputs),
        "folder_named": not inputs.on_phantoms and inputs.settings.get("images") != "study",
        "what": what_was_run(inputs),
        "tested": tested[:TOLD_RESULTS],
        "more_tested": max(0, len(tested) - TOLD_RESULTS),
        "warnings": warnings(inputs),
        "experiments": list(experiment_rows(inputs)),
        "counts": list(image_counts(inputs)),
        "deviations": deviations,
        "differing": sum(line.differs for line in deviations),
        "readings": readings_in_use(inputs),
        "networks": {name: inputs.networks["experiments"][name] for name in inputs.experiments},
        "results": list(result_tables(inputs)),
        "few_test_images": FEW_TEST_IMAGES,
        "figures": figures(inputs),
        "sheets": sheets(inputs),
        "is_augmented": inputs.is_augmented,
        "validation_augmented": inputs.settings["validation_augmented"],
        "separations": list(separation_tables(inputs)),
        "side_by_side": list(backbones_side_by_side(inputs)),
        "audit": inputs.audit,
        "scorecard": scorecard_view(inputs),
        "claims_file": claims_file(inputs),
        "runs": list(run_rows(inputs)),
        "machines": machine_rows(inputs),
        "versions": version_rows(inputs),
        "weights": weight_files(inputs),
        "settings_text": json.dumps(overlay_of(inputs), indent=2, ensure_ascii=False),
    }


def figures(inputs: Inputs) -> dict[str, dict[str, str]]:
    """Experiment to the plots of its first seed, each as the address of a picture that lies in the page itself.

    Raises:
        Fault: plots are missing; one line for each.
    """
    places = {
        name: {plot: inputs.plots / name / f"seed_{runs[0].seed}" / f"{plot}.svg" for plot in PLOTS}
        for name, runs in inputs.runs.items()
    }
    missing = [file for files in places.values() for file in files.values() if not file.is_file()]
    if missing:
        raise Fault([f"{file}: missing; run the stage that draws it" for file in missing])
    return {name: {plot: picture_address(file) for plot, file in files.items()} for name, files in places.items()}


def sheets(inputs: Inputs) -> list[dict[str, Any]]:
    """The sheets of the augmentation; `picture` is the address of one that lies in the page, or None where none is shown."""
    return [
        {**sheet, "picture": picture_address(sheet["figure"]) if sheet["shown"] else None} for sheet in inputs.sheets
    ]


def picture_address(file: Path) -> str:
    """A `data:` address that holds an SVG file. Scripts in it, should there be any, do not run in a picture."""
    svg = re.sub(r">\s+<", "><", file.read_text(encoding="utf-8"))
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
