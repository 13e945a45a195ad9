"""Proteins of `protray.data.structure.atoms` as one padded batch for an encoder.

Shape key:  B proteins   L residues, padded   W residues of whole sequences, padded   3 x, y, z in Å
            A 14 atoms (`protray.struct.residues.atom14`)
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from protray.data.structure.atoms import AtomChain, Text
from protray.models.layers import real_residues
from protray.models.structure.structure_batch import MASKED, StructureBatch, TextBatch
from protray.seq.alphabet import UNKNOWN
from protray.struct.residues.atom14 import BACKBONE, SLOTS


def collate(chains: Sequence[AtomChain], masked: Sequence[np.ndarray | None] | None = None) -> StructureBatch:
    """Pad proteins to the longest.

    Parameters
    ----------
    chains : sequence of AtomChain
        At least one.
    masked : sequence of ndarray or None, optional
        Of each protein the residues whose type is hidden: bool, shape (L,), or their numbers from 0.  They have the
        type ``MASKED`` and no side chain: how many atoms there are would give the type away.
    """
    n, longest = len(chains), max(map(len, chains))
    type_BL = torch.full((n, longest), UNKNOWN)
    index_BL, chain_BL = (torch.zeros(n, longest, dtype=torch.int64) for _ in range(2))
    atoms_BLA3 = torch.zeros(n, longest, SLOTS, 3)
    present_BLA = torch.zeros(n, longest, SLOTS, dtype=torch.bool)
    real_BL = torch.zeros(n, longest, dtype=torch.bool)
    for b, chain in enumerate(chains):
        rows = slice(len(chain))
        type_BL[b, rows] = torch.from_numpy(chain.codes_L.astype(np.int64))
        index_BL[b, rows] = torch.from_numpy(chain.index_L.astype(np.int64))
        chain_BL[b, rows] = torch.from_numpy(chain.chain_L.astype(np.int64))
        atoms_BLA3[b, rows] = torch.from_numpy(np.ascontiguousarray(chain.atoms_LA3))
        present_BLA[b, rows] = torch.from_numpy(np.ascontiguousarray(chain.present_LA))
        real_BL[b, rows] = True
        hidden = None if masked is None else masked[b]
        if hidden is not None:
            numbers = torch.from_numpy(np.arange(len(chain))[hidden])
            type_BL[b, numbers] = MASKED
            present_BLA[b, numbers, len(BACKBONE) :] = False
            atoms_BLA3[b, numbers, len(BACKBONE) :] = 0
    text = _texts(chains)
    if text is not None and masked is not None:
        raise ValueError("types that are hidden among residues of a longer sequence would be read there")
    return StructureBatch(type_BL, atoms_BLA3, present_BLA, index_BL, chain_BL, real_BL, text=text)


def _texts(chains: Sequence[AtomChain]) -> TextBatch | None:
    """The whole sequences of proteins of which there are some residues; a whole protein stands for itself."""
    if all(chain.text is None for chain in chains):
        return None
    parts = [chain.text or Text(chain.codes_L, chain.chain_L, np.arange(len(chain))) for chain in chains]

    def padded(name: str, fill: int = 0) -> Tensor:
        arrays = [torch.from_numpy(getattr(part, name).astype(np.int64)) for part in parts]
        return pad_sequence(arrays, batch_first=True, padding_value=fill)

    type_BW, width_B = padded("codes_W", UNKNOWN), torch.tensor([len(part.codes_W) for part in parts])
    real_BW = real_residues(width_B, type_BW.shape[1])
    return TextBatch(type_BW, padded("chain_W"), real_BW, padded("place_L"))


def without_side_chains(batch: StructureBatch) -> StructureBatch:
    """The same residues with no atom beyond the backbone."""
    kept_A = torch.arange(SLOTS, device=batch.present_BLA.device) < len(BACKBONE)
    return replace(batch, atoms_BLA3=batch.atoms_BLA3 * kept_A[:, None], present_BLA=batch.present_BLA & kept_A)
