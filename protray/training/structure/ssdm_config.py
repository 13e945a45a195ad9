"""What SSDM is pre-trained for, and how.  Light: `--help` reads the settings and needs no torch."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from protray.training.micro_batches import SharedSteps

Objective = Literal["residue", "distance", "angle", "dihedral", "contrast", "denoise", "siamdiff"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
SELF_PREDICTION: tuple[Objective, ...] = ("residue", "distance", "angle", "dihedral")  # share one pass of the encoder

MIN_RESIDUES = 8  # of a chain that trains
CONTRAST_MARGIN = 20  # residues by which a chain must be longer than a crop of the contrast


@dataclass(frozen=True, kw_only=True)
class ObjectiveWeights:
    """Factors of the losses in their sum; with these, to know nothing costs about 1 each."""

    residue: float = 1 / 3
    """Of a cross-entropy in nats: 20 residue types cost 3.0."""
    distance: float = 1.0
    """Of a mean square of (d - 8 Å) / 4 Å: 0.7 for who knows nothing."""
    angle: float = 0.5
    dihedral: float = 1 / 3
    contrast: float = 1 / 3
    denoise: float = 1.0
    siamdiff: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Which objectives, added up with their weights, and what each of them asks."""

    objective: tuple[Objective, ...] = ("residue", "distance")
    """Those of residues, distances, angles and dihedrals share one pass of the encoder; each other one has its own."""
    weights: ObjectiveWeights = field(default_factory=ObjectiveWeights)
    mask_share: float = 0.15
    """Of a crop's residues, whose type and side chain are hidden and asked for."""
    path_share: float = 1 / 3
    """Paths of neighbours in a crop, for each of its residues: their distances, angles and dihedrals are asked for."""
    angle_bins: int = 8
    """Between 0 and pi."""
    dihedral_bins: int = 16
    """Between -pi and pi, or between 0 and pi where the sign is dropped."""
    signed: bool = True
    """Tell dihedrals from their mirror images; the sources take the absolute value, in 8 bins."""
    tau: float = 0.07
    """Temperature of the contrast, of cosines."""
    symmetric: bool = True
    """Contrast in both directions, not from the first view alone, as the source does."""
    contrast_crop: int = 50
    """Residues of each of the two views of the contrast."""
    edge_drop: float = 0.15
    """Share of the edges that half of the contrast's views lose."""
    levels: Literal["geometric", "siamdiff", "siamdiff-2"] = "geometric"
    """Of the noise: 16 from 0.05 to 3 Å; SiamDiff's 100 from 0.035 to 13.9 Å; its second stage's 5 to 0.022 Å."""
    gamma: float = 0.5
    """Share of the structure in SiamDiff's loss, the rest is of the sequence; 0.2 in its second stage."""
    view: Literal["atoms", "torsions"] = "atoms"
    """What SiamDiff's second view differs by from the first: all atoms are moved; or, as in the paper's experiments on
    full atoms, the torsions of side chains are turned (where there are none, both views are the same)."""
    view_noise: float = 0.3
    """Standard deviation of what atoms are moved by, in Å."""
    view_turn: float = 0.1
    """Standard deviation of what torsions are turned by, in half turns (pi); 0.1 is SiamDiff's."""
    cross: bool = True
    """Predict the noise of each of SiamDiff's views from the vectors of the other."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.objective) - set(OBJECTIVES))
        if unknown or not self.objective or len(set(self.objective)) < len(self.objective):
            raise ValueError(
                f"objective must be one or more of {', '.join(OBJECTIVES)}, none of them twice, got {self.objective}"
            )
        for name in ("mask_share", "path_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share and must lie in (0, 1], got {getattr(self, name)}")
        for name in ("edge_drop", "gamma"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share and must lie in [0, 1], got {getattr(self, name)}")
        if self.angle_bins < 2 or self.dihedral_bins < 2:
            raise ValueError(
                f"angle_bins and dihedral_bins must be at least 2, got {self.angle_bins}, {self.dihedral_bins}"
            )
        if not 0 < self.tau < math.inf:
            raise ValueError(f"tau must be a positive number, got {self.tau}")
        for name in ("view_noise", "view_turn"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of at least 0, got {getattr(self, name)}")
        if self.view == "torsions" and "siamdiff" not in self.objective:
            raise ValueError(f"view torsions is siamdiff's, which is not among the objectives {self.objective}")
        if min(vars(self.weights).values()) < 0 or not self.terms():
            raise ValueError(f"weights must be at least 0, and one objective's above, got {self.weights}")
        if self.contrast_crop < MIN_RESIDUES:
            raise ValueError(f"contrast_crop must be at least {MIN_RESIDUES} residues, got {self.contrast_crop}")

    def terms(self) -> dict[str, float]:
        """The losses that are added up, and their weights: one of each objective, and two of SiamDiff's."""
        found = {name: getattr(self.weights, name) for name in self.objective}
        if "siamdiff" in found:
            weight = found.pop("siamdiff")
            found |= {"siamdiff_structure": self.gamma * weight, "siamdiff_sequence": (1 - self.gamma) * weight}
        return {name: weight for name, weight in found.items() if weight}

    def check_stored_vectors(self) -> None:
        """Raise ValueError if vectors of whole proteins, by a language model, would give an answer away.

        The vector of a residue knows its type, and those of its neighbours do, too; all know which protein it is.
        """
        told = sorted(self.terms().keys() & {"residue", "contrast", "siamdiff_sequence"})
        if told:
            raise ValueError(
                f"stored vectors of a language model give away the answers of {', '.join(told)}: pre-train on "
                "distances, angles, dihedrals or denoising alone, or without a language model"
            )

    def shortest_chain(self) -> int:
        """Residues that a chain must have: two crops of a contrast that are nearly the same say nothing."""
        return self.contrast_crop + CONTRAST_MARGIN if "contrast" in self.objective else MIN_RESIDUES


