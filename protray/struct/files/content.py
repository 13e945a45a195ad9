"""What a structure file holds, whatever its name says: its text with one kind of line end, its format, its look."""

import re

from protray.seq.errors import InputError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"(\xb5/\xfd": "zstd", b"\x1f\x8b": "gzip"}
_BEGINNING = 4096  # bytes looked at for a format that is not read
_LOOKS = (
    (rb"<!doctype html|<html", "a page of HTML; download the file again"),
    (rb"<\?xml|<PDBx", "XML (PDBML); take the mmCIF file"),
    (rb"version https://git-lfs", "a pointer of Git LFS; run git lfs pull"),
    (rb"[\[{]", "JSON; take the mmCIF or PDB file"),
    (rb">", "FASTA: sequences without coordinates"),
    (rb"# STOCKHOLM", "a Stockholm alignment"),
    (rb"@<TRIPOS>", "a MOL2 file; convert it to PDB"),
    (rb"%VERSION", "an Amber topology; write a PDB file with its coordinates"),
    (rb"\*? *\d+(?: +EXT)?\s*\n", "coordinates of another program (CHARMM, Tinker or XYZ); convert them to PDB"),
    (rb"[^\n]*\n *\d+ *\n +\d+\w+ ", "a GROMACS file (.gro); convert it to PDB (gmx editconf)"),
)


def text_of(raw: bytes, source: str) -> bytes:
    """The content with ``\\n`` as line end and without a byte-order mark; InputError if it is empty or binary."""
    if not raw.strip():
        raise InputError(source, None, "the file is empty")
    if raw.startswith(_UTF16):
        raw = raw.decode("utf-16", "replace").encode()
    raw = raw.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0\x1a")
    for magic, name in _PACKED.items():
        if raw.startswith(magic):
            raise InputError(source, None, f"is packed by {name}: unpack it, or pack it with gzip")
    if b"\0" in raw:
        raise InputError(source, None, "is binary (BinaryCIF, MMTF or damaged): take the text file, mmCIF or PDB")
    return _as_utf8(raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw)


def format_of(text: bytes, named: str) -> str:
    """``pdb`` or ``cif``: `named` by the extension, unless the content is plainly of the other format."""
    if re.match(rb"(?:\s|#[^\n]*\n)*data_", text, re.IGNORECASE):
        return "cif"
    return "pdb" if re.match(rb"\s*(?:HEADER|TITLE |REMARK|CRYST1|MODEL |ATOM  |HETATM)", text) else named


def looks_like(text: bytes) -> str | None:
    """What a file without atoms seems to be instead; None if nothing is known of it."""
    beginning = text[:_BEGINNING].lstrip()
    return next((name for look, name in _LOOKS if re.match(look, beginning, re.IGNORECASE)), None)


def _as_utf8(text: bytes) -> bytes:
    """Letters of another encoding, as old files have them in names of authors, are replaced by question marks."""
    if text.isascii():
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1").encode("ascii", "replace")
    return text
