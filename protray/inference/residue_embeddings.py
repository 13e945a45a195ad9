"""Vectors of a protein's residues, by a language model from its sequence, or by a score network from its structure.

Both are called as ``embed(sequence, ca_L3)`` and give one row of ``embed.width`` numbers for each residue.  A protein's
own vector is the mean of them.

Shape key:  L residues   C channels   3 x, y, z in Å
"""

from typing import Protocol

import numpy as np

from protray.data.location import Location
from protray.data.structures import StructureChain
from protray.inference.embed import NOISE, Embedder
from protray.plm import masked
from protray.seq.alphabet import UNKNOWN, encode
from protray.seq.errors import shown


class ResidueEmbedder(Protocol):
    """What gives each residue a vector."""

    width: int  # C

    def __call__(self, sequence: str, ca_L3: np.ndarray | None = None, index_L: np.ndarray | None = None) -> np.ndarray:
        """Float32, shape (L, C).

        Parameters
        ----------
        sequence : str
            Upper case; X for what is none of the 20 amino acids.
        ca_L3 : ndarray, shape=(L, 3), optional
            C-alpha atoms in Å.
        index_L : ndarray, dtype=int, shape=(L,), optional
            Places of the residues in the chain, counted on over breaks; default: there are none.

        Raises
        ------
        ValueError
            If the sequence is no protein's, or what is read is missing, of another length, or not finite.
        """
        ...


class LanguageModel:
    """The last hidden layer of a masked language model, nothing masked; coordinates are not looked at.

    A protein longer than the model reads is read in overlapping windows (`protray.plm.reading`).
    """

    def __init__(self, lm: masked.LanguageModel) -> None:
        self.lm = lm
        self.width = int(lm.model.config.hidden_size)

    @classmethod
    def open(cls, name: str, device: str = "cpu") -> "LanguageModel":
        """Load a Hugging Face model by name or folder, or the one in the package (``shipped``)."""
        return cls(masked.load(name, device=device))

    def __call__(self, sequence: str, ca_L3: np.ndarray | None = None, index_L: np.ndarray | None = None) -> np.ndarray:
        return masked.hidden_rows(self.lm, codes_of(sequence))


class ScoreNet:
    """Mean over j of (E_ij + E_ji) / 2, where E is the last feature map of a score network for the structure as it is.

    Guo et al. (AAAI 2022), Figure 2: the "1D pooling"; the mean of it over residues is their "2D pooling".
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.width = embedder.channels

    @classmethod
    def open(cls, folder: Location, noise: float = NOISE, device: str = "cpu") -> "ScoreNet":
        """Read the folder ``model`` of jobs/score_net.py; the network is told its noise level nearest to `noise` Å."""
        return cls(Embedder.open(folder, noise, device))

    def __call__(self, sequence: str, ca_L3: np.ndarray | None = None, index_L: np.ndarray | None = None) -> np.ndarray:
        codes_L = codes_of(sequence)
        if ca_L3 is None:
            raise ValueError("no coordinates, which a score network reads; give a structure")
        index_L = np.arange(len(codes_L)) if index_L is None else index_L
        if ca_L3.shape != (len(codes_L), 3) or len(index_L) != len(codes_L):
            given = f"coordinates of shape {ca_L3.shape} and {len(index_L)} places in the chain"
            raise ValueError(f"{len(codes_L)} residues, but {given}")
        chain = StructureChain(shown(sequence.encode()), codes_L, index_L.astype(np.int32), ca_L3.astype(np.float32))
        return self.embedder.residue(chain)


def mean_of(residue_LC: np.ndarray) -> np.ndarray:
    """The vector of a protein, float32, shape (C,): the mean over its residues.

    >>> mean_of(np.array([[1.0, 2.0], [3.0, 6.0]])).tolist()
    [2.0, 4.0]
    """
    return residue_LC.mean(axis=0, dtype=np.float64).astype(np.float32)


def statistics_of(residue_LC: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over residues, and the logarithm of their number; float32, shape (2 C + 1,).

    >>> statistics_of(np.array([[1.0, 2.0], [3.0, 6.0]]))[:4].tolist()
    [2.0, 4.0, 1.0, 2.0]
    """
    spread_C = residue_LC.std(axis=0, dtype=np.float64)
    return np.concatenate([mean_of(residue_LC), spread_C, [np.log(len(residue_LC))]]).astype(np.float32)


def codes_of(sequence: str) -> np.ndarray:
    """Residue codes, uint8, shape (L,); ValueError naming the first letter that is no residue."""
    codes_L = encode(sequence)
    if not codes_L.size:
        raise ValueError("the sequence is empty")
    foreign = np.flatnonzero(codes_L > UNKNOWN)
    if foreign.size:
        at = int(foreign[0])
        raise ValueError(f"{sequence[at]!r} at position {at + 1} is no residue; X stands for one that is not known")
    return codes_L
