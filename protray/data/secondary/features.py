"""PSSMs of a protein as the networks see them: natural, down-sampled, and of its pseudo-alignment.

Shape key:  L residues   A amino-acid types (20)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from protray.data.secondary.collate import Example
from protray.data.secondary.dataset import Proteins
from protray.seq.downsample import Prior, downsample
from protray.seq.keyed import generator
from protray.seq.pseudo_msa import Drawing, pseudo_pssm
from protray.seq.pssm import Background, count_residues, pssm

# "prior": as shallow as natural shallow proteins; "fixed-ratio": Bagging's; "none": the natural PSSM
Lowering = Literal["prior", "fixed-ratio", "none"]


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """How alignments become PSSMs."""

    background: Background = "smoothed"
    pseudocount: float = 1.0
    drawing: Drawing = "multinomial"  # or "expected": 2,000 pseudo-sequences without their sampling noise
    bert: bool = True  # compute X_b
    lm_hidden: bool = True  # read the language model's last hidden state
    fixed_ratio: float = 0.1  # share of homologs that "fixed-ratio" keeps
    kept_deep: float = 0.3  # share of the draws of "prior" that leave a deep protein as it is; the paper's is 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fixed_ratio <= 1:
            raise ValueError(f"fixed_ratio is a share and must lie in [0, 1], got {self.fixed_ratio}")
        if not self.pseudocount > 0:
            raise ValueError(f"pseudocount must be positive, got {self.pseudocount}")


class Features:
    """Makes examples of proteins; X_h and X_b do not change between epochs and are computed once."""

    def __init__(self, proteins: Proteins, config: FeatureConfig, prior: Prior | None = None) -> None:
        self.proteins = proteins
        self.config = config
        self.prior = prior
        self._high: dict[int, np.ndarray] = {}
        self._bert: dict[int, np.ndarray] = {}

    def example(self, row: int, lowering: Lowering = "none", epoch: int = 0) -> Example:
        """One protein; only deep proteins are lowered, as shallow ones have nothing better to compare with."""
        proteins, deep = self.proteins, bool(self.proteins.deep[row])
        high_LA = self.high(row)
        return Example(
            id=proteins.ids[row],
            codes_L=proteins.codes(row),
            ss3_L=proteins.ss3(row),
            ss8_L=proteins.ss8(row),
            deep=deep,
            high_LA=high_LA,
            low_LA=self.low(row, lowering, epoch) if deep and lowering != "none" else high_LA,
            bert_LA=self.bert(row) if self.config.bert else None,
            hidden_LC=proteins.lm_hidden(row) if self.config.lm_hidden else None,
        )

    def high(self, row: int) -> np.ndarray:
        """X_h: the PSSM of the whole alignment, shape (L, 20)."""
        if row not in self._high:
            self._high[row] = self._pssm(self.proteins.counts(row), self.proteins.n_rows(row))
        return self._high[row]

    def low(self, row: int, lowering: Lowering, epoch: int) -> np.ndarray:
        """X_l: the PSSM of a down-sampled alignment, drawn anew in every epoch by (seed, epoch, id)."""
        msa_NL = self.proteins.msa(row)
        rng = generator(self.config.seed, "downsample", epoch, self.proteins.ids[row])
        if lowering == "prior" and self.config.kept_deep and rng.random() < self.config.kept_deep:
            return self.high(row)
        if lowering == "fixed-ratio":
            depth = self.proteins.n_rows(row) - 1  # of the alignment itself; a deep one is stored with fewer rows
            homologs = min(round(self.config.fixed_ratio * depth), len(msa_NL) - 1)
        elif self.prior is None:
            raise ValueError("lowering 'prior' needs the histogram of homolog counts of the training set")
        else:
            homologs = self.prior.draw(rng)
        lowered_NL = downsample(msa_NL, homologs, rng)
        return self._pssm(count_residues(lowered_NL), len(lowered_NL))

    def bert(self, row: int) -> np.ndarray:
        """X_b: the PSSM of the language model's pseudo-alignment, shape (L, 20)."""
        if row not in self._bert:
            proteins, config = self.proteins, self.config
            key = (config.seed, proteins.ids[row])
            prob_LA, codes_L = proteins.prob_map(row), proteins.codes(row)
            self._bert[row] = pseudo_pssm(prob_LA, codes_L, key, config.drawing, config.background, config.pseudocount)
        return self._bert[row]

    def _pssm(self, counts_LA: np.ndarray, n_rows: int) -> np.ndarray:
        return pssm(counts_LA, n_rows, self.config.background, self.config.pseudocount)
