import bz2
import lzma
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from structure_text import pdb, pdb_chain

from protray.data import schemas
from protray.data.secondary.inputs import find_items, make_row
from protray.data.secondary.proteins import ProteinSettings, cap_rows, check_labels, protein_row, protein_schema
from protray.seq.alphabet import AMINO_ACIDS, encode
from protray.seq.errors import InputError
from protray.seq.msa import Msa
from protray.seq.secondary import Labels


def msa(*rows: str, id: str = "p") -> Msa:
    return Msa(id, np.stack([encode(row) for row in rows]))


def row(alignment: Msa, **settings) -> dict:
    return protein_row(alignment, ss3="HC", ss8=None, cluster="c", split="train", settings=ProteinSettings(**settings))


def test_row_by_hand() -> None:
    """Rows AC, AX, A-: A is counted three times, C once."""
    found = row(msa("AC", "AX", "A-"))
    assert (found["sequence"], found["n_rows"], found["msa_count"], found["msa_rows"]) == ("AC", 3, 2, 3)
    counts_LA = found["counts"].reshape(2, 20)
    assert counts_LA.sum() == 4
    assert counts_LA[0, AMINO_ACIDS.index("A")] == 3
    assert counts_LA[1, AMINO_ACIDS.index("C")] == 1
    assert found["meff"] == pytest.approx(3.0)  # AC-AX 1/2, AC-A- 1/2, AX-A- 1/2: none reaches 0.7
    assert found["msa"] == encode("ACAXA-").tobytes()


def test_row_fits_the_schema() -> None:
    settings = ProteinSettings(max_rows=70)
    table = pa.Table.from_pylist([row(msa("AC", "AX"))], schema=protein_schema(settings))
    schemas.check(table, schemas.PROTEINS, "test")
    assert table.schema.metadata[b"max_rows"] == b"70"
    assert table.schema.metadata[b"residue_order"] == AMINO_ACIDS.encode()


def test_no_pssm_is_stored_and_no_setting_of_one_is_there() -> None:
    """PSSMs are computed from the counts where they are read."""
    assert {field.name for field in fields(ProteinSettings)} == {"max_rows", "meff_identity", "seed"}
    assert "pssm" not in schemas.PROTEINS.names


def test_cap_keeps_the_query_and_draws_without_replacement() -> None:
    msa_NL = np.arange(100, dtype=np.uint8)[:, None]
    kept_NL = cap_rows(msa_NL, 30, seed=0, id="p")
    assert kept_NL.shape == (30, 1)
    assert kept_NL[0, 0] == 0
    assert len(np.unique(kept_NL)) == 30
    np.testing.assert_array_equal(kept_NL, cap_rows(msa_NL, 30, seed=0, id="p"))
    assert (kept_NL != cap_rows(msa_NL, 30, seed=0, id="q")).any()
    assert (kept_NL != cap_rows(msa_NL, 30, seed=1, id="p")).any()


def test_counts_and_meff_do_not_depend_on_the_cap() -> None:
    letters = np.random.default_rng(0).integers(0, 20, (80, 2)).astype(np.uint8)
    full, capped = row(Msa("p", letters)), row(Msa("p", letters), max_rows=61)
    assert capped["msa_rows"] == 61
    assert len(capped["msa"]) == 2 * 61
    assert capped["meff"] == full["meff"]
    np.testing.assert_array_equal(capped["counts"], full["counts"])


@pytest.mark.parametrize("bad", [{"max_rows": 60}, {"meff_identity": 0}])
def test_bad_settings(bad) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ProteinSettings(**bad)


def labels(sequence: str) -> Labels:
    return Labels("p", sequence, "H" * len(sequence), None, "labels.3line", 7)


