"""Pseudo-alignments: counts, and sequences, of 2,000 drawn from a probability map; each on one core.

Shape key:  N drawn sequences   L residues   A amino-acid types (20)
"""

import time
from collections import Counter
from typing import Any

import numpy as np

from protray.bench.timing import Case, compare, fresh_write_rate, interleaved, write_rate
from protray.seq.alphabet import AMINO_ACIDS, N_AA
from protray.seq.pseudo_msa import N_PSEUDO, a3m, pseudo_counts, pseudo_msa

LENGTH = 300
LOOPED = 4  # of the 2,000 sequences that the letter-by-letter sampler draws
LOOPED_COLUMNS = 30  # of the 300 positions that the column-by-column sampler draws


def bench(repeats: int) -> tuple[list[Case], dict[str, Any]]:
    """The cases, and what bounds the strings."""
    rng = np.random.default_rng(0)
    prob_LA = rng.dirichlet(np.full(N_AA, 0.5), LENGTH)
    query_L = rng.integers(0, N_AA, LENGTH).astype(np.uint8)
    fill, fresh = write_rate(), fresh_write_rate()
    size = f"{N_PSEUDO:,} sequences of {LENGTH} residues"
    letters = f"plain: np.random.choice letter by letter, timed on {LOOPED} sequences"
    columns = f"plain: Generator.choice(size={N_PSEUDO}) column by column, timed on {LOOPED_COLUMNS} columns"

    def counts() -> object:
        return pseudo_counts(prob_LA, query_L, rng)

    def strings() -> object:
        return pseudo_msa(prob_LA, query_L, rng)

    written: dict[str, Any] = {"work": N_PSEUDO * LENGTH, "limit": fill, "limit_name": "memory write (fill)"}
    cases = [
        compare(
            "counts",
            f"of {size}; {letters}",
            lambda: plain_counts(plain_strings(prob_LA, LOOPED)),
            counts,
            repeats,
            plain_share=LOOPED / N_PSEUDO,
        ),
        compare(
            "counts, by column",
            f"of {size}; {columns}",
            lambda: column_counts(column_strings(prob_LA[:LOOPED_COLUMNS], rng)),
            counts,
            repeats,
            plain_share=LOOPED_COLUMNS / LENGTH,
        ),
        compare(
            "strings",
            f"{size} as codes; {letters}",
            lambda: plain_strings(prob_LA, LOOPED),
            strings,
            repeats,
            plain_share=LOOPED / N_PSEUDO,
            **written,
        ),
        compare(
            "strings, by column",
            f"{size} as codes; {columns}",
            lambda: column_strings(prob_LA[:LOOPED_COLUMNS], rng),
            strings,
            repeats,
            plain_share=LOOPED_COLUMNS / LENGTH,
            **written,
        ),
    ]
    codes_NL = pseudo_msa(prob_LA, query_L, rng)
    parts = interleaved(
        {
            "16 random bits": lambda: rng.integers(0, 1 << 64, N_PSEUDO * LENGTH // 4, dtype=np.uint64),
            "A3M text": lambda: a3m(codes_NL, "protein"),
        },
        repeats,
        time.process_time,
    )
    bounds = {
        "strings over memory write with new pages": N_PSEUDO * LENGTH / cases[2].ours_s.median / fresh,
        **{f"{name} per residue over memory write (fill)": N_PSEUDO * LENGTH / min(seconds) / fill
           for name, seconds in parts.items()},
    }  # fmt: skip
    return cases, bounds


def plain_strings(prob_LA: np.ndarray, n_drawn: int) -> list[str]:
    """Letter by letter, as the paper says it."""
    letters, sequences = list(AMINO_ACIDS), []
    for _ in range(n_drawn):
        sequence = ""
        for prob_A in prob_LA:
            sequence += np.random.choice(letters, p=prob_A)
        sequences.append(sequence)
    return sequences


def plain_counts(sequences: list[str]) -> np.ndarray:
    columns = [Counter(column) for column in zip(*sequences, strict=True)]
    return np.array([[column[letter] for letter in AMINO_ACIDS] for column in columns])


def column_strings(prob_LA: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.stack([rng.choice(N_AA, size=N_PSEUDO, p=prob_A) for prob_A in prob_LA], axis=1).astype(np.uint8)


def column_counts(codes_NL: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(codes_L, minlength=N_AA) for codes_L in codes_NL.T])
