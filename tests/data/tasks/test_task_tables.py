"""A user's table: CSV and Parquet, structures in columns and files, rows that cannot be used, splits."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoys_here import decoys
from structure_text import atom, pdb_chain

from protray.data.location import Location
from protray.data.structure.rows import pack_backbone
from protray.data.structure.structures import MISSING
from protray.data.tasks.observed import side_chains_used
from protray.data.tasks.tables import read_task_table, rows_digest, with_splits


def table(tmp_path, text: str) -> Location:  # noqa: ANN001
    (tmp_path / "t.csv").write_text(text)
    return Location(tmp_path / "t.csv")


def test_rows_and_errors_of_a_csv_file(tmp_path) -> None:
    rows, errors = read_task_table(
        table(tmp_path, 'id,sequence,labels\na,mkv*,"1.1 1.2"\nb,MK1,\na,MKV,\n,MKV,\nc,,\nd,MKVX,\n')
    )  # fmt: skip
    assert [(row.id, row.sequence, row.line, row.more["labels"]) for row in rows] == [
        ("a", "MKV", 2, "1.1 1.2"), ("d", "MKVX", 7, None),
    ]  # fmt: skip
    assert [(error.line, error.id) for error in errors] == [(3, "b"), (4, "a"), (5, None), (6, "c")]
    assert "'1' at position 3 is no residue" in errors[0].reason
    assert "also that of line 2" in errors[1].reason


def test_what_is_no_table_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="no such file; give a table in CSV or Parquet with the columns id, sequence"):
        read_task_table(Location(tmp_path / "none.csv"))
    for text, has in (
        ("", "none, for it is empty"),
        ("id;sequence\na;MK\n", "id;sequence; columns are parted by commas"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(ValueError, match=f"has no column 'id'; it has {has}"):
            read_task_table(Location(tmp_path / "bad.csv"))
    with pytest.raises(ValueError, match="has no column 'sequence'; it has id, labels"):
        read_task_table(table(tmp_path, "id,labels\na,b\n"))
    with pytest.raises(ValueError, match="has several columns 'id'"):
        read_task_table(table(tmp_path, "id,sequence,id\na,MKV,b\n"))
    with pytest.raises(ValueError, match=r"t\.csv cannot be read as CSV: line 3: unexpected end of data"):
        read_task_table(table(tmp_path, 'id,sequence\na,MKV\nb,"MK\n'))
    (tmp_path / "t.csv").write_bytes(b"id,sequence\n\xff,MKV\n")
    with pytest.raises(ValueError, match=r"t\.csv cannot be read as CSV: it is no text in UTF-8"):
        read_task_table(Location(tmp_path / "t.csv"))


def test_a_line_of_another_length_costs_no_other_line(tmp_path) -> None:
    """Lines count as an editor counts them, those without text included; NA is asparagine and alanine."""
    rows, errors = read_task_table(table(tmp_path, "id,sequence\n\na,MKV\nb,MK,x\n\nc\nNA,NA\n"))
    assert [(row.id, row.sequence, row.line) for row in rows] == [("a", "MKV", 3), ("NA", "NA", 7)]
    assert [(error.line, error.id) for error in errors] == [(4, "b"), (6, "c")]
    assert errors[0].reason == "3 cells, but the first line names 2 columns; quote commas"


def test_structures_of_files_and_of_columns(tmp_path) -> None:
    """The second residue has no coordinates in the file; the table's own backbone needs no index."""
    one = decoys(1, 1)[0]
    kept = np.delete(np.arange(len(one.sequence)), 1)
    lines = pdb_chain("".join(one.sequence[n] for n in kept), "A", one.backbone_L43[kept])
    (tmp_path / "one.pdb").write_text("\n".join(lines))
    text = f"id,sequence,structure\na,{one.sequence},one.pdb\nb,{one.sequence},\nc,MKVLAAG,one.pdb\n"
    text += f"d,{one.sequence},{tmp_path}/one.pdb\ne,MKV,none.pdb\n"
    rows, errors = read_task_table(table(tmp_path, text))
    assert rows[0].observed is not None and rows[0].observed.index_L.tolist() == kept.tolist()
    assert rows[2].observed is not None and "none.pdb: no such file" in errors[1].reason
    assert rows[1].observed is None and "the sequence is not that of any chain of" in errors[0].reason

    packed = pack_backbone(one.backbone_L43)
    own = pa.table({"id": ["a", "b"], "sequence": [one.sequence, "MKV"], "backbone_cA": pa.array([packed, packed])})
    pq.write_table(own, tmp_path / "t.parquet")
    stored, errors = read_task_table(Location(tmp_path / "t.parquet"))
    assert stored[0].observed is not None and (stored[0].observed.backbone_cA == packed).all()
    assert stored[0].line == 1 and "3 residues, but" in errors[0].reason


def test_the_digest_follows_the_content(tmp_path) -> None:
    one, same, other = (
        rows_digest(read_task_table(table(tmp_path, f"id,sequence,labels\na,MKV,{label}\n"))[0]) for label in "112"
    )
    assert one == same != other


