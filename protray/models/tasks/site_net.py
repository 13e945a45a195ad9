"""DeepPPISP (Zeng et al., Bioinformatics 2020): which residues of a protein touch other proteins.

A window of features around each residue, and a text CNN over the whole protein; both go through two layers.  Embeddings
join as in Guo et al. (AAAI 2022), Figure 2: those of residues the windows, their mean over the protein the global
features.

Shape key:  B proteins of a batch   L residues, padded   F features   C channels of embeddings   H hidden units
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.layers import real_residues
from protray.models.tasks.site_config import SiteNetConfig
from protray.seq.alphabet import N_AA

LONGEST = 500  # residues of a protein that the released network sees


@dataclass(frozen=True)
class SiteInputs:
    """Features of padded proteins, zero at padding."""

    feature_BLF: Tensor  # the first 20 are the one-hot residue type
    residue_BLC: Tensor  # embeddings; of width 0 without
    embedded_B: Tensor  # bool: whether the protein has them
    lengths_B: Tensor

    def to(self, device: str) -> "SiteInputs":
        return SiteInputs(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class Standard(nn.Module):
    """Subtract the mean and divide by the standard deviation, both of the training set; of each channel.

    A channel that hardly varies is left small: it would be noise at full size.
    """

    mean_C: Tensor
    deviation_C: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("deviation_C", torch.ones(channels))

    def set(self, values_NC: Tensor) -> None:
        """Take both from values of the training set."""
        if values_NC.shape[1]:
            self.mean_C = values_NC.mean(dim=0)
            deviation_C = values_NC.std(dim=0, correction=0)
            self.deviation_C = deviation_C.clamp(min=max(1e-6, 1e-3 * float(deviation_C.max())))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean_C) / self.deviation_C


class SiteNet(nn.Module):
    """Features -> logits (B, L) of being a site; what stands at padding means nothing."""

    def __init__(self, config: SiteNetConfig, features: int, channels: int = 0) -> None:
        super().__init__()
        self.config, self.features, self.channels = config, features, channels
        filters, (first, second) = config.filters(features), config.hidden
        self.scale = Standard(features - N_AA)  # one-hot types stay as they are
        self.residue_scale, self.protein_scale = Standard(channels), Standard(channels)
        wide = LONGEST * N_AA if config.faithful else N_AA
        self.project = nn.Linear(wide, wide)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(features, filters, size, padding=size // 2) for size in config.kernels
        )
        self.slope = nn.PReLU() if config.faithful else None  # of the first kernel, in the released code alone
        narrow = config.embedded if channels and config.embedded else channels
        self.narrow = nn.ModuleList(_linear(channels, narrow) for _ in range(2))  # of residues, of proteins
        self.local = nn.Conv1d(features + narrow, first, config.window, padding=config.window // 2)
        self.overall = nn.Linear(len(config.kernels) * filters + narrow, first, bias=False)
        self.second, self.last = nn.Conv1d(first, second, 1), nn.Conv1d(second, 1, 1)

    def set_scales(self, feature_NF: Tensor, residue_NC: Tensor, protein_NC: Tensor) -> None:
        """Standardise by features and embeddings of the training set's residues, and embeddings of its proteins."""
        self.scale.set(feature_NF[:, N_AA:])
        self.residue_scale.set(residue_NC)
        self.protein_scale.set(protein_NC)

    def forward(self, inputs: SiteInputs) -> Tensor:
        mask_BL1 = real_residues(inputs.lengths_B, inputs.feature_BLF.shape[1])[:, :, None]
        types_BLA, others_BLF = inputs.feature_BLF[..., :N_AA], self.scale(inputs.feature_BLF[..., N_AA:])
        feature_BLF = torch.cat([types_BLA, others_BLF], dim=2) * mask_BL1
        overall_BG = self._faithful(feature_BLF) if self.config.faithful else self._global(feature_BLF, mask_BL1)
        residue_BLC, protein_BC = self._embeddings(inputs, mask_BL1)
        # one linear map of a window and the global features, multiplied apart: once a residue, and once a protein
        window_BHL = self.local(torch.cat([feature_BLF, residue_BLC], dim=2).mT)
        x_BHL = F.relu(window_BHL + self.overall(torch.cat([overall_BG, protein_BC], dim=1))[:, :, None])
        x_BHL = F.dropout(x_BHL, self.config.dropout, self.training)
        return self.last(F.relu(self.second(x_BHL)))[:, 0]

    def _embeddings(self, inputs: SiteInputs, mask_BL1: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of residues, zero at padding, and of proteins; both zero where a protein has none."""
        there_B1 = inputs.embedded_B[:, None]
        mean_BC = (inputs.residue_BLC * mask_BL1).sum(dim=1) / inputs.lengths_B[:, None]
        residue_BCL = F.dropout1d(
            self.residue_scale(inputs.residue_BLC).mT, self.config.embedding_dropout, self.training
        )
        mean_BC = F.dropout(self.protein_scale(mean_BC), self.config.embedding_dropout, self.training)
        of_residues, of_proteins = self.narrow
        return of_residues(residue_BCL.mT) * (mask_BL1 & there_B1[:, :, None]), of_proteins(mean_BC) * there_B1

    def _global(self, feature_BLF: Tensor, mask_BL1: Tensor) -> Tensor:
        """The greatest answer of each filter over the real residues, shape (B, G)."""
        types_BLA = self.project(feature_BLF[..., :N_AA])
        x_BFL = (torch.cat([types_BLA, feature_BLF[..., N_AA:]], dim=2) * mask_BL1).mT
        found = [F.relu(convolution(x_BFL)).masked_fill(~mask_BL1.mT, 0.0) for convolution in self.convolutions]
        return torch.cat(found, dim=1).amax(dim=2)

    def _faithful(self, feature_BLF: Tensor) -> Tensor:
        """The same of 500 residues, those of padding too, with a layer from all residue types to all."""
        x_BLF = feature_BLF[:, :LONGEST]
        x_BLF = F.pad(x_BLF, (0, 0, 0, LONGEST - x_BLF.shape[1]))
        types_BLA = self.project(x_BLF[..., :N_AA].flatten(1)).unflatten(1, (LONGEST, N_AA))
        x_BFL = torch.cat([types_BLA, x_BLF[..., N_AA:]], dim=2).mT
        activations = [self.slope or F.relu, F.relu, F.relu]
        found = [act(convolution(x_BFL)) for act, convolution in zip(activations, self.convolutions, strict=True)]
        return torch.cat(found, dim=1).amax(dim=2)


def _linear(channels: int, narrow: int) -> nn.Module:
    return nn.Linear(channels, narrow, bias=False) if channels != narrow else nn.Identity()
