"""Simulate the coverage of intervals and the size of tests for images of patients, and print tables.

Everything is drawn with fixed seeds. `--only` selects single tables; all of them take roughly an hour.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from cxrflow.io.command import stage_parser
from cxrflow.statistics.auroc import auroc_interval, average_precision_interval
from cxrflow.statistics.bootstrap import mean_interval, mean_loss_interval, metric_interval, resampled_patients
from cxrflow.statistics.comparison import compare_over_seeds, exact_mcnemar, independent_difference
from cxrflow.statistics.folds import corrected_t_test, fold_mean_interval
from cxrflow.statistics.intervals import (
    Interval,
    UndefinedError,
    clustered_wilson,
    crossed_bootstrap,
    prediction_interval,
    share_interval,
    wilson_interval,
)
from cxrflow.statistics.metrics import label_metrics
from cxrflow.statistics.permutation import max_test_against_chance, paired_max_test, permuted_labels
from cxrflow.statistics.predictive import decided, predictive_counts, predictive_loss
from cxrflow.statistics.seeds import seed_mean_interval
from numpy.typing import NDArray
from scipy.stats import binom, norm
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedGroupKFold

IMAGES_OF_PATIENTS = {
    18: [2, 2, 2, 2, 1] + [1] * 9,
    36: [2, 2, 2, 2, 1] * 2 + [1] * 18,
    150: [4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2] + [1] * 120,
}
"""Number of images to the images of each patient; the first is the test set of sha_2021: 9 images of 5 patients, and 9."""


def clustered_draws(sizes: list[int], share: float, correlation: float, draws: int, seed: int) -> NDArray[np.float64]:
    """Draw images that are correct (1) or not (0), shape (draws, images).

    With the probability `correlation`, all images of a patient are alike; otherwise they are independent.
    """
    random = np.random.default_rng(seed)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    common = random.random((draws, len(sizes))) < share
    is_alike = random.random((draws, len(sizes))) < correlation
    own = random.random((draws, len(patients))) < share
    return np.where(is_alike[:, patients], common[:, patients], own).astype(np.float64)


def coverage(sizes: list[int], share: float, correlation: float, draws: int) -> tuple[float, float]:
    """Return the share of intervals that contain the true share: `clustered_wilson`, and Wilson's for independent images."""
    patients = np.repeat(np.arange(len(sizes)), sizes)
    inside = np.zeros(2)
    for correct in clustered_draws(sizes, share, correlation, draws, seed=1):
        intervals = clustered_wilson(correct, patients), wilson_interval(float(correct.sum()), len(correct))
        inside += [low <= share <= high for low, high in intervals]
    return float(inside[0] / draws), float(inside[1] / draws)


def size_of_paired_test(sizes: list[int], rivals: int, draws: int, share: float = 0.7) -> float:
    """Return how often any of many rivals, as good as the network, seems different: its p-value is at most 0.05."""
    patients = np.repeat(np.arange(len(sizes)), sizes)
    found = 0
    for draw in range(draws):
        correct = clustered_draws(sizes, share, 0.7, rivals + 1, seed=draw)
        _, p_values = paired_max_test(correct[0], correct[1:], patients)
        found += bool(p_values.min() <= 0.05)
    return found / draws


def excess(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return accuracy - share of the largest class, shape (rivals,), for predictions of shape (rivals, images)."""
    return np.mean(predicted == labels, axis=1) - np.bincount(labels).max() / len(labels)


def cross_validated(
    features: NDArray[np.float64], labels: NDArray[np.int64], patients: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Predict each image from the other folds by its nearest neighbour.

    Args:
        features: shape (rivals, images, features).
        labels, patients: shape (images,).
        seed: of the folds.

    Returns:
        Shape (rivals, images).
    """
    predicted = np.zeros(features.shape[:2], np.int64)
    for training, test in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, patients):
        distances = ((features[:, test, None] - features[:, None, training]) ** 2).sum(axis=3)
        predicted[:, test] = labels[training][distances.argmin(axis=2)]
    return predicted


