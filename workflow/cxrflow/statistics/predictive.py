"""What runs say about one more run, and how often a rule holds: predictive sets, and exact intervals of k of n."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import betabinom

from cxrflow.statistics.intervals import TOLERANCE, UndefinedError, clopper_pearson, prediction_interval

SHARE = 0.95


def decided(holds: int, cases: int, above: float = 0.5) -> Literal["most", "few"] | None:
    """Whether a rule that holds in k of n runs holds in more than half of all possible ones.

    Args:
        holds: k, 0 to `cases`.
        cases: n, at least 1.
        above: a larger share that `most` must exceed, too.

    Returns:
        `most` if the lower end of `clopper_pearson` is above 0.5 (6 of 6, 8 of 9) and `above`, `few` if its upper end is below
        0.5, else None. The error is at most 2.5 % each, if n was fixed before the runs were judged.
    """
    low, high = clopper_pearson(holds, cases)
    return "most" if low > max(0.5, above) else "few" if high < 0.5 else None


def predictive_counts(counts: ArrayLike, of: int) -> tuple[int, int]:
    """The numbers of correct images, of as many, that 95 % of further runs are expected to have.

    It has the most probable counts of a beta-binomial distribution, the predictive distribution for independent images with
    Jeffreys' prior, and all counts within Student's prediction interval of the runs' counts, rounded. The first covers runs
    that err on the same images, and is never a single count only because all runs are equal; alone, it contains as few as
    half of the next counts if runs also differ as wholes. benchmarks/coverage.py measures the coverage of both together.

    Args:
        counts: correct images of each run, shape (n,), 0 to `of`.
        of: the number of images, the same for all runs.

    Returns:
        The smallest and the largest of them, 0 to `of`.

    Raises:
        UndefinedError: there are fewer than two runs, or no images.
    """
    numbers = np.asarray(counts, dtype=np.float64)
    runs = len(numbers)
    if runs < 2 or of < 1:
        raise UndefinedError("a predictive set needs at least two runs" if runs < 2 else "no images")
    right, wrong = numbers.sum() + 0.5, runs * of - numbers.sum() + 0.5
    probabilities = betabinom.pmf(np.arange(of + 1), of, right, wrong)
    order = np.argsort(-probabilities, kind="stable")
    chosen = order[: int(np.searchsorted(np.cumsum(probabilities[order]), SHARE - TOLERANCE)) + 1]
    low, high = prediction_interval(numbers)
    return (
        max(min(int(chosen.min()), int(np.ceil(low - 0.5))), 0),
        min(max(int(chosen.max()), int(np.floor(high + 0.5))), of),
    )


def predictive_loss(losses: ArrayLike) -> tuple[float, float]:
    """The losses that 95 % of further runs are expected to have: Student's prediction interval of their square roots.

    Losses are skewed. With square roots, the interval is narrower than with logarithms, and contains as many further losses;
    without either, it is too narrow and may begin below 0. benchmarks/coverage.py measures the coverage.

    Args:
        losses: one for each run, shape (n,), at least 0.

    Returns:
        Lower and upper end, at least 0.

    Raises:
        UndefinedError: there are fewer than two runs, a loss is below 0, or all are equal, so that they show no spread.
    """
    numbers = np.asarray(losses, dtype=np.float64)
    if len(numbers) < 2:
        raise UndefinedError("a predictive interval needs at least two runs")
    if not (numbers >= 0).all():
        raise UndefinedError("a loss is below 0")
    if np.ptp(numbers) < TOLERANCE * numbers.max():
        raise UndefinedError(f"all {len(numbers)} runs have the same loss, so that their spread is unknown")
    low, high = prediction_interval(np.sqrt(numbers))
    return max(low, 0.0) ** 2, high**2
