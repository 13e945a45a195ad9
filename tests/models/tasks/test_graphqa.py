"""GraphQA: no rotation, order of edges or neighbour in the batch changes a score; a mirror does; embeddings count."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from decoys_here import decoys, random_extras

from protray.data.decoys.graphs import decoy_batch
from protray.models.tasks.graphqa import GraphQa, Graphs, mean_by
from protray.models.tasks.graphqa_config import GLOBAL, LOCAL, GraphQaConfig

CONFIG = GraphQaConfig(layers=3)


def network(seed: int = 0, **widths: int) -> GraphQa:
    torch.manual_seed(seed)
    return GraphQa(CONFIG, **widths).eval()


@torch.no_grad()
def scores(net: GraphQa, graphs: Graphs) -> tuple[torch.Tensor, torch.Tensor]:
    return net(graphs)


def test_widths_between_the_ends_are_even_in_their_logarithm() -> None:
    """The paper's: 144 to 16, 256 to 64, 512 to 32 in six steps."""
    paper = GraphQaConfig(edges=(144, 16), nodes=(256, 64), whole=(512, 32)).sizes()
    assert [size[0] for size in paper] == [144, 100, 69, 48, 33, 23, 16]
    assert [size[1] for size in paper] == [256, 203, 161, 128, 102, 81, 64]
    assert [size[2] for size in paper] == [512, 323, 203, 128, 81, 51, 32]


def test_shapes_and_range() -> None:
    some = decoys(3, 1)
    local_VS, global_GS = scores(network(), decoy_batch(some, CONFIG).graphs)
    assert local_VS.shape == (sum(len(one.sequence) for one in some), len(LOCAL)) and global_GS.shape == (
        3,
        len(GLOBAL),
    )
    assert 0 < local_VS.min() and local_VS.max() < 1


def test_a_rotation_changes_nothing_and_a_mirror_does() -> None:
    q_33, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    q_33 = (q_33 * np.sign(np.linalg.det(q_33))).astype(np.float32)
    (one,) = decoys(1, 1)
    turned = replace(one, backbone_L43=one.backbone_L43 @ q_33 + np.float32(7))
    mirror = replace(one, backbone_L43=one.backbone_L43 * np.array([1, 1, -1], np.float32))
    net = network()
    (first, whole), (again, whole_again), (other, _) = (
        scores(net, decoy_batch([decoy], CONFIG).graphs) for decoy in (one, turned, mirror)
    )
    torch.testing.assert_close(again, first, atol=1e-4, rtol=0)
    torch.testing.assert_close(whole_again, whole, atol=1e-4, rtol=0)
    assert (other - first).abs().max() > 1e-3


def test_the_order_of_edges_is_of_no_matter() -> None:
    batch = decoy_batch(decoys(2, 1), CONFIG, random_extras).graphs
    order_E = torch.randperm(len(batch.distance_E), generator=torch.Generator().manual_seed(0))
    shuffled = replace(
        batch,
        edges_2E=batch.edges_2E[:, order_E], distance_E=batch.distance_E[order_E],
        separation_E=batch.separation_E[order_E], edge_EF=batch.edge_EF[order_E], extra_EC=batch.extra_EC[order_E],
    )  # fmt: skip
    net = network(node_channels=3, edge_channels=2)
    for one, two in zip(scores(net, batch), scores(net, shuffled), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_a_decoy_scores_the_same_in_any_batch() -> None:
    some, net = decoys(3, 1), network()
    together = scores(net, decoy_batch(some, CONFIG).graphs)
    alone = [scores(net, decoy_batch([one], CONFIG).graphs) for one in some]
    for part, whole in enumerate(together):
        torch.testing.assert_close(torch.cat([one[part] for one in alone]), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("which", ["extra_VC", "extra_EC"])
def test_embeddings_of_residues_and_of_pairs_count(which) -> None:
    batch = decoy_batch(decoys(1, 1), CONFIG, random_extras).graphs
    other = replace(batch, **{which: -getattr(batch, which)})
    net = network(node_channels=3, edge_channels=2)
    assert (scores(net, batch)[0] - scores(net, other)[0]).abs().max() > 1e-4
    scaled = replace(batch, **{which: 100 * getattr(batch, which)})  # standardised over channels
    torch.testing.assert_close(scores(net, scaled)[1], scores(net, batch)[1], atol=1e-3, rtol=0)


def test_a_chain_of_one_residue_has_no_edges() -> None:
    (one,) = decoys(1, 1)
    single = replace(
        one, sequence="M", index_L=one.index_L[:1], backbone_L43=one.backbone_L43[:1], local_LS=one.local_LS[:1]
    )
    local_VS, global_GS = scores(network(), decoy_batch([single, one], CONFIG).graphs)
    assert local_VS.isfinite().all() and global_GS.isfinite().all()


def test_mean_by_groups_against_a_loop() -> None:
    torch.manual_seed(0)
    x_NC, group_N = torch.rand(50, 4), torch.randint(0, 7, (50,))
    group_N[group_N == 3] = 2
    means = torch.stack([x_NC[group_N == g].mean(0) if (group_N == g).any() else torch.zeros(4) for g in range(7)])
    torch.testing.assert_close(mean_by(x_NC, group_N, 7), means)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="dropout is a share"):
        GraphQaConfig(dropout=1.0)
    with pytest.raises(ValueError, match="radius must be above 0"):
        GraphQaConfig(radius=0)
    with pytest.raises(ValueError, match="layers and widths"):
        GraphQaConfig(layers=0)
