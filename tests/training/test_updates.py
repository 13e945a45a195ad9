"""Gradients of many micro-batches, and the step along them."""

import math

import pytest
import torch

from protray.training.updates import descend, group_norms, half_cosine, summed
from protray.training.world import World


class Twice(World):
    """Two workers with the same micro-batches."""

    def add(self, tensors: list) -> None:
        for tensor in tensors:
            tensor.mul_(2)


def test_gradients_are_added_up_over_micro_batches_and_workers() -> None:
    """Columns first in memory stay so, whatever the layout of a gradient; one has no part in the second."""
    weights = [torch.zeros(3, 2).t(), torch.zeros(1)]
    found = [([torch.ones(2, 3), torch.ones(1)], "first"), ([torch.ones(2, 3), None], "second")]
    (one, other), rest = summed(weights, found, Twice())
    assert one.tolist() == [[4.0] * 3] * 2 and other.tolist() == [2.0] and rest == ["first", "second"]
    assert one.stride() == weights[0].stride() != torch.zeros(2, 3).stride()
    sums, rest = summed(weights, [], World())  # of a worker without a micro-batch
    assert not any(total.any() for total in sums) and rest == []


@pytest.mark.parametrize(("clip", "moved"), [(10.0, [-3.0, -4.0]), (1.0, [-0.6, -0.8])])
def test_a_step_along_a_gradient_that_may_be_too_long(clip, moved) -> None:
    """Of norm 5, with plain gradient descent at a rate of 1."""
    weights = [torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))]
    norm = descend(torch.optim.SGD(weights, lr=1.0), weights, [torch.tensor([3.0]), torch.tensor([4.0])], clip)
    assert norm == 5.0
    assert [weight.item() for weight in weights] == pytest.approx(moved, rel=1e-5)


def test_norms_of_groups() -> None:
    """3 and 4 of the rest, 12 of the language model."""
    rest, lm = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)], [torch.nn.Parameter(torch.zeros(1))]
    gradients = [torch.tensor([value]) for value in (3.0, 4.0, 12.0)]
    groups = [{"params": rest, "lr": 1.0}, {"params": lm, "lr": 0.1}]
    assert group_norms(torch.optim.SGD(groups), gradients) == {"rest": 5.0, "language_model": 12.0}
    assert group_norms(torch.optim.SGD(rest, lr=1.0), gradients[:2]) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(value) -> None:
    """Adam's moments of an earlier step would move the weight even with a gradient of 0."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    descend(optimizer, [weight], [torch.ones(2)], 1.0)
    before = weight.detach().clone()
    assert not math.isfinite(descend(optimizer, [weight], [torch.tensor([1.0, value])], 1.0))
    assert torch.equal(weight, before)


def test_half_a_cosine_by_hand() -> None:
    assert [half_cosine(done) for done in (0, 1 / 3, 0.5, 1)] == pytest.approx([1, 0.75, 0.5, 0])
