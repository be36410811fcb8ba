"""Find pictures that are turned, inverted or unlike all others of a data set, by their small copies.

The data set itself teaches what upright is: a linear template (ridge regression) that tells the upright small copies from the
same copies turned by 90, 180 and 270°. Another one tells them from their negatives. What pictures have in common is described
by their principal components. Each picture is judged by what the others teach, in five folds, so that it cannot vouch for
itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

FOLDS = 5
PENALTY = 1e-3
"""Of the ridge regressions, for each picture; small copies have length 1."""
TEACHERS = 5000
"""Of more pictures, as many evenly spaced ones teach."""
COMPONENTS = 10
"""Principal components in which films of a data set differ; fewer below 40 pictures, a quarter of their number."""


@dataclass(frozen=True)
class Orientation:
    """How n pictures lie, as the others of the data set suggest."""

    turn: NDArray[np.int64]
    """Shape (n,): degrees, anticlockwise, by which a picture is turned if it is: 90, 180 or 270."""
    turned_by: Numbers
    """Shape (n,): how much more upright it is when it is turned back; about -1 for an upright picture, 1 for a turned one."""
    upright: Numbers
    """Shape (n,): about 1 for a picture that is no negative, -1 for a negative."""
    strange: Numbers
    """Shape (n,): share of a picture's variation that is unlike that of the others, 0 to 1."""
    strange_if_turned_back: Numbers
    """Shape (n,): the same after it is turned back. An inversion does not change `strange`."""


def orientation_of(small: NDArray[np.float32]) -> Orientation:
    """Judge how pictures lie.

    Args:
        small: small copies with mean 0 and length 1, shape (n, side, side), of at least 10 pictures.
    """
    count = len(small)
    fold = np.arange(count) % FOLDS
    turned_by, upright, strange, corrected = np.empty((4, count))
    turn = np.empty(count, np.int64)
    for number in range(FOLDS):
        judged, others = _all_turns(small[fold == number]), np.flatnonzero(fold != number)
        teaching = _all_turns(small[others[:: -(-len(others) // TEACHERS)]])
        template = _ridge(np.concatenate(teaching), np.repeat([0.75, -0.25, -0.25, -0.25], len(teaching[0])))
        positive = _ridge(teaching[0], np.ones(len(teaching[0])))
        basis = _basis(teaching[0])
        uprightness = judged @ template
        back = 1 + uprightness[1:].argmax(axis=0)
        place = np.arange(judged.shape[1])
        of_fold = fold == number
        turn[of_fold] = 360 - 90 * back
        turned_by[of_fold] = uprightness[back, place] - uprightness[0]
        upright[of_fold] = judged[0] @ positive
        strange[of_fold] = _unexplained(basis, judged[0])
        corrected[of_fold] = _unexplained(basis, judged[back, place])
    return Orientation(turn, turned_by, upright, strange, corrected)


def _all_turns(small: NDArray[np.float32]) -> Numbers:
    """Small copies turned by 0, 90, 180 and 270° anticlockwise, shape (4, n, side * side)."""
    turns = [np.rot90(small, turn, axes=(1, 2)).reshape(len(small), -1) for turn in range(4)]
    return np.stack(turns).astype(np.float64)


def _ridge(vectors: Numbers, targets: Numbers) -> Numbers:
    penalty = PENALTY * len(vectors) * np.eye(vectors.shape[1])
    return np.linalg.solve(vectors.T @ vectors + penalty, vectors.T @ targets).astype(np.float64)


def _basis(vectors: Numbers) -> Numbers:
    """Orthonormal basis of the mean and the first principal components, shape (d, components + 1)."""
    mean = vectors.mean(axis=0)
    components = min(COMPONENTS, max(1, len(vectors) // 4))
    centred = vectors - mean
    axes = np.linalg.eigh(centred.T @ centred)[1][:, -components:]
    basis: Numbers = np.linalg.qr(np.column_stack([mean, axes]))[0]
    return basis


def _unexplained(basis: Numbers, vectors: Numbers) -> Numbers:
    return np.clip(1 - ((vectors @ basis) ** 2).sum(axis=1), 0, 1)
