"""Padded proteins, as every encoder of structures reads them.

Shape key:  B proteins   L residues, padded   A 14 atoms (`struct.residues.atom14`)   C channels   3 x, y, z in Å
            W residues of whole sequences, padded   M pairs of residues
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from protray.seq.alphabet import UNKNOWN
from protray.struct.residues.atom14 import CA

MASKED = UNKNOWN + 1  # type of a residue whose type is to be predicted
TYPES = MASKED + 1


@dataclass(frozen=True)
class TextBatch:
    """Whole sequences that the residues of a batch are of, for a language model."""

    type_BW: Tensor  # as those of `StructureBatch`
    chain_BW: Tensor
    real_BW: Tensor
    place_BL: Tensor  # int64, of the residues of the batch; 0 at padding

    def to(self, device: str | torch.device) -> "TextBatch":
        """The same on another device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class StructureBatch:
    """Proteins of one chain or more; a residue that is not real is padding, and means nothing."""

    type_BL: Tensor  # int64: codes of protray.seq.alphabet, or MASKED
    atoms_BLA3: Tensor  # float32, Å; 0 where an atom is absent
    present_BLA: Tensor  # bool; CA always, of a real residue
    index_BL: Tensor  # int64, place in the chain, counted on over breaks
    chain_BL: Tensor  # int64, number of the chain, 0 where there is one
    real_BL: Tensor  # bool
    lm_BLC: Tensor | None = None  # float32, vectors of a language model
    text: TextBatch | None = None  # what a language model reads in place of the types above

    @property
    def ca_BL3(self) -> Tensor:
        """C-alpha atoms."""
        return self.atoms_BLA3[:, :, CA]

    def to(self, device: str | torch.device) -> "StructureBatch":
        """The same on another device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if getattr(self, field.name) is not None
        }
        return replace(self, **moved)


def mean_of_real(z_BLC: Tensor, real_BL: Tensor) -> Tensor:
    """The mean over the real residues of each protein, shape (B, C)."""
    kept_BL1 = real_BL[:, :, None].to(z_BLC.dtype)
    return (z_BLC * kept_BL1).sum(dim=1) / kept_BL1.sum(dim=1).clamp(min=1)
