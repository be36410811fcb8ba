"""Small made-up results for tests of claims: histories, metrics, predictions, separations and networks."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cxrflow.claims.load import load_claims
from cxrflow.claims.model import Claim, Judgement
from cxrflow.claims.registry import MEASURES, judge_claim
from cxrflow.claims.results import Results
from cxrflow.claims.table import COLUMNS
from cxrflow.io.files import write_table

METRICS = {"images": 18, "correct": 9, "accuracy": 0.5, "loss": 1.0, "sensitivity": None, "specificity": None}
SEPARATION = {"of": "training_folder", "images": 20, "silhouette": 0.5}


@dataclass
class Made:
    """Made-up results, to which trainings are added."""

    folder: Path
    selected: dict[str, list[int]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=lambda: {"experiments": {}, "augmentation": "none"})
    networks: dict[str, Any] = field(default_factory=lambda: {"experiments": {}, "backbones": {}})
    audit: dict[str, Any] = field(default_factory=dict)
    null_runs: int = 0

    def run(
        self,
        experiment: str = "a",
        seed: int = 0,
        epochs: int = 10,
        right: list[bool] | None = None,
        metrics: dict[str, Any] | None = None,
        separation: dict[str, Any] | None = None,
        selected: tuple[str, int] | None = None,
        seconds: float = 1.0,
        processor: str = "one",
        identity: str = "",
        **curves: Any,
    ) -> "Made":
        """Write a training. Curves are numbers or arrays, by default constant at 0.5. The last epoch is evaluated, unless
        `selected` gives a rule and an epoch."""
        self.selected.setdefault(experiment, []).append(seed)
        self.settings["experiments"].setdefault(experiment, {})
        place = self.folder / "runs" / experiment / f"seed_{seed}"
        place.mkdir(parents=True, exist_ok=True)
        made_history(epochs, **curves).to_csv(place / "history.csv", index=False)
        rule, epoch = selected or ("last", epochs)
        record = {
            "identity": identity,
            "selected_epoch": {"rule": rule, "epoch": epoch},
            "classes": ["x", "y"],
            "images": {"training": 100, "validation": 25},
            **{"hardware": {"processor": processor}, "device": "cpu", "threads": 1},
        }
        write_table(place / "timing.csv", pd.DataFrame({"epoch": range(1, epochs + 1), "seconds": seconds}))
        (place / "training.json").write_text(json.dumps(record))
        if metrics is not None:
            (place / "metrics.json").write_text(json.dumps({**METRICS, **metrics}))
        if separation is not None:
            (place / "separation.json").write_text(json.dumps({**SEPARATION, **separation}))
        if right is not None:
            made_predictions(right).to_csv(place / "predictions.csv", index=False)
        return self

    def runs(self, seeds: int = 6, **content: Any) -> "Made":
        """Write the same training for several seeds, by default as few as can decide."""
        for seed in range(seeds):
            self.run(seed=seed, **content)
        return self

    def results(self, claims: dict[str, Claim] | None = None) -> Results:
        return Results(
            self.folder / "runs",
            self.selected,
            self.settings,
            self.networks,
            self.audit,
            claims if claims else {},
            null_runs=self.null_runs,
            noisy_copies=200 if self.null_runs else 0,
        )

    def claims(self, *rows: dict[str, Any]) -> list[Claim]:
        """Write rows to a CSV and load them as claims."""
        path = self.folder / "claims.csv"
        write_claims(path, *rows)
        return load_claims(path)

    def judge(self, *rows: dict[str, Any]) -> Judgement:
        """Judge the first of these claims."""
        claims = self.claims(*rows)
        return judge_claim(claims[0], self.results({claim.id: claim for claim in claims}))


@dataclass(frozen=True)
class Case:
    """A measure, results for it, and the expected verdict."""

    measure: str
    verdict: str
    make: Callable[[Made], Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    experiment: str = "a"
    value: str = "true"
    this_run: str | None = None
    """A part of the text on this run's value."""
    rows: tuple[dict[str, Any], ...] = ()
    """Other claims, for measures that refer to them."""

    def check(self, folder: Path) -> None:
        made = Made(folder)
        self.make(made)
        judgement = made.judge(
            row(self.measure, self.arguments, experiment=self.experiment, value=self.value), *self.rows
        )
        assert judgement.verdict == self.verdict, judgement
        if self.this_run is not None:
            assert self.this_run in judgement.this_run


def row(measure: str, arguments: dict[str, Any] | None = None, **cells: str) -> dict[str, Any]:
    """A row of a claims CSV, with made-up values for cells that are not given."""
    known = MEASURES.get(measure)
    given = {
        "id": "one",
        "experiment": "a",
        "kind": known.kind if known else "curve",
        "value": "true",
        "statement": "A statement.",
        "measure": measure,
        "arguments": json.dumps(arguments or {}),
    }
    return {**dict.fromkeys(COLUMNS, ""), **given, **cells}


def write_claims(path: Path, *rows: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def made_history(epochs: int, **curves: Any) -> pd.DataFrame:
    columns = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 0.5)
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **columns, **curves})


def made_predictions(right: list[bool]) -> pd.DataFrame:
    """Predictions for the classes x and y. The first half of the images shows x; the prediction is wrong where not right."""
    truth = ["x" if place < len(right) / 2 else "y" for place in range(len(right))]
    chosen = [name if good else {"x": "y", "y": "x"}[name] for name, good in zip(truth, right, strict=True)]
    sure = [0.8 if name == "x" else 0.2 for name in chosen]
    images = [f"test/{name}/{place:02d}.png" for place, name in enumerate(truth)]
    table = pd.DataFrame({"image": images, "class": truth, "predicted": chosen, "p_x": sure})
    return table.assign(p_y=1 - table["p_x"])


def steps(*parts: tuple[int, float]) -> np.ndarray:
    """A curve of constant parts: (epochs, value), one after the other."""
    return np.concatenate([np.full(epochs, value) for epochs, value in parts])


def zigzag(epochs: int, size: float, middle: float = 0.5) -> np.ndarray:
    """A curve that goes up and down by `size` every epoch."""
    return middle + size * (-1.0) ** np.arange(epochs)


def noise(epochs: int, size: float, middle: float = 0.5) -> np.ndarray:
    """Normal noise with standard deviation `size`, the same in each call."""
    return middle + size * np.random.default_rng(0).normal(size=epochs)