def test_labels_fit_despite_unknown_residues() -> None:
    check_labels(msa("AXDE"), labels("ACDU"))


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        ("ACDF", "the query has 4 residues, the label sequence 4; they first differ at position 4: query E, label F"),
        ("KACDE", "the query has 4 residues, the label sequence 5; they first differ at position 1: query A, label K"),
        ("ACD", "the query has 4 residues, the label sequence 3; they agree over the first 3"),
    ],
)
def test_label_mismatch_shows_lengths_and_place(sequence, reason) -> None:
    with pytest.raises(InputError) as caught:
        check_labels(msa("ACDE"), labels(sequence))
    assert (caught.value.reason, caught.value.line, caught.value.id) == (reason, 7, "p")


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_items_pair_alignments_and_labels(tmp_path) -> None:
    make(
        tmp_path / "msas",
        {
            "a.a3m": ">q\nAC\n",
            "twice.a3m": ">q\nAC\n",
            "sub/twice.sto": "# STOCKHOLM 1.0\nq AC\n//\n",
            "bare.aln": "AC\n",
            "notes.md": "hello",
            ".hidden": "",
        },
    )
    make(tmp_path, {"l.3line": ">a\nAC\nHE\n>twice\nAC\nHE\n>alone\nAC\nHE\n"})
    items, errors = find_items(tmp_path / "msas", tmp_path / "l.3line")
    assert [item.id for item in items] == ["a"]
    found = {(error.id, error.line): error.reason for error in errors}
    assert set(found) == {("twice", None), ("notes.md", None), ("bare", None), ("alone", 7)}
    assert "is also that of" in found["twice", None]
    assert "no label for id 'bare'" in found["bare", None]
    assert "no alignment for the labelled id 'alone'" in found["alone", 7]
    assert sum(error.id == "twice" for error in errors) == 2  # both files are listed
    made, how = make_row(items[0], ProteinSettings())
    assert (made["ss3"], made["ss8"], how) == ("HE", None, "3line")


def test_links_are_read_or_listed(tmp_path) -> None:
    make(tmp_path, {"msas/plain.a3m": ">q\nAC\n", "elsewhere/behind.a3m": ">q\nAC\n"})
    (tmp_path / "msas/linkdir").symlink_to("../elsewhere")
    (tmp_path / "msas/dangling.a3m").symlink_to("/nowhere/x.a3m")
    items, errors = find_items(tmp_path / "msas", None)
    assert [item.id for item in items] == ["behind", "plain"]
    assert [(error.id, error.reason[:31]) for error in errors] == [("dangling", "a broken link, to '/nowhere/x.a")]
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/behind.pdb").symlink_to("/nowhere/x.pdb")
    items, errors = find_items(tmp_path / "msas", tmp_path / "labels")
    assert not items and len(errors) == 4  # two alignments without a label, and the two links
    assert any(error.file.endswith("behind.pdb") and "a broken link" in error.reason for error in errors)


@pytest.mark.parametrize("n", [2, 3, 2000])
def test_one_file_name_for_every_protein(tmp_path, n) -> None:
    """As in OpenProteinSet; each file is listed with a reason of a length that does not grow with their number."""
    make(tmp_path, {f"{k:04d}_A/a3m/bfd_uniclust_hits.a3m": ">q\nMKV\n" for k in range(n)})
    items, errors = find_items(tmp_path, None)
    assert not items and len(errors) == n
    assert all(len(error.reason) <= 300 for error in errors)
    assert "0001_A/a3m/bfd" in errors[0].reason and "0000_A/a3m/bfd" in errors[-1].reason  # the first other file
    more = f" and {n - 2:,} more" if n > 2 else ""
    assert all(f"hits.a3m'{more}; keep one, or name each file after its protein" in error.reason for error in errors)


def test_many_labels_of_one_id(tmp_path) -> None:
    make(tmp_path, {"m/a.a3m": ">q\nAC\n", **{f"l/{k}.3line": ">a\nAC\nHE\n" for k in range(500)}})
    (error,) = find_items(tmp_path / "m", tmp_path / "l")[1]
    assert "has 500 sources" in error.reason and error.reason.endswith(" and 498 more; keep one")


