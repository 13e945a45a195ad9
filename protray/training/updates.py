"""What trainings have in common beside their steps: the learning rate on the way, the running mean of weights."""

import math
from typing import Any

import torch
from torch import nn


def learning_rate(step: int, total: int, config: Any) -> float:
    """Linear warm-up, then half a cosine down to 0 at the last step, or constant.

    `config` has ``learning_rate``, its peak, ``warmup`` in steps, and ``constant``.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.constant:
        return config.learning_rate
    done = (step - config.warmup) / max(total - config.warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the running mean of the weights towards those of `net`; a decay of 0 copies them.

    Weights that both share stay as they are.
    """
    for mean, weight in zip(average.parameters(), net.parameters(), strict=True):
        if mean is not weight:
            mean.lerp_(weight, 1 - decay)
