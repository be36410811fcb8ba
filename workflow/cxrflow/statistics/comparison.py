"""Two networks on the same test images: which is more accurate, and what so many images could show at all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, binomtest, norm

from cxrflow.statistics.intervals import TOLERANCE, Interval, counted_images
from cxrflow.statistics.permutation import paired_max_test
from cxrflow.statistics.seeds import crossed_mean

Numbers = NDArray[np.float64]

LEVEL = 0.05
POWER = 0.8
MOST_IMAGES = 20_000
"""The search for a number of images ends here."""


def exact_mcnemar(first: ArrayLike, second: ArrayLike) -> tuple[int, int, float]:
    """Compare two classifiers on the same independent images by McNemar's exact test.

    Args:
        first, second: shape (images,), whether each image is classified correctly.

    Returns:
        Images that only the first, and only the second classifies correctly, and the two-sided p-value; 1 without such images.
    """
    one, other = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return only_first, only_second, _p_of_signs(only_first, only_second)


def independent_difference(first: float, of_first: Interval, second: float, of_second: Interval) -> Interval:
    """95 % interval of a difference of two metrics on different images of different patients, such as two test sets.

    The method of variance estimates recovery takes the distances from each metric to the ends of its own interval, which may be
    asymmetric, in place of standard errors. For Wilson's intervals of two shares it is Newcombe's hybrid score interval.

    Sources: R. G. Newcombe, "Interval estimation for the difference between independent proportions", Stat. Med. 17 (1998),
    method 10; G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach", Stat.
    Med. 27 (2008).

    Args:
        first, second: the metrics; the difference is first - second.
        of_first, of_second: their intervals, which contain them.
    """
    difference = first - second
    low = difference - float(np.hypot(first - of_first.low, of_second.high - second))
    high = difference + float(np.hypot(of_first.high - first, second - of_second.low))
    return Interval(low, high, "hybrid score (MOVER)", f"{of_first.counts}; {of_second.counts}")


@dataclass(frozen=True)
class SeedComparison:
    """Two experiments compared over seeds and images, see `compare_over_seeds`."""

    difference: float
    """Mean difference of the accuracies, -1 to 1."""
    interval: Interval
    """Of the difference, within -1 to 1."""
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether the two differ at the 5 % level."""
        return self.p_value <= LEVEL


def compare_over_seeds(differences: ArrayLike, groups: ArrayLike | None = None) -> SeedComparison:
    """Test whether two experiments are equally accurate, for other seeds and other patients.

    The p-value is the larger one of two: that of Student's t with the variance of `crossed_mean`, and that of the
    permutation test that exchanges the two experiments patient by patient (`paired_max_test`), which is exact but knows
    nothing of seeds. Its size is at most 5 % from three seeds on, where a bootstrap over seeds and images has up to 15 %
    (benchmarks/coverage.py). If there is no spread at all, the interval is the exact one of as many patients.

    Args:
        differences: shape (seeds, images), -1 to 1: first minus second, each 1 for a correct image and 0 for a wrong one.
        groups: shape (images,), the patient of each image; by default each image is a patient.

    Raises:
        UndefinedError: there are fewer than three seeds, or fewer than two patients.
    """
    table = np.asarray(differences, dtype=np.float64)
    seeds, images = table.shape
    found = crossed_mean(table, groups)
    patients = np.arange(images) if groups is None else np.asarray(groups)
    p_permuted = float(paired_max_test(table.mean(axis=0), np.zeros((1, images)), patients)[1][0])
    if found.standard_error > 0:
        half = found.quantile() * found.standard_error
        low, high, method = max(found.mean - half, -1.0), min(found.mean + half, 1.0), "crossed t, seeds and patients"
    else:  # all differences are 1, 0 or -1
        edge, method = 0.025 ** (1 / (found.freedom[0] + 1)), "Clopper-Pearson, patients"
        low, high = (edge - 1, 1 - edge) if abs(found.mean) < TOLERANCE else (2 * edge - 1, 1.0)
        low, high = (-high, -low) if found.mean < -TOLERANCE else (low, high)
    interval = Interval(low, high, method, f"{counted_images(images, groups)}, {seeds} seeds")
    return SeedComparison(found.mean, interval, max(found.p_value(), p_permuted))


