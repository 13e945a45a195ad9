"""Batches of proteins for the network of interaction sites: features, embeddings, labels.

Shape key:  B proteins of a batch   L residues, padded   F features   C channels of embeddings   N residues of many
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protray.data.sites.table import UNKNOWN, SiteProtein
from protray.models.tasks.site_config import N_DSSP
from protray.models.tasks.site_net import SiteInputs
from protray.seq.alphabet import N_AA, encode


@dataclass(frozen=True)
class FeatureSet:
    """Which features a network reads beside the residue type."""

    pssm: bool = False
    dssp: bool = False
    channels: int = 0  # of the embeddings

    @classmethod
    def of(cls, proteins: Sequence[SiteProtein]) -> "FeatureSet":
        """What some of these proteins have."""
        widths = {one.residue_LC.shape[1] for one in proteins if one.residue_LC is not None}
        if len(widths) > 1:
            raise ValueError(f"embeddings of several widths: {sorted(widths)}")
        return cls(
            any(one.pssm_LA is not None for one in proteins), any(one.dssp_L is not None for one in proteins),
            widths.pop() if widths else 0,
        )  # fmt: skip

    @property
    def width(self) -> int:
        """F."""
        return N_AA + N_AA * self.pssm + N_DSSP * self.dssp


def features(protein: SiteProtein, wanted: FeatureSet) -> np.ndarray:
    """One-hot residue type (X: none), PSSM, one-hot DSSP class; zeros for what the protein lacks; float32 (L, F)."""
    length = len(protein.sequence)
    types_LA = np.eye(N_AA + 1, N_AA, dtype=np.float32)[encode(protein.sequence)]
    parts = [types_LA]
    if wanted.pssm:
        parts.append(np.zeros((length, N_AA), np.float32) if protein.pssm_LA is None else protein.pssm_LA)
    if wanted.dssp:
        missing = protein.dssp_L is None
        parts.append(
            np.zeros((length, N_DSSP), np.float32) if missing else np.eye(N_DSSP, dtype=np.float32)[protein.dssp_L]
        )
    return np.concatenate(parts, axis=1)


def site_batch(proteins: Sequence[SiteProtein], wanted: FeatureSet) -> tuple[SiteInputs, Tensor]:
    """Pad some proteins to the longest; inputs, and labels (B, L) with UNKNOWN at padding."""
    lengths = [len(one.sequence) for one in proteins]
    shape = len(proteins), max(lengths)
    feature_BLF, residue_BLC = torch.zeros(*shape, wanted.width), torch.zeros(*shape, wanted.channels)
    label_BL = torch.full(shape, UNKNOWN, dtype=torch.int8)
    for row, (one, length) in enumerate(zip(proteins, lengths, strict=True)):
        feature_BLF[row, :length] = torch.from_numpy(features(one, wanted))
        label_BL[row, :length] = torch.from_numpy(one.label_L)
        if one.residue_LC is not None and wanted.channels:
            residue_BLC[row, :length] = torch.from_numpy(one.residue_LC.astype(np.float32))
    embedded_B = torch.tensor([one.residue_LC is not None for one in proteins])
    return SiteInputs(feature_BLF, residue_BLC, embedded_B, torch.tensor(lengths)), label_BL


def training_values(proteins: Sequence[SiteProtein], wanted: FeatureSet) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, F) and embeddings (N, C) of all residues, and embeddings of proteins (B, C), to be scaled by."""
    feature_NF = torch.from_numpy(np.concatenate([features(one, wanted) for one in proteins]))
    embedded = [one.residue_LC.astype(np.float32) for one in proteins if one.residue_LC is not None]
    if not wanted.channels or not embedded:
        return feature_NF, torch.zeros(1, wanted.channels), torch.zeros(1, wanted.channels)
    means_BC = np.stack([residue_LC.mean(axis=0) for residue_LC in embedded])
    return feature_NF, torch.from_numpy(np.concatenate(embedded)), torch.from_numpy(means_BC)
