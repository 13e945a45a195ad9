"""Vectors of mutations: what they hold, and that they are of the mutated residues alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from decoys_here import decoys
from joint_encoders import NET
from score_nets import random_net

from protray.data.structure.atom_batches import collate
from protray.inference.embeddings.residues import JointEncoder, LanguageModel, ScoreNet
from protray.inference.embeddings.score_net import Embedder
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.inference.tasks.mutants import MutantInput, OfSequence, OfStructure, nearest, surroundings
from protray.models.joint.ssdm import Ssdm
from protray.models.joint.ssdm_config import SsdmConfig
from protray.plm.masked import probability_map
from protray.plm.sequence_encoder import SequenceEncoder
from protray.seq.alphabet import AMINO_ACIDS, decode, encode
from protray.training.structure.ssdm_export import SsdmCard

ONE = decoys(1, 1)[0]
SITE = 4
NEW = "W" if ONE.sequence[SITE] != "W" else "A"
PLACES_L = np.arange(len(ONE.sequence), dtype=np.int32)
INPUT = MutantInput(ONE.sequence, (0,), (SITE,), NEW, PLACES_L, PLACES_L, ONE.backbone_L43)


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.open("shipped")


def test_of_a_sequence(lm) -> None:
    """Wild type, change, and ln p(wild type) - ln p(mutant) of the map of the wild type."""
    embed = OfSequence(lm)
    found = embed(INPUT)
    before, after = lm(ONE.sequence)[SITE], lm(INPUT.mutant)[SITE]
    np.testing.assert_allclose(found[:-1], np.concatenate([before, after - before]), atol=1e-4)
    log_A = np.log(probability_map(lm.lm, encode(ONE.sequence))[SITE])
    wanted = log_A[AMINO_ACIDS.index(ONE.sequence[SITE])] - log_A[AMINO_ACIDS.index(NEW)]
    assert found[-1] == pytest.approx(wanted, abs=1e-3) and len(found) == embed.width


def test_chains_are_read_apart(lm) -> None:
    """A second chain changes nothing; two sites give the sum of their log-odds."""
    embed = OfSequence(lm)
    more = MutantInput("MKVLA" + ONE.sequence, (0, 5), (5 + SITE,), NEW)
    np.testing.assert_allclose(embed(more), embed(INPUT), atol=1e-5)
    other = MutantInput(more.sequence, (0, 5), (1,), "A")
    both = MutantInput(more.sequence, (0, 5), (1, 5 + SITE), "A" + NEW)
    assert embed(both)[-1] == pytest.approx(embed(other)[-1] + embed(more)[-1], abs=1e-4)


def test_of_a_structure() -> None:
    net = ScoreNet(Embedder(random_net()))
    embed = OfStructure(net)
    found = embed(INPUT)
    before, after = (net(text, INPUT.atoms_OA3)[SITE] for text in (ONE.sequence, INPUT.mutant))
    np.testing.assert_allclose(found, np.concatenate([before, after - before]), atol=1e-5)
    assert len(found) == embed.width and np.abs(found[net.width :]).max() > 1e-4
    with pytest.raises(ValueError, match="no coordinates"):
        embed(MutantInput(ONE.sequence, (0,), (SITE,), NEW))
    lost = np.delete(PLACES_L, SITE)
    with pytest.raises(ValueError, match=f"the mutated residue {SITE + 1} has no coordinates"):
        embed(MutantInput(ONE.sequence, (0,), (SITE,), NEW, lost, lost, ONE.backbone_L43[lost]))


def test_a_complex_counts_on_over_its_chains() -> None:
    """A mutant of the second of two chains: places in the sequence go on, those of the model leave a gap."""
    net, two = ScoreNet(Embedder(random_net())), len(ONE.sequence)
    backbone_L43 = np.concatenate([ONE.backbone_L43, ONE.backbone_L43 + np.float32(20)])
    index_L = np.append(PLACES_L, PLACES_L + two + 100)
    places_L = np.arange(2 * two, dtype=np.int32)
    one = MutantInput(ONE.sequence * 2, (0, two), (two + SITE,), NEW, places_L, index_L, backbone_L43)
    before_C = net(one.sequence, backbone_L43, index_L)[two + SITE]
    np.testing.assert_allclose(OfStructure(net)(one)[: net.width], before_C, atol=1e-5)


def test_the_nearest_residues_by_hand() -> None:
    ca_O3 = np.array([[0.0, 0, 0], [10, 0, 0], [1, 0, 0], [9, 0, 0]])
    assert nearest(ca_O3, [0], 2).tolist() == [0, 2]
    assert nearest(ca_O3, [1, 0], 3).tolist() == [0, 1, 2]
    assert nearest(ca_O3, [1, 3], 1).tolist() == [1, 3]


def test_what_is_around_a_site_of_a_complex() -> None:
    """Residues without coordinates are read in the text alone; the mutated residue loses its side chain."""
    two = len(ONE.sequence)
    there_O = np.delete(np.arange(2 * two, dtype=np.int32), [1, two + 2])
    atoms_WA3 = np.full((2 * two, 14, 3), np.nan, np.float32)
    atoms_WA3[:, :4] = np.concatenate([ONE.backbone_L43, ONE.backbone_L43 + np.float32(20)])
    atoms_WA3[:, 4] = atoms_WA3[:, 1] + 1
    chain_W = np.repeat([0, 1], two).astype(np.int8)
    site = two + SITE
    one = MutantInput(
        ONE.sequence * 2, (0, two), (site,), NEW, there_O, there_O + 500 * (there_O >= two), atoms_WA3[there_O],
        chain_W[there_O],
    )  # fmt: skip
    seen, kept = surroundings(one), nearest(one.atoms_OA3[:, 1], [site - 2])  # type: ignore[index]
    place_O = there_O[kept]
    assert place_O[seen.sites].tolist() == [site] and seen.wild.chain_L.tolist() == chain_W[place_O].tolist()
    for found, text in ((seen.wild, one.sequence), (seen.mutant, one.mutant)):
        assert found.text is not None and decode(found.text.codes_W) == text
        assert found.text.chain_W.tolist() == chain_W.tolist() and found.text.place_L.tolist() == place_O.tolist()
        assert decode(found.codes_L) == "".join(text[at] for at in place_O)
    assert seen.wild.present_LA[:, 4].all()
    assert np.flatnonzero(~seen.mutant.present_LA[:, 4]).tolist() == seen.sites


def test_no_mutation_changes_nothing(lm) -> None:
    """A residue in its own place, where it keeps its side chain."""
    atoms_LA3 = np.full((len(ONE.sequence), 14, 3), np.nan, np.float32)
    atoms_LA3[:, :4] = ONE.backbone_L43
    atoms_LA3[:, 4] = atoms_LA3[:, 1] + 1
    some = replace(INPUT, atoms_OA3=atoms_LA3)
    none = replace(some, to=ONE.sequence[SITE])
    joint = StructureEncoder(SsdmCard(SsdmConfig(net=NET), True, (), 0), Ssdm(SsdmConfig(net=NET)))
    for model in (ScoreNet(Embedder(random_net())), JointEncoder(joint)):
        embed = OfStructure(model)
        width = embed.width // 2
        assert np.abs(embed(none)[width:]).max() < 1e-5 < 1e-3 < np.abs(embed(some)[width:]).max()
    width = OfSequence(lm).width // 2
    assert np.abs(OfSequence(lm)(none)[width:]).max() < 1e-5 < 1e-3 < np.abs(OfSequence(lm)(some)[width:]).max()


@torch.no_grad()
def test_a_fusion_reads_the_whole_sequence(lm) -> None:
    """The language model's part of what a mutation changes is that of the whole chain, though some is far away."""
    config, read = SsdmConfig(net=NET, fusion="parallel", lm="shipped"), SequenceEncoder("shipped", trained=False)
    encoder = StructureEncoder(SsdmCard(config, True, (), 0), Ssdm(config, read, read.channels))
    long = MutantInput(
        ONE.sequence * 4, (0,), (SITE,), NEW, PLACES_L, PLACES_L, ONE.backbone_L43,
    )  # fmt: skip
    seen = surroundings(long)
    np.testing.assert_allclose(read(collate([seen.wild]))[0].numpy(), lm(long.sequence)[: len(ONE.sequence)], atol=1e-4)
    assert OfStructure(JointEncoder(encoder))(long).shape == (2 * encoder.channels,)
