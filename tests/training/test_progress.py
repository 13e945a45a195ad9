"""The progress of a training: its points, the best weights, restarts, an early end."""

import copy
import math

import pytest
import torch

from protray.training.progress import Progress, from_step
from protray.training.world import World


class Weight:
    """A network of one number, the sum of all batches so far."""

    def __init__(self) -> None:
        self.number = torch.zeros(())

    def state_dict(self) -> dict:
        return {"number": self.number}

    def load_state_dict(self, weights: dict, /) -> None:
        self.number = weights["number"].clone()


class Record:
    """What a training reports."""

    def __init__(self) -> None:
        self.told: list[dict] = []
        self.states: dict[int, dict] = {}

    def __call__(self, metrics: dict, state: dict | None) -> None:
        self.told.append(dict(metrics))
        if state:
            self.states[int(metrics["step"])] = copy.deepcopy(state)


def run(losses: list[float], total: int, every: int, resume: dict | None = None, patience: float = math.inf):  # noqa: ANN201
    """Batches are 1, 2, 3, ...; the n-th point has the n-th loss."""
    net, record = Weight(), Record()
    progress = Progress({"model": net}, "model", total, record, resume, patience)
    while not progress.ended:
        batch = progress.step + 1
        net.number += batch
        progress.add({"loss": (batch, 2)})
        if progress.due(every):
            number = len(progress.at.history)
            progress.point({"epoch": number + 1} | progress.means(World()) | {"validation/loss": losses[number]})
        else:
            progress.tell()
    return progress.state, record


def test_points_come_at_every_second_step_and_the_last() -> None:
    """The weight is 1, 3, 6, 10, 15 after five steps; the means are (1 + 2) / 4, (3 + 4) / 4 and 5 / 2."""
    state, record = run([9.0, 4.0, 6.0], 5, 2)
    assert [told["step"] for told in record.told] == [1, 2, 3, 4, 5]
    assert record.told[0] == {"step": 1, "of": 5}
    assert sorted(record.states) == [2, 4, 5]
    assert [point["train/loss"] for point in state["position"]["history"]] == [0.75, 1.75, 2.5]
    assert record.told[-1] == state["position"]["history"][-1]
    position = state["position"]
    assert (position["best_step"], position["best_epoch"], position["best_loss"]) == (4, 2, 4.0)
    assert state["model"]["number"] == 15 and state["best"]["number"] == 10


@pytest.mark.parametrize("step", [2, 4, 5])
def test_it_goes_on_from_each_point(step) -> None:
    losses = [9.0, 4.0, 6.0]
    whole, record = run(losses, 5, 2)
    again, after = run(losses, 5, 2, resume=record.states[step])
    assert again == whole
    assert after.told == [told for told in record.told if told["step"] > step]


def test_a_loss_that_is_no_number_is_never_the_best() -> None:
    """Then the best weights are the first, not the last."""
    state, _ = run([math.nan], 3, 3)
    assert state["best"]["number"] == 0 and state["position"]["best_step"] == 0


def test_it_ends_when_validation_gets_no_better() -> None:
    """Best at step 4; at 8, four steps later, patience is over, and stays so."""
    losses = [3.0, 2.0, 2.0, 2.5, 1.0]
    state, record = run(losses, 100, 2, patience=4)
    assert [record.told[-1][name] for name in ("step", "of", "epoch")] == [8, 8, 4] and record.told[0]["of"] == 100
    assert state["position"]["best_step"] == 4
    again, after = run(losses, 100, 2, resume=record.states[8], patience=4)
    assert after.told == [] and again == state


@pytest.mark.parametrize("step", [0, 2, 3, 7])
def test_batches_from_a_step_on_are_those_of_the_whole(step) -> None:
    """Three in an epoch, of which only the first that is asked for is not read from its beginning."""
    asked = []

    def batches(epoch: int) -> list[int]:
        asked.append(epoch)
        return [3 * epoch, 3 * epoch + 1, 3 * epoch + 2]

    found = from_step(batches, 3, step)
    assert [next(found) for _ in range(7)] == list(range(step, step + 7))
    assert asked == list(range(step // 3, (step + 6) // 3 + 1))


def test_means_over_workers() -> None:
    """One worker has 3 over 2 of a, the other 1 over 2 of it and 5 over 1 of b; c has no count."""
    sent = iter([[4.0, 4.0, 5.0, 1.0, 0.0, 0.0]])

    class Two(World):
        def union(self, names) -> list[str]:  # noqa: ANN001
            return sorted({*names, "b"})

        def sum(self, values: list[float]) -> list[float]:
            assert values == [3.0, 2, 0.0, 0.0, 0.0, 0]
            return next(sent)

    assert Two(0, 2).means({"a": (3.0, 2), "c": (0.0, 0)}) == {"a": 1.0, "b": 5.0}
