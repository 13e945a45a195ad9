"""Embeddings of structures by SSDM's joint encoder: vectors of residues, or of a protein, their mean.

Shape key:  L residues   C channels
"""

from pathlib import Path

import numpy as np
import torch

from protray.data.atom_batches import collate
from protray.data.atoms import AtomChain
from protray.data.location import Location
from protray.models.ssdm import Ssdm
from protray.training.structure.ssdm_export import SsdmCard, load_ssdm


class StructureEncoder:
    """A joint encoder in evaluation mode; a chain of any length is read whole, alone, in float32."""

    def __init__(self, card: SsdmCard, net: Ssdm, device: str = "cpu") -> None:
        self.card, self.net, self.device = card, net.to(device).eval(), device
        self.channels = net.channels

    @classmethod
    def open(cls, folder: Path | Location, device: str = "cpu") -> "StructureEncoder":
        """Read the folder ``model`` of jobs/ssdm.py, at a path or an address; ValueError if it is none."""
        return cls(*load_ssdm(folder), device)

    @torch.no_grad()
    def residue(self, chain: AtomChain) -> np.ndarray:
        """Float32, shape (L, C).

        Side chains are not looked at by an encoder whose training saw none: what it makes of them is arbitrary.

        Raises
        ------
        ValueError
            If the embedding is not finite.
        """
        batch = collate([chain if self.card.side_chains else chain.without_side_chains()])
        z_LC = self.net(batch.to(self.device))[0]
        if not z_LC.isfinite().all():
            raise ValueError(f"the embedding of chain {chain.id!r} is not finite; are its coordinates in Å?")
        return z_LC.float().cpu().numpy()

    def protein(self, chain: AtomChain) -> np.ndarray:
        """The mean over residues, float32, shape (C,)."""
        return self.residue(chain).mean(axis=0, dtype=np.float64).astype(np.float32)
