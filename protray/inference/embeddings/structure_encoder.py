"""Embeddings of structures by SSDM's joint encoder: vectors of residues, or of a protein, their mean.

Shape key:  L residues   C channels
"""

import logging
from pathlib import Path

import numpy as np
import torch

from protray.data.location import Location
from protray.data.structure.atom_batches import collate, without_side_chains
from protray.data.structure.atoms import AtomChain
from protray.models.joint.fusion import Fused
from protray.models.joint.ssdm import Ssdm
from protray.struct.residues.atom14 import BACKBONE
from protray.training.structure.ssdm_export import SsdmCard, load_ssdm

log = logging.getLogger(__name__)


class StructureEncoder:
    """A joint encoder in evaluation mode; a chain of any length is read whole, alone, in float32."""

    def __init__(self, card: SsdmCard, net: Ssdm, device: str = "cpu") -> None:
        self.card, self.net, self.device = card, net.to(device).eval(), device
        self._warned = False
        self.channels = net.channels

    @classmethod
    def open(cls, folder: Path | Location, device: str = "cpu") -> "StructureEncoder":
        """Read the folder ``model`` of jobs/ssdm.py, at a path or an address; ValueError if it is none."""
        return cls(*load_ssdm(folder), device)

    def residue(self, chain: AtomChain) -> np.ndarray:
        """Float32, shape (L, C).

        Side chains are not looked at by an encoder whose training saw none, which is said once: what it makes of them
        is arbitrary.

        Raises
        ------
        ValueError
            If the embedding is not finite.
        """
        return self._encode(chain).residue_BLC[0].cpu().numpy()

    def protein(self, chain: AtomChain) -> np.ndarray:
        """The mean over residues, float32, shape (C,); errors as of `residue`."""
        return self._encode(chain).protein_BC[0].cpu().numpy()

    @torch.inference_mode()
    def _encode(self, chain: AtomChain) -> Fused:
        batch = collate([chain])
        if not self.card.side_chains:
            if not self._warned and chain.present_LA[:, len(BACKBONE) :].any():
                log.warning("side chains are not looked at: the encoder's training saw none")
                self._warned = True
            batch = without_side_chains(batch)
        found = self.net.encode(batch.to(self.device))
        if not found.residue_BLC.isfinite().all():
            raise ValueError(f"the embedding of chain {chain.id!r} is not finite; are its coordinates in Å?")
        return found
