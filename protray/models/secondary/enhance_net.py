"""EnhanceNet F_e: a low-quality PSSM and a language model's view of the sequence -> an enhanced PSSM.

Shape key:  B proteins   L residues   A amino-acid types (20)   C channels
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from protray.models.layers import BiLstm, Noise, dropout, real_residues
from protray.seq.alphabet import N_AA, PAD


@dataclass(frozen=True, kw_only=True)
class EnhanceConfig:
    """Width and depth; the paper's are 400 units, 2 layers, 300 filters a kernel, dropout 0.75."""

    embedding: int = 32
    hidden: int = 64
    layers: int = 2  # of the BiLSTM; 0: there is no F_e, and X_e is X_l
    filters: int = 64  # of each convolution
    kernels: tuple[int, ...] = (3, 3, 5)
    branches: Literal["parallel", "sequential"] = "parallel"  # the convolutions beside or behind one another
    dropout: float = 0.5
    relu: bool = True  # between the two linear layers; the released code has none
    residual: bool = True  # predict X_e - X_l; the paper predicts X_e itself
    bert: bool = True  # X_b is an input
    extra: int = 0  # channels of the language model's hidden state beside X_b

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {self.dropout}")

    @property
    def reads_lm(self) -> bool:
        """Whether anything of a language model is an input."""
        return self.layers > 0 and (self.bert or self.extra > 0)


class EnhanceNet(nn.Module):
    """Embedding + X_l + X_b -> BiLSTM beside CNN -> two linear layers -> X_e, (B, L, 20) in nats."""

    def __init__(self, config: EnhanceConfig) -> None:
        super().__init__()
        self.config = config
        if not config.layers:
            return
        self.embed = nn.Embedding(PAD + 1, config.embedding, padding_idx=PAD)
        inputs = config.embedding + N_AA * (1 + config.bert) + config.extra
        self.lstm = BiLstm(inputs, config.hidden, config.layers, config.dropout)
        parallel = config.branches == "parallel"
        self.convolutions = nn.ModuleList(
            nn.Conv1d(inputs if parallel or not number else config.filters, config.filters, kernel, padding="same")
            for number, kernel in enumerate(config.kernels)
        )
        joined = 2 * config.hidden + config.filters * (len(config.kernels) if parallel else 1)
        self.first = nn.Linear(joined, joined // 2)
        self.last = nn.Linear(joined // 2, N_AA)

    def forward(
        self,
        codes_BL: Tensor,
        low_BLA: Tensor,
        bert_BLA: Tensor | None,
        lengths_B: Tensor,
        extra_BLC: Tensor | None = None,
        noise: Noise | None = None,
        name: str = "enhance",
    ) -> Tensor:
        if not self.config.layers:
            return low_BLA
        optional = [part for part in (bert_BLA if self.config.bert else None, extra_BLC) if part is not None]
        x_BLC = torch.cat([self.embed(codes_BL), low_BLA, *optional], dim=-1)
        local_BLC = self._convolve(x_BLC, real_residues(lengths_B, x_BLC.shape[1]))
        y_BLC = torch.cat([self.lstm(x_BLC, lengths_B, noise, name), local_BLC], dim=-1)
        y_BLC = self.first(y_BLC)
        if self.config.relu:
            y_BLC = F.relu(y_BLC)
        enhanced_BLA = self.last(dropout(y_BLC, self.config.dropout, noise, f"{name}.last"))
        return low_BLA + enhanced_BLA if self.config.residual else enhanced_BLA

    def _convolve(self, x_BLC: Tensor, mask_BL: Tensor) -> Tensor:
        """Kernels over residues; padding is zeroed before each, so that it equals the end of the chain."""
        x_BCL, mask_B1L = x_BLC.transpose(1, 2), mask_BL[:, None]
        if self.config.branches == "parallel":
            y_BCL = torch.cat([F.relu(convolution(x_BCL * mask_B1L)) for convolution in self.convolutions], dim=1)
        else:
            y_BCL = x_BCL
            for convolution in self.convolutions:
                y_BCL = F.relu(convolution(y_BCL * mask_B1L))
        return y_BCL.transpose(1, 2)
