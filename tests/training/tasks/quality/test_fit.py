"""The training of GraphQA: it learns four decoys by heart, goes on where it stopped, and shares steps evenly."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from decoys_here import decoys, random_extras

from protray.data.decoys.graphs import Widths, no_extras
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.training.errors import NonFiniteLossError
from protray.training.tasks.quality import fit as module
from protray.training.tasks.quality.fit import fit, known, learning_rate, predict, row_trainings
from protray.training.tasks.quality.steps import QualityFitConfig, drawn, epoch_batches
from protray.training.tasks.turns import finished, in_turn
from protray.training.world import World

NET = GraphQaConfig(layers=2, edges=(16, 8), nodes=(16, 16), whole=(16, 16), dropout=0.0)
FIT = QualityFitConfig(epochs=3, batch=4, micro_batch=2, validate_every=2)


def silent(metrics: dict, state: dict | None) -> None:
    pass


def test_four_decoys_are_learnt_by_heart() -> None:
    """To a loss below 0.01, summed over five scores; a constant cannot.  CAD is not known, and stays out."""
    some = decoys(4, 1)
    config = QualityFitConfig(epochs=150, batch=4, micro_batch=4, learning_rate=1e-2, validate_every=150)
    points: list[dict] = []
    state = fit(NET, Widths(), some, some, config, lambda metrics, state: points.append(metrics) if state else None)
    constant = np.var([one.global_S[:4] for one in some], axis=0).sum()
    assert points[-1]["validation/loss"] < 0.01 < constant / 4
    assert points[-1]["validation/gdt_ts_rmse"] < 0.05
    assert not any("cad" in name for name in points[-1])
    net = GraphQa(NET)
    net.load_state_dict(state["best"])
    found = predict(net, some)
    assert [whole[1] for _, whole in found] == pytest.approx([one.global_S[1] for one in some], abs=0.1)
    assert [local.shape for local, _ in found] == [(len(one.sequence), 2) for one in some]


def test_a_resumed_training_gives_the_same_curve() -> None:
    some, others = decoys(6, 2), decoys(3, 1, start=10)
    reported: list[tuple[dict, dict | None]] = []

    def keep(metrics: dict, state: dict | None) -> None:
        reported.append((metrics, None if state is None else _copy(state)))

    fit(replace(NET, dropout=0.2), Widths(), some, others, replace(FIT, epochs=4), keep)
    states = [(metrics, state) for metrics, state in reported if state]
    assert [metrics["epoch"] for metrics, _ in states] == [2, 4]
    again: list[dict] = []
    fit(
        replace(NET, dropout=0.2), Widths(), some, others, replace(FIT, epochs=4),
        lambda metrics, state: again.append(metrics) if state else None, resume=states[0][1],
    )  # fmt: skip
    assert again == [states[1][0]]


def test_rows_go_on_in_the_middle_of_the_second() -> None:
    """What is finished is not opened again, and the curves are those of a training in one go."""
    some, others, opened = decoys(6, 2), decoys(3, 1, start=10), []

    def row(name: str):  # noqa: ANN202
        opened.append(name)
        return (Widths(3, 2), random_extras) if name == "b" else (Widths(), no_extras)

    def states(resume: dict | None) -> list[dict]:
        found: list[dict] = []
        rows = {name: partial(row, name) for name in ("a", "b")}
        config = replace(FIT, epochs=4)
        trainings = row_trainings(rows, NET, some, others, config, World())
        in_turn(trainings, lambda _, s: found.append(_copy(s)) if s else None, resume)
        return found

    whole = states(None)
    assert opened == ["a", "b"] and [state["stage"] for state in whole] == ["a", "a", "b", "b"]
    opened.clear()
    [last] = states(whole[2])
    assert opened == ["b"]
    for name, one in finished(whole[3]).items():
        assert finished(last)[name]["position"] == one["position"]


def _copy(state: dict) -> dict:
    import copy

    return copy.deepcopy(state)


class _Two:
    """Two workers in two threads, who add up."""

    def __init__(self) -> None:
        self.barrier, self.parts = threading.Barrier(2, timeout=60), [None, None]

    def world(self, rank: int) -> World:
        both = self

        class Here(World):
            def sum(self, values: list[float]) -> list[float]:
                both.parts[self.rank] = values
                both.barrier.wait()
                total = [a + b for a, b in zip(*both.parts, strict=True)]
                both.barrier.wait()
                return total

            def add(self, tensors: list) -> None:
                flat = self.sum(torch.cat([tensor.flatten() for tensor in tensors]).double().tolist())
                for tensor, total in zip(
                    tensors, torch.tensor(flat).split([tensor.numel() for tensor in tensors]), strict=True
                ):
                    tensor.copy_(total.view(tensor.shape))

        return Here(rank, 2)


def test_two_workers_see_what_one_sees(monkeypatch) -> None:
    """Without dropout, and from given first weights: two threads of one process would draw them from one stream."""
    first = GraphQa(NET, 0, 0).state_dict()

    def build(*args):  # noqa: ANN002, ANN202
        net = GraphQa(*args)
        net.load_state_dict(first)
        return net

    monkeypatch.setattr(module, "GraphQa", build)
    some, others = decoys(5, 2), decoys(3, 1, start=10)
    curves: list[list[dict]] = [[], [], []]
    fit(NET, Widths(), some, others, FIT, lambda m, s: curves[2].append(m) if s else None)
    two = _Two()

    def work(rank: int) -> None:
        fit(NET, Widths(), some, others, FIT, lambda m, s: curves[rank].append(m) if s else None, world=two.world(rank))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(curves[0], curves[2], strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_embeddings_are_read() -> None:
    some = decoys(4, 1)
    state = fit(NET, Widths(3, 2), some, some, replace(FIT, epochs=2), silent, extras=random_extras)
    assert state["best"]["extra_node.1.weight"].shape == (16, 3)
    assert state["best"]["extra_edge.1.weight"].shape == (16, 2)


def test_each_target_comes_once_an_epoch_with_one_of_its_decoys() -> None:
    some = {f"t{n}": [replace(one, target=f"t{n}") for one in decoys(1, 3)] for n in range(10)}
    config = QualityFitConfig(epochs=60, batch=4)
    epochs = [[one for batch in epoch_batches(some, config, epoch) for one in batch] for epoch in (0, 1, 0)]
    assert [sorted(one.target for one in epoch) for epoch in epochs] == [sorted(some)] * 3
    assert [one.target for one in epochs[0]] == [one.target for one in epochs[2]] != [one.target for one in epochs[1]]
    seen = {drawn(some["t0"], config, epoch).id for epoch in range(30)}
    assert len(seen) == 3
    assert config.steps(10) == 60 * 3


def test_learning_rates() -> None:
    """Half a cosine; or GraphQA's, halved after 250 epochs."""
    cosine, steps = QualityFitConfig(learning_rate=1.0), QualityFitConfig(learning_rate=1.0, constant=True)
    assert [learning_rate(step, 100, 10, cosine) for step in (0, 50, 100)] == pytest.approx([1, 0.5, 0])
    assert [learning_rate(step, 10_000, 10, steps) for step in (0, 2499, 2500, 5000)] == [1, 1, 0.5, 0.25]


