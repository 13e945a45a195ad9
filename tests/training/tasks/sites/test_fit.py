"""The training for interaction sites: it learns, goes on where it stopped, and shares steps evenly; rows in turn."""

import copy
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from sites_here import proteins

from protray.data.sites.batch import FeatureSet
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import SiteNet
from protray.training.errors import NonFiniteLossError
from protray.training.tasks.folder import WEIGHTS
from protray.training.tasks.sites import fit as module
from protray.training.tasks.sites.export import load_site_net, save_site_net
from protray.training.tasks.sites.fit import fit, predict
from protray.training.tasks.sites.steps import SiteFitConfig
from protray.training.tasks.turns import finished, in_turn
from protray.training.world import World

NET = SiteNetConfig(hidden=(16, 8), ratio=0.2, dropout=0.0)
FIT = SiteFitConfig(epochs=3, batch=4, micro_batch=2)
PLAIN = FeatureSet()


def silent(metrics: dict, state: dict | None) -> None:
    pass


def trained(state: dict, config: SiteNetConfig, wanted: FeatureSet) -> SiteNet:
    net = SiteNet(config, wanted.width, wanted.channels)
    net.load_state_dict(state["best"])
    return net


def test_four_proteins_are_learnt_by_heart() -> None:
    """To below 0.05 nats a residue, where the share of sites alone leaves more than 0.3."""
    some = proteins(4)
    config = SiteFitConfig(epochs=100, batch=4, micro_batch=4, learning_rate=1e-2, weight_decay=0.0)
    points: list[dict] = []
    state = fit(NET, PLAIN, some, some, config, lambda metrics, state: points.append(metrics) if state else None)
    share = np.concatenate([one.label_L for one in some]).mean()
    assert points[-1]["validation/loss"] < 0.05 < (-share * np.log(share) - (1 - share) * np.log(1 - share)) / 6
    found = predict(trained(state, NET, PLAIN), some, PLAIN)
    for prob_L, one in zip(found, some, strict=True):
        assert prob_L.shape == one.label_L.shape and ((prob_L > 0.5) == one.label_L).all()


def test_a_resumed_training_gives_the_same_curve() -> None:
    some, others, config = proteins(6, 2), proteins(3, 2, start=10), replace(NET, dropout=0.3)
    reported: list[tuple[dict, dict | None]] = []
    wanted = FeatureSet(channels=2)
    fit(config, wanted, some, others, FIT, lambda m, s: reported.append((m, copy.deepcopy(s))))
    states = [(metrics, state) for metrics, state in reported if state]
    assert [metrics["epoch"] for metrics, _ in states] == [1, 2, 3]
    again: list[dict] = []
    fit(config, wanted, some, others, FIT, lambda m, s: again.append(m) if s else None, resume=states[0][1])
    assert again == [metrics for metrics, _ in states[1:]]


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
    first = SiteNet(NET, 20).state_dict()

    def build(*args):  # noqa: ANN002, ANN202
        net = SiteNet(*args)
        net.load_state_dict(first)
        return net

    monkeypatch.setattr(module, "SiteNet", build)
    some, others = proteins(5), proteins(3, start=10)
    curves: list[list[dict]] = [[], [], []]
    fit(NET, PLAIN, some, others, FIT, lambda m, s: curves[2].append(m) if s else None)
    two = _Two()

    def work(rank: int) -> None:
        fit(NET, PLAIN, some, others, FIT, lambda m, s: curves[rank].append(m) if s else None, world=two.world(rank))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(curves[0], curves[2], strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_a_loss_that_is_not_finite_ends_it_with_the_proteins(monkeypatch) -> None:
    real = module.cross_entropy
    monkeypatch.setattr(module, "cross_entropy", lambda *args: real(*args) * float("nan"))
    with pytest.raises(NonFiniteLossError, match="step 1: .*p0"):
        fit(NET, PLAIN, proteins(2), proteins(2), FIT, silent)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="batch must be a multiple of micro_batch"):
        SiteFitConfig(batch=5, micro_batch=2)
    with pytest.raises(ValueError, match="epochs must be positive"):
        SiteFitConfig(epochs=0)


def test_a_network_and_back(tmp_path) -> None:
    wanted = FeatureSet(channels=2)
    net, some = SiteNet(NET, 20, 2), proteins(3, 2)
    save_site_net(tmp_path / "m", NET, net.state_dict(), wanted, 0.25, {"lm": "shipped"})
    again = load_site_net(tmp_path / "m")
    assert (again.wanted, again.threshold, again.embeddings, again.net.config) == (wanted, 0.25, {"lm": "shipped"}, NET)
    for one, other in zip(predict(net, some, wanted), predict(again.net, some, wanted), strict=True):
        assert (one == other).all()
    (tmp_path / "m" / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"does not fit sites\.json"):
        load_site_net(tmp_path / "m")
    with pytest.raises(ValueError, match=r"holds no sites\.json"):
        load_site_net(tmp_path)


def test_trainings_follow_each_other_and_are_not_done_twice() -> None:
    """Stopped at each state in turn, they go on there, and give the same in the end."""
    some = proteins(4)

    class StopError(Exception):
        pass

    def run(resume: dict | None, stop_at: int | None) -> dict:
        states: list[dict] = []

        def report(metrics: dict, state: dict | None) -> None:
            if state:
                states.append(copy.deepcopy(state))
                if len(states) == stop_at:
                    raise StopError

        def training(seed: int):  # noqa: ANN202
            config = replace(FIT, epochs=2, seed=seed)
            return lambda report, resume: fit(NET, PLAIN, some, some, config, report, resume)

        try:
            in_turn({"one": training(0), "two": training(1)}, report, resume)
        except StopError:
            pass
        return states[-1] if states else resume

    whole = run(None, None)
    assert whole["stage"] == "two" and list(whole["rows"]) == ["one"]
    state = None
    for _ in range(4):
        state = run(state, 1)
    assert run(state, 1) is state
    for name, one in finished(whole).items():
        other = finished(state)[name]
        assert one["position"]["history"] == other["position"]["history"]
        assert all((value == other["best"][key]).all() for key, value in one["best"].items())
