"""The benchmark of SSDM measures the same thing twice; what it measures is not tested."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import torch
from structure_batches import joined, protein, single, without
from torch.utils.flop_counter import FlopCounterMode

from protray.bench import ssdm
from protray.bench.plain.frame_attention import PlainFrameNet, nearest
from protray.models.structure.frame_attention import FrameAttention
from protray.models.structure.frame_config import FrameAttentionConfig
from protray.models.structure.structure_batch import StructureBatch

TINY = FrameAttentionConfig(channels=16, heads=2, pair=8, layers=2, neighbours=12)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"NET": TINY, "SMALL": TINY, "BATCH": 2, "STEP_LENGTH": 30, "COMPARED": 20, "USUAL": 25}.items():
        monkeypatch.setattr(ssdm, name, value)
    monkeypatch.setattr(ssdm, "LENGTHS", (10, 20, 40))
    yield


def batch() -> StructureBatch:
    """A long and a short protein, padded; one of two chains that lacks side chains, and backbones in places."""
    two = protein(31, seed=1)
    second_L = torch.arange(31) >= 15
    two = replace(two, chain_BL=second_L.long()[None], index_BL=(torch.arange(31) - 15 * second_L)[None])
    part = without(without(two, [0], [3, 4, 20]), slice(4, None))
    return single(joined([protein(40), part], width=43))


def net_with_noise(config: FrameAttentionConfig) -> FrameAttention:
    """Weights large enough for attention to choose."""
    net = ssdm.fresh_net(config)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return net


def test_plain_network_is_ours() -> None:
    net, seen = net_with_noise(TINY), batch()
    plain = PlainFrameNet(net)
    ours_BLC, plain_BLC = net(seen), plain(seen)
    torch.testing.assert_close(plain_BLC, ours_BLC, rtol=1e-4, atol=1e-4)
    assert ours_BLC[seen.real_BL].std() > 0.5
    weight_BLC = torch.randn_like(ours_BLC)
    (ours_BLC * weight_BLC).sum().backward()
    (plain_BLC * weight_BLC).sum().backward()
    for name, weight in plain.named_parameters():
        expected = net.get_parameter(name).grad
        assert expected is not None and expected.norm() > 0, name
        torch.testing.assert_close(weight.grad, expected, rtol=1e-3, atol=1e-3, msg=name)


def test_plain_weights_are_copies() -> None:
    net = ssdm.fresh_net(TINY)
    plain = PlainFrameNet(net)
    assert {weight.data_ptr() for weight in net.parameters()}.isdisjoint(w.data_ptr() for w in plain.parameters())
    assert {name for name, _ in net.named_parameters()} == {name for name, _ in plain.named_parameters()}


@pytest.mark.parametrize("options", [{"points": 2}, {"pair_input": "distance"}, {"all_layers": True}])
def test_plain_network_refuses_what_it_does_not_know(options) -> None:
    with pytest.raises(ValueError, match="sizes alone"):
        PlainFrameNet(FrameAttention(replace(TINY, **options)))


def test_plain_neighbours_are_those_along_the_chain_and_then_the_nearest() -> None:
    """On a line with 1 Å between residues, the last far along the chain: 4 neighbours, of whom it has one beside it."""
    ca_L = torch.tensor([0.0, 1, 2, 3, 4, 2.25])
    line = StructureBatch(
        torch.zeros(1, 6).long(), torch.zeros(1, 6, 14, 3), torch.zeros(1, 6, 14).bool(),
        torch.tensor([[0, 1, 2, 3, 4, 50]]), torch.zeros(1, 6).long(), torch.tensor([[True] * 6]),
    )  # fmt: skip
    line.atoms_BLA3[0, :, 1, 0] = ca_L
    seen = [set(row.nonzero().flatten().tolist()) for row in nearest(line, 4)[0]]
    assert seen == [{0, 1, 2, 5}, {0, 1, 2, 3}, {0, 1, 2, 3}, {1, 2, 3, 4}, {2, 3, 4, 5}, {1, 2, 3, 5}]
    line.real_BL[0, 2] = False
    seen = [set(row.nonzero().flatten().tolist()) for row in nearest(line, 4)[0]]
    assert seen == [{0, 1, 3, 5}, {0, 1, 3, 5}, set(), {1, 3, 4, 5}, {1, 3, 4, 5}, {1, 3, 4, 5}]


def test_steps_are_of_the_same_vectors(tiny) -> None:
    net, seen = ssdm.fresh_net(TINY), batch()
    plain = PlainFrameNet(net)
    ours = ssdm.step(net, seen)
    ours()  # the gradients are those of one run, not of both
    torch.testing.assert_close(ssdm.step(plain, seen)(), ours(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.bias.weight.grad, net.bias.weight.grad, rtol=1e-3, atol=1e-3)


def test_plain_embedding_is_ours(tiny) -> None:
    encoder, chain = ssdm.fresh_encoder(), ssdm.random_chain(30)
    bonds = np.linalg.norm(np.diff(chain.atoms_LA3[:, 1], axis=0), axis=1)
    np.testing.assert_allclose(bonds, 3.8, rtol=1e-4)
    ours = ssdm.our_embedding(encoder, chain)()
    np.testing.assert_allclose(
        ours, ssdm.plain_embedding(PlainFrameNet(encoder.net.encoder), chain)(), rtol=1e-4, atol=1e-4
    )
    assert ours.shape == (30, 16)


def test_operations_are_those_that_torch_counts() -> None:
    """Of a protein in which every residue has all its neighbours, in a forward pass of ours."""
    seen = single(protein(40))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ssdm.fresh_net(TINY)(seen)
    # turning atoms (11 x 9) and pairs (27 + 2 x 9) into frames, and virtual CB (9), which we leave out
    geometry = 2 * 40 * (11 * 9 + 12 * (27 + 18) + 9)
    assert counter.get_total_flops() == pytest.approx(ssdm.operations(TINY, 40) + geometry)


def test_cases_count_operations(tiny) -> None:
    """Of a residue, in multiply-adds.

    Start: (16 + 71) 16 + 16^2 = 1,648.  A pair: 37 x 8 + 8^2 + 8 x 2 x 2 = 392.  A layer: 3 x 16^2 of query, key and
    value, 12 x 2 (16 + 16 + 8) of logits and sums, (16 + 2 x 8) 16 of the output, 2 x 2 x 16^2 = 3,264.
    """
    each = 1648 + 12 * 392 + 2 * 3264
    assert ssdm.operations(TINY, 7) == 2 * 7 * each
    step = ssdm.step_case(1, 1e9)
    assert step.name == "step, L = 30"
    assert step.rate == pytest.approx(3 * 2 * 60 * each / step.ours_s.median)
    embedding = ssdm.embedding_case(1, 1e9)
    assert embedding.name == "embedding, L = 20"
    assert embedding.rate == pytest.approx(2 * 20 * each / embedding.ours_s.median)


def test_time_per_residue_by_hand(tiny, monkeypatch) -> None:
    """10, 20 and 40 residues in 1, 2 and 6 ms: 100, 100 and 150 µs each; four chains of 10 in 8 ms, two of 20 in 4 ms:
    200 and 100 µs; 10,000 chains of 25, each 2 ms, on 4 cores."""
    ways = [{"10": [1e-3] * 3, "20": [2e-3] * 3, "40": [6e-3] * 3}, {"10": [8e-3], "20": [4e-3], "40": [6e-3]}]
    turns = cycle(ways)
    monkeypatch.setattr(ssdm, "interleaved", lambda *_: next(turns))
    found = ssdm.per_residue(3)
    assert list(found.values()) == pytest.approx(2 * [100, 100, 150, 1.5, 200, 100, 150, 2])
    monkeypatch.setattr(ssdm, "interleaved", lambda runs, *_: dict.fromkeys(runs, [2e-3]))
    monkeypatch.setattr(ssdm.os, "sched_getaffinity", lambda _: set(range(4)))
    assert ssdm.many_chains(1) == {
        "embedding, residues per second of a core at L = 25": pytest.approx(12_500),
        "embedding 10,000 chains of 25 residues on 4 cores, s": pytest.approx(5),
    }


def test_plain_loop_and_the_job_take_the_same_steps(monkeypatch) -> None:
    """After 3 steps of a constant learning rate their weights are equal: the plain loop leaves nothing out."""
    from protray.bench.through_ray import ssdm as ssdm_ray
    from protray.training.structure.ssdm_config import SsdmFitConfig
    from protray.training.world import World

    monkeypatch.setattr(ssdm_ray, "NET", TINY)
    monkeypatch.setattr(ssdm_ray, "STEPS", 3)
    fit = SsdmFitConfig(
        batch=4, micro_batch=2, crop=20, warmup=0, constant=True, validate_every=10**9, validation_chains=2
    )
    monkeypatch.setattr(ssdm_ray, "FIT", fit)
    made = []
    monkeypatch.setattr(ssdm_ray, "fresh", lambda *args: made.append(original(*args)) or made[-1])
    from protray.training.structure.ssdm import fresh as original

    training = ssdm_ray.training()
    assert len(ssdm_ray.plain(training.settings)) == 3
    states = []
    ssdm_ray.loop(training.settings, lambda _, state: states.append(state), None, World())
    assert [state is None for state in states] == [True, True, False]
    for name, weight in made[0].named_parameters():
        torch.testing.assert_close(weight.detach(), states[-1]["net"][name], rtol=1e-5, atol=1e-6, msg=name)
