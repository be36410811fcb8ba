"""Small data sets for the tests of audits, without image files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from cxrflow.audits.description import describe_data, usable_images
from cxrflow.audits.findings import DataSet
from cxrflow.images.facts import FACTS
from cxrflow.images.listing import KNOWN_OF_IMAGE
from cxrflow.stages.audit_data import audit_data, doubts
from cxrflow.stages.split_images import split_like_keras


def data_set(rows: pd.DataFrame, tasks: Mapping[str, list[str]] | None = None) -> DataSet:
    """A data set with the columns image, class, subset and any others of the index; others are unknown, or all the same.

    Args:
        rows: one row per image.
        tasks: task to classes; by default one task, `one`, with all classes.
    """
    rows = rows.astype({"image": "string", "class": object, "subset": object})
    rows = rows.assign(**{name: None for name in (*KNOWN_OF_IMAGE, *FACTS) if name not in rows})
    rows["sha256"] = rows["sha256"].fillna(rows["image"])
    usual: dict[str, Any] = {"width": 300, "height": 200, "mode": "L", "colour": 0.0, "status": "ok"}
    for name, value in usual.items():
        rows[name] = rows[name].fillna(value) if rows[name].notna().any() else value
    rows = rows.astype({**FACTS, **dict.fromkeys(KNOWN_OF_IMAGE, "string")})
    rows["subset_folder"] = rows["subset"].map({"test": "test"}).fillna("train")
    rows["folder"] = rows["subset_folder"] + "/" + rows["class"]
    tasks = {"one": sorted(set(rows["class"]))} if tasks is None else tasks
    splits = {task: rows[rows["class"].isin(classes)] for task, classes in tasks.items()}
    return DataSet(
        rows.drop(columns="subset"),
        {task: part[["image", "class", "subset", "patient"]].fillna("") for task, part in splits.items()},
        {task: list(classes) for task, classes in tasks.items()},
        {},
    )


def doubts_about(index: pd.DataFrame) -> list[str]:
    """What the audits say about an index of images whose split is that of their folders."""
    used = usable_images(index)
    used = used.assign(**{name: pd.array([None] * len(used), "string") for name in KNOWN_OF_IMAGE if name not in used})
    subset = used["subset_folder"].map({"test": "test", "validation": "validation"}).fillna("training")
    split = used[["image", "class"]].assign(subset=subset)
    data = DataSet(used, {"all": split}, {"all": sorted(set(used["class"]))}, {})
    return doubts(describe_data(index), audit_data(data, ["patients", "duplicates", "confounders"]))


def study_data_set(project: Path) -> DataSet:
    """The study's data set as far as its list of images says, with its split: all 306 images, without pixels."""
    rows = pd.read_csv(project / "studies/sha_2021/images.csv", dtype="string").rename(columns={"path": "image"})
    parts = rows["image"].str.split("/")
    index = rows.assign(status="ok", subset_folder=parts.str[0], **{"class": parts.str[1]})
    tasks = {"binary": ["covid", "normal"], "multiclass": ["covid", "normal", "pneumonia_bac", "pneumonia_vir"]}
    subsets = pd.concat([split_like_keras(index, classes, 0.2) for classes in tasks.values()]).drop_duplicates("image")
    return data_set(rows.drop(columns="subset").merge(subsets[["image", "class", "subset"]], on="image"), tasks)
