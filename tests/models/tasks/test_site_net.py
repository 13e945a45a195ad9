"""The network of interaction sites: what it sees, and that padding changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sites_here import proteins

from protray.data.sites.batch import FeatureSet, features, site_batch, training_values
from protray.losses.sites import cross_entropy
from protray.models.tasks.site_config import SiteNetConfig
from protray.models.tasks.site_net import LONGEST, SiteNet, Standard

SMALL = SiteNetConfig(hidden=(8, 4), dropout=0.0)
PLAIN = FeatureSet()


def net_of(config: SiteNetConfig = SMALL, wanted: FeatureSet = PLAIN) -> SiteNet:
    torch.manual_seed(0)
    net = SiteNet(config, wanted.width, wanted.channels).eval()
    net.set_scales(*training_values(proteins(8, wanted.channels), wanted))
    return net


def test_sizes_of_the_released_network() -> None:
    """49 features: 3 x 228 global and 7 x 49 local ones go to 1024, 256 and 1 units, over 10^8 weights of types."""
    config = SiteNetConfig(hidden=(1024, 256), faithful=True)
    with torch.device("meta"):
        net = SiteNet(config, 49)
    assert [convolution.out_channels for convolution in net.convolutions] == [228] * 3
    assert net.local.weight.shape == (1024, 49, 7) and net.overall.weight.shape == (1024, 684)
    assert net.project.weight.numel() == 10**8
    assert sum(weight.numel() for weight in net_of(replace(SMALL, hidden=(256, 64))).parameters()) < 400_000


@pytest.mark.parametrize("channels", [0, 3])  # of a width other than what they are projected to
def test_padding_changes_nothing(channels) -> None:
    some, wanted = proteins(5, channels), FeatureSet(channels=channels)
    net = net_of(wanted=wanted)
    with torch.no_grad():
        together = net(site_batch(some, wanted)[0])
        for row, one in enumerate(some):
            alone = net(site_batch([one], wanted)[0])[0]
            np.testing.assert_allclose(together[row, : len(one.sequence)], alone, atol=1e-5)


def test_a_residue_sees_its_window_and_the_whole_protein() -> None:
    """A change at one end moves the logits of its window otherwise than those far away, which all move alike."""
    (one,) = proteins(1, length=60)
    other = replace(one, sequence=("A" if one.sequence[0] != "A" else "W") + one.sequence[1:])
    net = net_of(replace(SMALL, ratio=0.5))
    with torch.no_grad():
        before, after = (net.local(_types(found)).T for found in (one, other))
    changed = (before - after).abs().sum(dim=1) > 1e-6
    assert changed.nonzero().flatten().tolist() == [0, 1, 2, 3]


def _types(protein) -> torch.Tensor:  # noqa: ANN001
    return torch.from_numpy(features(protein, PLAIN)).T


def test_the_faithful_network_sees_the_first_500_residues_globally() -> None:
    config = SiteNetConfig(hidden=(4, 4), ratio=0.03, kernels=(1, 1, 1), window=1, dropout=0.0, faithful=True)
    net = SiteNet(config, 20).eval()
    (long,) = proteins(1, length=LONGEST + 30)
    changed = replace(long, sequence=long.sequence[:-1] + ("A" if long.sequence[-1] != "A" else "W"))
    with torch.no_grad():
        found = [net(site_batch([one], PLAIN)[0])[0] for one in (long, changed)]
    assert (found[0][:-1] == found[1][:-1]).all() and found[0][-1] != found[1][-1]


def test_proteins_without_an_embedding_get_the_mean_of_the_others() -> None:
    some, wanted = proteins(3, 2), FeatureSet(channels=2)
    net = net_of(wanted=wanted)
    without = replace(some[0], residue_LC=None)
    constant = replace(some[0], residue_LC=np.tile(net.residue_scale.mean_C.numpy(), (len(some[0].sequence), 1)))
    net.protein_scale.mean_C = net.residue_scale.mean_C
    with torch.no_grad():
        found = [net(site_batch([one], wanted)[0])[0] for one in (without, constant)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize(("embedded", "width"), [(0, 5), (2, 2)])
def test_embeddings_join_windows_and_global_features(embedded, width) -> None:
    net = SiteNet(replace(SMALL, embedded=embedded), 20, 5)
    assert net.local.weight.shape == (8, 20 + width, 7) and net.overall.weight.shape == (8, 3 * 93 + width)
    assert SiteNet(SMALL, 20).local.weight.shape == (8, 20, 7)


def test_standardised_by_the_training_set() -> None:
    standard = Standard(2)
    standard.set(torch.tensor([[0.0, 5.0], [4.0, 5.0]]))
    assert standard(torch.tensor([[4.0, 5.0]])).tolist() == [[1.0, 0.0]]  # the second never varies


def test_loss_by_hand() -> None:
    """-ln 0.5 for a logit of 0, whatever the label; nothing for residues without one."""
    loss = cross_entropy(torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[1, 0, -1]], dtype=torch.int8))
    assert float(loss) == pytest.approx(2 * np.log(2))


def test_features_of_what_is_missing_are_zero() -> None:
    (one,) = proteins(1)
    full = replace(
        one, pssm_LA=np.ones((len(one.sequence), 20), np.float32), dssp_L=np.zeros(len(one.sequence), np.int8)
    )
    wanted = FeatureSet.of([one, full])
    assert wanted == FeatureSet(pssm=True, dssp=True) and wanted.width == 49
    assert features(full, wanted)[0, 20:41].tolist() == [1.0] * 21 and not features(one, wanted)[:, 20:].any()
    unknown = replace(one, sequence="X" * len(one.sequence))
    assert not features(unknown, FeatureSet()).any()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="odd numbers"):
        SiteNetConfig(window=6)
    with pytest.raises(ValueError, match="ratio and hidden"):
        SiteNetConfig(ratio=0)
    with pytest.raises(ValueError, match="dropout is a share"):
        SiteNetConfig(dropout=1.0)
    with pytest.raises(ValueError, match="several widths"):
        FeatureSet.of([*proteins(1, 2), *proteins(1, 3)])
