"""Weights of the objective of PSSM-Distil; apart from the equations, so that reading settings needs no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DistilWeights:
    """Weights of the objective; without arguments they are the paper's."""

    alpha: float = 0.16  # of L_d, distillation, Eq. 9
    beta: float = 0.016  # of L_m, distance to the high-quality PSSM, Eq. 9
    gamma: float = 0.82  # of L_t, triplet, Eq. 9
    kd_sigma: float = 0.1  # share of cross-entropy inside L_d, Eq. 1 (sigma in the paper)
    eta: float = 0.6  # margin of the triplet in nats, Eq. 7
    student_first: bool = False  # KL(student || teacher), the literal reading of Eq. 2 and 7, in place of the default
    l2: bool = False  # Eq. 8 as printed, a norm per residue, in place of the mean square its text names

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "gamma", "eta"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is a weight and must not be negative, got {getattr(self, name)}")
        if not 0 <= self.kd_sigma <= 1:
            raise ValueError(f"kd_sigma is a share and must lie in [0, 1], got {self.kd_sigma}")


# Chosen on the bundled sample's validation split, where they beat the paper's; protray/pipelines/secondary/README.md.
TUNED = DistilWeights(alpha=0.88, gamma=0.1, kd_sigma=0.5)
