"""What SSDM's pre-training taught an encoder, as numbers: rows to print, metrics to track.

Shape key:  L residues   3 x, y, z in Å
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TRAINED, UNTRAINED = "pre-trained", "random weights"
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
    nothing: Mapping[str, float]  # the loss of who knows frequencies alone, of each objective that has one
    levels: np.ndarray  # noise, Å
    retrieval: Sequence[dict] = ()  # `evaluation.tasks.cath.retrieval_rows`
    partner: Mapping[str, float] = field(default_factory=dict)  # share of crops whose partner is the nearest
    denoised: Denoised | None = None

    def metrics(self) -> dict[str, float]:
        """For MLflow."""
        found = {f"{self.split}/{name}": value for name, value in self.losses.items()}
        return found | {f"{self.split}/same_{LEVEL}/{row['method'].replace(' ', '_')}": row["agreement"]
                        for row in self.retrieval}  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """Lines to print: ``what`` and ``text``, beside their numbers."""
        found = []
        for term, nothing in self.nothing.items():
            value = self.losses[term]
            more = f", right {self.losses[f'{term}/accuracy']:.3f}" if f"{term}/accuracy" in self.losses else ""
            found.append({"what": f"{term}, {self.split}", "loss": value, "nothing": nothing,
                          "text": f"loss {value:.3f}; {nothing:.3f} for who knows frequencies alone{more}"})  # fmt: skip
        for term in ("denoise", "siamdiff_structure"):
            if f"{term}/over_zero" in self.losses:
                value = self.losses[f"{term}/over_zero"]
                text = f"{value:.3f} of the loss of no answer"
                found.append({"what": f"{term}, {self.split}", "over_zero": value, "text": text})
        for name, share in self.partner.items():
            text = f"{share:.3f} of crops find their partner"
            found.append({"what": f"contrast, {name}", "partner_found": share, "text": text})
        for row in self.retrieval:
            low, high = row["agreement_ci95"]
            gain = row.get("gain")
            ahead = "" if gain is None else f"; gain {gain:.3f} [{row['gain_ci95'][0]:.3f}, {row['gain_ci95'][1]:.3f}]"
            found.append({"what": f"nearest chain of the same {LEVEL}, {row['method']}", **row,
                          "text": f"{row['agreement']:.3f} [{low:.3f}, {high:.3f}] of {row['chains']}{ahead}"})  # fmt: skip
        return found
