"""How an encoder is trained on for a task.  Light: `--help` reads the settings and needs no torch."""

from dataclasses import asdict, dataclass
from typing import Literal

from protray.training.micro_batches import WholeEpochs


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig(WholeEpochs):
    """How to train encoder and head together; a step is global, whatever the number of workers."""

    epochs: int = 5
    """The one of the highest quality on validation is kept; the frozen encoder is one of them."""
    batch: int = 16
    """Proteins, or mutations, in a step."""
    micro_batch: int = 4
    """Of these, how many go through the network together; the share of a worker is a whole number of them."""
    crop: int = 200
    """Neighbouring residues of a chain that a step sees at most, another part of it in every epoch; of a mutation it
    sees all that is around."""
    learning_rate: float = 1e-4
    """Of AdamW, for encoder, fusion and head, at its peak."""
    lm_lr_ratio: float = 0.1
    """Learning rate of a language model, alone or in a fusion, over that of the rest; 0 leaves it as it is."""
    dropout: float | None = None
    """Of what each half of a layer of frame attention adds; fusions, GVP and CDConv have their own.  Default: that of
    the pre-training."""
    weight_decay: float = 0.01
    warmup: int = 10
    """Steps."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """After the warm-up, half a cosine down to 0; or times 0.6 after more than 5 epochs without a better validation."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0
    """Of the order, of crops, and of encoders with random weights."""

    def __post_init__(self) -> None:
        self.check_step("epochs", "crop")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), got {self.dropout}")
        if not 0 <= self.lm_lr_ratio <= 1 or self.weight_decay < 0 or self.warmup < 0:
            raise ValueError(
                f"lm_lr_ratio must lie in [0, 1], weight_decay and warmup be at least 0, got {self.lm_lr_ratio}, "
                f"{self.weight_decay}, {self.warmup}"
            )

    def identity(self) -> dict:
        """What a result depends on; a setting that came later is left out where it changes nothing."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def constant(self) -> bool:
        """Whether the rate stays after the warm-up, but for plateaus."""
        return self.schedule == "plateau"
