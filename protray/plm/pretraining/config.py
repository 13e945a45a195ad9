"""Settings of masked-language-model pre-training.  Light: `--help` reads them and needs no torch."""

from dataclasses import dataclass

# hidden size, layers, heads: `tiny` (1.8 M parameters) fits a package, the others have ESM-2's shapes (Lin et al. 2023)
SIZES = {"tiny": (192, 4, 6), "8m": (320, 6, 20), "35m": (480, 12, 20), "650m": (1280, 33, 20)}


@dataclass(frozen=True, kw_only=True)
class MaskedLmConfig:
    """How to pre-train; a step is global, whatever the number of workers.

    Tokens are residues, <cls>, <eos> and padding.
    """

    size: str = "tiny"
    """tiny (1.8 M parameters), 8m, 35m or 650m."""
    steps: int = 6500
    """Updates of the weights."""
    tokens_per_step: int = 4096
    """At most, in the global batch of a step; gradients of its micro-batches are added up."""
    tokens_at_once: int = 2048
    """At most, in a micro-batch; what fits into memory.  A step needs a micro-batch for each worker."""
    crop: int = 128
    """Residues of a sequence that one step sees; another part of it in every epoch."""
    learning_rate: float = 1.5e-3
    """Peak, after `warmup` steps."""
    warmup: int = 300
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    bf16: bool = True
    """Matrix products in bfloat16 where the processor or GPU has it; weights and optimiser stay in float32."""
    compile: bool = False
    """torch.compile the encoder: needs a C++ compiler."""
    seed: int = 0
    report_every: int = 200
    """Steps between points of the curve."""
    checkpoint_every: int = 500
    """Steps that a crash can cost at most."""
    validation_sequences: int = 500
    """Held-out sequences that each report scores."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {sorted(SIZES)}, got {self.size!r}")
        if not 0 < self.warmup < self.steps:
            raise ValueError(f"warmup must lie between 0 and steps = {self.steps}, got {self.warmup}; change one")
        for name in ("crop", "report_every", "checkpoint_every", "validation_sequences"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.crop + 2 <= self.tokens_at_once <= self.tokens_per_step:
            raise ValueError(
                f"tokens_at_once must lie between crop + 2 = {self.crop + 2} and tokens_per_step = "
                f"{self.tokens_per_step}, got {self.tokens_at_once}"
            )

    def check_workers(self, workers: int) -> None:
        """Raise ValueError if some of `workers` would have nothing to do in most steps."""
        if workers * self.tokens_at_once > self.tokens_per_step:
            raise ValueError(
                f"{workers} workers cannot share steps of {self.tokens_per_step} tokens in micro-batches of "
                f"{self.tokens_at_once}: set tokens_at_once to {self.tokens_per_step // workers} or less, or "
                f"tokens_per_step to {workers * self.tokens_at_once} or more"
            )