@pytest.mark.parametrize(
    ("name", "pack"), [("a.a3m.xz", lzma.compress), ("a.a3m.bz2", bz2.compress), ("a.a3m", lzma.compress)]
)
def test_packed_alignments(tmp_path, name, pack) -> None:
    (tmp_path / name).write_bytes(pack(b">q\nAC\n>h\nA-\n"))
    items, errors = find_items(tmp_path, None)
    assert ([item.id for item in items], errors) == (["a"], [])
    assert make_row(items[0], ProteinSettings())[0]["n_rows"] == 2


def test_without_labels_everything_readable_is_an_item(tmp_path) -> None:
    folder = make(tmp_path, {"a.a3m": ">q\nAC\n", "b.aln": "AC\n"})
    items, errors = find_items(folder, None)
    assert ([item.id for item in items], errors) == (["a", "b"], [])
    made, how = make_row(items[0], ProteinSettings())
    assert (made["ss3"], how) == (None, "none")


def test_missing_folder(tmp_path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        find_items(tmp_path / "absent", None)


def structure(first: str = "ACDE", second: str = "WY") -> str:
    """Chains A, without residue 3, and B."""
    lines = [line for line in pdb_chain(first, "A") if line == "TER" or int(line[22:26]) != 3]
    return pdb(lines, pdb_chain(second, "B"))


def test_structures_label_by_chain(tmp_path) -> None:
    """1abc_A lacks residue 3 in its coordinates; `1abc` takes the chain that fits; 1abc_B is another protein."""
    make(tmp_path / "s", {"1abc.pdb": structure(), "2xyz.pdb": structure()})
    make(tmp_path / "m", {"1abc_A.aln": "ACDE\n", "1abc_B.aln": "WW\n", "1abc_C.aln": "AC\n", "2xyz.aln": "WY\n"})
    items, errors = find_items(tmp_path / "m", tmp_path / "s")
    assert not errors
    by_id = {item.id: item for item in items}
    for id, states in (("1abc_A", "CC-C"), ("2xyz", "CC")):
        made, how = make_row(by_id[id], ProteinSettings())
        assert made["ss3"] == states
        assert how in ("mkdssp", "pydssp")
        assert make_row(by_id[id], ProteinSettings(), "pydssp")[1] == "pydssp"
    with pytest.raises(InputError, match="first differ at position 2: query W, label Y"):
        make_row(by_id["1abc_B"], ProteinSettings())
    with pytest.raises(InputError, match="has no protein chain 'C'; it has A, B"):
        make_row(by_id["1abc_C"], ProteinSettings())


def placeholders(line: str) -> str:
    return line if line == "TER" or line[12:16].strip() == "CA" else line[:30] + 3 * "   0.000" + line[54:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda lines: [line for line in lines if line[12:16].strip() in ("", "CA")],
            "no residue of 12 has N, CA, C and",
        ),
        (lambda lines: [line for line in lines if line[12:16].strip() != "O"], "no residue of 12 has N, CA, C and O"),
        (lambda lines: [placeholders(line) for line in lines], r"N, CA and C are \d+.\d\d Å apart, not 1.0 to 2.0"),
        (
            lambda lines: [line[:30] + 3 * "   0.000" + line[54:] for line in lines if line != "TER"],
            "N, CA and C are 0.00",
        ),
    ],
)
def test_a_structure_without_a_backbone_gives_no_labels(tmp_path, change, reason) -> None:
    """Not even where a chain that does not fit has one; a second chain that fits and has one is taken."""
    lines = change(pdb_chain("MKHLDECSYEVK", "A"))
    make(tmp_path / "m", {"1abc.aln": "MKHLDECSYEVK\n"})
    other, same = pdb_chain("WWWWWWWWWWWW", "B"), pdb_chain("MKHLDECSYEVK", "B")
    make(tmp_path / "s", {"1abc.pdb": pdb(lines, other)})
    (item,), _ = find_items(tmp_path / "m", tmp_path / "s")
    with pytest.raises(InputError, match=f"chain 'A': {reason}"):
        make_row(item, ProteinSettings(), "pydssp")
    make(tmp_path / "s", {"1abc.pdb": pdb(lines, same)})
    made, how = make_row(item, ProteinSettings(), "pydssp")
    assert (made["ss3"], how) == ("C" + 10 * "H" + "C", "pydssp")
