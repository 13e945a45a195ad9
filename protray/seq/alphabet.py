"""The one residue order of the project, and letters <-> codes.

Shape key:  N aligned sequences   L residues
"""

import numpy as np

AMINO_ACIDS = "ARNDCQEGHILKMFPSTWYV"  # alphabetical by three-letter name, as PSI-BLAST prints its PSSMs
N_AA = len(AMINO_ACIDS)
UNKNOWN = 20  # X, and B Z J U O: letters that stand for no single one of the 20
GAP = 21
PAD = 22  # differs from every residue, so that no amino acid can be masked by mistake
LETTERS = AMINO_ACIDS + "X-"

GAP_LETTERS = "-.~*"  # '.' in A2M and Stockholm, '~' of GCG at the ends, '*' in PSI-BLAST-like .aln files
UNKNOWN_LETTERS = "XBZJUO"
INVALID = 255

_CODES = np.full(256, INVALID, dtype=np.uint8)
for _code, _letter in enumerate(AMINO_ACIDS):
    _CODES[ord(_letter)] = _code
_CODES[[ord(letter) for letter in UNKNOWN_LETTERS]] = UNKNOWN
_CODES[[ord(letter) for letter in GAP_LETTERS]] = GAP
_CODES.flags.writeable = False
_LETTERS = np.frombuffer(LETTERS.encode(), dtype=np.uint8)


def encode(letters: bytes | str) -> np.ndarray:
    """Turn upper-case letters into codes: 0..19, ``UNKNOWN``, ``GAP``; anything else becomes ``INVALID``.

    Returns
    -------
    codes_L : ndarray, dtype=uint8, shape=(L,)

    Examples
    --------
    >>> encode("ARX-").tolist()
    [0, 1, 20, 21]
    """
    raw = letters.encode("latin-1", "replace") if isinstance(letters, str) else letters
    return _CODES[np.frombuffer(raw, dtype=np.uint8)]


def decode(codes_L: np.ndarray) -> str:
    """Turn codes back into letters; B, Z, J, U and O come back as X.

    >>> decode(encode("MKVBZ"))
    'MKVXX'
    """
    return _LETTERS[codes_L].tobytes().decode()
