"""From a structure file to rows: ids, breaks, and every reason for which a chain is not used."""

import numpy as np
import pytest
from structure_text import atom, helix, mmcif, pdb, pdb_chain

from protray.data.structure.rows import CHAIN_GAP, StructureSettings, structure_rows
from protray.data.structure.structures import stored_backbone

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
        ("A", {}, "1 residue with C-alpha atoms; 20 are needed"),
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


# ---- side chains, complexes, predicted models

WITH = StructureSettings(min_residues=3, side_chains=True)


def test_side_chains_are_stored_about_the_same_origin() -> None:
    """Residue 16 alone has its side chain; the other 85 atoms of the 20 amino acids are missing."""
    backbone_L43 = helix(20) + np.array([50, -60, 70], dtype=np.float32)
    cb, og = backbone_L43[15, 1] + [1.0, 0.5, -0.25], backbone_L43[15, 1] + [1.5, 1.5, 1.234]
    lines = pdb_chain(SEQUENCE, "A", backbone_L43)
    lines[64:64] = [atom(1, "CB", "SER", "A", "16 ", cb), atom(2, "OG", "SER", "A", "16 ", og)]
    (row,), _, counts = rows_of(pdb(lines), settings=WITH)
    assert row["sequence"][15] == "S" and counts["missing_side_chain_atoms"] == 87 - 2
    stored = np.array(row["sidechains_cA"]).reshape(20, 10, 3)
    assert stored.dtype == np.int16 and (stored != -32768).any(axis=(1, 2)).nonzero()[0].tolist() == [15]
    np.testing.assert_allclose(stored[15, :2] / 100 + row["origin"], [cb, og], atol=0.006)
    assert (stored[15, 2:] == -32768).all()
    (without,), _, _ = rows_of(pdb(lines))
    assert (without["sidechains_cA"], without["chain_index"], without["plddt"]) == (None, None, None)
    np.testing.assert_array_equal(without["backbone_cA"], row["backbone_cA"])


COMPLEX = StructureSettings(min_residues=3, complexes=True)


def test_two_chains_as_a_complex() -> None:
    """The second, which begins at 8 and lacks 11 to 14, goes on 512 after the end of the first."""
    far = helix(20) + np.float32(30)
    second = [line for line in pdb_chain("A" * 20, "B", far) if line == "TER" or int(line[22:26]) not in range(11, 15)]
    second = [line for line in second if line == "TER" or int(line[22:26]) > 7]
    text = pdb(pdb_chain("ACDE"), second, pdb_chain("AC", "C"))
    (row,), (error,), counts = rows_of(text, settings=COMPLEX)
    assert (row["id"], row["entry"], row["sequence"], row["entity"]) == ("1abc", "1abc", "ACDE" + "A" * 9, None)
    assert row["chain_index"].tolist() == [0] * 4 + [1] * 9
    assert row["index"].tolist() == [0, 1, 2, 3, *(3 + CHAIN_GAP + n for n in (0, 1, 2, 7, 8, 9, 10, 11, 12))]
    assert row["breaks"].tolist() == [3, 6]
    assert (counts["breaks"], error.id) == (1, "1abc_C")  # a peptide of two residues is left out
    together_L43 = np.concatenate([helix(4), far[[*range(7, 10), *range(14, 20)]]])
    np.testing.assert_allclose(row["origin"], together_L43[:, 1].mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(stored_backbone(row["backbone_cA"]) + row["origin"], together_L43, atol=0.006)


def test_one_chain_is_no_complex_and_what_is_too_large_is_refused(monkeypatch) -> None:
    (row,), _, _ = rows_of(pdb(pdb_chain("ACDE")), settings=COMPLEX)
    assert (row["id"], row["chain_index"], row["index"].tolist()) == ("1abc", None, [0, 1, 2, 3])
    text = pdb(pdb_chain("ACDE"), pdb_chain("ACDE", "B", helix(4) + np.float32(700)))
    rows, (error,), _ = rows_of(text, settings=COMPLEX)
    assert rows == [] and error.id == "1abc" and "an atom is 35" in error.reason
    monkeypatch.setattr("protray.data.structure.rows.MAX_CHAINS", 2)
    rows, (error,), _ = rows_of(pdb(*(pdb_chain("ACDE", name) for name in "ABC")), settings=COMPLEX)
    assert rows == [] and error.reason == "3 chains, more than 2, the most that a complex may have"


def with_b(text: str, *values: float) -> str:
    """The B factors of residues 1, 2, ... of a PDB file."""
    return "\n".join(
        f"{line[:60]}{values[int(line[22:26]) - 1]:6.2f}{line[66:]}" if line.startswith("ATOM") else line
        for line in text.splitlines()
    )


ALPHAFOLD = "TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR HEMOGLOBIN (P69905)"
ESMFOLD = "TITLE     ESMFOLD V1 PREDICTION FOR INPUT"
EXPERIMENT = "EXPDTA    X-RAY DIFFRACTION"


@pytest.mark.parametrize(
    ("header", "every", "values", "expected"),
    [
        ([ALPHAFOLD], "marked", (91.6, 50.0, 7.4), [92, 50, 7]),
        ([ESMFOLD], "marked", (0.916, 0.5, 1.0), [92, 50, 100]),  # fractions
        ([], "marked", (91.6, 50.0, 7.4), None),
        ([], "all", (91.6, 50.0, 7.4), [92, 50, 7]),
        (["EXPDTA    THEORETICAL MODEL"], "all", (91.6, 50.0, 7.4), [92, 50, 7]),
        ([EXPERIMENT], "all", (91.6, 50.0, 7.4), None),
        ([EXPERIMENT, "TITLE     AN ALPHAFOLD PREDICTION AND AN EXPERIMENT"], "marked", (91.6, 50.0, 7.4), None),
        ([ALPHAFOLD], "marked", (91.6, 150.0, 7.4), None),  # no pLDDT
        ([ALPHAFOLD], "marked", (0.0, 0.0, 0.0), None),
    ],
)
def test_plddt(header, every, values, expected) -> None:
    text = with_b(pdb(pdb_chain("ACD"), header=header), *values)
    (row,), _, counts = rows_of(text, settings=StructureSettings(min_residues=3, plddt=every))
    assert row["plddt"] is None if expected is None else (row["plddt"].tolist(), row["plddt"].dtype) == (expected, "u1")
    asked = not any(line == EXPERIMENT for line in header) and (every == "all" or bool(header))
    assert counts.get("b_factors_that_are_no_plddt", 0) == (asked and expected is None)


@pytest.mark.parametrize(("mode", "name", "is_model"), [("local", "pLDDT", True), ("global", "pLDDT", False),
                                                        ("local", "QMEAN", False)])  # fmt: skip
def test_plddt_of_mmcif(mode, name, is_model) -> None:
    header = (
        f"loop_\n_ma_qa_metric.id\n_ma_qa_metric.mode\n_ma_qa_metric.name\n_ma_qa_metric.type\n1 {mode} {name} {name}"
    )
    text = mmcif([("A", "1", "ACD", [1, 2, 3])], header=header).replace(" 1.00 0.0 ", " 1.00 88.8 ")
    (row,), _, _ = rows_of(text, "x.cif")
    assert row["plddt"] is None if not is_model else row["plddt"].tolist() == [89, 89, 89]


@pytest.mark.parametrize("wrong", [{"min_residues": 0}, {"max_unknown": 1.5}, {"max_resolution": 0.0}])
def test_bad_settings(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StructureSettings(**wrong)
