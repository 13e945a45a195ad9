r"""Transfer from the nearest training sequences: what any predictor from sequence has to beat.

A protein's hits among the training proteins are those of phmmer.  With bit scores :math:`s_i` and what is known of the
hits, :math:`y_i`,

.. math:: f = w \frac{\sum_i s_i y_i}{\sum_i s_i} + (1 - w) \bar y, \quad w = \frac{s_{max}}{s_{max} + c}

so that a protein without hits gets the training mean.  Whether all hits count or the best alone, up to which E-value,
and c are chosen on the validation split.

Shape key:  N queries   M training proteins   T labels, or 1
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

Hit = tuple[int, float, float]  # number of the training protein, bit score, E-value

WEAKEST = 10.0  # E-value that is looked at
E_VALUES = (1e-3, 1.0, WEAKEST)
HALF = (0.0, 20.0, 50.0, 100.0)  # c, bits at which hits and mean count alike


@dataclass(frozen=True)
class Transfer:
    """How hits become a prediction."""

    best_only: bool
    e_value: float
    half: float  # c

    def predict(self, hits_N: Sequence[Sequence[Hit]], y_MT: np.ndarray) -> np.ndarray:
        """Shape (N, T)."""
        mean_T = y_MT.mean(axis=0, dtype=np.float64)
        found_NT = np.tile(mean_T, (len(hits_N), 1))
        for n, hits in enumerate(hits_N):
            used = [(place, bits) for place, bits, e_value in hits if e_value <= self.e_value and bits > 0]
            used = used[:1] if self.best_only else used
            if used:
                places, bits_H = [place for place, _ in used], np.array([bits for _, bits in used])
                share = bits_H[0] / (bits_H[0] + self.half)
                found_NT[n] = share * (bits_H @ y_MT[places]) / bits_H.sum() + (1 - share) * mean_T
        return found_NT


def choose_transfer(
    hits_N: Sequence[Sequence[Hit]], y_MT: np.ndarray, quality: Callable[[np.ndarray], float]
) -> Transfer:
    """The setting whose predictions for the validation proteins, whose hits are given, are of the highest quality."""
    settings = [Transfer(*point) for point in product((True, False), E_VALUES, HALF)]
    return max(settings, key=lambda one: quality(one.predict(hits_N, y_MT)))


def training_hits(queries: Sequence[str], training: Sequence[str], cpus: int = 1) -> list[list[Hit]]:
    """Hits of each query, the best first."""
    import pyhmmer

    from protray.data.splits import E_VALUE_SEQUENCES
    from protray.seq.search import digital

    if not queries or not training:
        return [[] for _ in queries]
    searches = pyhmmer.hmmer.phmmer(
        digital(queries), digital(training), cpus=cpus, E=WEAKEST, Z=E_VALUE_SEQUENCES
    )  # fmt: skip
    return [
        sorted(((int(hit.name), float(hit.score), float(hit.evalue)) for hit in hits), key=lambda hit: -hit[1])
        for hits in searches
    ]
