"""Chains in memory: the bundled sample against its table, and a dataset folder written by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protray.data import schemas
from protray.data.location import Location
from protray.data.sample import SAMPLE
from protray.data.structure.rows import pack_backbone
from protray.data.structure.structures import (
    FOLDER,
    chains_in,
    gather,
    read_chain_clusters,
    read_group,
    read_structures,
    stored_backbone,
)
from protray.seq.alphabet import decode

NAN = float("nan")


def test_the_sample_chain_by_chain() -> None:
    found = read_structures()
    rows = sorted(pq.read_table(SAMPLE).to_pylist(), key=lambda row: row["id"])
    assert found.ids == [row["id"] for row in rows]
    assert len(found) == 1000
    assert found.starts[-1] == len(found.codes_R) == len(found.ca_R3) == len(found.index_R)
    for m in range(0, 1000, 97):
        chain, row = found.chain(m), rows[m]
        assert decode(chain.codes_L) == row["sequence"]
        assert chain.index_L.tolist() == list(range(len(row["sequence"])))
        np.testing.assert_allclose(chain.ca_L3, np.array(row["backbone_cA"]).reshape(-1, 4, 3)[:, 1] / 100, atol=1e-5)
        assert np.shares_memory(chain.ca_L3, found.ca_R3)
    assert (found.codes_R.dtype, found.index_R.dtype, found.ca_R3.dtype) == (np.uint8, np.int32, np.float32)


def test_splits_of_the_sample_are_disjoint_and_whole() -> None:
    parts = [set(read_structures(split=split).ids) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [640, 120, 240]
    assert len(set.union(*parts)) == 1000


def test_select_keeps_chains_whole() -> None:
    whole = read_structures(split="test")
    some = whole.select([7, 3])
    assert some.ids == [whole.ids[7], whole.ids[3]] and some.lengths.tolist() == whole.lengths[[7, 3]].tolist()
    for place, m in enumerate((7, 3)):
        for name in ("ca_L3", "codes_L", "index_L"):
            np.testing.assert_array_equal(getattr(some.chain(place), name), getattr(whole.chain(m), name))


def test_clusters_of_the_sample() -> None:
    rows = pq.read_table(SAMPLE, columns=["id", "cluster"]).to_pylist()
    assert read_chain_clusters() == {row["id"]: row["cluster"] for row in rows}


def row(id: str, sequence: str, ca_L3: list, split: str) -> dict:
    backbone_L43 = np.full((len(sequence), 4, 3), np.nan)
    backbone_L43[:, 1] = ca_L3
    return {
        "id": id, "sequence": sequence, "index": range(0, 3 * len(sequence), 3),
        "backbone_cA": pack_backbone(backbone_L43), "origin": [1.0, 2.0, 3.0], "breaks": [], "resolution": None,
        "method": None, "source": "f", "entry": "e", "entity": None, "cluster": id, "split": split,
    }  # fmt: skip


def test_a_dataset_of_several_parts_is_sorted_by_id(tmp_path) -> None:
    parts = [
        [row("d", "AC", [[0, 0, 0], [3.8, 0, 0]], "train"), row("b", "W", [[1, 2, 3]], "test")],
        [row("a", "XYZ", [[-1.004, 0, 0]] * 3, "train")],
    ]
    (tmp_path / FOLDER).mkdir()
    for number, rows in enumerate(parts):
        table = pa.Table.from_pylist(rows, schema=schemas.STRUCTURES)
        pq.write_table(table, tmp_path / FOLDER / f"part-{number}.parquet")
    with pytest.raises(ValueError, match=r"is no complete dataset .* holds no dataset.json"):
        read_structures(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere: there is no such folder"):
        read_structures(tmp_path / "nowhere")
    (tmp_path / "dataset.json").write_text("{}")
    found = read_structures(tmp_path)
    assert read_chain_clusters(tmp_path) == {name: name for name in "abd"}
    assert found.ids == ["a", "b", "d"]
    assert found.starts.tolist() == [0, 3, 4, 6]
    assert found.lengths.tolist() == [3, 1, 2]
    assert decode(found.codes_R) == "XYXWAC"  # Z is none of the 20
    assert found.index_R.tolist() == [0, 3, 6, 0, 0, 3]
    np.testing.assert_allclose(found.ca_R3, [[-1, 0, 0]] * 3 + [[1, 2, 3], [0, 0, 0], [3.8, 0, 0]], atol=1e-6)
    assert read_structures(tmp_path, "train").ids == ["a", "d"]
    with pytest.raises(ValueError, match="holds no chain of the split 'validation'"):
        read_structures(tmp_path, "validation")
    with pytest.raises(ValueError, match="split 'dev' is none of"):
        read_structures(tmp_path, "dev")


@pytest.mark.parametrize("tables", [[], [schemas.STRUCTURES.empty_table()]])
def test_no_chain_at_all(tables) -> None:
    found = gather(tables)
    assert (found.ids, len(found), found.starts.tolist(), found.lengths.tolist()) == ([], 0, [0], [])
    assert (found.codes_R.dtype, found.index_R.dtype, found.ca_R3.dtype) == (np.uint8, np.int32, np.float32)
    assert found.ca_R3.shape == (0, 3)


def test_a_dataset_of_another_job_is_named(tmp_path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match="it is a dataset of another job"):
        read_structures(tmp_path)


def test_coordinates_survive_storage_to_half_of_a_hundredth() -> None:
    backbone_L43 = np.random.default_rng(0).uniform(-327, 327, (50, 4, 3))
    backbone_L43[3, 0] = backbone_L43[7, 3] = np.nan
    back_L43 = stored_backbone(pack_backbone(backbone_L43))
    np.testing.assert_array_equal(np.isnan(back_L43), np.isnan(backbone_L43))
    assert np.nanmax(np.abs(back_L43 - backbone_L43)) <= 0.0051
    assert pack_backbone(np.array([[[1.234, -1.236, 0.0], [NAN] * 3]])).tolist() == [123, -124, 0] + [-32768] * 3


def test_chains_of_a_row_group(tmp_path) -> None:
    """In the order of the table; the sample has no column `index`, as its chains have no breaks."""
    rows = [
        row("d", "AC", [[0, 0, 0], [3.8, 0, 0]], "train"), row("b", "W", [[1, 2, 3]], "test"),
        row("e", "M", [[0, 0, 1]], "test"),
    ]  # fmt: skip
    file = tmp_path / "part-0.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schemas.STRUCTURES), file, row_group_size=1)
    first = chains_in(read_group(Location(file), 0))
    assert [(chain.id, decode(chain.codes_L), chain.index_L.tolist()) for chain in first] == [("d", "AC", [0, 3])]
    np.testing.assert_allclose(first[0].ca_L3, [[0, 0, 0], [3.8, 0, 0]], atol=1e-6)
    together = chains_in(pa.concat_tables(read_group(Location(file), group) for group in range(3)))
    assert [(chain.id, len(chain.codes_L)) for chain in together] == [("d", 2), ("b", 1), ("e", 1)]
    sample, whole = chains_in(read_group(Location(SAMPLE), 0).slice(3, 1))[0], read_structures()
    other = whole.chain(whole.ids.index(sample.id))
    for name in ("codes_L", "index_L", "ca_L3"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(other, name))
