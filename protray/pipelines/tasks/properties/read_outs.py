"""What embeddings say without a network: a linear read-out and the nearest training rows, of each embedding."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from protray.cluster.runtime.progress import Progress
from protray.data.location import Location
from protray.data.tasks.examples import Rows, read_statistics
from protray.evaluation.tasks.properties.read_outs import LINEAR, NEAREST, choose_count, nearest, standardised

if TYPE_CHECKING:
    Linear = Callable[[Sequence[np.ndarray]], tuple[list[np.ndarray], str]]

Found = dict[str, tuple[np.ndarray, np.ndarray]]  # method -> predictions of the validation and the test rows


def read_outs(
    vectors: Mapping[str, Sequence[Location]], parts: Sequence[Rows], linear: "Linear",
    quality: Callable[[np.ndarray], float],
) -> tuple[Found, dict[str, str]]:  # fmt: skip
    """Predictions, and what was chosen for them on the validation split.

    Parameters
    ----------
    vectors : mapping
        Of each row, folders of embeddings that stand side by side.
    parts : sequence of Rows
        Training, validation and test split.
    linear : callable
        Fits to the standardised vectors of the three; predicts the last two, and says what it chose.
    quality : callable
        Of predictions for the validation split; higher is better.
    """
    found: Found = {}
    chosen = {}
    known_MT = parts[0].target_NT.astype(np.float64)
    with Progress("read-outs") as progress:
        for done, (name, folders) in enumerate(vectors.items()):
            progress(done, len(vectors), name)
            x = standardised(*(read_statistics(folders, rows.ids) for rows in parts))
            (validation, test), chosen[f"{name}, {LINEAR}"] = linear(x)
            found[f"{name}, {LINEAR}"] = (validation, test)
            near = [nearest(part, x[0]) for part in x[1:]]
            count = choose_count(near[0], known_MT, quality)
            found[f"{name}, {NEAREST}"] = (near[0].mean(count, known_MT), near[1].mean(count, known_MT))
            chosen[f"{name}, {NEAREST}"] = f"k = {count}"
    return found, chosen
