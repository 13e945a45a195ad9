"""What SSDM's pre-training taught an encoder, as numbers: rows to print, metrics to track.

Shape key:  L residues   3 x, y, z in Å
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from protray.evaluation.cells import gain_cell, with_interval

TRAINED, UNTRAINED = "pre-trained", "before training"
LEVEL = "topology"  # of CATH: what the nearest chain should share


@dataclass(frozen=True)
class Denoised:
    """A chain before and after one step."""

    id: str
    sigma: float
    sequence: str
    backbones: Mapping[str, np.ndarray]  # native, noisy, denoised; (L, 4, 3)
    off: Mapping[str, np.ndarray]  # Å of each C-alpha atom from the native one, (L,)
    rmsd: Mapping[str, float]
    lddt: Mapping[str, float]


@dataclass(frozen=True)
class SsdmResults:
    """All of it, as numbers."""

    split: str
    chains: int
    losses: Mapping[str, float]  # as `evaluate` names them
    nothing: Mapping[str, float]  # the loss of the best constant answer, of each objective that has one
    levels: np.ndarray  # noise, Å
    retrieval: Sequence[dict] = ()  # `evaluation.tasks.cath.retrieval_rows`
    partner: Mapping[str, float] = field(default_factory=dict)  # share of crops whose partner is the nearest
    denoised: Denoised | None = None
    ends: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # 95 % intervals of `losses`, over clusters

    def metrics(self) -> dict[str, float]:
        """For MLflow."""
        found = {f"{self.split}/{name}": value for name, value in self.losses.items()}
        return found | {f"{self.split}/same_{LEVEL}/{row['method'].replace(' ', '_')}": row["agreement"]
                        for row in self.retrieval}  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """Lines to print: ``what`` and ``text``, beside their numbers."""
        found: list[dict[str, Any]] = []

        def add(what: str, text: str, **numbers: Any) -> None:
            found.append({"what": what, "text": text} | numbers)

        def told(name: str) -> str:
            ends = self.ends.get(name)
            return with_interval(self.losses[name], ends if ends and math.isfinite(ends[0]) else None)

        for term, nothing in self.nothing.items():
            right = f", right {told(f'{term}/accuracy')}" if f"{term}/accuracy" in self.losses else ""
            text = f"loss {told(term)}; {nothing:.3f} for the best constant answer{right}"
            add(f"{term}, {self.split}", text, loss=self.losses[term], nothing=nothing)
        for name in ("denoise/over_zero", "siamdiff_structure/over_zero"):
            if name in self.losses:
                text = f"{told(name)} of the loss of no answer"
                add(f"{name.split('/')[0]}, {self.split}", text, over_zero=self.losses[name])
        for name, share in self.partner.items():
            add(f"contrast, {name}", f"{share:.3f} of crops find their partner", partner_found=share)
        for row in self.retrieval:
            text = f"{with_interval(row['agreement'], row['agreement_ci95'])} of {row['chains']}"
            if "gain" in row:
                text += f"; gain {gain_cell(row)}"
            add(f"nearest chain of the same {LEVEL}, {row['method']}", text, **row)
        return found
