"""The training of a head: learnt by heart, gone on with, shared by two workers, stopped early."""

import copy
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from protray.losses.heads import label_loss, value_loss
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig
from protray.training.errors import NonFiniteLossError
from protray.training.tasks.properties import heads
from protray.training.tasks.properties.head_export import HeadFacts, load_head, save_head
from protray.training.tasks.properties.head_steps import HeadFitConfig, epoch_batches
from protray.training.tasks.properties.heads import Examples, fit, predict, row_trainings
from protray.training.tasks.turns import finished, in_turn
from protray.training.world import World

NET = HeadConfig(hidden=16, dropout=0.0)
FIT = HeadFitConfig(epochs=3, batch=8, micro_batch=4, learning_rate=1e-2)


def examples(rows: int, seed: int = 0) -> Examples:
    """Two labels that the first channels decide; channel 4 is always the same."""
    rng = np.random.default_rng(seed)
    x_NC = rng.normal(size=(rows, 5)).astype(np.float32)
    x_NC[:, 4] = 3
    return Examples(x_NC, (x_NC[:, :2] > 0).astype(np.float32))


def numbers(rows: int) -> Examples:
    some = examples(rows)
    return Examples(some.x_NC, 50 + 10 * some.x_NC[:, :1])


def silent(metrics: dict, state: dict | None) -> None:
    pass


def trained(state: dict, kind: str, outputs: int) -> Head:
    net = Head(NET, kind, 5, outputs)  # type: ignore[arg-type]
    net.load_state_dict(state["best"])
    return net


def test_losses_by_hand() -> None:
    """-ln(1/2) - ln(sigmoid(1)); (3 / 2)^2."""
    logits, true = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    assert label_loss(logits, true).item() == pytest.approx(np.log(2) + np.log(1 + np.exp(-1)))
    assert value_loss(torch.tensor([[5.0]]), torch.tensor([[2.0]]), torch.tensor([2.0])).item() == 2.25


def test_labels_and_numbers_are_learnt() -> None:
    some, config = examples(64), replace(FIT, epochs=60, patience=60)
    net = trained(fit(NET, "labels", some, some, config, silent), "labels", 2)
    assert ((predict(net, some.x_NC) > 0.5) == some.y_NT).mean() > 0.98
    other = numbers(64)
    found = predict(trained(fit(NET, "value", other, other, config, silent), "value", 1), other.x_NC)
    assert np.abs(found - other.y_NT).mean() < 1 < np.abs(other.y_NT - 50).mean() / 5


def test_an_untrained_head_says_the_frequencies_or_the_mean() -> None:
    """Missing channels count as the mean."""
    some = examples(64)
    net = Head(NET, "labels", 5, 2)
    net.standardise(torch.from_numpy(some.x_NC), torch.from_numpy(some.y_NT))
    torch.nn.init.zeros_(net.layers[-1].weight)  # type: ignore[arg-type]
    assert predict(net, np.full((1, 5), np.nan, np.float32))[0] == pytest.approx(some.y_NT.mean(axis=0), abs=1e-6)
    assert net.mean_C.tolist() == pytest.approx(some.x_NC.mean(axis=0).tolist(), abs=1e-6)
    partly = some.x_NC.copy()
    partly[::2, 0] = np.nan
    net.standardise(torch.from_numpy(partly), torch.from_numpy(some.y_NT))
    assert net.mean_C[0].item() == pytest.approx(some.x_NC[1::2, 0].mean(), abs=1e-6)
    assert net.scale_C[0].item() == pytest.approx(some.x_NC[1::2, 0].std(), abs=1e-5)


def test_it_stops_when_validation_gets_no_better() -> None:
    """Labels of the validation rows are those of others: there is nothing to learn for them."""
    train, other = examples(64), examples(64, seed=1)
    points: list[dict] = []
    fit(NET, "labels", train, replace(other, y_NT=other.y_NT[::-1].copy()), replace(FIT, epochs=100, patience=3),
        lambda metrics, state: points.append(metrics))  # fmt: skip
    assert 4 <= len(points) < 30 and points[-1]["of"] == points[-1]["step"] < points[0]["of"]
    losses = [point["validation/loss"] for point in points]
    assert int(np.argmin(losses)) == len(losses) - 1 - 3


def test_a_resumed_training_gives_the_same_curve() -> None:
    states: list[tuple[dict, dict]] = []
    net, some = replace(NET, dropout=0.3), examples(20)
    fit(net, "labels", some, examples(8, 1), FIT, lambda m, s: states.append((m, copy.deepcopy(s or {}))))
    again: list[dict] = []
    fit(net, "labels", some, examples(8, 1), FIT, lambda m, s: again.append(m), resume=states[0][1])
    assert again == [metrics for metrics, _ in states[1:]] and len(again) == 2


