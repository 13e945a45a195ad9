import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from protray.plm.pretraining.corpus import Corpus, Part, pack, read_corpus, why_unusable
from protray.plm.pretraining.tokens import CLS, EOS, ESM_TOKENS, MASK, PADDING, TOKEN_OF_CODE, save_tokenizer
from protray.seq.alphabet import AMINO_ACIDS, decode, encode
from protray.seq.keyed import key

FASTA = b">a first\nACDEF\nGH\n>b\nacdx*\n>c\nAC-E\n>d\nAC1E\n>e\nAC\n"


def texts(paths: list[Path], **settings) -> list[str]:
    corpus = read_corpus(paths, **settings)
    return [decode(corpus.codes(m)) for m in range(len(corpus))]


def test_what_is_kept(tmp_path) -> None:
    """c has a gap, d a digit, e is too short; lower case and the closing star of b are fine."""
    path = tmp_path / "x.fasta"
    path.write_bytes(FASTA)
    assert texts([path], min_length=3) == ["ACDEFGH", "ACDX"]
    corpus = read_corpus([path], min_length=3)
    assert corpus.lengths(0, 2).tolist() == [7, 4]
    assert [corpus.id(m) for m in range(2)] == corpus.ids().tolist() == [key("a"), key("b")]


@pytest.mark.parametrize("letters", ["ACGTTGCANRYACGTTAGCA", "acguacguaccguuagcagu"])
def test_nucleic_acids_are_left_out(tmp_path, letters) -> None:
    assert why_unusable(encode(letters.upper()), 10) == "letters of nucleic acids"
    (tmp_path / "x.fasta").write_text(f">a\n{letters}\n>b\n{'AAT' * 10}\n")  # an antifreeze protein
    assert texts([tmp_path / "x.fasta"], min_length=10) == ["AAT" * 10]


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_packed_files(tmp_path, suffix, pack) -> None:
    path = tmp_path / f"x.fa{suffix}"
    path.write_bytes(pack(FASTA))
    assert texts([path], min_length=3) == ["ACDEFGH", "ACDX"]


def test_parts_on_disk_are_counted_through(tmp_path) -> None:
    """Sequences of 3, 1 | none | 2, 5 residues: rows 0 to 3, read from the disk as they are asked for."""
    words = [["ACD", "E"], [], ["FG", "HIKLM"]]
    for number, part in enumerate(words):
        packed = pack([f"{number}{word}" for word in part], [encode(word) for word in part])
        for file, array in packed.files(f"part-{number}").items():
            np.save(tmp_path / file, array)
    parts = [Part.open(tmp_path, f"part-{number}") for number in range(3)]
    assert isinstance(parts[0].codes_R, np.memmap)
    corpus = Corpus(parts)
    assert [decode(corpus.codes(m)) for m in range(len(corpus))] == ["ACD", "E", "FG", "HIKLM"]
    lengths = [3, 1, 2, 5]
    for first in range(5):
        for stop in range(first, 5):
            assert corpus.lengths(first, stop).tolist() == lengths[first:stop]
    assert corpus.ids().tolist() == [key("0ACD"), key("0E"), key("2FG"), key("2HIKLM")]
    assert corpus.id(2) == key("2FG")


def test_named_errors(tmp_path) -> None:
    (tmp_path / "x.fasta").write_text(">a\nACDE\n")
    with pytest.raises(ValueError, match="no usable sequence of at least 30 residues"):
        read_corpus([tmp_path])
    (tmp_path / "x.fasta").write_text("ACDE\n")
    with pytest.raises(ValueError, match="x.fasta:1: .* is in front of the first FASTA record"):
        read_corpus([tmp_path])


def test_tokens_are_those_of_esm2() -> None:
    """ids 0 to 3 are special, residues 4 (L) to 23 (C), X is 24, <mask> is the last of 33."""
    assert (CLS, PADDING, EOS, MASK, len(ESM_TOKENS)) == (0, 1, 2, 32, 33)
    assert [ESM_TOKENS[token] for token in TOKEN_OF_CODE] == list(AMINO_ACIDS + "X")
    assert TOKEN_OF_CODE[AMINO_ACIDS.index("L")] == 4
    assert sorted(TOKEN_OF_CODE) == list(range(4, 25))


def test_saved_tokenizer_reads_like_ours(tmp_path) -> None:
    from transformers import AutoTokenizer

    save_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("ACX")["input_ids"] == [CLS, *TOKEN_OF_CODE[[0, 4, 20]], EOS]
    assert tokenizer.mask_token_id == MASK
    np.testing.assert_array_equal(tokenizer.convert_tokens_to_ids(list(AMINO_ACIDS)), TOKEN_OF_CODE[:20])
