"""Embeddings: against the network's own forward pass on the whole map, and what they must not depend on."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from protray.inference.embed_part import write_embeddings
from score_nets import CONFIG, random_chain, random_net, save_random_net

from protray.data import embeddings as tables
from protray.data import schemas
from protray.data.embeddings import read_embeddings
from protray.data.structures import StructureChain
from protray.inference import embed_part
from protray.inference.embed import Embedder
from protray.models.score_net import ScoreNet
from protray.seq.alphabet import decode
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


@pytest.mark.parametrize("level", ["pair", "residue", "protein"])
def test_files_hold_what_was_computed(embedder, tmp_path, monkeypatch, level) -> None:
    """Whatever else is in the file, and in whatever order; long maps come in chunks of whole rows."""
    monkeypatch.setattr(tables, "CHUNK_BYTES", 2 * 23 * C * 5)  # 5 rows of the longest map
    chains = [random_chain(length, seed=length, id=f"c{length}") for length in (23, 3, 12, 1)]
    bad = replace(random_chain(4, id="bad"), ca_L3=np.full((4, 3), np.nan, np.float32))
    failures = write_embeddings(embedder, [*chains[:2], bad, *chains[2:]], level, tmp_path / "a.parquet")
    assert [(failure.id, failure.again) for failure in failures] == [("bad", False)]
    write_embeddings(embedder, chains[::-1], level, tmp_path / "b.parquet")

    schema = schemas.PAIR_EMBEDDINGS if level == "pair" else schemas.EMBEDDINGS
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.equals(schema)
    assert table.schema.metadata[b"level"] == level.encode()
    assert table.schema.metadata[b"channels"] == str(C).encode()
    if level == "pair":
        starts = {id: [row["start"] for row in table.to_pylist() if row["id"] == id] for id in table["id"].to_pylist()}
        assert starts == {"c23": [0, 5, 10, 15, 20], "c3": [0], "c12": [0, 9], "c1": [0]}
    first = {id: (sequence, values) for id, sequence, values in read_embeddings(tmp_path / "a.parquet")}
    second = {id: (sequence, values) for id, sequence, values in read_embeddings(tmp_path / "b.parquet")}
    assert list(first) == ["c23", "c3", "c12", "c1"] and list(second) == list(first)[::-1]
    for chain in chains:
        sequence, values = first[chain.id]
        assert sequence == decode(chain.codes_L) == second[chain.id][0]
        np.testing.assert_array_equal(values, second[chain.id][1])
        single = np.concatenate(list(embedder.pair(chain))) if level == "pair" else getattr(embedder, level)(chain)
        np.testing.assert_array_equal(values, single)


def test_a_fault_within_a_chain_leaves_no_half_of_it(embedder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_BYTES", 64)
    chains = [random_chain(9, seed=n, id=f"c{n}") for n in range(3)]
    pair = Embedder.pair

    def fails(self: Embedder, chain: StructureChain):  # noqa: ANN202
        for strip_ILC in pair(self, chain):
            yield strip_ILC[:4]
            if chain.id == "c1":
                raise MemoryError("no more")
            yield strip_ILC[4:]

    monkeypatch.setattr(Embedder, "pair", fails)
    failures = write_embeddings(embedder, chains, "pair", tmp_path / "a.parquet")
    assert failures == [embed_part.Failure("c1", "out of memory: no more", again=True)]
    assert [id for id, _, _ in read_embeddings(tmp_path / "a.parquet")] == ["c0", "c2"]


def test_other_tables_are_no_embeddings(tmp_path) -> None:
    pq.write_table(schemas.REJECTED.empty_table(), tmp_path / "r.parquet")
    with pytest.raises(ValueError, match="is no table of embeddings: its metadata names no level"):
        next(read_embeddings(tmp_path / "r.parquet"))


def test_damaged_embeddings_are_named(embedder, tmp_path) -> None:
    path = tmp_path / "part.parquet"
    write_embeddings(embedder, [random_chain(20)], "residue", path)
    content = bytearray(path.read_bytes())
    content[pq.read_metadata(path).row_group(0).column(2).data_page_offset + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"part\.parquet is damaged .*; copy it again, or embed the chains again"):
        list(read_embeddings(path))
