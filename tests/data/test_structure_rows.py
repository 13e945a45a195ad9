"""From a structure file to rows: ids, breaks, and every reason for which a chain is not used."""

import numpy as np
import pytest
from structure_text import helix, mmcif, pdb, pdb_chain

from protray.data.structure_rows import StructureSettings, structure_rows
from protray.data.structures import stored_backbone

SEQUENCE = "ACDEFGHIKLMNPQRSTVWY"
SHORT = StructureSettings(min_residues=3)


def rows_of(text: str, name: str = "1abc.pdb", settings: StructureSettings = SHORT) -> tuple[list, list, dict]:
    rows, errors, counts = structure_rows(text.encode(), name, settings)
    return rows, errors, dict(counts)


def test_a_row_gives_the_coordinates_back() -> None:
    backbone_L43 = helix(20) + np.array([50, -60, 70], dtype=np.float32)
    (row,), errors, counts = rows_of(pdb(pdb_chain(SEQUENCE, "A", backbone_L43)))
    assert (errors, counts) == ([], {})
    assert (row["id"], row["sequence"], row["entry"], row["source"]) == ("1abc_A", SEQUENCE, "1abc", "1abc.pdb")
    assert (row["index"].tolist(), row["breaks"].tolist()) == (list(range(20)), [])
    np.testing.assert_allclose(row["origin"], backbone_L43[:, 1].mean(axis=0), atol=1e-3)
    back_L43 = stored_backbone(row["backbone_cA"]) + row["origin"]
    np.testing.assert_allclose(back_L43, backbone_L43, atol=0.006)  # 0.005 stored, 0.0005 in the file


def test_breaks_index_and_missing_atoms() -> None:
    lines = [line for line in pdb_chain(SEQUENCE) if line == "TER" or not 5 <= int(line[22:26]) <= 9]
    lines = [line for line in lines if line[12:16].strip() != "O" or int(line[22:26]) != 2]
    (row,), _, counts = rows_of(pdb(lines))
    assert row["sequence"] == "ACDELMNPQRSTVWY"
    assert row["breaks"].tolist() == [3]
    assert row["index"].tolist() == [0, 1, 2, 3, *range(9, 20)]
    assert counts == {"breaks": 1, "missing_backbone_atoms": 1}
    assert np.argwhere(np.isnan(stored_backbone(row["backbone_cA"])[:, :, 0])).tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("name", "chains", "ids", "entry"),
    [
        ("a/4hhb.pdb.gz", "AB", ["4hhb_A", "4hhb_B"], "4hhb"),
        ("x.tar/pdb/pdb4hhb.ent.gz", "A", ["4hhb_A"], "4hhb"),
        ("4hhb_A.pdb", "A", ["4hhb_A"], "4hhb"),
        ("4hhb_A.pdb", "B", ["4hhb_A_B"], "4hhb_A"),
        ("4hhb_A.pdb", "AB", ["4hhb_A_A", "4hhb_A_B"], "4hhb_A"),
        ("model.pdb", " ", ["model"], "model"),
    ],
)
def test_ids(name, chains, ids, entry) -> None:
    rows, _, _ = rows_of(pdb(*(pdb_chain(SEQUENCE, chain) for chain in chains)), name)
    assert [row["id"] for row in rows] == ids
    assert {row["entry"] for row in rows} == {entry}


def test_mmcif_goes_by_places_in_the_sequence_and_knows_its_entity() -> None:
    header = "_refine.pdbx_refine_id 'X-RAY DIFFRACTION'\n_refine.ls_d_res_high 1.85"
    text = mmcif([("A", "3", "ACDEF", [4, 5, 6, 11, 12])], "4HHB", header)
    (row,), _, _ = rows_of(text, "renamed.cif")
    assert (row["id"], row["entry"], row["entity"]) == ("renamed_A", "4HHB", "3")
    assert (row["index"].tolist(), row["breaks"].tolist()) == ([0, 1, 2, 7, 8], [2])
    assert row["resolution"] == pytest.approx(1.85)


def broken(change) -> str:
    backbone_L43 = helix(20)
    change(backbone_L43)
    return pdb(pdb_chain(SEQUENCE, "A", backbone_L43), pdb_chain(SEQUENCE, "B"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x.fill(1.0), r"residues 1 and 2 are 0.00 Å apart \(so are 19 of 19 pairs of neighbours\)"),
        (lambda x: x[5:7, 1].fill(0.0), r"residues 6 and 7 are 0.00 Å apart \(so are 1 of 19"),
        (lambda x: np.multiply(x, 0.1, out=x), r"only 0 of 19 neighbouring C-alpha atoms .* median is 0.38 Å"),  # nm
        (lambda x: np.multiply(x, 5, out=x), r"only 0 of 19 neighbouring C-alpha atoms .* median is 19.\d\d Å"),
        (lambda x: x.__setitem__((slice(None), [0, 2, 3]), 0.0), "N, CA and C of a residue are"),
        (lambda x: x[7:8].fill(9000.0), r"an atom is \d{4} Å from the centre of the chain on one axis, at most 327.67"),
    ],
)
def test_impossible_coordinates_reject_the_chain_and_not_the_file(change, reason) -> None:
    (row,), (error,), _ = rows_of(broken(change))
    assert row["id"] == "1abc_B"
    assert (error.id, error.file) == ("1abc_A", "1abc.pdb")
    with pytest.raises(ValueError, match="chain 'A': .*" + reason):
        raise error


def test_a_poor_decoy_is_kept() -> None:
    """Of 19 steps 8 are impossible, but no two atoms are in one place."""
    backbone_L43 = helix(20)
    backbone_L43[1:9:2] = backbone_L43[0:8:2] + np.float32(0.3)
    assert len(rows_of(pdb(pdb_chain(SEQUENCE, "A", backbone_L43)))[0]) == 1


def test_coordinates_that_are_no_numbers_in_mmcif() -> None:
    lines = mmcif([("A", "1", "ACDEF", [1, 2, 3, 4, 5])]).splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("ATOM 10 C CA"))
    words = lines[at].split()
    lines[at] = " ".join([*words[:10], "?", *words[11:]])
    rows, (error,), _ = rows_of("\n".join(lines), "x.cif")
    assert rows == []
    assert "the C-alpha atom of residue 103 has coordinates that are no numbers" in error.reason


@pytest.mark.parametrize(
    ("sequence", "settings", "reason"),
    [
        ("A", {}, "1 residues with C-alpha atoms, fewer than min_residues = 20"),
        (SEQUENCE[:19], {}, "19 residues"),
        ("X" * 11 + "A" * 9, {}, "11 of 20 residues are unknown, a share above max_unknown = 0.5"),
        (SEQUENCE, {"max_resolution": 2.0}, r"a resolution of 2.5 Å, worse than max_resolution = 2.0"),
    ],
)
def test_settings_leave_chains_out(sequence, settings, reason) -> None:
    text = pdb(pdb_chain(sequence), header=["REMARK   2 RESOLUTION.    2.50 ANGSTROMS."])
    rows, (error,), _ = rows_of(text, settings=StructureSettings(**settings))
    assert rows == []
    assert error.reason.startswith(f"chain 'A': {reason}")
    kept, _, _ = rows_of(pdb(pdb_chain(SEQUENCE)), settings=StructureSettings(max_resolution=2.0))
    assert len(kept) == 1  # no resolution is not a bad one


@pytest.mark.parametrize("wrong", [{"min_residues": 1}, {"max_unknown": 1.5}, {"max_resolution": 0.0}])
def test_bad_settings(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StructureSettings(**wrong)
