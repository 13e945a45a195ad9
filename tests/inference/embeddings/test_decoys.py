"""Embeddings of decoys: the same numbers as jobs/embed.py gives, those of the edges picked."""

import numpy as np
import pytest
from decoys_here import decoys
from score_nets import random_net

from protray.inference.embeddings.decoys import LanguageModelEmbeddings, ScoreNetEmbeddings
from protray.inference.embeddings.residues import LanguageModel
from protray.inference.embeddings.score_net import Embedder
from protray.plm.masked import hidden_rows
from protray.plm.shipped import SHIPPED
from protray.seq.alphabet import encode
from protray.struct.graph import residue_graph


@pytest.mark.parametrize("strip_pairs", [1, 10**9])
def test_pairs_of_edges_and_means_of_residues(strip_pairs) -> None:
    (decoy,) = decoys(1, 1)
    embedder = Embedder(random_net())
    embedder.strip_pairs = strip_pairs  # of one row, or the whole map
    edges_2E = residue_graph(decoy.backbone_L43, decoy.index_L).edges_2E
    residue_LC, pair_EC = ScoreNetEmbeddings(embedder)(decoy, edges_2E)
    whole_LLC = np.concatenate(list(Embedder(random_net()).pair(decoy.chain)))
    np.testing.assert_allclose(pair_EC, whole_LLC[tuple(edges_2E)], atol=2e-2, rtol=1e-2)
    np.testing.assert_allclose(residue_LC, Embedder(random_net()).residue(decoy.chain), atol=2e-2, rtol=1e-2)


def test_each_is_computed_once_as_long_as_there_is_room() -> None:
    calls = []

    class Counting(Embedder):
        def pair(self, chain):  # noqa: ANN001, ANN202
            calls.append(chain.id)
            return super().pair(chain)

    one, two = decoys(1, 2)
    edges = [residue_graph(decoy.backbone_L43, decoy.index_L).edges_2E for decoy in (one, two)]
    room = 2 * 8 * (len(one.sequence) + edges[0].shape[1])  # bytes of the first, float16
    extras = ScoreNetEmbeddings(Counting(random_net()), room)
    for _ in range(2):
        for decoy, edges_2E in zip((one, two), edges, strict=True):
            extras(decoy, edges_2E)
    assert calls == [one.id, two.id, two.id]


def test_a_language_model_reads_the_sequence() -> None:
    embed = LanguageModel.open(SHIPPED)
    one, two = decoys(1, 2)
    extras = LanguageModelEmbeddings(embed)
    residue_LC, pair_EC = extras(one, np.zeros((2, 7), np.int64))
    np.testing.assert_allclose(residue_LC, hidden_rows(embed.lm, encode(one.sequence)), atol=1e-2)
    assert residue_LC.shape[1] == extras.widths.residue == 192 and pair_EC.shape == (7, extras.widths.pair) == (7, 0)
    assert extras(two, np.zeros((2, 1), np.int64))[0] is residue_LC
