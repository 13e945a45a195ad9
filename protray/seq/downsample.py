r"""Make low-quality PSSMs out of deep alignments, as shallow as natural ones are.

A deep protein gets a homolog count n drawn from the histogram :math:`\mathcal{X}` of the counts below 60 in the
training set, keeps its query and n of its rows.  Source: PSSM-Distil (AAAI 2021), "Prior Distribution based PSSM
Down-sampling"; Algorithm 1 says "downsample X_h", but a PSSM has no rows to drop: the alignment has.

Shape key:  N aligned sequences   L residues
"""

from dataclasses import dataclass

import numpy as np

LOW_QUALITY = 60  # homologs: at most this many is low quality (Guo et al. 2020)


@dataclass(frozen=True)
class Prior:
    """How often each homolog count occurs among natural low-quality proteins; `counts[i]` proteins have i homologs."""

    counts: tuple[int, ...]

    @classmethod
    def of(cls, msa_counts: np.ndarray) -> "Prior":
        """Measure it on a training set; counts of `LOW_QUALITY` and more do not enter."""
        shallow = msa_counts[msa_counts < LOW_QUALITY]
        if not len(shallow):
            raise ValueError(
                f"none of the {len(msa_counts)} training proteins has fewer than {LOW_QUALITY} homologs, so there is "
                "no prior to down-sample with; add shallow proteins to the training split"
            )
        return cls(tuple(np.bincount(shallow, minlength=LOW_QUALITY).tolist()))

    def draw(self, rng: np.random.Generator) -> int:
        """Draw one homolog count."""
        cumulative = np.cumsum(self.counts)
        return int(np.searchsorted(cumulative, rng.integers(cumulative[-1]), side="right"))


def downsample(msa_NL: np.ndarray, n_homologs: int, rng: np.random.Generator) -> np.ndarray:
    """Keep the query and `n_homologs` other rows, drawn without replacement (all of them if there are fewer).

    >>> msa_NL = np.arange(10).reshape(5, 2)  # five rows, the first is the query
    >>> downsample(msa_NL, 2, np.random.default_rng(0)).shape
    (3, 2)
    """
    homologs = np.arange(1, len(msa_NL))
    if n_homologs < len(homologs):
        homologs = rng.choice(homologs, size=n_homologs, replace=False)
    return msa_NL[np.concatenate([[0], homologs])]
