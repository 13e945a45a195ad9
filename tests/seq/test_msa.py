"""Every alignment format and every bad input, with the numbers of the errors written out."""

import gzip
import pickle

import numpy as np
import pytest

from protray.seq.alphabet import GAP, UNKNOWN, decode
from protray.seq.errors import InputError
from protray.seq.msa import parse_msa, protein_id, read_msa


def rows(raw: bytes, fmt: str | None = "a3m") -> list[str]:
    return [decode(row) for row in parse_msa(raw, fmt, "x.a3m").codes_NL]


def test_a3m_drops_insertions() -> None:
    """Row 2 inserts 'dd' between C and D and lacks E; the '.' beside an insertion is dropped as well."""
    assert rows(b">q\nAC..DE\n>hit\nACddD-\n") == ["ACDE", "ACD-"]


def test_a2m_is_a3m_with_dots() -> None:
    assert rows(b">q\nAC..DE\n>hit\nACddD-\n>hit2\nGC.kDE\n", "a2m") == ["ACDE", "ACD-", "GCDE"]


def test_a3m_columns_in_which_the_query_has_a_gap_are_dropped() -> None:
    assert rows(b">q\nA-CD\n>hit\nAKCE\n") == ["ACD", "ACE"]


def test_a3m_comment_and_annotation_rows_before_the_query() -> None:
    raw = b"#A3M#\n>ss_pred predicted\nCHHC\n>ss_conf\n9999\n>q\nACDE\n>hit\nAC-E\n"
    assert rows(raw) == ["ACDE", "AC-E"]


def test_wrapped_records_and_blank_lines() -> None:
    assert rows(b">q first\nAC\nDE\n\n>hit\nA-\nDE\n\n") == ["ACDE", "A-DE"]


def test_stockholm_interleaved_lower_case_is_a_residue() -> None:
    raw = (
        b"# STOCKHOLM 1.0\n#=GF ID x\n\nquery  AC.D\nhit/1  aCkD\n#=GR hit/1 PP 9999\n\n"
        b"query  EF\nhit/1  -F\n#=GC RF xxxxx\n//\n"
    )
    assert rows(raw, "stockholm") == ["ACDEF", "ACD-F"]


def test_fasta_drops_query_gaps_only() -> None:
    assert rows(b">q\nA-CD\n>hit\nAKc.\n", "fasta") == ["ACD", "AC-"]


def test_aln_star_is_a_gap() -> None:
    assert rows(b"ACDE\nA*DX\n*CDE\n", "aln") == ["ACDE", "A-DX", "-CDE"]


@pytest.mark.parametrize("letter", "XBZUOJ")
def test_letters_that_stand_for_no_single_residue(letter) -> None:
    codes_NL = parse_msa(f">q\nA{letter}C\n".encode(), "a3m", "x.a3m").codes_NL
    assert codes_NL.tolist() == [[0, UNKNOWN, 4]]


@pytest.mark.parametrize("gap", "-*")
def test_gap_letters(gap) -> None:
    assert parse_msa(f">q\nACD\n>h\nA{gap}D\n".encode(), "a3m", "x.a3m").codes_NL[1, 1] == GAP


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_line_ends_of_other_systems(end) -> None:
    assert rows(b">q\nACDE\n>hit\nAC-E\n".replace(b"\n", end)) == ["ACDE", "AC-E"]


def test_byte_order_mark() -> None:
    assert rows(b"\xef\xbb\xbf>q\nACDE\n") == ["ACDE"]


def test_greater_than_sign_within_a_header_is_no_record() -> None:
    assert rows(b">q >x\nAC\n>h>\nGC\n") == ["AC", "GC"]


def test_codes_are_contiguous_also_without_a_query_gap() -> None:
    for raw in (b">q\nAC\n>h\nGC\n", b">q\nA-C\n>h\nGCC\n"):
        assert parse_msa(raw, "a3m", "x.a3m").codes_NL.flags.c_contiguous


def test_protein_of_one_residue() -> None:
    assert rows(b">q\nM\n") == ["M"]


def test_protein_of_5000_residues() -> None:
    codes_NL = parse_msa(b">q\n" + b"ACDEF" * 1000 + b"\n>h\nM" + b"-" * 4999 + b"\n", "a3m", "x.a3m").codes_NL
    assert codes_NL.shape == (2, 5000)
    assert (codes_NL[1, 1:] == GAP).all()


def test_200_000_rows() -> None:
    codes_NL = parse_msa(b">q\nACDEF\n" + b">h\nA-DkkEF\n" * 199_999, "a3m", "x.a3m").codes_NL
    assert codes_NL.shape == (200_000, 5)
    assert decode(codes_NL[-1]) == "A-DEF"


