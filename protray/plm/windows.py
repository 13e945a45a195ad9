"""Probability maps of proteins that are longer than the language model, or the memory, allows: overlapping windows.

A protein of L residues is read in windows of at most W residues, evenly spaced, neighbours sharing at least V.  Each
position is taken from exactly one window; the seam between two windows lies in the middle of what they share, so that
every position is predicted with at least ``V // 2`` residues on either side, where the chain has them.  A window is
read as if it were a protein, with the tokens that stand around one.

Shape key:  L residues   A amino-acid types (20)   C channels
"""

from dataclasses import dataclass

import numpy as np
import torch

from protray.plm.masked import LanguageModel, copies_at_once, hidden_state, probability_map


@dataclass(frozen=True)
class Window:
    """Residues ``first`` to ``last - 1`` are read; of them, positions ``start`` to ``stop - 1`` are kept."""

    first: int
    last: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Windowing:
    """Where windows are used: in proteins longer than `size`, or than the language model reads."""

    size: int | None = None  # residues; None: as many as the language model reads
    overlap: int | None = None  # residues that neighbouring windows share at least; None: half a window

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 2:
            raise ValueError(f"a window of {self.size} residues is too short; it needs at least 2")
        if self.overlap is not None and self.overlap < 0:
            raise ValueError(f"windows cannot share {self.overlap} residues; give 0 or more")
        if self.size is not None:
            windows(self.size + 1, self.size, self.overlap)  # raises where they cannot share that much

    def limit(self, longest: int | None) -> int | None:
        """Residues of a window of a language model that reads `longest`; None where it reads proteins of any length."""
        return min((size for size in (self.size, longest) if size is not None), default=None)


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


def map_rows(
    lm: LanguageModel,
    codes_L: np.ndarray,
    start: int = 0,
    stop: int | None = None,
    windowing: Windowing = Windowing(),  # noqa: B008  (frozen)
    bf16: bool = False,
) -> np.ndarray:
    """Rows `start` to `stop` - 1 of a probability map, float32, shape (stop - start, 20).

    Raises
    ------
    MemoryError
        If not even one masked copy fits into the memory.
    """
    stop = len(codes_L) if stop is None else stop
    rows = []
    for window in windows(len(codes_L), windowing.limit(lm.longest), windowing.overlap):
        first, last = max(start, window.start), min(stop, window.stop)
        if first < last:
            read_L = codes_L[window.first : window.last]
            rows += _rows_that_fit(lm, read_L, first - window.first, last - window.first, bf16)
    return np.concatenate(rows)


def hidden_rows(lm: LanguageModel, codes_L: np.ndarray, windowing: Windowing = Windowing()) -> np.ndarray:  # noqa: B008
    """Last hidden state of each residue, nothing masked, float32, shape (L, C)."""
    cut = windows(len(codes_L), windowing.limit(lm.longest), windowing.overlap)
    states = []
    for window in cut:
        hidden_WC = hidden_state(lm, codes_L[window.first : window.last])
        states.append(hidden_WC[window.start - window.first : window.stop - window.first])
    return np.concatenate(states)


def out_of_memory(error: BaseException) -> bool:
    """True for what Python, CUDA and PyTorch's CPU allocator raise when memory runs out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _rows_that_fit(lm: LanguageModel, codes_L: np.ndarray, start: int, stop: int, bf16: bool) -> list[np.ndarray]:
    """Rows of one window; where memory runs out, again with half as many masked copies at once."""
    rows, at_once = [], stop - start
    while start < stop:
        rows_MA = _rows_or_none(lm, codes_L, start, min(stop, start + at_once), bf16)
        if rows_MA is not None:
            rows.append(rows_MA)
            start += at_once
        elif at_once == 1:
            n = len(codes_L)
            raise MemoryError(f"one masked copy of {n} residues does not fit into the memory; use shorter windows")
        else:
            at_once = max(1, min(at_once, copies_at_once(lm, len(codes_L))) // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    return rows


def _rows_or_none(lm: LanguageModel, codes_L: np.ndarray, start: int, stop: int, bf16: bool) -> np.ndarray | None:
    """Rows of one window, or None if memory ran out; on return, what the failed pass held is free again."""
    try:
        return probability_map(lm, codes_L, bf16, start, stop)
    except Exception as error:
        if out_of_memory(error):
            return None
        raise
