"""How the network for interaction sites is trained.  Light: `--help` reads the settings and needs no torch."""

from dataclasses import dataclass

from protray.training.micro_batches import WholeEpochs


@dataclass(frozen=True, kw_only=True)
class SiteFitConfig(WholeEpochs):
    """How to train; a step is global, whatever the number of workers."""

    epochs: int = 10
    """In each, every training protein is seen once."""
    batch: int = 8
    """Proteins in a step."""
    micro_batch: int = 4
    """Proteins that are padded together; the share of a worker is a whole number of these."""
    learning_rate: float = 1e-3
    """Of Adam, at its beginning; half a cosine down to 0."""
    weight_decay: float = 1e-4
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0
    """Of the first training of a row; the others have the seeds that follow."""

    def __post_init__(self) -> None:
        self.check_step("epochs")
