"""Groups of parameters that an optimiser turns at different rates."""

from collections.abc import Iterable
from typing import Any

from torch import nn


def parameter_groups(
    lm: nn.Module, rest: Iterable[nn.Module], learning_rate: float, ratio: float
) -> list[dict[str, Any]]:
    """The language model at `ratio` times the learning rate, and all else at the learning rate.

    A ratio of 0 leaves the language model as it is, without gradients and in evaluation mode; its parameters are then
    in no group.  With Adam, a step is as long as its rate, so the ratio is one of steps.

    Parameters
    ----------
    lm : Module
    rest : iterable of Module
        Everything else that is trained: encoder, fusion and heads.  The released code of ESM-GearNet forgets the
        fusion.

    Raises
    ------
    ValueError
        If the ratio is negative, or if the language model shares a parameter with the rest.
    """
    if ratio < 0:
        raise ValueError(f"the ratio of learning rates must be at least 0, got {ratio}")
    slow = list(lm.parameters())
    fast = list({id(p): p for module in rest for p in module.parameters()}.values())
    if {id(p) for p in slow} & {id(p) for p in fast}:
        raise ValueError("the language model shares parameters with the rest: they would be in two groups")
    groups: list[dict[str, Any]] = [{"params": fast, "lr": learning_rate}]
    if ratio == 0:
        lm.requires_grad_(False).eval()
        return groups
    return [*groups, {"params": slow, "lr": ratio * learning_rate}]