BAD = {
    "empty file": (b"", "a3m", None, "the file is empty"),
    "blank file": (b"\n \n", "a3m", None, "the file is empty"),
    "no header": (b"ACDE\nACDE\n", "a3m", 1, "no query: text before the first '>' header: 'ACDE'"),
    "comments only": (b"#A3M#\n", "a3m", None, "no query: the file has no '>' header"),
    "query without letters": (b">q\n>hit\nACDE\n", "a3m", 2, "no query: the first row has no residue"),
    "lower-case query": (b">q\nacde\n", "a3m", 2, "lower case is an insertion"),
    "query of gaps": (b">q\n----\n>hit\nACDE\n", "a3m", 2, "nothing but 4 gaps"),
    "shorter row": (b">q\nACDE\n>h1\nACDE\n>h2\nACD\n", "a3m", 6, "row 3 (h2) has 3 aligned columns, the query has 4"),
    "longer row": (b">q\nACDE\n>h1 x\nACDEF\n", "fasta", 4, "row 2 (h1) has 5 aligned columns, the query has 4"),
    "row without letters": (b">q\nACDE\n>h1\n", "a3m", 4, "row 2 (h1) has 0 aligned columns, the query has 4"),
    "aln row": (b"ACDE\nACD\n", "aln", 2, "row 2 has 3 aligned columns, the query has 4"),
    "non-ASCII": (b">q\nACDE\n>h\nAC\n\xc3E\n", "a3m", 5, "byte 0xC3 is not ASCII, in row 2 (h)"),
    "sign within a row": (b">q\nACDE\n>h\nAC>E\n", "a3m", 4, "'>' is no residue and no gap, in row 2 (h)"),
    "second of two faults": (b">q\nAC\n>g\nA\nC\n>h x\n-\n-\n-\n", "a3m", 7, "row 3 (h) has 3 aligned columns"),
    "insertions before a fault": (b">q\nAC\n>h\nkkAkC\n>i\nAcc\n$\n", "a3m", 7, "'$' is no residue"),
    "digit": (b">q\nACDE\n>h\nAC1E\n", "a3m", 4, "'1' is no residue and no gap, in row 2 (h)"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0", "a3m", 3, "NUL byte: a binary"),
    "UTF-16": (">q\nACDE\n".encode("utf-16"), "a3m", 1, "UTF-16"),
    "binary without NUL": (bytes(range(128, 255)), "a3m", 1, "no query"),
    "not Stockholm": (b">q\nACDE\n", "stockholm", 1, "starts with '# STOCKHOLM 1.0'"),
    "truncated Stockholm": (b"# STOCKHOLM 1.0\nq ACDE\n", "stockholm", None, "ends without '//'"),
    "Stockholm without rows": (b"# STOCKHOLM 1.0\n//\n", "stockholm", None, "no query: the alignment has no row"),
    "two alignments": (b"# STOCKHOLM 1.0\nq A\n//\n# STOCKHOLM 1.0\n", "stockholm", 4, "second alignment"),
    "Clustal": (b"CLUSTAL W\n\nq ACDE\n", "aln", 1, "convert to FASTA"),
    "named aln rows": (b"q ACDE\n", "aln", 1, "2 fields on a line"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_says_where_and_why(name) -> None:
    raw, fmt, line, reason = BAD[name]
    with pytest.raises(InputError) as caught:
        parse_msa(raw, fmt, "x.a3m")
    assert caught.value.file == "x.a3m"
    assert caught.value.line == line
    assert reason in caught.value.reason


def test_truncated_gzip(tmp_path) -> None:
    path = tmp_path / "p.a3m.gz"
    path.write_bytes(gzip.compress(b">q\nACDE\n" * 100)[:-12])
    with pytest.raises(InputError, match="truncated"):
        read_msa(path)


def test_damaged_gzip(tmp_path) -> None:
    path = tmp_path / "p.a3m.gz"
    packed = bytearray(gzip.compress(b">q\n" + bytes(np.random.default_rng(0).integers(65, 90, 500).astype(np.uint8))))
    packed[-6] ^= 0xFF  # the checksum
    path.write_bytes(packed)
    with pytest.raises(InputError, match="damaged"):
        read_msa(path)


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("p.a3m", b">q\nAC\n>h\nAkC\n", ["AC", "AC"]),
        ("p.sto", b"# STOCKHOLM 1.0\nq AC\nh A-\n//\n", ["AC", "A-"]),
        ("p.fasta", b">q\nAC\n>h\nac\n", ["AC", "AC"]),
        ("p.aln", b"AC\n*C\n", ["AC", "-C"]),
        ("p", b"# STOCKHOLM 1.0\nq AC\nh A-\n//\n", ["AC", "A-"]),
        ("p.txt", b"AC\n*C\n", ["AC", "-C"]),
        ("p.msa", b">q\nAC\n>h\nAkC\n", ["AC", "AC"]),
        ("p.msa", b">q\nAC\n>h\nac\n", ["AC", "AC"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_format_follows_from_extension_or_content(tmp_path, name, raw, expected, packed) -> None:
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    msa = read_msa(path)
    assert msa.id == "p"
    assert [decode(row) for row in msa.codes_NL] == expected


def test_foreign_extension(tmp_path) -> None:
    path = tmp_path / "labels.3line"
    path.write_bytes(b">q\nACDE\nHHHH\n")  # read as FASTA this would be a protein of 8 residues
    with pytest.raises(InputError, match=r"'\.3line' is no alignment format"):
        read_msa(path)


def test_id_keeps_dots_of_the_name() -> None:
    assert protein_id("a/b/2.10.a3m.gz") == "2.10"


def test_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(InputError("f", 3, "why", "p")))
    assert (str(error), error.id) == ("f:3: why", "p")


def test_a_note_beside_alignments_is_no_protein(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(
        InputError, match=r"notes\.txt:1.*one line of letters without a header; of a protein, name the file \.aln"
    ):
        read_msa(tmp_path / "notes.txt")
    (tmp_path / "p.aln").write_text("MKTAY\n")
    assert read_msa(tmp_path / "p.aln").codes_NL.shape == (1, 5)
