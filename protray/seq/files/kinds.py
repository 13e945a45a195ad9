"""Letters that are no protein's: nucleic acids, secondary-structure states, and Foldseek's 3Di states.

All three are spelled with letters of amino acids, so that a reader of letters takes them.  The limits below are such
that none of the 467,253 natural proteins of 30 residues and more, on which they were tried, is refused; a short peptide
is never.
"""

import re
from collections.abc import Sequence

from protray.seq.alphabet import GAP_LETTERS

NUCLEOTIDES, AMBIGUOUS = b"ACGTUN", b"RYSWKMBDHV"  # the second: IUPAC's letters for several bases
MIN_BASES, MIN_BASES_U = 20, 10  # letters; with U, which hardly any protein has, fewer will do
MOST_AMBIGUOUS = 0.1  # share of the letters

STATES3, STATES8 = b"HEC", b"HGIEBTSCPL"  # of predictors, and of DSSP with P (helix) and L (loop)
MIN_STATES3, MIN_STATES8 = 10, 20  # letters of a line or record that may be states
LOOP3 = b"HEL"  # L for coil; not tried without a sequence, as E and L are common in helices
MIN_STATES3_BELOW, MIN_STATES8_BELOW = 6, 12  # below a sequence of the same length
MIN_RUNS_BELOW, MOST_OF_ONE = 18, 0.8  # of any letters in long runs, as topology, domains and disorder are

# of 3Di states: log-odds of a letter against a protein's, from 400 PDB chains (by biotite) and Swiss-Prot.  Above the
# limit are 9 of 10 strings of states, and 3 of 10,000 proteins; only what is wholly in lower case is tried.
MIN_3DI, ODDS_3DI_EACH = 30, 0.1
_ODDS_3DI = dict(
    zip(
        b"ARNDCQEGHILKMFPSTWYV",
        (-0.50, -0.32, -0.27, 0.85, 0.96, 0.42, -0.99, -0.67, 0.59, -1.03)
        + (-0.25, -0.97, -0.78, -0.25, 0.45, 0.02, -0.99, 0.74, -0.08, 0.98),
        strict=True,
    )
)

_GAPS = GAP_LETTERS.encode() + b" \t"


def not_protein(letters: bytes) -> str | None:
    """Why the letters of one record or row are no protein's, or None; gaps and case do not matter but for 3Di.

    >>> not_protein(b"GCGGAUUUAGCUCAGUUGGG")
    'the letters are those of nucleic acids (A, C, G, U, N); give the protein'
    """
    if (b"F" in letters or b"Q" in letters) and not letters.islower():  # a letter of none of them: nearly all proteins
        return None
    plain = letters.translate(None, _GAPS)
    upper = plain.upper()
    if are_bases(upper):
        base = "U" if b"U" in upper else "T"
        return f"the letters are those of nucleic acids (A, C, G, {base}, N); give the protein"
    if are_states(letters):
        return "the letters are secondary-structure states (H, E, C ...); give the residues"
    if _are_3di(plain):
        return "the letters look like 3Di states of Foldseek (lower case, many d, v and c); give the residues"
    return None


def are_states(letters: bytes) -> bool:
    """Whether letters are secondary-structure states: H or E and something else, in runs rather than mixed."""
    upper = letters.translate(None, _GAPS).upper()
    if not upper.translate(None, STATES3):
        fit = len(upper) >= MIN_STATES3 and b"C" in upper
    else:
        fit = len(upper) >= MIN_STATES8 and not upper.translate(None, STATES8)
    return fit and (b"H" in upper or b"E" in upper) and len(set(upper)) > 1 and _changes(letters) <= len(letters) / 2


def _changes(letters: bytes) -> int:
    """How often a letter is followed by another."""
    return len(re.findall(rb"(.)(?!\1)(?=.)", letters.strip(), re.S))


def states_beside(lines: Sequence[str]) -> bool:
    """Whether the lines of a FASTA record are a sequence and its states (or topology), line by line or half by half.

    >>> states_beside(["MKVLAGIVGWKR", "CCHHHHHHHHCC"])
    True
    """
    if len(lines) < 2:
        return False
    rows = [line.rstrip() for line in lines if line.strip()]
    half, odd = divmod(len(rows), 2)
    pairs = [] if odd else [(rows[:half], rows[half:])]
    if len(rows) > 2 and _one_length(rows[:1] * (len(rows) - 1), rows[1:]):  # and more, such as their confidence
        pairs.append((rows[:1], rows[1:2]))
    if any(_one_length(above, below) and _are_states_below(above, below) for above, below in pairs):
        return True
    return len(rows) == 2 and _one_length(rows[1:], rows[:1]) and are_states(rows[0].encode("ascii", "replace"))


def _one_length(above: Sequence[str], below: Sequence[str]) -> bool:
    """Each line as long as the one that it belongs to; blanks for coil may be missing at the end."""
    pairs = zip(above, below, strict=True)
    return bool(above) and all(len(a) == len(b) or (" " in b.strip() and len(b) < len(a)) for a, b in pairs)


def _are_states_below(above: Sequence[str], below: Sequence[str]) -> bool:
    letters = "".join(below).encode("ascii", "replace")
    upper = letters.translate(None, _GAPS).upper()
    kinds, changes = len(set(letters)), _changes(letters)
    if above == below or kinds < 2 or _changes("".join(above).encode("ascii", "replace")) <= changes:
        return False
    three = not upper.translate(None, STATES3) or not upper.translate(None, LOOP3)
    eight = not upper.translate(None, STATES8)
    if (three and len(upper) >= MIN_STATES3_BELOW) or (eight and len(letters) >= MIN_STATES8_BELOW):
        return (b"H" in upper or b"E" in upper) and changes <= len(letters) / 2
    commonest = max(map(letters.count, set(letters)))
    mixed = commonest <= MOST_OF_ONE * len(letters)  # a tract of one residue is no topology
    return len(letters) >= MIN_RUNS_BELOW and mixed and changes <= len(letters) / 4


def are_bases(upper: bytes) -> bool:
    """Whether letters are those of DNA or RNA: all four bases, hardly anything else, and enough of them."""
    others = upper.translate(None, NUCLEOTIDES)
    least = MIN_BASES_U if b"U" in upper else MIN_BASES
    if len(upper) < least or len(others) > MOST_AMBIGUOUS * len(upper) or others.translate(None, AMBIGUOUS):
        return False
    return all(base in upper for base in (b"A", b"C", b"G")) and (b"T" in upper or b"U" in upper)


def _are_3di(plain: bytes) -> bool:
    if not plain.islower() or len(plain) < MIN_3DI:
        return False
    odds = sum(_ODDS_3DI.get(letter, 0.0) for letter in plain.upper())
    return odds > ODDS_3DI_EACH * len(plain)
