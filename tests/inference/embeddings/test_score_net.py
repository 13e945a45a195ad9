"""Embeddings: against the network's own forward pass on the whole map, and what they must not depend on."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from score_nets import CONFIG, random_chain, random_net, save_random_net

from protray.data import schemas
from protray.data.embeddings import embedding_schema, read_embeddings
from protray.data.parquet import writing
from protray.data.structure.structures import StructureChain
from protray.inference.embeddings.score_net import Embedder
from protray.models.score.score_net import ScoreNet
from protray.struct.geometry import distances

C = CONFIG.channels


@pytest.fixture(scope="module")
def net() -> ScoreNet:
    return random_net()


@pytest.fixture(scope="module")
def embedder(net) -> Embedder:
    return Embedder(net)


@torch.no_grad()
def whole_map(net: ScoreNet, chain: StructureChain, level: int) -> np.ndarray:
    dist_1LL = distances(torch.tensor(chain.ca_L3)[None])
    codes_1L, index_1L = torch.tensor(chain.codes_L)[None], torch.tensor(chain.index_L)[None]
    return net.maps(dist_1LL, codes_1L, index_1L, torch.tensor([level]))[0].permute(1, 2, 0).numpy()


def rows(embedder: Embedder, chain: StructureChain, strip: int | None = None) -> np.ndarray:
    return torch.cat(list(embedder.rows(chain, strip))).numpy()


@pytest.mark.parametrize("length", [1, 2, 5, 23])
@pytest.mark.parametrize("strip", [1, 2, 7, 100])
def test_strips_of_any_height_give_the_whole_map(net, embedder, length, strip) -> None:
    """Chains shorter than the dilations, and strips that are, included."""
    chain = random_chain(length)
    expected_LLC = whole_map(net, chain, level=1)
    assert expected_LLC.shape == (length, length, C)
    np.testing.assert_allclose(rows(embedder, chain, strip), expected_LLC, rtol=0, atol=1e-5)
    assert np.abs(expected_LLC).max() > 0.5


@pytest.mark.parametrize("strip", [1, 2, None])
def test_a_large_dilation_above_a_small_one(strip) -> None:
    """At its end a block gives as many rows as its dilation, which is more than a strip of a long chain."""
    net, chain = random_net(replace(CONFIG, blocks=4, dilations=(8, 1))), random_chain(23)
    embedder = Embedder(net)
    embedder.strip_pairs = 23 * 2 - 1
    strips = list(embedder.rows(chain, strip))
    assert max(map(len, strips)) <= (strip or 1)
    np.testing.assert_allclose(torch.cat(strips), whole_map(net, chain, level=1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [0, 2])
def test_the_norms_of_any_noise_level_are_folded(net, level) -> None:
    chain = random_chain(11)
    found_LLC = rows(Embedder(net, CONFIG.noise.sigmas()[level]), chain)
    np.testing.assert_allclose(found_LLC, whole_map(net, chain, level), rtol=0, atol=1e-5)
    assert np.abs(found_LLC - whole_map(net, chain, 1)).max() > 0.1


def test_noise_below_zero_is_refused(net) -> None:
    with pytest.raises(ValueError, match="noise must be above 0 Å, got -1"):
        Embedder(net, -1)


def test_means_are_those_of_the_map(net) -> None:
    chain, embedder = random_chain(30), Embedder(net)
    embedder.strip_pairs = 7 * 30  # strips of 7 rows
    e_LLC = whole_map(net, chain, level=1)
    mean_LC = (e_LLC.mean(axis=1) + e_LLC.mean(axis=0)) / 2
    np.testing.assert_allclose(embedder.residue(chain), mean_LC, rtol=0, atol=1e-5)
    np.testing.assert_allclose(embedder.protein(chain), e_LLC.mean(axis=(0, 1)), rtol=0, atol=1e-5)
    np.testing.assert_allclose(embedder.protein(chain), embedder.residue(chain).mean(axis=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(list(embedder.pair(chain))), e_LLC, rtol=1e-3, atol=1e-4)


def test_rotation_and_translation_change_nothing(embedder) -> None:
    chain = random_chain(40)
    rotation_33, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    moved_L3 = (chain.ca_L3.astype(np.float64) @ rotation_33 + [150.0, -80.0, 20.0]).astype(np.float32)
    moved = replace(chain, ca_L3=moved_L3)
    np.testing.assert_allclose(rows(embedder, moved), rows(embedder, chain), rtol=0, atol=1e-4)


def test_sequence_place_and_structure_all_count(embedder) -> None:
    chain = random_chain(20)
    others = [
        replace(chain, codes_L=(chain.codes_L + 1) % 20),
        replace(chain, index_L=np.arange(20, dtype=np.int32)),
        replace(chain, ca_L3=1.1 * chain.ca_L3),
    ]
    for other in others:
        assert np.abs(embedder.protein(other) - embedder.protein(chain)).max() > 1e-3


def test_coordinates_that_are_no_structure_are_refused(embedder) -> None:
    chain = random_chain(10)
    lost_L3 = chain.ca_L3.copy()
    lost_L3[[3, 7], 1] = np.nan
    with pytest.raises(ValueError, match=r"2 of 10 residues of chain 'c' have no finite .* first: residue 4; leave"):
        embedder.protein(replace(chain, ca_L3=lost_L3))
    with pytest.raises(ValueError, match="all 10 C-alpha atoms of chain 'c' lie within 0 Å of one point"):
        embedder.residue(replace(chain, ca_L3=np.full((10, 3), 5, np.float32)))
    with pytest.raises(ValueError, match="chain 'c' has no residues"):
        next(embedder.pair(replace(chain, codes_L=chain.codes_L[:0], ca_L3=chain.ca_L3[:0])))


def test_numbers_beyond_float16_are_refused() -> None:
    net = random_net()
    with torch.no_grad():
        net.blocks[-1].up_norm.shift_KC.fill_(1e5)
    embedder = Embedder(net)
    assert np.isfinite(embedder.protein(random_chain(5))).all()
    with pytest.raises(ValueError, match="the embedding of chain 'c' is not finite in float16"):
        list(embedder.pair(random_chain(5)))


def test_a_folder_without_a_model_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no score_net.json"):
        Embedder.open(tmp_path)
    chain = random_chain(6)
    opened = Embedder.open(save_random_net(tmp_path / "model"))
    np.testing.assert_array_equal(opened.protein(chain), Embedder(random_net()).protein(chain))


def test_other_tables_are_no_embeddings(tmp_path) -> None:
    pq.write_table(schemas.REJECTED.empty_table(), tmp_path / "r.parquet")
    with pytest.raises(ValueError, match="is no table of embeddings: its metadata names no level"):
        next(read_embeddings(tmp_path / "r.parquet"))


def test_damaged_embeddings_are_named(embedder, tmp_path) -> None:
    path = tmp_path / "part.parquet"
    schema = embedding_schema("residue", C)
    rows = [{"id": "c", "sequence": "A" * 20, "embedding": embedder.residue(random_chain(20)).ravel()}]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, **writing(schema))
    content = bytearray(path.read_bytes())
    content[pq.read_metadata(path).row_group(0).column(2).data_page_offset + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"part\.parquet is damaged .*; copy it again, or embed the chains again"):
        list(read_embeddings(path))
