"""The stage that draws phantoms: the same files every time, and classes that only the opacity pattern distinguishes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cxrflow.io.errors import UserError
from cxrflow.phantoms.opacities import choose_patterns
from cxrflow.phantoms.radiograph import draw_film
from cxrflow.stages.make_phantoms import draw_phantom, main, plan_phantoms
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_laplace
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CLASSES = ["covid", "normal", "pneumonia_bac", "pneumonia_vir"]
PATTERNS = choose_patterns(CLASSES, {})
SIDE = 96
"""Image size of the networks in the demo, in pixels."""


def drawn_by_stage(monkeypatch: pytest.MonkeyPatch, folder: Path, *flags: str, classes: list[str] = CLASSES) -> Path:
    arguments = [*flags, "--classes", *classes, "--folder", str(folder / "images"), "--table", str(folder / "t.csv")]
    monkeypatch.setattr(sys, "argv", ["make_phantoms.py", *arguments])
    main()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    images = folder / "images"
    return {path.relative_to(images).as_posix(): path.read_bytes() for path in images.rglob("*") if path.is_file()}


def counts(train: int, test: int, seed: int = 0) -> list[str]:
    return ["--train-per-class", str(train), "--test-per-class", str(test), "--seed", str(seed)]


def test_files_table_and_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = drawn_by_stage(monkeypatch, tmp_path / "a", *counts(2, 1))
    table = pd.read_csv(once / "t.csv")
    files = contents(once)
    assert sorted(table["image"]) == sorted(files) and len(files) == 12
    assert table.groupby(table["image"].str.rpartition("/")[0]).size().to_dict() == {
        f"{subset}/{name}": count for name in CLASSES for subset, count in (("train", 2), ("test", 1))
    }
    assert dict(zip(table["class"], table["finding"], strict=True)) == PATTERNS
    for row in table.itertuples():
        with Image.open(once / "images" / row.image) as picture:
            assert (picture.width, picture.height, picture.mode, picture.format) == (
                row.width, row.height, row.mode, row.format,
            )  # fmt: skip

    # Drawn again in the same folder, and elsewhere with one more image and another first class: the same bytes.
    drawn_by_stage(monkeypatch, once, *counts(2, 1))
    assert contents(once) == files
    more = contents(drawn_by_stage(monkeypatch, tmp_path / "b", *counts(3, 1), classes=["bac", "covid"]))
    assert {image: content for image, content in files.items() if "covid" in image}.items() <= more.items()
    assert len(more) == len(set(more.values())) == 8
    other = contents(drawn_by_stage(monkeypatch, tmp_path / "c", *counts(2, 1, seed=1), classes=["covid"]))
    assert not set(other.values()) & set(files.values())


def test_a_file_does_not_depend_on_its_class() -> None:
    plan = plan_phantoms(PATTERNS, {"train": 30, "test": 10}, seed=3)
    for subset in ("train", "test"):
        forms = [
            [(row["form"], Path(row["image"]).name) for row in plan if row["folder"] == f"{subset}/{name}"]
            for name in CLASSES
        ]
        assert all(form == forms[0] for form in forms)


def test_other_files_in_the_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_by_stage(monkeypatch, tmp_path, *counts(2, 1), classes=["normal"])
    with pytest.raises(
        UserError, match="contains 1 files that are not part of this set of phantoms, such as train/normal/"
    ):
        drawn_by_stage(monkeypatch, tmp_path, *counts(1, 1), classes=["normal"])


def test_patterns_of_names() -> None:
    assert PATTERNS == {
        "covid": "ground_glass",
        "normal": "none",
        "pneumonia_bac": "consolidation",
        "pneumonia_vir": "interstitial",
    }
    assert choose_patterns(["Viral", "well"], {"well": "none"}) == {"Viral": "interstitial", "well": "none"}
    assert choose_patterns(["covid"], {"covid": "consolidation"}) == {"covid": "consolidation"}


@pytest.mark.parametrize(
    ("classes", "named", "message"),
    [
        (["flu"], {}, "'flu' has no pattern .*covid -> ground_glass, normal -> none, .*--patterns flu=PATTERN"),
        (["covid_virus"], {}, "has more than one pattern"),
        (["covid"], {"covid": "ground_gloss"}, "no pattern 'ground_gloss'; did you mean 'ground_glass'"),
        (["covid"], {"cowid": "none"}, "no class 'cowid'; did you mean 'covid'"),
        (["a/normal"], {}, "cannot be the name of a folder"),
        (["normal", "normal"], {}, "given twice"),
    ],
)
def test_errors_of_classes(classes: list[str], named: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_patterns(classes, named)


def test_counts_below_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--test-per-class: 0 is less than 1"):
        drawn_by_stage(monkeypatch, tmp_path, *counts(1, 0))


def test_as_a_program(tmp_path: Path) -> None:
    """It runs as a program, uses no code outside its hash, and reports an error in one line."""
    places = ["--folder", str(tmp_path / "images"), "--table", str(tmp_path / "t.csv")]
    command = [sys.executable, "-m", "cxrflow.stages.make_phantoms", *counts(1, 1), *places, "--classes"]
    good = subprocess.run([*command, "normal"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr, len(contents(tmp_path))) == (0, "", 2)
    bad = subprocess.run([*command, "flu"], capture_output=True, text=True, check=False)
    assert bad.returncode == 1 and bad.stderr.startswith("error: --classes: the name 'flu'")
    assert bad.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def films_and_lungs() -> tuple[list[str], list[np.ndarray], list[list[np.ndarray]]]:
    """Classes, films in the size of the demo's networks, and their lungs: twenty of each class."""
    names, films, lungs = [], [], []
    for row in plan_phantoms(PATTERNS, {"train": 20}, seed=0):
        film = draw_film(row["finding"], "phantom", row["seed"], row["folder"], row["number"])
        form = row["form"]
        picture = Image.fromarray(film.grey).resize((form.width, form.height), Image.Resampling.BICUBIC)
        films.append(np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), np.float32))
        small = [Image.fromarray(lung).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for lung in film.lungs]
        lungs.append([np.asarray(lung) > 0.9 for lung in small])
        names.append(row["class"])
    return names, films, lungs


