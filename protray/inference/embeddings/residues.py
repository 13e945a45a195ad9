"""Vectors of a protein's residues: of a language model from its sequence, of a score network or a joint encoder (SSDM)
from its structure.

All are called as ``embed(sequence, atoms_LA3)`` and give one row of ``embed.width`` numbers for each residue.  A
protein's own vector is the mean of them.

Shape key:  L residues   A atoms, in the slots of `protray.struct.residues.atom14`   C channels   3 x, y, z in Å
"""

from pathlib import Path
from typing import Protocol

import numpy as np

from protray.data.location import Location
from protray.data.structure.atoms import AtomChain
from protray.data.structure.structures import StructureChain
from protray.inference.embeddings.score_net import NOISE, Embedder
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.plm import masked
from protray.seq.alphabet import UNKNOWN, encode
from protray.seq.errors import shown
from protray.struct.residues.atom14 import CA, SLOTS
from protray.training.structure.ssdm_export import is_ssdm


class ResidueEmbedder(Protocol):
    """What gives each residue a vector."""

    width: int  # C

    def __call__(
        self, sequence: str, atoms_LA3: np.ndarray | None = None, index_L: np.ndarray | None = None,
        chain_L: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Float32, shape (L, C).

        Parameters
        ----------
        sequence : str
            Upper case; X for what is none of the 20 amino acids.
        atoms_LA3 : ndarray, shape=(L, 4, 3) or (L, 14, 3), optional
            Backbone, or all atoms, in Å; NaN for those that are missing, which no C-alpha atom is.
        index_L : ndarray, dtype=int, shape=(L,), optional
            Places of the residues in the chain, counted on over breaks; default: there are none.
        chain_L : ndarray, dtype=int, shape=(L,), optional
            Numbers of their chains; default: there is one.

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

    def __call__(
        self, sequence: str, atoms_LA3: np.ndarray | None = None, index_L: np.ndarray | None = None,
        chain_L: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        return masked.hidden_rows(self.lm, codes_of(sequence))


class ScoreNet:
    """Mean over j of (E_ij + E_ji) / 2, where E is the last feature map of a score network for the structure as it is.

    Guo et al. (AAAI 2022), Figure 2: the "1D pooling"; the mean of it over residues is their "2D pooling".
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.width = embedder.channels

    def __call__(
        self, sequence: str, atoms_LA3: np.ndarray | None = None, index_L: np.ndarray | None = None,
        chain_L: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        return self.of_chain(chain_of(sequence, atoms_LA3, index_L))

    def of_chain(self, chain: AtomChain) -> np.ndarray:
        """The same of a protein as it is read; it knows of one chain alone."""
        return self.embedder.residue(StructureChain(chain.id, chain.codes_L, chain.index_L, chain.atoms_LA3[:, CA]))


class JointEncoder:
    """The vectors of SSDM's encoder."""

    def __init__(self, encoder: StructureEncoder) -> None:
        self.encoder = encoder
        self.width = encoder.channels

    def __call__(
        self, sequence: str, atoms_LA3: np.ndarray | None = None, index_L: np.ndarray | None = None,
        chain_L: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        return self.of_chain(chain_of(sequence, atoms_LA3, index_L, chain_L))

    def of_chain(self, chain: AtomChain) -> np.ndarray:
        """The same of a protein as it is read."""
        return self.encoder.residue(chain)


def open_structure_model(folder: Path | Location, noise: float = NOISE, device: str = "cpu") -> ScoreNet | JointEncoder:
    """Read the folder ``model`` of jobs/score_net.py, which is told the `noise` (Å), or of jobs/ssdm.py."""
    if is_ssdm(folder):
        return JointEncoder(StructureEncoder.open(folder, device))
    return ScoreNet(Embedder.open(folder, noise, device))


def chain_of(
    sequence: str, atoms_LA3: np.ndarray | None, index_L: np.ndarray | None = None, chain_L: np.ndarray | None = None
) -> AtomChain:
    """A protein as encoders read it; ValueError if its parts do not fit, or a C-alpha atom is missing."""
    codes_L = codes_of(sequence)
    if atoms_LA3 is None:
        raise ValueError("no coordinates, which the model reads; give a structure")
    index_L = np.arange(len(codes_L)) if index_L is None else index_L
    if atoms_LA3.shape[::2] != (len(codes_L), 3) or len(index_L) != len(codes_L):
        given = f"coordinates of shape {atoms_LA3.shape} and {len(index_L)} places in the chain"
        raise ValueError(f"{len(codes_L)} residues, but {given}")
    there_LA = np.asarray(np.isfinite(atoms_LA3).all(axis=2))
    absent = ((0, 0), (0, SLOTS - atoms_LA3.shape[1]))
    lost = np.flatnonzero(~there_LA[:, CA])
    if lost.size:
        first = f"the first is residue {lost[0] + 1}"
        raise ValueError(f"{lost.size} of {len(codes_L)} residues have no C-alpha atom, {first}")
    centred_LA3 = np.where(there_LA[..., None], atoms_LA3 - atoms_LA3[:, CA].mean(axis=0), 0).astype(np.float32)
    whole_LA3, present_LA = np.pad(centred_LA3, (*absent, (0, 0))), np.pad(there_LA, absent)
    chain_L = np.zeros(len(codes_L), np.int8) if chain_L is None else chain_L
    return AtomChain(shown(sequence.encode()), codes_L, index_L.astype(np.int32), chain_L, whole_LA3, present_LA)


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