def test_splits_of_the_table_of_its_clusters_and_of_identity(tmp_path) -> None:
    head = "id,sequence,cluster,split\n"
    rows, _ = read_task_table(table(tmp_path, head + "a,MKV,1,train\nb,MKV,2,test\nc,MKV,3,validation\n"))
    assert with_splits(rows, 0) == {"a": ("train", "1"), "b": ("test", "2"), "c": ("validation", "3")}
    rows, _ = read_task_table(table(tmp_path, head + "a,MKV,1,\nb,MKV,2,\nc,MKV,2,\nd,MKV,3,\n"))
    found = with_splits(rows, 0)
    assert found["b"] == found["c"] and {split for split, _ in found.values()} == {"train", "validation", "test"}
    rows, _ = read_task_table(table(tmp_path, "id,sequence\n" + "".join(f"{n},{'ACDEFG'[n] * 30}\n" for n in range(6))))
    assert len({cluster for _, cluster in with_splits(rows, 0).values()}) == 6


def test_relatives_in_two_splits_are_told(tmp_path, caplog) -> None:
    text = "id,sequence,cluster,split\na,MKV,1,train\nb,MKV,1,test\nc,MKV,3,validation\n"
    with caplog.at_level(logging.WARNING):
        with_splits(read_task_table(table(tmp_path, text))[0], 0)
    assert "1 training rows are related to test rows" in caplog.text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a,MKV,1,train\nb,MKV,2,\n", "1 of 2 rows have no split"),
        (
            "a,MKV,1,train\nb,MKV,,test\n",
            "1 of 2 rows have no cluster, the first is 'b'; give all of them one, or none",
        ),
        ("a,MKV,1,train\nb,MKV,2,dev\n", ":3: split 'dev' is none of train, validation, test"),
        ("a,MKV,1,train\nb,MKV,2,test\n", "no row of the split 'validation'"),
        ("a,MKV,1,\nb,MKV,2,\n", "2 proteins in 2 clusters"),
    ],
)
def test_unusable_splits_are_refused(tmp_path, body, reason) -> None:
    rows, _ = read_task_table(table(tmp_path, "id,sequence,cluster,split\n" + body))
    with pytest.raises(ValueError, match=reason):
        with_splits(rows, 0)


def test_side_chains_and_chains_come_along(tmp_path) -> None:
    """Of a file those of the atoms that it has; of a table the columns, which must be of the protein's length."""
    one = decoys(1, 1)[0]
    ca_3 = one.backbone_L43[4, 1]
    lines = pdb_chain(one.sequence, "A", one.backbone_L43)
    lines.append(atom(999, "CB", lines[4 * 4][17:20], "A", "5 ", ca_3 + 1))
    (tmp_path / "c.pdb").write_text("\n".join([*lines, "TER", "END", ""]))
    [row], _ = read_task_table(table(tmp_path, f"id,sequence,structure\na,{one.sequence},c.pdb\n"))
    assert row.observed is not None and row.observed.sidechains_cA is not None and row.observed.chain_L is None
    side_L103 = row.observed.sidechains_cA.reshape(-1, 10, 3)
    there = np.argwhere(side_L103[:, :, 0] != MISSING).tolist()
    assert there == [[4, 0]]
    backbone_L43 = row.observed.backbone_cA.reshape(-1, 4, 3)
    np.testing.assert_allclose(side_L103[4, 0] - backbone_L43[4, 1].astype(int), 100, atol=1)
    length = len(one.sequence)
    columns = {
        "id": ["a", "b"], "sequence": [one.sequence] * 2, "backbone_cA": [row.observed.backbone_cA] * 2,
        "sidechains_cA": [row.observed.sidechains_cA, row.observed.sidechains_cA[:30]],
        "chain_index": [[0] * 3 + [1] * (length - 3)] * 2,
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    [stored], [error] = read_task_table(Location(tmp_path / "t.parquet"))
    assert stored.observed is not None and stored.observed.chain_L is not None
    assert stored.observed.chain_L.tolist() == columns["chain_index"][0]
    np.testing.assert_array_equal(stored.observed.sidechains_cA, row.observed.sidechains_cA)
    assert f"{length} residues, but 30 numbers in sidechains_cA (30 for each residue)" in error.reason
    assert rows_digest([stored]) != rows_digest([row])
    pq.write_table(pa.table(columns | {"chain_index": [[128] * length] * 2}), tmp_path / "t.parquet")
    assert (
        "chain_index has 128 to 128, it must be from 0 to 127"
        in read_task_table(Location(tmp_path / "t.parquet"))[1][0].reason
    )


def test_side_chains_of_a_minority_are_not_shown(tmp_path) -> None:
    """A file of backbones has none."""
    one = decoys(1, 1)[0]
    lines = pdb_chain(one.sequence, "A", one.backbone_L43)
    (tmp_path / "bare.pdb").write_text("\n".join([*lines, "TER", "END", ""]))
    lines.append(atom(999, "CB", lines[4 * 4][17:20], "A", "5 ", one.backbone_L43[4, 1] + 1))
    (tmp_path / "more.pdb").write_text("\n".join([*lines, "TER", "END", ""]))
    text = "".join(f"{n},{one.sequence},{name}.pdb\n" for n, name in enumerate(("more", "bare", "bare")))
    rows, _ = read_task_table(table(tmp_path, "id,sequence,structure\n" + text))
    observed = [row.observed for row in rows]
    assert [one is not None and one.sidechains_cA is not None for one in observed] == [True, False, False]
    assert side_chains_used(observed[:2]) and not side_chains_used(observed) and not side_chains_used([None])
