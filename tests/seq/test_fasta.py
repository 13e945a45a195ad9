"""FASTA files in every form: plain, packed, damaged, or no FASTA at all."""

import bz2
import errno
import gzip
import io
import lzma
from pathlib import Path

import numpy as np
import pytest

from protray.seq import fasta as module
from protray.seq.alphabet import decode
from protray.seq.errors import InputError
from protray.seq.fasta import Source, clean_fasta, codes_of, fasta_files, read_fasta, read_sequences, stream_fasta
from protray.seq.files.packed import opener_of

FASTA = b">a first\nACDEF\nGH\n>b\nacdx*\n>c\nAC-E\n>d\nAC1E\n>e\nAC\n"
TEXT = b">one first protein\nACD\nEF\n>two\r\nmkt w*\r\n>three\nAC"
PACKERS = {".fasta": bytes, ".fasta.gz": gzip.compress, ".fa.xz": lzma.compress, ".fa.bz2": bz2.compress}


def test_folders_are_searched(tmp_path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.faa", "sub/a.fasta", "notes.txt", "c.fasta.zip"):
        (tmp_path / name).write_bytes(FASTA)
    assert [path.name for path in fasta_files([tmp_path])] == ["b.faa", "a.fasta"]


def test_no_file_is_an_error_that_names_it(tmp_path) -> None:
    with pytest.raises(ValueError, match="gone.fasta: no such file or folder"):
        fasta_files([tmp_path / "gone.fasta"])
    with pytest.raises(ValueError, match="no FASTA file"):
        fasta_files([tmp_path])


def test_ids_are_the_first_words(tmp_path) -> None:
    (tmp_path / "x.fasta").write_bytes(FASTA)
    assert [name for name, _ in read_sequences([tmp_path])] == ["a", "b", "c", "d", "e"]


def test_a_byte_order_mark_hides_no_record(tmp_path) -> None:
    (tmp_path / "x.fasta").write_bytes(b"\xef\xbb\xbf>a\r\nACDE\r\n>b c\r\nFG\r\nHI\r\n")
    assert list(read_sequences([tmp_path])) == [("a", "ACDE"), ("b", "FGHI")]


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, suffix, pack) -> None:
    whole = pack(b"".join(b">%d\n%s\n" % (k, b"ACDEFGHIKL" * 10) for k in range(2000)))
    (tmp_path / f"x.fa.{suffix}").write_bytes(whole[:-20])
    damage = r"(:\d+)?: the file is damaged (behind this|in its first) record"
    with pytest.raises(ValueError, match=f"x.fa.{suffix}{damage}"):
        list(read_sequences([tmp_path]))


@pytest.mark.parametrize(
    ("name", "pack"),
    [("p.fasta", bytes), ("p.fasta.gz", gzip.compress), ("p.fa.xz", lzma.compress), ("p.fa.bz2", bz2.compress)],
)
def test_fasta_plain_and_packed(tmp_path, name, pack) -> None:
    path = tmp_path / name
    path.write_bytes(pack(TEXT))
    found, errors = read_fasta(path)
    assert errors == []
    assert found == [
        Source("one", str(path), 1, "ACDEF"),
        Source("two", str(path), 4, "mktw*"),
        Source("three", str(path), 6, "AC"),
    ]


def test_records_that_cannot_be_told_apart(tmp_path) -> None:
    path = tmp_path / "p.fasta"
    path.write_bytes(b"\xef\xbb\xbf>a\nAC\n>\nAC\n> \nAC\n>b\nWW\n>a again\nWY\n>caf\xe9\nAC\n")
    found, errors = read_fasta(path)
    assert [(source.id, source.sequence) for source in found] == [("a", "AC"), ("b", "WW")]
    assert [(error.id, error.line) for error in errors] == [(None, 3), (None, 5), ("a", 9), ("caf\ufffd", 11)]
    assert [error.reason[:24] for error in errors[:2]] == ["a record without an id b"] * 2
    assert errors[2].reason == "id 'a' is also that of the record on line 1, which is kept"
    assert "not ASCII" in errors[3].reason


def test_what_is_no_fasta_is_said_once(tmp_path) -> None:
    (tmp_path / "p.fasta").write_bytes(b"\x7fELF\0\0\n\0\0")
    found, errors = read_fasta(tmp_path / "p.fasta")
    assert found == []
    assert [error.line for error in errors] == [1]
    assert "text in front of the first '>'" in errors[0].reason
    (tmp_path / "empty.fasta").write_bytes(b"")
    assert read_fasta(tmp_path / "empty.fasta") == ([], [])


def test_a_truncated_file_is_no_shorter_one(tmp_path) -> None:
    """What stands before the cut is read; then comes an error, which no reader takes for that of one record."""
    rng = np.random.default_rng(0)
    records = [f">p{number}\n{decode(rng.integers(0, 20, 500, dtype=np.uint8))}\n" for number in range(200)]
    path = tmp_path / "p.fasta.gz"
    path.write_bytes(gzip.compress("".join(records).encode())[:-20_000])
    found: list[Source] = []
    with pytest.raises(InputError, match="damaged behind this record, all that follows is lost: get it anew") as raised:
        found.extend(source for source in stream_fasta(path) if isinstance(source, Source))
    assert 0 < len(found) < 200 and raised.value.line == found[-1].line
    assert [f">{source.id}\n{source.sequence}\n" for source in found] == records[: len(found)]
    for reader in (clean_fasta, read_fasta):
        with pytest.raises(InputError, match="damaged"):
            list(reader(path))


