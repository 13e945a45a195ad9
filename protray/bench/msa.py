"""Alignments: reading A3M into codes, counting residues, Meff; each on one core.

Shape key:  N aligned sequences   L residues   A amino-acid types (20)
"""

import io
from typing import Any

import numpy as np

from protray.bench.timing import Case, compare, matrix_rate, peak_bytes, read_rate
from protray.seq.alphabet import GAP, GAP_LETTERS, LETTERS, N_AA, UNKNOWN, UNKNOWN_LETTERS, encode
from protray.seq.meff import BLOCK, EXACT_ROWS, meff
from protray.seq.msa import parse_msa
from protray.seq.pssm import count_residues

ROWS, LENGTH = 20_000, 300  # read and counted: 6 MB
MEFF_ROWS, MEFF_LENGTH, IDENTITY = 5000, 200, 0.7
LOOPED_ROWS = 250  # of the 5,000 that the plain Meff does
MANY_ROWS = 200_000

_LOWER = str.maketrans("", "", "abcdefghijklmnopqrstuvwxyz.")
_CODE_OF = {letter: code for code, letter in enumerate(LETTERS)}
_CODE_OF |= dict.fromkeys(UNKNOWN_LETTERS, UNKNOWN) | dict.fromkeys(GAP_LETTERS, GAP)


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """The cases, and the memory that 200,000 rows take."""
    rng = np.random.default_rng(0)
    text = a3m_text(rng, ROWS, LENGTH)
    as_str = text.decode()
    msa_NL = parse_msa(text, "a3m", "bench.a3m").codes_NL
    family_NL = family(rng, MEFF_ROWS, MEFF_LENGTH)
    for name, plain in (("table", plain_parse), ("dict", naive_parse)):
        if not np.array_equal(plain(as_str), msa_NL):
            raise AssertionError(f"the plain parser ({name}) reads something else")
    if not np.array_equal(plain_counts(msa_NL), count_residues(msa_NL)):
        raise AssertionError("the plain counts differ")
    reading, products = read_rate(), matrix_rate()
    pairs = MEFF_ROWS * (MEFF_ROWS + BLOCK) / 2
    size = f"{ROWS:,} rows of {LENGTH} columns, {len(text) / 1e6:.1f} MB of A3M in memory"
    cases = [
        compare(
            "read",
            f"{size}; plain: Biopython's SimpleFastaParser, str.translate without lower case, a table of codes per row",
            lambda: plain_parse(as_str),
            lambda: parse_msa(text, "a3m", "bench.a3m"),
            repeats,
            work=len(text),
            limit=reading,
            limit_name="memory read",
        ),
        compare(
            "read, letter by letter",
            f"{size}; plain: SimpleFastaParser, a dict of codes per letter",
            lambda: naive_parse(as_str),
            lambda: parse_msa(text, "a3m", "bench.a3m"),
            min(3, repeats),
            work=len(text),
            limit=reading,
            limit_name="memory read",
        ),
        compare(
            "count",
            f"residues of {ROWS:,} x {LENGTH} codes per column; plain: (msa == code).sum(axis=0) for each code",
            lambda: plain_counts(msa_NL),
            lambda: count_residues(msa_NL),
            repeats,
            work=msa_NL.nbytes,
            limit=reading,
            limit_name="memory read",
        ),
        compare(
            "Meff",
            f"identity {IDENTITY} of {MEFF_ROWS:,} x {MEFF_LENGTH} codes, 250 families; plain: each row against all "
            f"in NumPy, timed on {LOOPED_ROWS} rows; work: the product with 2 L columns",
            lambda: plain_cluster_sizes(family_NL, LOOPED_ROWS),
            lambda: meff(family_NL, IDENTITY),
            repeats,
            plain_share=LOOPED_ROWS / MEFF_ROWS,
            work=2 * pairs * 2 * MEFF_LENGTH,
            limit=products,
            limit_name="float32 products",
        ),
    ]
    many = a3m_text(rng, 2000, LENGTH) * (MANY_ROWS // 2000)
    many_NL = np.tile(msa_NL, (MANY_ROWS // ROWS, 1))
    read = peak_bytes(lambda: parse_msa(many, "a3m", "bench.a3m"))
    memory = {
        f"read {MANY_ROWS:,} rows, peak beyond the text over its size": read / len(many),
        f"count {MANY_ROWS:,} rows, peak MB": peak_bytes(lambda: count_residues(many_NL)) / 1e6,
        f"Meff of {MANY_ROWS:,} rows (estimated above {EXACT_ROWS:,}), peak MB": peak_bytes(lambda: meff(many_NL))
        / 1e6,
    }
    return cases, memory


def a3m_text(rng: np.random.Generator, n_rows: int, length: int) -> bytes:
    """Random rows with gaps; one in ten has an insertion."""
    letters = np.frombuffer((LETTERS[:N_AA] + "----").encode(), dtype=np.uint8)
    rows_NL = letters[rng.integers(0, len(letters), (n_rows, length))]
    rows_NL[0] = letters[rng.integers(0, N_AA, length)]
    records = []
    for number, row in enumerate(rows_NL):
        letters_L = row.tobytes()
        if number % 10 == 9:
            letters_L = letters_L[:50] + b"akd" + letters_L[50:]
        records.append(b">sequence_%d some description\n%b\n" % (number, letters_L))
    return b"".join(records)


def family(rng: np.random.Generator, n_rows: int, length: int) -> np.ndarray:
    """Rows that differ in 15 % of the columns, gaps and X included, from one of n_rows / 20 random ancestors."""
    ancestors = rng.integers(0, N_AA, (n_rows // 20, length))
    rows_NL = ancestors[rng.integers(0, len(ancestors), n_rows)]
    return np.where(rng.random(rows_NL.shape) < 0.15, rng.integers(0, GAP + 1, rows_NL.shape), rows_NL).astype(np.uint8)


def plain_parse(text: str) -> np.ndarray:
    """A fast reader as a user would write it."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    return np.stack([encode(row.translate(_LOWER)) for _, row in SimpleFastaParser(io.StringIO(text))])


def naive_parse(text: str) -> np.ndarray:
    """A slow reader as a user would write it first."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    rows = [[_CODE_OF[c] for c in row if not c.islower()] for _, row in SimpleFastaParser(io.StringIO(text))]
    return np.array(rows, dtype=np.uint8)


def plain_counts(msa_NL: np.ndarray) -> np.ndarray:
    return np.stack([(msa_NL == code).sum(axis=0) for code in range(N_AA)], axis=1)


def plain_cluster_sizes(msa_NL: np.ndarray, n_rows: int) -> np.ndarray:
    """m_i of the first `n_rows` rows."""
    residue_NL = msa_NL != GAP
    sizes = []
    for row, residue in zip(msa_NL[:n_rows], residue_NL, strict=False):
        equal_N = np.count_nonzero((msa_NL == row) & (row < N_AA), axis=1)
        union_N = np.count_nonzero(residue_NL | residue, axis=1)
        sizes.append(np.count_nonzero(equal_N >= IDENTITY * union_N - 1e-4))
    return np.array(sizes)
