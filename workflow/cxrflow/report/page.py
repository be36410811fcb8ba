"""Render the page: one HTML file that contains everything, with every value escaped."""

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cxrflow.claims.model import stated_in_words
from cxrflow.io.errors import raise_all
from cxrflow.io.words import counted, duration, joined, visible
from cxrflow.report import words
from cxrflow.report.audits import audit_rows, findings_in_words, rival_tables, rivals_in_words, without_leaks
from cxrflow.report.deviations import find_deviations
from cxrflow.report.errors import error_galleries
from cxrflow.report.explanations import explanation_views, unexplained
from cxrflow.report.features import separation_tables
from cxrflow.report.inputs import PLOTS, SUBSETS, Inputs
from cxrflow.report.readings import readings_in_use
from cxrflow.report.repeat import (
    identity_rows,
    machine_rows,
    overlay_of,
    version_rows,
    weight_files,
    weights_named,
)
from cxrflow.report.results import NAMES, result_tables
from cxrflow.report.scorecard import claims_file, scorecard_view
from cxrflow.report.summary import (
    FEW_TEST_IMAGES,
    SUMMARY_RESULTS,
    precision_in_words,
    results_in_words,
    warnings,
    what_was_run,
)
from cxrflow.report.tables import (
    backbones_side_by_side,
    experiment_rows,
    image_counts,
)
from cxrflow.study.fields import PUBLISHED

TEMPLATE, STYLE = "index.html.j2", "style.css"
FILTERS = (
    *(words.shown, words.number, words.percent, words.percent_range, words.thousands, words.shape),
    *(
        words.signed,
        words.described,
        words.with_interval,
        words.metric,
        duration,
        joined,
        counted,
        words.breakable,
        stated_in_words,
    ),
)


def render_page(inputs: Inputs, folder: Path) -> str:
    """Render the page as HTML.

    Args:
        inputs: what the page reports.
        folder: folder of the template, its sections and the style sheet.

    Raises:
        UserError: the folder lacks the template or the style sheet, or a plot is missing.
    """
    raise_all([f"--page: {folder / name} is missing" for name in (TEMPLATE, STYLE) if not (folder / name).is_file()])
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        # In addition to autoescape, for text from files and settings. Only the templates have text marked as HTML.
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in FILTERS})
    # The style sheet is a file of the project and contains no value of a run.
    style = Markup((folder / STYLE).read_text(encoding="utf-8"))
    html = environment.get_template(TEMPLATE).render(style=style, **page_values(inputs))
    return re.sub(r"\n\s*\n+", "\n", html)


def page_values(inputs: Inputs) -> dict[str, Any]:
    """Everything that the template shows, as plain values."""
    deviations = find_deviations(inputs)
    tested = results_in_words(inputs)
    rivals = rival_tables(inputs)
    return {
        "name": inputs.settings["name"],
        "study": inputs.study["name"] if inputs.study is not None else None,
        "on_phantoms": inputs.on_phantoms,
        "weights_named": weights_named(inputs),
        "own_study": "/" in (inputs.settings.get("study") or ""),
        "folder_named": not inputs.on_phantoms and inputs.settings.get("images") != PUBLISHED,
        "what": what_was_run(inputs),
        "tested": tested[:SUMMARY_RESULTS],
        "more_tested": max(0, len(tested) - SUMMARY_RESULTS),
        "rivals_in_words": rivals_in_words(rivals),
        "findings_in_words": findings_in_words(inputs),
        "precision_in_words": precision_in_words(inputs),
        "warnings": warnings(inputs, rivals),
        "experiments": list(experiment_rows(inputs)),
        "counts": list(image_counts(inputs)),
        "deviations": deviations,
        "differing": sum(line.differs for line in deviations),
        "readings": readings_in_use(inputs),
        "networks": {name: inputs.networks["experiments"][name] for name in inputs.experiments},
        "results": list(result_tables(inputs, rivals)),
        "metric_names": NAMES,
        "comparisons": inputs.comparisons,
        "few_test_images": FEW_TEST_IMAGES,
        "figures": figures(inputs),
        "sheets": sheets(inputs),
        "explanations": explanation_views(inputs),
        "explain": inputs.settings.get("explain", "none"),
        "unexplained": unexplained(inputs),
        "galleries": error_galleries(inputs),
        "is_augmented": inputs.is_augmented,
        "augment_validation": inputs.settings["augment_validation"],
        "separations": list(separation_tables(inputs)),
        "side_by_side": list(backbones_side_by_side(inputs)),
        "audit": inputs.audit,
        "audits": audit_rows(inputs),
        "subsets": (*SUBSETS, "all"),
        "rival_tables": rivals,
        "without_leaks": without_leaks(inputs),
        "scorecard": scorecard_view(inputs),
        "claims_file": claims_file(inputs),
        "trainings": list(identity_rows(inputs)),
        "machines": machine_rows(inputs),
        "versions": version_rows(inputs),
        "weights": weight_files(inputs),
        "settings_text": json.dumps(overlay_of(inputs), indent=2, ensure_ascii=False),
    }


def figures(inputs: Inputs) -> dict[str, dict[str, str]]:
    """Experiment to its own plot and those of its median run, each as a `data:` address.

    Raises:
        UserError: plots are missing, one message each.
    """
    places = {
        name: {
            "evaluation": inputs.plots / name / "evaluation.svg",
            **{plot: inputs.plots / name / f"seed_{inputs.median_run(name).seed}" / f"{plot}.svg" for plot in PLOTS},
        }
        for name in inputs.trainings
    }
    files = [file for by_plot in places.values() for file in by_plot.values()]
    raise_all([f"{file}: missing; run the stage that draws it" for file in files if not file.is_file()])
    return {
        name: {plot: words.picture_address(file) for plot, file in by_plot.items()} for name, by_plot in places.items()
    }


def sheets(inputs: Inputs) -> list[dict[str, Any]]:
    """The augmentation sheets; `picture` is a `data:` address, or None if the sheet shows no image."""
    return [
        {**sheet, "picture": words.picture_address(sheet["figure"]) if sheet["shown"] else None}
        for sheet in inputs.sheets
    ]
