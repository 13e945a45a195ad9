"""Decoys as a table and back, and as batches of graphs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoys_here import decoys, random_extras, write_decoys

from protray.data.decoys.graphs import decoy_batch
from protray.data.decoys.table import decoy_row, derived_rows, read_decoys
from protray.data.location import Location
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.struct.compare.model_scores import ModelScores, score_model
from protray.struct.decoys import DecoyConfig


def rows(target: str, split: str, count: int = 2) -> list[dict]:
    (one,) = decoys(1, 1)
    return derived_rows(target, split, one.sequence, one.backbone_L43, count, DecoyConfig(), 0)


def test_written_and_read_again(tmp_path) -> None:
    file = Location(tmp_path / "decoys.parquet")
    write_decoys(rows("b", "train") + rows("a", "test", 3), file)
    everything = read_decoys([file])
    assert [one.id for one in everything] == ["a-0", "a-1", "a-2", "b-0", "b-1"]
    assert [one.target for one in read_decoys([file], "train")] == ["b", "b"]
    assert everything[0].kind == "derived: torsion"
    native, made = decoys(1, 1)[0], everything[0]
    again = score_model(made.sequence, made.backbone_L43[:, 1], native.sequence, native.backbone_L43[:, 1])
    assert made.global_S[:4].tolist() == pytest.approx([again.tm, again.gdt_ts, again.gdt_ha, again.lddt], abs=0.02)
    np.testing.assert_allclose(made.local_LS[:, 0], again.lddt_L, atol=0.1)  # coordinates are rounded to 0.01 Å
    assert np.isnan(made.local_LS[:, 1]).all() and np.isnan(made.global_S[4])  # CAD is not known
    with pytest.raises(ValueError, match="is of the validation split"):
        read_decoys([file], "validation")


def test_a_residue_without_label_stays_without() -> None:
    scores = ModelScores(0.5, 0.5, 0.4, 0.6, np.array([0.5, np.nan, 0.25], np.float32), 0)
    row = decoy_row({"id": "d"}, "MKV", np.array([0, 1, 5]), np.zeros((3, 4, 3)), scores)
    assert row["residue_lddt"] == [0.5, None, 0.25]


def test_another_table_is_refused(tmp_path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet"):
        read_decoys([tmp_path / "other.parquet"])


def test_a_batch_is_its_graphs_side_by_side() -> None:
    some, config = decoys(2, 2)[:3], GraphQaConfig()
    batch = decoy_batch(some, config, random_extras)
    alone = [decoy_batch([one], config, random_extras) for one in some]
    first = len(some[0].sequence)
    edges = alone[0].graphs.edges_2E.shape[1]
    assert (batch.graphs.edges_2E[:, :edges] == alone[0].graphs.edges_2E).all()
    np.testing.assert_array_equal(
        batch.graphs.edges_2E[:, edges : edges + alone[1].graphs.edges_2E.shape[1]], alone[1].graphs.edges_2E + first
    )
    assert batch.graphs.graph_V.bincount().tolist() == [len(one.sequence) for one in some]
    assert batch.graphs.extra_VC.shape[1] == 3 and batch.graphs.extra_EC.shape == (batch.graphs.edges_2E.shape[1], 2)
    assert (batch.local_VS[:first, 0] == alone[0].local_VS[:, 0]).all() and batch.global_GS.shape == (3, 5)