def sizes_of_chance_test(sizes: list[int], rivals: int, draws: int, permutations: int = 39) -> tuple[float, float]:
    """Return how often any rival seems better than chance although labels are random.

    Returns:
        For labels that are permuted against fixed predictions, and for cross-validations that are repeated for permuted labels.
    """
    patients = np.repeat(np.arange(len(sizes)), sizes)
    found = np.zeros(2)
    for draw in range(draws):
        random = np.random.default_rng(draw)
        labels = random.permutation(np.arange(len(sizes)) % 2)[patients]
        features = random.normal(size=(rivals, len(sizes), 2))[:, patients]
        predicted = cross_validated(features, labels, patients, 0)
        fixed, repeated = [], []
        for seed in range(1, permutations + 1):
            permuted = permuted_labels(labels, patients, seed)
            fixed.append(excess(predicted, permuted))
            repeated.append(excess(cross_validated(features, permuted, patients, seed), permuted))
        observed = excess(predicted, labels)
        found += [max_test_against_chance(observed, np.array(null)).min() <= 0.05 for null in (fixed, repeated)]
    return float(found[0] / draws), float(found[1] / draws)


def coverage_table(draws: int) -> Iterator[str]:
    yield "images  patients  true share  alike  clustered_wilson  wilson_interval"
    for images, sizes in IMAGES_OF_PATIENTS.items():
        for share in (0.5, 0.7, 0.85, 0.95):
            for correlation in (0.0, 0.5, 1.0):
                ours, theirs = coverage(sizes, share, correlation, draws)
                yield f"{images:6}  {len(sizes):8}  {share:10}  {correlation:5}  {ours:16.3f}  {theirs:15.3f}"


def paired_table(draws: int) -> Iterator[str]:
    yield "images  rivals  size of paired_max_test"
    for images, rivals in ((18, 1), (18, 11), (36, 11)):
        yield f"{images:6}  {rivals:6}  {size_of_paired_test(IMAGES_OF_PATIENTS[images], rivals, draws // 4):.3f}"