@dataclass(frozen=True, kw_only=True)
class SsdmFitConfig(SharedSteps):
    """How to pre-train; a step is global, whatever the number of workers."""

    epochs: float = 26.0
    """Times that every training chain is seen."""
    batch: int = 16
    """Crops in a step; of the contrast, proteins."""
    micro_batch: int = 4
    """Crops that pass through the network together; changes time and memory, not the result."""
    crop: int = 100
    """Neighbouring residues of a chain that one step sees; another part of it in every epoch."""
    learning_rate: float = 1e-3
    """Of AdamW, at its peak."""
    weight_decay: float = 0.01
    warmup: int = 40
    """Steps; half a cosine down to 0 follows."""
    constant: bool = False
    """Keep the learning rate after the warm-up, as the sources do."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Decay of the running mean of the weights, which is validated and kept; 0 keeps the weights as they are."""
    bf16: bool = False
    """The encoder's matrix products in bfloat16, where the processor or GPU has it; geometry, weights, losses and the
    validation stay in float32.  Of a small network casts cost more than products save."""
    side_chain_drop: float = 0.5
    """Chance that a crop is seen without its side chains."""
    backbone_drop: float = 0.1
    """Chance that it is seen as C-alpha atoms alone; else it is seen as it is."""
    seed: int = 0
    validate_every: int = 100
    """Steps between points of the curve, and between checkpoints."""
    validation_chains: int = 500
    """Validation chains that each point of the curve scores; fewer where there are no more."""

    def __post_init__(self) -> None:
        self.check_step("epochs", "validate_every", "validation_chains")
        if min(self.side_chain_drop, self.backbone_drop) < 0 or self.side_chain_drop + self.backbone_drop > 1:
            raise ValueError(
                "side_chain_drop and backbone_drop are chances of cases that exclude each other, and add up to 1 at "
                f"most, got {self.side_chain_drop} and {self.backbone_drop}"
            )
        if self.crop < MIN_RESIDUES:
            raise ValueError(f"crop must be at least {MIN_RESIDUES} residues, got {self.crop}")
        if not 0 <= self.ema < 1 or self.warmup < 0 or self.weight_decay < 0:
            raise ValueError(
                f"ema must lie in [0, 1), warmup and weight_decay be at least 0, got {self.ema}, {self.warmup}, "
                f"{self.weight_decay}"
            )

    def steps(self, chains: int) -> int:
        """Steps of a training on so many chains, whatever their number: at least one."""
        return max(1, round(self.epochs * chains / self.batch))
