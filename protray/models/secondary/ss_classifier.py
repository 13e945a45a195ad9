"""The secondary-structure classifier: teacher F_t, student F_s, and the plain baseline `Real`.

Shape key:  B proteins   L residues   A amino-acid types (20)   S states   C channels
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.layers import BiLstm, Noise, dropout
from protray.seq.alphabet import N_AA, PAD


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Width and depth; the paper's are 400 units, 2 layers, dropout 0.75."""

    embedding: int = 32
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.5  # before the last layer, and between LSTM layers
    states: int = 8  # 3, or 8 of DSSP, whose sum gives the three
    relu: bool = True  # between the two linear layers; the released code has none
    extra: int = 0  # channels of language-model features beside the PSSM

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {self.dropout}")
        if self.states not in (3, 8):
            raise ValueError(f"states must be 3 or 8, got {self.states}")


class SsClassifier(nn.Module):
    """Embedding + PSSM -> BiLSTM -> two linear layers -> logits of the states, (B, L, S)."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(PAD + 1, config.embedding, padding_idx=PAD)
        inputs = config.embedding + N_AA + config.extra
        self.lstm = BiLstm(inputs, config.hidden, config.layers, config.dropout)
        self.first = nn.Linear(2 * config.hidden, config.hidden)
        self.last = nn.Linear(config.hidden, config.states)

    def forward(
        self,
        codes_BL: Tensor,
        pssm_BLA: Tensor,
        lengths_B: Tensor,
        extra_BLC: Tensor | None = None,
        noise: Noise | None = None,
        name: str = "classifier",
    ) -> Tensor:
        parts = [self.embed(codes_BL), pssm_BLA] + ([] if extra_BLC is None else [extra_BLC])
        x_BLC = self.lstm(torch.cat(parts, dim=-1), lengths_B, noise, name)
        x_BLC = self.first(x_BLC)
        if self.config.relu:
            x_BLC = F.relu(x_BLC)
        return self.last(dropout(x_BLC, self.config.dropout, noise, f"{name}.last"))


# DSSP's eight states H G I E B T S C -> H E C
_GROUPS = ((0, 1, 2), (3, 4), (5, 6, 7))


def three_states(logits_BLS: Tensor) -> Tensor:
    """Logits of H, E, C: as they are, or from eight states by adding probabilities up; shape (B, L, 3)."""
    if logits_BLS.shape[-1] == 3:
        return logits_BLS
    return torch.stack([logits_BLS[..., list(group)].logsumexp(dim=-1) for group in _GROUPS], dim=-1)
