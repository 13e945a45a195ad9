"""Labelled proteins from three-line files, tables and complexes, and the bundled ones."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structure_text import THREE, atom, pdb, pdb_chain

from protray.data import schemas
from protray.data.location import Location
from protray.data.sites.files import complex_rows, table_rows, three_line_rows
from protray.data.sites.table import BUNDLED, protein_of, read_sites
from protray.data.structure.structures import stored_backbone
from protray.seq.errors import InputError


def test_three_lines(tmp_path) -> None:
    file = tmp_path / "labels.3line"
    file.write_text(">a one\nMKVb\n01-0\n>b\nMK\n012\n>c\nMK\n02\n")
    rows, errors = three_line_rows(file)
    assert [(row["id"], row["sequence"], row["label"]) for row in rows] == [("a", "MKVX", "01-0")]
    assert [(error.id, error.line) for error in errors] == [("b", 4), ("c", 7)]
    assert "the sequence has 2 letters, the labels 3" in str(errors[0]) and "'2' at position 2" in str(errors[1])


def write(rows: list[dict], path) -> Location:  # noqa: ANN001
    pq.write_table(pa.Table.from_pylist(rows), path)
    return Location(path)


def test_a_table_as_that_of_deepppisp(tmp_path) -> None:
    """Distances of three points on a line, 3.8 Å apart, in 0.1 Å; DSSP of another length is left out."""
    good = {
        "id": "a", "sequence": "MKV", "label": [0, 1, 0], "pssm": list(range(60)), "dssp9": [0, 8, 5],
        "ca_distance_dA": [38, 76, 38], "split": "train", "source": "x",
    }  # fmt: skip
    rows = [
        good,
        good | {"id": "b", "dssp9": [0, 8], "ca_distance_dA": [38, 65526, 38]},
        good | {"id": "c", "label": [0, 1]},
        good | {"id": "d", "split": "testing"},
        good | {"id": "e", "pssm": [1, 2]},
        good | {"id": "f", "ca_distance_dA": [38, 500, 38]},
        good,
    ]
    found = list(table_rows(write(rows, tmp_path / "t.parquet")))
    a, b, *refused = found
    assert a["label"] == "010" and a["dssp"].tolist() == [0, 8, 5] and a["pssm"].shape == (60,)
    ca_L3 = stored_backbone(a["backbone_cA"])[:, 1]
    steps = [np.linalg.norm(ca_L3[i] - ca_L3[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert steps == pytest.approx([3.8, 7.6, 3.8], abs=0.02)
    assert b["dssp"] is None and b["backbone_cA"] is None
    reasons = [str(error) for error in refused if isinstance(error, InputError)]
    for reason, part in zip(
        reasons,
        (
            "3 residues, but 2 labels",
            "split 'testing' is none",
            "its PSSM has 2",
            "no structure has",
            "is also that of",
        ),
        strict=True,
    ):
        assert part in reason
    protein = protein_of(a)
    assert protein.label_L.tolist() == [0, 1, 0] and protein.pssm_LA is not None
    assert protein.pssm_LA[1, 0] == 20


def test_one_bad_row_stops_no_other(tmp_path) -> None:
    """Nulls and numbers out of range, in a row each; a PSSM may be nested."""
    good = {"id": "a", "sequence": "MKV", "label": [0, 1, 0], "pssm": [[1.0] * 20] * 3, "dssp": [0, 8, 5]}
    bad = [
        {"sequence": None}, {"label": None}, {"label": [0, None, 1]}, {"dssp": [0, 300, 5]}, {"dssp": [0, None, 5]},
        {"id": None}, {"pssm": [[float("nan")] + [1.0] * 19] * 3},
    ]  # fmt: skip
    rows = [good | {"id": f"r{n}"} | one for n, one in enumerate(bad)]
    found = list(table_rows(write([*rows, good], tmp_path / "t.parquet")))
    assert [isinstance(one, InputError) for one in found] == [True] * len(bad) + [False]
    reasons = [one.reason for one in found if isinstance(one, InputError)]
    assert reasons[0] == "id 'r0': its sequence is empty" and "has 57 finite numbers for 3 residues" in reasons[-1]


def test_ids_that_are_numbers_become_words(tmp_path) -> None:
    [found] = table_rows(write([{"id": 7, "sequence": "MKV", "label": "010"}], tmp_path / "t.parquet"))
    assert isinstance(found, dict) and found["id"] == "7"


def test_a_table_without_labels_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="column 'label' is missing; it has id, sequence"):
        list(table_rows(write([{"id": "a", "sequence": "M"}], tmp_path / "t.parquet")))


def with_side_chains(lines: list[str], sequence: str) -> list[str]:
    """A CB 1.5 Å beside each CA."""
    found = []
    for line in lines:
        found.append(line)
        if line[12:16].strip() == "CA":
            xyz = [float(line[start : start + 8]) for start in (30, 38, 46)]
            found.append(
                atom(0, "CB", line[17:20], line[21], line[22:27].strip() + " ", (xyz[0], xyz[1] + 1.5, xyz[2]))
            )
    return found


def test_sites_of_a_complex_are_where_chains_touch() -> None:
    """Two helices side by side, 8 Å apart, and a third far away: the third has no site, the others have some."""
    sequence = "A" * 24
    assert set(sequence) <= set(THREE)
    from structure_text import helix

    chains = [
        with_side_chains(pdb_chain(sequence, name, helix(24) + np.array(shift, np.float32)), sequence)
        for name, shift in (("A", (0, 0, 0)), ("B", (0, 8, 0)), ("C", (0, 200, 0)))
    ]
    rows, errors = complex_rows(pdb(*chains).encode(), "x.pdb")
    labels = {row["id"]: row["label"] for row in rows}
    assert errors == [] and list(labels) == ["x_A", "x_B", "x_C"]
    assert "1" in labels["x_A"] and "1" in labels["x_B"] and set(labels["x_C"]) == {"0"}


def test_files_that_tell_no_sites_are_refused() -> None:
    with pytest.raises(InputError, match="one protein chain"):
        complex_rows(pdb(with_side_chains(pdb_chain("A" * 24), "A" * 24)).encode(), "x.pdb")
    with pytest.raises(InputError, match="no side chains"):
        complex_rows(pdb(pdb_chain("A" * 24, "A"), pdb_chain("A" * 24, "B")).encode(), "x.pdb")


def test_the_bundled_chains() -> None:
    table = pq.read_table(BUNDLED)
    assert table.schema.equals(schemas.SITES) and BUNDLED.stat().st_size < 2_000_000
    splits = {split: read_sites([BUNDLED], split) for split in ("train", "validation", "test")}
    assert {split: len(found) for split, found in splits.items()} == {"train": 163, "validation": 45, "test": 69}
    clusters = [{protein.cluster for protein in found} for found in splits.values()]
    assert not (clusters[0] & clusters[1] or clusters[0] & clusters[2] or clusters[1] & clusters[2])
    for row in table.to_pylist()[:20]:
        length = len(row["sequence"])
        assert len(row["label"]) == length == len(row["index"]) == len(row["backbone_cA"]) / 12