def chance_table(draws: int) -> Iterator[str]:
    yield "images  rivals  size with fixed predictions  size of max_test_against_chance"
    for images, rivals in ((18, 11), (36, 11)):
        fixed, again = sizes_of_chance_test(IMAGES_OF_PATIENTS[images], rivals, draws // 5)
        yield f"{images:6}  {rivals:6}  {fixed:27.3f}  {again:31.3f}"


@dataclass(frozen=True)
class Runs:
    """How runs differ: shares of the variance of an image's logit in a run, which add up to 1 with that of single predictions.

    `images` are effects of images and patients that all networks share, `own` those of one experiment, `seeds` those of a run.
    """

    images: float
    own: float
    seeds: float


RUNS = {
    "difficult images": Runs(0.4, 0.3, 0.02),
    "lucky seeds": Runs(0.3, 0.1, 0.3),
    "only noise": Runs(0.05, 0.05, 0.05),
    "equal experiments": Runs(0.6, 0.0, 0.1),
}
SEEDS = (2, 3, 5, 20)


def right_predictions(
    sizes: list[int], seeds: int, accuracy: float, runs: Runs, draws: int, experiments: int = 1
) -> NDArray[np.float64]:
    """Draw whether runs classify images of patients correctly, shape (draws, experiments, seeds, images).

    Half of the variance between images is between patients. All experiments have the same expected accuracy.
    """
    random = np.random.default_rng(seeds)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    noise = 1 - runs.images - runs.own - runs.seeds
    logits = np.full((draws, experiments, seeds, len(patients)), norm.ppf(accuracy))
    for variance, count in ((runs.images, 1), (runs.own, experiments)):
        of_patients = random.normal(size=(draws, count, 1, len(sizes)))[..., patients]
        logits += np.sqrt(variance / 2) * (of_patients + random.normal(size=(draws, count, 1, len(patients))))
    logits += np.sqrt(runs.seeds) * random.normal(size=(draws, experiments, seeds, 1))
    return (logits + np.sqrt(noise) * random.normal(size=logits.shape) > 0).astype(np.float64)


def shown(inside: Sequence[bool | None]) -> str:
    """The share of intervals that contain the true value, of those that are given; `unusable` if there are none."""
    given = [one for one in inside if one is not None]
    missing = f" ({1 - len(given) / len(inside):.0%} none)" if len(given) < len(inside) else ""
    return f"{np.mean(given):.3f}{missing}" if given else "unusable"


def contains(true: float, method: Callable[..., Interval | tuple[float, float]], *arguments: object) -> bool | None:
    """Whether the interval of a method contains the true value; None if there is no interval."""
    try:
        found = method(*arguments)
    except UndefinedError:
        return None
    low, high = (found.low, found.high) if isinstance(found, Interval) else found
    return low <= true <= high


def seeds_table(draws: int) -> Iterator[str]:
    yield "images  seeds  accuracy  runs               seed_mean_interval  crossed_bootstrap"
    for images in (18, 36):
        patients = np.repeat(np.arange(len(IMAGES_OF_PATIENTS[images])), IMAGES_OF_PATIENTS[images])
        for seeds in SEEDS:
            for accuracy in (0.6, 0.85, 0.95):
                for name, runs in RUNS.items():
                    drawn = right_predictions(IMAGES_OF_PATIENTS[images], seeds, accuracy, runs, draws)[:, 0]
                    ours = [contains(accuracy, seed_mean_interval, table, patients) for table in drawn]
                    theirs = [
                        contains(accuracy, crossed_bootstrap, table, patients, 400) for table in drawn[: draws // 8]
                    ]
                    yield f"{images:6}  {seeds:5}  {accuracy:8}  {name:17}  {shown(ours):18}  {shown(theirs)}"


def compare_table(draws: int) -> Iterator[str]:
    yield "images  seeds  accuracy  runs               compare_over_seeds  crossed_bootstrap  seed 0 only: patient permutation"
    for images in (18, 36):
        patients = np.repeat(np.arange(len(IMAGES_OF_PATIENTS[images])), IMAGES_OF_PATIENTS[images])
        for seeds in SEEDS:
            for accuracy in (0.6, 0.75, 0.95):
                for name, runs in RUNS.items():
                    drawn = right_predictions(IMAGES_OF_PATIENTS[images], seeds, accuracy, runs, draws, 2)
                    found: list[bool | None] = []
                    excluded, single = [], []
                    for place, (one, other) in enumerate(drawn):
                        try:
                            found.append(compare_over_seeds(one - other, patients).is_significant)
                        except UndefinedError:
                            found.append(None)
                        if place < draws // 8:
                            excluded.append(not contains(0.0, crossed_bootstrap, one - other, patients, 400))
                            single.append(paired_max_test(one[0], other[:1], patients)[1][0] <= 0.05)
                    texts = f"{shown(found):18}  {np.mean(excluded):17.3f}  {np.mean(single):.3f}"
                    yield f"{images:6}  {seeds:5}  {accuracy:8}  {name:17}  {texts}"


def mcnemar_table(draws: int) -> Iterator[str]:
    yield "images  accuracy  size of exact_mcnemar, independent images  of images of patients"
    for images in (18, 36, 150):
        for accuracy in (0.6, 0.85):
            sizes = []
            for of_patients in ([1] * images, IMAGES_OF_PATIENTS[images]):
                drawn = right_predictions(of_patients, 1, accuracy, Runs(0.2, 0.7, 0.0), draws, 2)[:, :, 0]
                sizes.append(np.mean([exact_mcnemar(one, other)[2] <= 0.05 for one, other in drawn]))
            yield f"{images:6}  {accuracy:8}  {sizes[0]:43.3f}  {sizes[1]:.3f}"


METRICS = ("balanced_accuracy", "macro_f1", "kappa", "matthews")
PATIENTS_OF_CLASSES = {
    18: [[2, 2, 2, 2, 1], [1] * 9],
    36: [[2, 2, 2, 2, 1], [1] * 9, [1] * 9, [2, 1, 1, 1, 1, 1, 1, 1]],
    150: [[4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2] + [1] * 45, [2] * 8 + [1] * 59],
    300: [[2] * 30 + [1] * 90, [2] * 20 + [1] * 110],
}
"""Number of images to the images of each patient of each class."""


def metric(name: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda matrices: label_metrics(matrices)[name]


def metrics_table(draws: int) -> Iterator[str]:
    yield f"images  classes  accuracy  alike  metric_interval of {'  '.join(METRICS)}"
    for images, of_classes in PATIENTS_OF_CLASSES.items():
        sizes, classes = [size for one in of_classes for size in one], len(of_classes)
        patients = np.repeat(np.arange(len(sizes)), sizes)
        truth = np.repeat(np.arange(classes), [sum(one) for one in of_classes])
        for accuracy in (0.6, 0.85, 0.95):
            for correlation in (0.0, 0.7):
                random = np.random.default_rng(0)
                # A wrong prediction is one of the other classes; alike images of a patient share it.
                expected = np.full((classes, classes), (1 - accuracy) / (classes - 1))
                np.fill_diagonal(expected, accuracy)
                true = label_metrics(expected * np.bincount(truth)[:, None])
                inside: dict[str, list[bool | None]] = {name: [] for name in METRICS}
                right = clustered_draws(sizes, accuracy, correlation, draws // 4, seed=1)
                for row in right:
                    other = (truth + random.integers(1, classes, len(sizes))[patients]) % classes
                    predicted = np.where(row > 0, truth, other)
                    for name in METRICS:
                        own = contains(
                            float(true[name]), metric_interval, metric(name), truth, predicted, classes, patients
                        )
                        inside[name].append(own)
                texts = "  ".join(shown(one) for one in inside.values())
                yield f"{images:6}  {classes:7}  {accuracy:8}  {correlation:5}  {texts}"


def auroc_table(draws: int) -> Iterator[str]:
    yield "images  of the class  AUC  alike  auroc_interval  average_precision_interval"
    for images, (of_class, others) in {
        18: PATIENTS_OF_CLASSES[18],
        36: (PATIENTS_OF_CLASSES[36][0], [size for one in PATIENTS_OF_CLASSES[36][1:] for size in one]),
        150: PATIENTS_OF_CLASSES[150],
    }.items():
        sizes = [*of_class, *others]
        patients, truth = np.repeat(np.arange(len(sizes)), sizes), np.arange(images) < sum(of_class)
        for auc in (0.6, 0.8, 0.9, 0.97):
            for correlation in (0.0, 0.7):
                random = np.random.default_rng(1)
                inside, of_precision = [], []
                many = np.random.default_rng(2).normal(size=400_000)
                is_class = np.arange(len(many)) < len(many) * sum(of_class) / images
                precision = average_precision_score(is_class, many + is_class * norm.ppf(auc) * np.sqrt(2))
                for _ in range(draws // 2):
                    common = random.normal(size=len(sizes))[patients]
                    scores = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * random.normal(size=images)
                    scores += truth * norm.ppf(auc) * np.sqrt(2)
                    inside.append(contains(auc, auroc_interval, truth, scores, patients))
                    of_precision.append(contains(precision, average_precision_interval, truth, scores, patients))
                texts = f"{shown(inside):14}  {shown(of_precision)}"
                yield f"{images:6}  {sum(of_class):12}  {auc:4}  {correlation:5}  {texts}"


def drop_table(draws: int) -> Iterator[str]:
    """Accuracies on 18 test images, and on those of an external test, of 36 or 100 images of fewer patients."""
    yield "external images  patients  accuracy  external accuracy  alike  independent_difference  resampled patients"
    sizes = IMAGES_OF_PATIENTS[18]
    patients = np.repeat(np.arange(len(sizes)), sizes)
    for others in (IMAGES_OF_PATIENTS[36], [4, 4, 3, 3, 2, 2, 2, 2, 2, 2] + [1] * 74):
        of_others = np.repeat(np.arange(len(others)), others)
        for share, external in ((0.6, 0.6), (0.85, 0.85), (0.95, 0.95), (0.85, 0.6), (0.95, 0.75)):
            for correlation in (0.0, 0.5, 1.0):
                found: list[bool | None] = []
                resampled: list[bool | None] = []
                pairs = zip(
                    clustered_draws(sizes, share, correlation, draws, seed=1),
                    clustered_draws(others, external, correlation, draws, seed=2),
                    strict=True,
                )
                for one, other in pairs:
                    arguments = (one, patients, other, of_others)
                    found.append(contains(share - external, _drop_of_shares, *arguments))
                    if len(resampled) < draws // 8:
                        resampled.append(contains(share - external, _resampled_drop, *arguments))
                texts = f"{shown(found):22}  {shown(resampled)}"
                yield f"{len(of_others):15}  {len(others):8}  {share:8}  {external:17}  {correlation:5}  {texts}"


def _drop_of_shares(
    one: NDArray[np.float64], patients: NDArray[np.int64], other: NDArray[np.float64], of_others: NDArray[np.int64]
) -> Interval:
    intervals = share_interval(one, patients), share_interval(other, of_others)
    return independent_difference(float(one.mean()), intervals[0], float(other.mean()), intervals[1])


def _resampled_drop(
    one: NDArray[np.float64], patients: NDArray[np.int64], other: NDArray[np.float64], of_others: NDArray[np.int64]
) -> tuple[float, float]:
    means: list[NDArray[np.float64]] = []
    for values, groups in ((one, patients), (other, of_others)):
        weights = resampled_patients(np.zeros(len(values)), groups, 400, seed=len(means))
        means.append(weights @ values / weights.sum(axis=1))
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return float(low), float(high)


LOGITS = ((1, 1), (2, 2), (4, 3), (5, 2), (8, 6))
"""Mean and standard deviation of the logit of an image's own class: from hardly trained to sure and sometimes wrong."""


def losses_table(draws: int) -> Iterator[str]:
    yield "patients  logits  alike  mean_loss_interval"
    for patients_wanted in (50, 100, 150):
        sizes = ([4, 3, 2, 2, 2, 2] + [1] * 200)[:patients_wanted]
        patients = np.repeat(np.arange(len(sizes)), sizes)
        for mean, spread in LOGITS:
            true = float(np.mean(np.logaddexp(0, -np.random.default_rng(9).normal(mean, spread, 2_000_000))))
            for correlation in (0.0, 0.7):
                random = np.random.default_rng(2)
                inside = []
                for _ in range(draws // 4):
                    common = np.sqrt(correlation) * random.normal(size=len(sizes))[patients]
                    own = common + np.sqrt(1 - correlation) * random.normal(size=len(patients))
                    losses = np.logaddexp(0, -mean - spread * own)
                    inside.append(contains(true, mean_loss_interval, losses, patients, 1000))
                yield f"{len(sizes):8}  {mean}, {spread}  {correlation:5}  {shown(inside)}"


def means_table(draws: int) -> Iterator[str]:
    """Shares among five neighbours: binomial numbers, with a beta distribution of probabilities between patients."""
    yield "classes  patients  share  mean_interval of one class  of all"
    for classes in (1, 4, 12):
        for patients in (6, 10, 30, 100):
            for share, spread in ((0.5, 2.0), (0.8, 1.0), (0.95, 0.5), (0.98, 0.5)):
                random = np.random.default_rng(3)
                of_one: list[bool | None] = []
                of_all: list[bool | None] = []
                sizes = ([4, 3, 2, 2] + [1] * patients)[:patients] * classes
                group = np.repeat(np.arange(len(sizes)), sizes)
                label = group // patients
                for _ in range(draws // 10):
                    alike = random.beta(share * spread, (1 - share) * spread, len(sizes))[group]
                    values = random.binomial(5, alike) / 5
                    one = label == 0
                    of_one.append(contains(share, mean_interval, values[one], label[one], group[one]))
                    of_all.append(contains(share, mean_interval, values, label, group))
                yield f"{classes:7}  {patients:8}  {share:5}  {shown(of_one):>26}  {shown(of_all)}"


def folds_table(draws: int) -> Iterator[str]:
    """A nearest-mean classifier in five folds by patient, repeated four times.

    The truth of a mean over folds is its accuracy after as many images; that of pooled predictions also that of the five
    classifiers themselves.
    """
    yield (
        "images  of a patient  distance  fold_mean_interval  of one repeat  pooled share_interval  for these classifiers  "
        "size of corrected_t_test"
    )
    for images, each in ((36, 1), (36, 2), (100, 1), (100, 2)):
        patient = np.arange(images) // each
        labels = patient % 2
        for distance in (0.5, 1.0, 1.8):
            found, covered, of_one, pooled, of_these, differing = [], [], [], [], [], []
            for draw in range(draws // 10):
                random = np.random.default_rng(draw)
                features = random.normal(size=(2, images, 5))
                if each > 1:
                    features = np.sqrt(0.3) * features + np.sqrt(0.7) * random.normal(size=features.shape)[:, patient]
                features[..., 0] += labels * distance
                tests = [
                    np.flatnonzero(np.isin(patient, fold))
                    for _ in range(4)
                    for fold in np.array_split(random.permutation(images // each), 5)
                ]
                shares = np.array([[_share_right(one, labels, rows) for rows in tests] for one in features])
                found.append((shares, features, tests))
            fresh = np.random.default_rng(999)
            new_labels = np.arange(4000) % 2
            new = fresh.normal(size=(4000, 5))
            new[:, 0] += new_labels * distance
            true = float(np.mean([_accuracy(f[0], labels, tests[0], new, new_labels) for _, f, tests in found]))
            for shares, features, tests in found:
                test = images / 5
                covered.append(contains(true, fold_mean_interval, shares[0], images - test, test))
                of_one.append(contains(true, fold_mean_interval, shares[0][:5], images - test, test))
                right = np.zeros(images)
                for rows in tests[:5]:
                    right[rows] = _is_right(features[0], labels, rows, features[0][rows], labels[rows])
                pooled.append(contains(true, share_interval, right, patient if each > 1 else None))
                own = np.mean([_accuracy(features[0], labels, rows, new, new_labels) for rows in tests[:5]])
                of_these.append(contains(float(own), share_interval, right, patient if each > 1 else None))
                try:
                    differing.append(corrected_t_test(shares[0] - shares[1], images - test, test)[1] <= 0.05)
                except UndefinedError:
                    differing.append(False)
            row = [f"{images:6}  {each:12}  {distance:8}  {shown(covered):18}  {shown(of_one):13}  {shown(pooled):21}"]
            yield "  ".join([*row, f"{shown(of_these):21}", f"{np.mean(differing):.3f}"])


def _is_right(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    left_out: NDArray[np.int64],
    new: NDArray[np.float64],
    new_labels: NDArray[np.int64],
) -> NDArray[np.bool_]:
    trained = np.setdiff1d(np.arange(len(labels)), left_out)
    means = np.stack([features[trained][labels[trained] == place].mean(axis=0) for place in (0, 1)])
    chosen = ((new[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    is_right: NDArray[np.bool_] = chosen == new_labels
    return is_right


def _accuracy(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    left_out: NDArray[np.int64],
    new: NDArray[np.float64],
    new_labels: NDArray[np.int64],
) -> float:
    return float(np.mean(_is_right(features, labels, left_out, new, new_labels)))


def _share_right(features: NDArray[np.float64], labels: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    return _accuracy(features, labels, rows, features[rows], labels[rows])


def outcomes_table(draws: int) -> Iterator[str]:
    yield "images  runs  accuracy  kind               predictive_counts (images)  predictive_loss  Student's interval of losses"
    for images in (18, 36):
        for runs in (5, 10, 20, 40):
            for accuracy in (0.6, 0.85, 0.95):
                for name, kind in RUNS.items():
                    drawn = right_predictions([1] * images, runs + 1, accuracy, kind, draws // 4)[:, 0].sum(axis=2)
                    sets = [predictive_counts(one[:-1], images) for one in drawn]
                    inside = [low <= one[-1] <= high for (low, high), one in zip(sets, drawn, strict=True)]
                    width = np.mean([high - low + 1 for low, high in sets])
                    yield (
                        f"{images:6}  {runs:4}  {accuracy:8}  {name:17}  {shown(inside)} ({width:4.1f})"
                        f"               {_coverage_of_losses(images, runs, accuracy, kind, draws // 2)}"
                    )


def _coverage_of_losses(images: int, runs: int, accuracy: float, kind: Runs, draws: int) -> str:
    random = np.random.default_rng(3)
    spread = 3.0
    logits = spread * norm.ppf(accuracy) + spread * (
        np.sqrt(kind.images + kind.own) * random.normal(size=(draws, 1, images))
        + np.sqrt(kind.seeds) * random.normal(size=(draws, runs + 1, 1))
        + np.sqrt(1 - kind.images - kind.own - kind.seeds) * random.normal(size=(draws, runs + 1, images))
    )
    losses = np.logaddexp(0, -logits).mean(axis=2)
    texts = [
        shown([contains(one[-1], function, one[:-1]) for one in losses])
        for function in (predictive_loss, prediction_interval)
    ]
    return f"{texts[0]:15}  {texts[1]}"


def decided_table(_: int) -> Iterator[str]:
    yield "runs  least k that decides  error of `most` for a rule that holds in half of all runs  power at 0.8  at 0.95"
    for runs in (5, 6, 8, 9, 10, 20, 40):
        least = next((k for k in range(runs + 1) if decided(k, runs) == "most"), runs + 1)
        chances = [float(binom.sf(least - 1, runs, share)) for share in (0.5, 0.8, 0.95)]
        yield f"{runs:4}  {least if least <= runs else '-':>20}  {chances[0]:56.4f}  {chances[1]:12.3f}  {chances[2]:.3f}"


TABLES: dict[str, Callable[[int], Iterator[str]]] = {
    "intervals": coverage_table,
    "paired": paired_table,
    "chance": chance_table,
    "seeds": seeds_table,
    "compare": compare_table,
    "mcnemar": mcnemar_table,
    "metrics": metrics_table,
    "auroc": auroc_table,
    "drop": drop_table,
    "losses": losses_table,
    "means": means_table,
    "folds": folds_table,
    "outcomes": outcomes_table,
    "decided": decided_table,
}


def main() -> None:
    parser = stage_parser(__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="number of simulated data sets for an interval")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES), help="tables to print")
    args = parser.parse_args()
    for name in args.only:
        for line in TABLES[name](args.draws):
            print(line, flush=True)


if __name__ == "__main__":
    main()
