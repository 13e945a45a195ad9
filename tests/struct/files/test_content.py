"""Files that are not what their names say: read where it is certain, else rejected by what they look like."""

import bz2
import gzip

import pytest
from structure_text import SEQUENCE, TWO, each, mmcif, pdb, pdb_chain, read, same

from protray.seq.errors import InputError
from protray.struct.files.io import read_chains

CIF = mmcif([("A", "1", SEQUENCE, list(range(1, 13)))])
LINE_ENDS = [b"\r\n", b"\r", b"\r\r\n", b"\n\n"]


@pytest.mark.parametrize(("text", "name"), [(pdb(TWO), "x.pdb"), (CIF, "x.cif")])
def test_line_ends_and_byte_order_marks(text, name) -> None:
    clean = text.encode()
    expected = read(clean, name).chains
    for end in LINE_ENDS:
        same(read(clean.replace(b"\n", end), name).chains, expected)
    for raw in (
        b"\xef\xbb\xbf" + clean,
        b"\xef\xbb\xbf" + clean.replace(b"\n", b"\r"),
        text.encode("utf-16"),
        b"\n\n" + clean,
        clean.rstrip(),
        clean + b"\x1a",
        clean + b"\0\0",
        clean.replace(b"\n", b"\r\n", 30),
    ):
        same(read(raw, name).chains, expected)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_letters_of_other_encodings(encoding) -> None:
    """In the header; a file of Latin-1 loses them."""
    found = read(f"EXPDTA    X-RAY ORSAY-É\nREMARK   4 é\n{pdb(TWO)}".encode(encoding))
    same(found.chains, read(pdb(TWO)).chains)
    assert found.method == ("X-RAY ORSAY-É" if encoding == "utf-8" else "X-RAY ORSAY-?")
    same(read(f"# é\n{CIF}".encode(encoding), "x.cif").chains, read(CIF, "x.cif").chains)


def test_the_format_is_told_by_the_content() -> None:
    same(read(CIF, "x.pdb").chains, read(CIF, "x.cif").chains)
    same(read("# a comment\n" + CIF, "x.ent").chains, read(CIF, "x.cif").chains)
    for first in ("", "HEADER    X\n", "REMARK\n", "CRYST1\n", "MODEL        1\n"):
        same(read(first + pdb(TWO), "x.cif").chains, read(pdb(TWO)).chains)


def test_gzip_is_told_by_the_content(tmp_path) -> None:
    path = tmp_path / "x.pdb"
    path.write_bytes(gzip.compress(pdb(TWO).encode()))
    same(read_chains(path), read(pdb(TWO)).chains)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (bz2.compress(pdb(TWO).encode()), "packed by bzip2: unpack it"),
        (b"PK\x03\x04rest", "packed by zip"),
        (b"\x83\xa7version\xa50.3.0\0\0\x01", "is binary"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "looks like a page of HTML"),
        (b'<?xml version="1.0"?>\n<PDBx:datablock>\n', r"XML \(PDBML\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (b'{"data_1ABC": {}}\n', "JSON"),
        (b">1abc_A\nMKHLD\n", "FASTA: sequences without coordinates"),
        (b"Protein in water\n    2\n    1MET      N    1   0.0   0.1   0.2\n", r"GROMACS file \(.gro\)"),
        (b"@<TRIPOS>MOLECULE\n", "MOL2"),
        (b"HEADER    X\nREMARK   2\nEND\n", r"\(no atoms\)"),
        (b"CONECT    1    2\nEND\n", r"\(no atoms\)|cannot be read as cif"),
    ],
)
@pytest.mark.parametrize("name", ["x.pdb", "x.cif"])
def test_what_is_no_structure_is_named(raw, reason, name) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        read(raw, name)
    assert len(caught.value.reason) <= 300


@pytest.mark.parametrize("names", [("ADE", "GUA", "CYT"), ("DA", "DC", "DG"), ("A", "C", "U"), ("RA5", "RU", "RC3")])
def test_nucleic_acids_are_named(names) -> None:
    lines = [
        f"ATOM  {n:5d}  {atom:<3s} {name:>3s} A{place:4d}    {place:8.3f}{n:8.3f}{0:8.3f}  1.00  0.00"
        for place, name in enumerate(names, start=1)
        for n, atom in enumerate(("O5'", "C1'", "N1"))
    ]
    with pytest.raises(InputError, match="1 nucleic acid chains|3 of 3 residues are nucleotides"):
        read(pdb(lines))


@pytest.mark.parametrize("atom", ["BB", "CB"])
def test_residues_without_a_c_alpha_atom_are_counted(atom) -> None:
    """Beads of MARTINI, for one."""
    lines = [line for line in pdb_chain(SEQUENCE) if line == "TER" or line[12:16] == " CA "]
    with pytest.raises(InputError, match="12 residues without ca"):
        read(each(lines, lambda line: line[:12] + f" {atom} " + line[16:]))
