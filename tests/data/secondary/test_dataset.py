import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import HIDDEN, tiny_proteins

from protray.data import schemas
from protray.data.arrow import map_arrow, write_arrow
from protray.data.secondary.dataset import Proteins, joined, read_table, with_unlabelled
from protray.seq.alphabet import decode
from protray.seq.pssm import count_residues
from protray.seq.secondary import IGNORE, to_three

PROTEINS = tiny_proteins()


def test_rows_of_the_first_six_proteins() -> None:
    for index in range(6):
        row = PROTEINS.table.slice(index, 1).to_pylist()[0]
        length = PROTEINS.lengths[index]
        assert decode(PROTEINS.codes(index)) == PROTEINS.sequence(index) == row["sequence"]
        assert [("HEC")[s] for s in PROTEINS.ss3(index)] == list(row["ss3"]) == list(to_three(row["ss8"]))
        assert ["HGIEBTSC"[s] for s in PROTEINS.ss8(index)] == list(row["ss8"])
        msa_NL = PROTEINS.msa(index)
        assert msa_NL.shape == (PROTEINS.n_rows(index), length)
        assert decode(msa_NL[0]) == row["sequence"]
        np.testing.assert_array_equal(PROTEINS.counts(index), count_residues(msa_NL))
        assert PROTEINS.msa_counts[index] == len(msa_NL) - 1
        assert PROTEINS.deep[index] == (len(msa_NL) - 1 > 60)
        assert PROTEINS.prob_map(index).shape == (length, 20)
        assert PROTEINS.lm_hidden(index).shape == (length, HIDDEN)
        assert PROTEINS.lm_hidden(index).dtype == np.float32
        assert 1 <= PROTEINS.meff[index] <= len(msa_NL)
        assert PROTEINS.labelled[index] == length


def test_splits() -> None:
    rows = [PROTEINS.of_split(split) for split in ("train", "validation", "test")]
    assert [len(split) for split in rows] == [7, 4, 3]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(14))
    assert len(PROTEINS.of_split("holdout")) == 0


def test_deep_is_more_than_60_homologs() -> None:
    counts = pa.array([59, 60, 61, 62], pa.int32())
    table = PROTEINS.table.slice(0, 4)
    table = table.set_column(table.schema.get_field_index("msa_count"), "msa_count", counts)
    assert Proteins(table).deep.tolist() == [False, False, True, True]


def test_missing_labels() -> None:
    """One protein without any label, one with a gap in its labels."""
    table = PROTEINS.table.slice(0, 2)
    for column in ("ss3", "ss8"):
        first = table[column][1].as_py()
        new = pa.array([None, "--" + first[2:]], pa.string())
        table = table.set_column(table.schema.get_field_index(column), table.schema.field(column), new)
    proteins = Proteins(table)
    assert (proteins.ss3(0) == IGNORE).all() and (proteins.ss8(0) == IGNORE).all()
    assert proteins.ss3(1)[:2].tolist() == [IGNORE, IGNORE]
    assert proteins.labelled.tolist() == [0, proteins.lengths[1] - 2]


def test_unlabelled_proteins_join_the_training_split_where_they_are_deep_and_new() -> None:
    """Of four, one is shallow, one has the id and one the sequence of a labelled protein."""
    table, lettered = PROTEINS.table.slice(0, 6), PROTEINS.table.slice(6, 4)
    columns = {
        "id": ["new", "shallow", table["id"][0].as_py(), "copy"], "msa_count": [61, 60, 200, 200],
        "sequence": [*lettered["sequence"].to_pylist()[:3], table["sequence"][1].as_py()],
    }  # fmt: skip
    others = lettered
    for name, values in columns.items():
        place = others.schema.get_field_index(name)
        others = others.set_column(place, others.schema.field(place), pa.array(values, others.schema.field(place).type))
    found = Proteins(with_unlabelled(table, others))
    assert found.ids == sorted([*table["id"].to_pylist(), "new"])
    row = found.ids.index("new")
    assert (found.labelled[row], found.deep[row]) == (0, True)
    assert found.table["split"][row].as_py() == "train"
    assert found.table.schema == PROTEINS.table.schema
    with pytest.raises(ValueError, match="none of the 3 .* of use: 2 have more than 60 homologs, and 2 of all are in"):
        with_unlabelled(table, others.slice(1))


def test_parquet_round_trip_in_parts(tmp_path) -> None:
    """Ragged columns survive; parts come back sorted by id, whatever their order."""
    order = np.random.default_rng(0).permutation(14)
    for number, chosen in enumerate((order[:5], order[5:])):
        pq.write_table(PROTEINS.table.take(chosen), tmp_path / f"{9 - number}.parquet")
    table = read_table(tmp_path, schemas.PROTEINS)
    assert table.equals(PROTEINS.table)
    assert table["id"].num_chunks == 1


def test_older_tables_with_more_columns_are_read(tmp_path) -> None:
    """Datasets of before had a column of PSSMs."""
    more = PROTEINS.table.append_column("pssm", pa.array([[0.5]] * len(PROTEINS), pa.list_(pa.float32())))
    pq.write_table(more, tmp_path / "x.parquet")
    assert read_table(tmp_path, schemas.PROTEINS).equals(PROTEINS.table)


def test_arrow_round_trip(tmp_path) -> None:
    assert PROTEINS.maps is not None
    write_arrow(PROTEINS.table, tmp_path / "new" / "proteins.arrow")
    write_arrow(PROTEINS.maps, tmp_path / "new" / "maps.arrow")
    found = joined(map_arrow(tmp_path / "new" / "proteins.arrow"), map_arrow(tmp_path / "new" / "maps.arrow"))
    assert found.table.equals(PROTEINS.table)
    np.testing.assert_array_equal(found.prob_map(3), PROTEINS.prob_map(3))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["maps.arrow", "proteins.arrow"]


def test_foreign_tables_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="no .parquet file in it"):
        read_table(tmp_path, schemas.PROTEINS)
    pq.write_table(PROTEINS.table.drop_columns("meff"), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"column 'meff' is missing; it has \['id', 'sequence'"):
        read_table(tmp_path, schemas.PROTEINS)
    wrong = PROTEINS.table.set_column(4, "n_rows", PROTEINS.table["n_rows"].cast(pa.float64()))
    pq.write_table(wrong, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="column 'n_rows' is double, expected int32"):
        read_table(tmp_path, schemas.PROTEINS)


def test_maps_of_other_proteins_are_refused() -> None:
    assert PROTEINS.maps is not None
    with pytest.raises(ValueError, match=rf"14 proteins, 12 maps, column 'id' differs, first: {PROTEINS.ids[0]}"):
        joined(PROTEINS.table, PROTEINS.maps.slice(2))
    with pytest.raises(ValueError, match="has no probability maps; compute them first"):
        Proteins(PROTEINS.table).prob_map(0)


def test_no_bytes_are_copied_for_an_alignment() -> None:
    assert not PROTEINS.msa(0).flags.owndata