def test_rows_that_are_finished_are_not_trained_again() -> None:
    states: list[dict] = []
    asked = []

    def read(name: str):  # noqa: ANN202
        asked.append(name)
        return examples(20), examples(8, 1)

    trainings = row_trainings({name: partial(read, name) for name in ("a", "b")}, NET, "labels", FIT, World())
    in_turn(trainings, lambda m, s: states.append(copy.deepcopy(s or {})), None)
    assert asked == ["a", "b"] and len(states) == 6 and list(finished(states[-1])) == ["a", "b"]
    asked.clear()
    last: list[dict] = []
    in_turn(trainings, lambda m, s: last.append(copy.deepcopy(s or {})), states[3])
    assert asked == ["b"] and len(last) == 2
    for name, one in finished(last[-1]).items():
        expected = finished(states[-1])[name]["position"]
        assert one["position"] == expected


def test_two_workers_see_what_one_sees(monkeypatch) -> None:
    """From given first weights: two threads of one process would draw them from one stream."""
    torch.manual_seed(0)
    first = Head(NET, "labels", 5, 2).state_dict()
    first = {name: value for name, value in first.items() if name.startswith("layers")}

    def build(*args):  # noqa: ANN002, ANN202
        net = Head(*args)
        net.load_state_dict(first, strict=False)
        return net

    monkeypatch.setattr(heads, "Head", build)
    barrier, parts = threading.Barrier(2, timeout=60), [[], []]

    class Two(World):
        def sum(self, values: list[float]) -> list[float]:
            parts[self.rank] = values
            barrier.wait()
            total = [a + b for a, b in zip(*parts, strict=True)]
            barrier.wait()
            return total

        def add(self, tensors: list) -> None:
            flat = torch.tensor(self.sum(torch.cat([one.flatten() for one in tensors]).double().tolist()))
            for tensor, total in zip(tensors, flat.split([one.numel() for one in tensors]), strict=True):
                tensor.copy_(total.view(tensor.shape))

    curves: list[list[dict]] = [[], [], []]
    some, others = examples(21), examples(9, 1)
    fit(NET, "labels", some, others, FIT, lambda m, s: curves[2].append(m))

    def work(rank: int) -> None:
        fit(NET, "labels", some, others, FIT, lambda m, s: curves[rank].append(m), world=Two(rank, 2))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, two, alone in zip(*curves, strict=True):
        assert one == pytest.approx(alone, rel=1e-4) and two == pytest.approx(alone, rel=1e-4)


def test_a_loss_that_is_not_finite_ends_it() -> None:
    some = numbers(16)
    some.y_NT[3] = np.inf
    with pytest.raises(NonFiniteLossError, match="step 1: the loss or its gradient is not finite"):
        fit(NET, "value", some, numbers(8), FIT, silent)


def test_batches_follow_from_seed_and_epoch() -> None:
    batches = [rows.tolist() for rows in epoch_batches(20, FIT, 0)]
    assert [len(rows) for rows in batches] == [8, 8, 4] and sorted(sum(batches, [])) == list(range(20))
    assert batches != [rows.tolist() for rows in epoch_batches(20, FIT, 1)] and FIT.steps(20) == 9
    with pytest.raises(ValueError, match="batch must be a multiple of micro_batch, got 8 and 3"):
        HeadFitConfig(batch=8, micro_batch=3)
    with pytest.raises(ValueError, match="3 workers cannot share 2 micro-batches"):
        FIT.check_workers(3)


def test_a_folder_gives_the_same_head_back(tmp_path) -> None:
    facts = HeadFacts(
        task="ec", kind="labels", channels=5, labels=["1", "2"], names={}, threshold=0.3, lm="shipped", noise=None
    )  # fmt: skip
    some = examples(16)
    net = trained(fit(NET, "labels", some, some, FIT, silent), "labels", 2)
    save_head(tmp_path / "m", NET, facts, net.state_dict())
    found, told = load_head(tmp_path / "m")
    assert told == facts and (predict(found, some.x_NC) == predict(net, some.x_NC)).all()
    with pytest.raises(ValueError, match=r"holds no head\.json; in it are m"):
        load_head(tmp_path)
    with pytest.raises(ValueError, match=r"none holds no head\.json; give a folder in `model`"):
        load_head(tmp_path / "none")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"does not fit head\.json: .*is empty"):
        load_head(tmp_path / "m")
