"""A step's losses and gradients are the same for any micro-batches and number of workers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import leave
from ssdm_steps_here import K, double, draws, networks, only
from torch import Tensor

from protray.training.structure.ssdm_batches import micro_batch
from protray.training.structure.ssdm_config import OBJECTIVES, ObjectiveConfig
from protray.training.structure.ssdm_objectives import (
    Losses,
    added,
    contrast_pulls,
    objective_losses,
    step_loss,
)
from protray.training.world import World


def gradients(
    config: ObjectiveConfig,
    sizes: list[int],
    world: World = World(),  # noqa: B008
    pull: bool = True,
) -> tuple[dict[str, float], list[Tensor]]:
    """Sums over a step of four proteins cut into micro-batches, and its gradient; in float64, of this worker alone."""
    parts = draws(config)[world.rank :: world.size]
    encoder, heads = (net.double() for net in networks(config))
    starts = np.cumsum([0, *sizes])
    batches = [double(micro_batch(parts[a:b], config)) for a, b in zip(starts, starts[1:], strict=False)]
    totals: dict[str, float] = {}
    for batch in batches:
        totals = {term: totals.get(term, 0) + count for term, count in batch.counts.items()}
    totals = dict(zip(totals, world.sum(list(totals.values())), strict=True))
    weights = [*encoder.parameters(), *heads.parameters()]
    sums = [torch.zeros_like(weight) for weight in weights]
    found: Losses = {}
    ready = contrast_pulls(encoder, heads, batches, config, K, world) if pull else [None] * len(batches)
    for batch, own in zip(batches, ready, strict=True):
        losses = objective_losses(encoder, heads, batch, config, K, world, own)
        found = added(found, {term: (loss.detach(), count) for term, (loss, count) in losses.items()})
        for total, part in zip(sums, torch.autograd.grad(step_loss(losses, totals, config), weights), strict=True):
            total += part
    world.add(sums)
    values = world.sum([loss.item() for loss, _ in found.values()])
    return {term: value / totals[term] for term, value in zip(found, values, strict=True)}, sums


ALL = only(*OBJECTIVES)


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [2, 2], [3, 1]])
def test_any_micro_batches_give_the_step_of_one(sizes) -> None:
    """Every objective, the contrast included, with other padding and in two passes."""
    losses, whole = gradients(ALL, [4])
    cut_losses, cut = gradients(ALL, sizes)
    assert cut_losses == pytest.approx(losses, rel=1e-6)
    for one, other in zip(whole, cut, strict=True):
        assert one.abs().max() > 0  # every weight of every head has a gradient
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-8)


def test_the_contrast_in_two_passes_is_exact() -> None:
    losses, whole = gradients(only("contrast"), [4])
    cut_losses, cut = gradients(only("contrast"), [1, 2, 1])
    assert cut_losses == pytest.approx(losses, rel=1e-12)
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)
    _, wrong = gradients(only("contrast"), [2, 2], pull=False)  # each micro-batch by itself: another loss
    assert not torch.allclose(wrong[-1], whole[-1], rtol=1e-2)


def run_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    world = World(rank, 2)
    store = f"file://{folder / 'meeting-point'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    for name, config in (("contrast", only("contrast")), ("all", ALL)):
        for sizes in ([2], [1, 1]):
            losses, found = gradients(config, sizes, world)
            if rank == 0:
                torch.save({"losses": losses, "gradients": found}, folder / f"{name} {len(sizes)}.pt")
    leave()


def test_two_workers_give_the_gradient_of_one(tmp_path) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(run_rank, args=(tmp_path,), nprocs=2)
    for name, config, tolerance in (("contrast", only("contrast"), 1e-10), ("all", ALL, 1e-6)):
        losses, whole = gradients(config, [4])
        for batches in (1, 2):
            together = torch.load(tmp_path / f"{name} {batches}.pt", weights_only=True)
            assert together["losses"] == pytest.approx(losses, rel=tolerance)
            for one, other in zip(whole, together["gradients"], strict=True):
                torch.testing.assert_close(other, one, rtol=100 * tolerance, atol=tolerance)