def test_scores_that_are_known_are_counted() -> None:
    (one,) = decoys(1, 1)
    local_LS = one.local_LS.copy()
    local_LS[3, 0] = np.nan
    assert known([one, replace(one, local_LS=local_LS)], "local_LS").tolist() == [2 * len(one.sequence) - 1, 0]
    assert known([one, one], "global_S").tolist() == [2, 2, 2, 2, 0]


def test_a_loss_that_is_not_finite_ends_it_with_the_decoys(monkeypatch) -> None:
    real = module.errors

    def broken(*args):  # noqa: ANN002, ANN202
        sums_S, counts_S = real(*args)
        return sums_S * float("nan"), counts_S

    monkeypatch.setattr(module, "errors", broken)
    some = decoys(2, 1)
    with pytest.raises(NonFiniteLossError, match=f"step 1: .*{some[0].id}"):
        fit(NET, Widths(), some, some, FIT, silent)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="batch must be a multiple of micro_batch"):
        QualityFitConfig(batch=5, micro_batch=2)
    with pytest.raises(ValueError, match="epochs must be positive"):
        QualityFitConfig(epochs=0)
    with pytest.raises(ValueError, match="3 workers cannot share 2 micro-batches of 4 evenly"):
        QualityFitConfig().check_workers(3)
