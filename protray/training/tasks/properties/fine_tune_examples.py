"""What an encoder is trained on with: whole proteins, or mutations in what is around them.

Shape key:  N rows   M of a step   T labels, classes, or 1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch

from protray.data.structure.atoms import AtomChain, AtomStructures
from protray.data.tasks.mutations import Surroundings
from protray.models.tasks.tuned import Read, changes, statistics
from protray.seq.keyed import generator
from protray.training.tasks.properties.fine_tune_config import FineTuneConfig


@dataclass(frozen=True)
class Given:
    """Some rows as the network reads them."""

    chains: list[AtomChain]
    ids: list[str]  # of their rows: what dropout follows from
    read: Read  # the numbers of each row, from the vectors of all residues


class Examples(Protocol):
    """Rows to learn from; those that cannot be read are predicted as the mean, and not trained on."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def y_NT(self) -> np.ndarray:
        """Float32; 0 and 1 for labels and classes."""
        ...

    @property
    def lengths_N(self) -> np.ndarray:
        """Residues that are read of each; 0 where there is no structure."""
        ...

    def given(self, rows_M: Sequence[int] | np.ndarray, crop: tuple[FineTuneConfig, int] | None = None) -> Given:
        """Rows as a whole, or as an epoch of a training sees them."""
        ...


@dataclass(frozen=True)
class StructureExamples:
    """Proteins with what is known of them."""

    chains: AtomStructures
    row_N: np.ndarray  # of `chains`; -1 where there is none
    y_NT: np.ndarray

    @property
    def ids(self) -> list[str]:
        return [self.chains.ids[row] if row >= 0 else "" for row in self.row_N]

    @property
    def lengths_N(self) -> np.ndarray:
        return np.where(self.row_N >= 0, np.append(self.chains.lengths, 0)[self.row_N], 0)

    def given(self, rows_M: Sequence[int] | np.ndarray, crop: tuple[FineTuneConfig, int] | None = None) -> Given:
        whole = [self.chains.chain(self.row_N[n]) for n in rows_M]
        chains = [cropped(chain, *crop) for chain in whole] if crop else whole
        read = partial(statistics, length_B=torch.tensor([len(chain) for chain in whole]))
        return Given(chains, [chain.id for chain in chains], read)


@dataclass(frozen=True)
class MutantExamples:
    """Mutations with what was measured."""

    ids: list[str]
    pairs: Sequence[Surroundings | None]
    y_NT: np.ndarray

    @property
    def lengths_N(self) -> np.ndarray:
        return np.array([0 if pair is None else _read(pair.wild) for pair in self.pairs])

    def given(self, rows_M: Sequence[int] | np.ndarray, crop: tuple[FineTuneConfig, int] | None = None) -> Given:
        """The wild types, then the mutants, both with one dropout; no part is cut out."""
        pairs = [pair for n in rows_M if (pair := self.pairs[n])]
        chains = [pair.wild for pair in pairs] + [pair.mutant for pair in pairs]
        return Given(chains, 2 * [self.ids[n] for n in rows_M], partial(changes, sites=[pair.sites for pair in pairs]))


def _read(chain: AtomChain) -> int:
    """Residues that are read, by a language model, too."""
    return max(len(chain), 0 if chain.text is None else len(chain.text.codes_W))


def cropped(chain: AtomChain, config: FineTuneConfig, epoch: int) -> AtomChain:
    """Neighbouring residues of a chain that is longer than a crop; which ones follows from (seed, epoch, id)."""
    spare = len(chain) - config.crop
    if spare <= 0:
        return chain
    start = int(generator(config.seed, "crop", epoch, chain.id).integers(spare + 1))
    return chain.cut(slice(start, start + config.crop))