def test_no_file_and_a_folder(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.fasta: no such file"):
        read_fasta(tmp_path / "nowhere.fasta")
    with pytest.raises(ValueError, match="is a folder; give it to --msas"):
        read_fasta(tmp_path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_an_error_of_the_disk_is_no_fault_of_the_file(tmp_path, monkeypatch, suffix) -> None:
    """The reader gives the first 100 bytes, then what a failing disk gives: an error with a number."""
    path = tmp_path / f"x{suffix}"
    path.write_bytes(PACKERS[suffix](b"".join(b">%d\nACDEFGHIKL\n" % k for k in range(2000))))

    class Failing(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 100

        def readable(self) -> bool:
            return True

        def readinto(self, buffer) -> int:  # noqa: ANN001
            if not self.left:
                raise OSError(errno.EIO, "Input/output error")
            self.left, size = 0, min(self.left, len(buffer))
            buffer[:size] = path.read_bytes()[:size]
            return size

    opener = opener_of(path)
    reader = opener(Failing(), "rb") if opener else Failing()
    monkeypatch.setattr(module, "open_text", lambda path: io.TextIOWrapper(io.BufferedReader(reader), "ascii"))
    with pytest.raises(OSError, match="Input/output error"):
        list(stream_fasta(path))


def faults(path: Path, raw: bytes) -> list[tuple[int | None, str]]:
    """Of records, and of the file as a whole, behind which nothing is read."""
    path.write_bytes(raw)
    found: list[Source | InputError] = []
    try:
        found.extend(stream_fasta(path))
    except InputError as error:
        found.append(error)
    return [(error.line, error.reason) for error in found if isinstance(error, InputError)]


def test_sequence_and_states_in_one_record_are_no_protein(tmp_path) -> None:
    two = b">a\nMKVLAGIVGWKRSTAYDE\nCCHHHHHHHHCCEEEECC\n"
    found = faults(tmp_path / "x.fasta", two + b">b\nMKVLAG\nIVGWKR\n" + two.replace(b">a", b">c"))
    assert [line for line, _ in found] == [1, 7]
    assert all(reason.startswith("sequence and states in one record; ") for _, reason in found)
    with pytest.raises(InputError, match="x.fasta:1: sequence and states in one record"):
        list(read_sequences([tmp_path / "x.fasta"]))


def test_pir_is_no_fasta(tmp_path) -> None:
    found = faults(tmp_path / "x.fasta", b">P1;CRAB_ANAPL\nALPHA CRYSTALLIN B CHAIN\nMDITIHNPL*\n>q\nMKV\n")
    assert found == [(1, "PIR format: convert to FASTA or A3M")]
    with pytest.raises(InputError, match="PIR format"):
        list(read_sequences([tmp_path / "x.fasta"]))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"<!DOCTYPE html>\n<p>404", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"LOCUS       X\nORIGIN\n 1 mkv\n", "a GenBank, EMBL or UniProt entry"),
        (b"# STOCKHOLM 1.0\nq MKV\n//\n", "a Stockholm file"),
        (">q\nMKV\n".encode("utf-16"), "UTF-16"),
        (">q\nMKV\n".encode("utf-16-le"), "UTF-16"),
    ],
)
def test_what_is_no_fasta_is_named(tmp_path, raw, said) -> None:
    (line, reason), *others = faults(tmp_path / "x.fasta", raw)
    assert line == 1 and said in reason and len(reason) <= 300 and not others


@pytest.mark.parametrize(
    "raw",
    [
        b">a\nACDE\n\0>b c\nFG\nHI\n\0",
        b">a\rACDE\r>b c\rFG\rHI\r",
        b">a\nAC DE\n\n>b\n FG\tHI",
        b"\n\n>a\nACDE\n>b\nFGHI*\n".replace(b"*", b""),
    ],
)
def test_nul_between_records_line_ends_and_blanks(tmp_path, raw) -> None:
    (tmp_path / "x.fasta").write_bytes(raw)
    assert list(read_sequences([tmp_path])) == [("a", "ACDE"), ("b", "FGHI")]


@pytest.mark.parametrize("name", ["x.fasta", "x.fasta.gz", "x.fa.xz", "x.fa.bz2"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_what_packs_a_file_is_told_by_its_content(tmp_path, name, pack) -> None:
    (tmp_path / name).write_bytes(pack(b">a\nACDE\n"))
    assert list(read_sequences([tmp_path])) == [("a", "ACDE")]


def test_archives_that_are_not_read_are_named(tmp_path) -> None:
    assert "zstd -d" in faults(tmp_path / "x.fasta", b"\x28\xb5\x2f\xfd\0\0")[0][1]
    assert "a zip archive" in faults(tmp_path / "x.fasta", b"PK\x03\x04\0\0")[0][1]


def test_a_broken_link_to_a_fasta_file_is_an_error(tmp_path) -> None:
    (tmp_path / "gone.fasta").symlink_to("/nowhere/x.fasta")
    with pytest.raises(InputError, match="gone.fasta: a broken link, to '/nowhere/x.fasta'"):
        fasta_files([tmp_path])


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        ("GCGGAUUUAGCUCAGUUGGGAGAGCG", "nucleic acids"),
        ("acgtacgttaggaccattacggt", "nucleic acids"),
        ("CCHHHHHHHHCCEEEECC", "secondary-structure states"),
        ("MKVLAG:IVGWKR", "':' at position 7 .* parts chains"),
    ],
)
def test_what_is_no_single_protein_is_named(sequence, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        codes_of(sequence)


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [("", "no residue"), ("*", "no residue"), ("AC-D", "'-' at position 3 .*alignment"), ("AC1", "'1' at position 3")],
)
def test_what_is_no_residue_is_named(sequence, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        codes_of(sequence)


def test_lower_case_a_stop_codon_and_letters_of_several_residues() -> None:
    assert decode(codes_of("mkBJOUXZw*")) == "MKXXXXXXW"
