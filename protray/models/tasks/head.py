"""Three layers, or one, from an embedding of a protein, or of a mutation, to labels, a class or a number.

Shape key:  B proteins of a batch   C channels of the embedding   T labels, or 1
"""

from itertools import chain, pairwise

import torch
from torch import Tensor, nn

from protray.models.tasks.head_config import HeadConfig, Kind

SMALLEST = 1e-6  # standard deviation of a channel; one that never changes says nothing


class Head(nn.Module):
    """Standardise each channel, then linear, ReLU, dropout, twice, and linear; or linear alone.

    Channels that are NaN, because a protein has no such embedding, count as the training mean.  A number is predicted
    in its own unit: the network gives how many standard deviations it is from the training mean.
    """

    mean_C: Tensor
    scale_C: Tensor
    mean_T: Tensor
    scale_T: Tensor

    def __init__(self, config: HeadConfig, kind: Kind, channels: int, outputs: int) -> None:
        super().__init__()
        self.config, self.kind = config, kind
        for name, size in (("C", channels), ("T", outputs)):
            self.register_buffer(f"mean_{name}", torch.zeros(size))
            self.register_buffer(f"scale_{name}", torch.ones(size))
        hidden, dropout = config.hidden, config.dropout
        widths = [channels, hidden, hidden] if hidden else [channels]
        between = [(nn.Linear(*pair), nn.ReLU(), nn.Dropout(dropout)) for pair in pairwise(widths)]
        self.layers = nn.Sequential(*chain.from_iterable(between), nn.Linear(widths[-1], outputs))

    @torch.no_grad()
    def standardise(self, x_NC: Tensor, y_NT: Tensor) -> None:
        """Take mean and standard deviation of the training set, and start labels at their frequencies."""
        self.mean_C.copy_(x_NC.nanmean(dim=0).nan_to_num())
        self.scale_C.copy_((x_NC - self.mean_C).square().nanmean(dim=0).nan_to_num().sqrt().clamp(min=SMALLEST))
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        if self.kind == "labels":
            last.bias.copy_(torch.logit(y_NT.mean(dim=0).clamp(1e-4, 1 - 1e-4)))
            return
        last.bias.zero_()
        self.mean_T.copy_(y_NT.mean(dim=0))
        self.scale_T.copy_(y_NT.std(dim=0, correction=0).clamp(min=SMALLEST))

    def forward(self, x_BC: Tensor) -> Tensor:
        """Logits of labels or classes, or numbers in their unit; shape (B, T)."""
        found_BT = self.layers(((x_BC - self.mean_C) / self.scale_C).nan_to_num(0.0))
        return found_BT * self.scale_T + self.mean_T if self.kind == "value" else found_BT

    @torch.no_grad()
    def predict(self, x_BC: Tensor) -> Tensor:
        """Probabilities of labels or classes, or numbers; in evaluation mode only."""
        return self.predicted(self(x_BC))

    def predicted(self, found_BT: Tensor) -> Tensor:
        """The same of what `forward` gives."""
        if self.kind == "value":
            return found_BT
        return found_BT.sigmoid() if self.kind == "labels" else found_BT.softmax(dim=1)