def least_significant_discordance(against: int = 0, level: float = LEVEL) -> int:
    """The fewest images that only one network classifies correctly, against those of the other, for p <= level: 6 against 0."""
    found = against
    while _p_of_signs(found, against) > level:
        found += 1
    return found


def mcnemar_power(images: int, first: float, second: float, level: float = LEVEL) -> float:
    """Probability that McNemar's exact test finds a difference, if errors of the two networks are independent.

    Networks that err on the same images differ on fewer of them, and the power is higher; this is the cautious assumption for
    two accuracies of which nothing else is known.

    Args:
        images: number of test images.
        first, second: true accuracies, 0 to 1.
        level: of the two-sided test.

    Source: the unconditional power of the exact conditional test, S. W. Duffy, "Asymptotic and exact power for the McNemar
    test and its analogue with R controls per case", Biometrics 40 (1984).
    """
    only_first, only_second = first * (1 - second), second * (1 - first)
    discordant = only_first + only_second
    if discordant == 0:
        return 0.0
    counts = np.arange(images + 1)
    weights = binom.pmf(counts, images, discordant)
    # The largest number of the rarer kind that is significant; -1 where none is.
    most = binom.ppf(level / 2, counts, 0.5)
    most = np.where(2 * binom.cdf(most, counts, 0.5) <= level, most, most - 1)
    share = only_first / discordant
    found = binom.cdf(most, counts, share) + binom.sf(counts - most - 1, counts, share)
    return float(np.sum(weights * np.where(most >= 0, found, 0.0)))


def images_needed(first: float, second: float, power: float = POWER, level: float = LEVEL) -> int | None:
    """The fewest test images with which McNemar's exact test has this power, see `mcnemar_power`.

    Returns:
        None if the accuracies are equal, or so similar that 20,000 images are too few.
    """
    only_first, only_second = first * (1 - second), second * (1 - first)
    if abs(only_first - only_second) < TOLERANCE:
        return None
    discordant, gap = only_first + only_second, abs(only_first - only_second)
    # The normal approximation is slightly too low; start the search well below it.
    z_level, z_power = norm.ppf(1 - level / 2), norm.ppf(power)
    near = (z_level * np.sqrt(discordant) + z_power * np.sqrt(max(discordant - gap**2, 0.0))) ** 2 / gap**2
    if near > MOST_IMAGES:
        return None
    images = max(1, int(0.8 * near))
    while mcnemar_power(images, first, second, level) >= power and images > 1:
        images -= 1
    while mcnemar_power(images, first, second, level) < power:
        images += 1
    return images


def power_sentence(images: int, first: float, second: float) -> str:
    """Say in one sentence what a comparison on this number of images can show.

    Args:
        images: number of test images.
        first, second: the two accuracies, 0 to 1.
    """
    almost = least_significant_discordance() - 1
    needed = images_needed(first, second)
    if needed is None:
        return f"Two accuracies of {first:.0%} and {second:.0%} are too similar for any test on images like these."
    if needed <= images:
        return f"{images} images can tell {first:.0%} from {second:.0%}: {POWER:.0%} power needs about {needed}."
    return (
        f"{images} images cannot tell {first:.0%} from {second:.0%}: even {almost} against 0 gives "
        f"p = {_p_of_signs(almost, 0):.2f}; {POWER:.0%} power needs about {needed}."
    )


def _p_of_signs(one: int, other: int) -> float:
    return float(binomtest(min(one, other), one + other, 0.5).pvalue) if one + other else 1.0
