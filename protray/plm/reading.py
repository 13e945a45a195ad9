"""How a language model reads proteins: precision, masked passes, windows; and what a protein costs.  Light: no torch.

Windows: a protein of L residues is read in windows of at most W residues, evenly spaced, neighbours sharing at least V.
Each position is taken from exactly one window; the seam between two windows lies in the middle of what they share, so
that every position is predicted with at least ``V // 2`` residues on either side, where the chain has them.  A window
is read as if it were a protein, with the tokens that stand around one.
"""

from dataclasses import dataclass
from typing import Literal, get_args

SPECIAL_TOKENS = 2  # around a sequence: <cls> and <eos>
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Reading:
    """How proteins are read.  A model that was trained on maps needs maps of the same reading."""

    precision: Precision = "float32"
    """Of the matrix products.  bfloat16 is faster on GPUs and some processors, and slower, but possible, on others."""
    passes: Literal["exact"] | int = "exact"
    """exact: one forward pass for each residue, it alone masked.  K: K passes for a protein, each masks every K-th
    residue; exact for proteins of at most K residues."""
    window: int | None = None
    """Residues that are read at once; longer proteins are cut into overlapping windows.  None: as many as the language
    model reads."""
    overlap: int | None = None
    """Residues that neighbouring windows share at least; None: half a window."""

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision is {self.precision!r}; it must be one of {', '.join(get_args(Precision))}")
        if self.passes != "exact" and (isinstance(self.passes, str) or self.passes < 2):
            raise ValueError(f"passes is {self.passes!r}; it must be exact, or at least 2")
        if self.window is not None and self.window < 2:
            raise ValueError(f"a window of {self.window} residues is too short; it needs at least 2")
        if self.overlap is not None and self.overlap < 0:
            raise ValueError(f"windows cannot share {self.overlap} residues; give 0 or more")
        if self.window is not None:
            windows(self.window + 1, self.window, self.overlap)  # raises where they cannot share that much

    def limit(self, longest: int | None) -> int | None:
        """Residues of a window of a language model that reads `longest`; None where it reads proteins of any length."""
        return min((size for size in (self.window, longest) if size is not None), default=None)


@dataclass(frozen=True)
class Window:
    """Residues ``first`` to ``last - 1`` are read; of them, positions ``start`` to ``stop - 1`` are kept."""

    first: int
    last: int
    start: int
    stop: int


def windows(length: int, limit: int | None, overlap: int | None = None) -> list[Window]:
    """Cut a protein of `length` residues into windows of at most `limit`.

    Raises
    ------
    ValueError
        If windows of `limit` residues cannot share `overlap`.
    """
    if limit is None or length <= limit:
        return [Window(0, length, 0, length)]
    shared = limit // 2 if overlap is None else overlap
    if shared >= limit:
        raise ValueError(f"windows of {limit} residues cannot share {shared}; the overlap must be smaller")
    count = -(-(length - shared) // (limit - shared))
    firsts = [number * (length - limit) // (count - 1) for number in range(count)]
    seams = [(left + limit + right) // 2 for left, right in zip(firsts, firsts[1:], strict=False)]
    kept = zip([0, *seams], [*seams, length], strict=True)
    return [Window(first, first + limit, *span) for first, span in zip(firsts, kept, strict=True)]


def forward_tokens(length: int, reading: Reading) -> int:
    """Tokens that the map of a protein sends through the model: L (W + 2), or K (W + 2) for each window of K passes.

    W is the smaller of L and the window; the language model's own limit is not counted in.
    """
    read = min(length, reading.window or length)
    if isinstance(reading.passes, str) or read <= reading.passes:
        return length * (read + SPECIAL_TOKENS)
    return len(windows(length, reading.window, reading.overlap)) * reading.passes * (read + SPECIAL_TOKENS)


def row_tokens(length: int, reading: Reading) -> int:
    """The same for each row of the map, rounded up."""
    if not length:
        return SPECIAL_TOKENS
    return -(-forward_tokens(length, reading) // length)
