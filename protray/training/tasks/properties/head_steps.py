"""How a head is trained, and which rows train together.  Light: `--help` reads the settings and needs no torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protray.seq.keyed import generator
from protray.training.micro_batches import WholeEpochs

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class HeadFitConfig(WholeEpochs):
    """How to train a head; a step is global, whatever the number of workers."""

    epochs: int = 100
    """At most."""
    patience: int = 10
    """Stop after so many epochs without a lower validation loss."""
    batch: int = 64
    """Rows in a step."""
    micro_batch: int = 16
    """Rows that go through the head together; the share of a worker is a whole number of these."""
    learning_rate: float = 1e-3
    """Of AdamW."""
    weight_decay: float = 0.1
    clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 0

    def __post_init__(self) -> None:
        self.check_step("epochs", "patience")


def epoch_batches(rows: int, config: Any, epoch: int) -> "Iterator[np.ndarray]":
    """Yield the row numbers of each step, ``config.batch`` or the rest; they follow from (seed, epoch) alone."""
    order_N = generator(config.seed, "order", epoch).permutation(rows)
    for start in range(0, rows, config.batch):
        yield order_N[start : start + config.batch]
