"""Ranges of alignment depth that accuracy is reported for.

Shape key:  B proteins of a set
"""

from dataclasses import dataclass

import numpy as np

COUNT_MAX = (60, 30, 10, 0)  # Table 2 of PSSM-Distil: homologs, the query not counted
MEFF_MAX = (35, 25, 15, 5)  # Table 3


@dataclass(frozen=True)
class Bin:
    """Proteins with above < depth <= max; None leaves that side open."""

    by: str  # "count", homologs, or "meff", effective sequences
    max: int | None = None
    above: int | None = None

    def __post_init__(self) -> None:
        if self.by not in ("count", "meff"):
            raise ValueError(f"a bin is by 'count' or 'meff', got {self.by!r}")
        if self.max is not None and self.above is not None and self.above >= self.max:
            raise ValueError(f"the bin {self.above} < {self.by} <= {self.max} is empty")

    def select(self, depth_B: np.ndarray) -> np.ndarray:
        """Bool mask of the proteins in the bin; `depth_B` holds their counts or their Meff.

        >>> Bin("count", max=30, above=10).select(np.array([10, 11, 30, 31])).tolist()
        [False, True, True, False]
        """
        keep_B = np.ones(len(depth_B), dtype=bool)
        if self.max is not None:
            keep_B &= depth_B <= self.max
        if self.above is not None:
            keep_B &= depth_B > self.above
        return keep_B

    @property
    def label(self) -> str:
        """The bin as a reader writes it: ``≤ 60``, ``= 0``, ``11–30``, ``> 60``, ``all``."""
        if self.max is None:
            return "all" if self.above is None else f"> {self.above}"
        if self.by == "count" and self.max == 0:
            return "= 0"
        if self.above is None:
            return f"≤ {self.max}"
        if self.by == "count":
            return f"{self.above + 1}–{self.max}" if self.above + 1 < self.max else f"= {self.max}"
        return f"{self.above}–{self.max}"  # Meff is no integer: above is excluded, max is included


# The thresholds of the paper, then every protein: these bins overlap.
TABLE_BINS = (
    *(Bin("count", most) for most in COUNT_MAX),
    Bin("count"),
    *(Bin("meff", most) for most in MEFF_MAX),
    Bin("meff"),
)


def _disjoint(by: str, thresholds: tuple[int, ...]) -> tuple[Bin, ...]:
    """Cut the axis at the thresholds: from the shallowest bin to the deep one above all of them."""
    cuts = sorted(thresholds)
    return (
        Bin(by, cuts[0]),
        *(Bin(by, high, low) for low, high in zip(cuts, cuts[1:], strict=False)),
        Bin(by, None, cuts[-1]),
    )


# Every protein in one bin, as Fig. 3 needs.  The paper's own edges are not printed; these are those of its tables.
DISJOINT_BINS = (*_disjoint("count", COUNT_MAX), *_disjoint("meff", MEFF_MAX))