def accuracy(features: list[np.ndarray], classes: list[str]) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=3, max_iter=3000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(model, np.array(features), np.array(classes), cv=folds).mean())


def texture(film: np.ndarray, lungs: list[np.ndarray]) -> np.ndarray:
    """Ten numbers on brightness, spread and fine structure of the lungs and on their difference, all invariant to rotation."""
    body = film[film > 25]
    film = (film - np.median(body)) / np.subtract(*np.percentile(body, [90, 10]))
    smooth = gaussian_filter(film, 3)
    fine = [np.abs(gaussian_laplace(film, scale)) * scale**2 for scale in (1.2, 2.5)]
    sides = np.array(
        [
            [smooth[lung].mean(), *np.percentile(smooth[lung], [10, 90]), smooth[lung].std()]
            + [one[lung].mean() for one in fine]
            for lung in lungs
        ]
    )
    return np.concatenate([sides.mean(axis=0), np.abs(sides[0] - sides[1])[[0, 1, 3, 5]]])


def test_texture_predicts_the_class(films_and_lungs: tuple) -> None:
    classes, films, lungs = films_and_lungs
    assert accuracy([texture(film, pair) for film, pair in zip(films, lungs, strict=True)], classes) > 0.95


def test_grey_levels_do_not_predict_the_class(films_and_lungs: tuple) -> None:
    """Chance is 0.25; over 80 films its standard deviation is 0.05."""
    classes, films, _ = films_and_lungs
    assert accuracy([np.array([film.mean(), film.std()]) for film in films], classes) < 0.45
    assert accuracy([np.histogram(film, 16, (0, 256))[0] for film in films], classes) < 0.45


def test_a_row_of_the_table_describes_the_image() -> None:
    row = next(row for row in plan_phantoms(PATTERNS, {"test": 1}, seed=5) if row["class"] == "pneumonia_bac")
    content, parameters = draw_phantom(row)
    assert content == draw_phantom(row)[0]
    assert parameters["image"].startswith("test/pneumonia_bac/phantom_0001.")
    assert (parameters["finding"], parameters["seed"], parameters["number"]) == ("consolidation", 5, 1)
    assert (
        parameters["side"] in ("right", "left")
        and 0.1 < parameters["extent"] < 0.4
        and abs(parameters["rotation_degrees"]) < 15
    )
