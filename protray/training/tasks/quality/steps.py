"""Which decoys train together.  Light: `--help` reads the settings and needs no torch.

One decoy of each target in an epoch, so that targets with many decoys count no more than others.  All of it follows
from (seed, epoch, target) alone, so any number of workers sees the same batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protray.seq.keyed import generator
from protray.training.micro_batches import WholeEpochs

if TYPE_CHECKING:
    from protray.data.decoys.table import Decoy


@dataclass(frozen=True, kw_only=True)
class QualityFitConfig(WholeEpochs):
    """How to train GraphQA; a step is global, whatever the number of workers."""

    epochs: int = 40
    """In each, every training target is seen once, with one of its decoys."""
    batch: int = 8
    """Decoys in a step."""
    micro_batch: int = 4
    """Decoys that are one graph; the share of a worker is a whole number of these."""
    learning_rate: float = 3e-3
    """Of Adam, at its beginning."""
    constant: bool = False
    """Halve the learning rate every 250 epochs, as GraphQA does, in place of half a cosine down to 0."""
    weight_decay: float = 1e-5
    clip: float = 1.0
    """Largest norm of the gradient."""
    validate_every: int = 10
    """Epochs between points of the curve, and between checkpoints."""
    seed: int = 0

    def __post_init__(self) -> None:
        self.check_step("epochs", "validate_every")


def epoch_batches(decoys: "dict[str, list[Decoy]]", config: QualityFitConfig, epoch: int) -> "Iterator[list[Decoy]]":
    """Yield the steps of an epoch: targets in a new order, one decoy of each.

    `decoys` are those of each target.
    """
    order = generator(config.seed, "order", epoch).permutation(sorted(decoys)).tolist()
    for start in range(0, len(order), config.batch):
        yield [drawn(decoys[target], config, epoch) for target in order[start : start + config.batch]]


def drawn(decoys: "list[Decoy]", config: QualityFitConfig, epoch: int) -> "Decoy":
    """The decoy of a target that an epoch sees."""
    rng = generator(config.seed, "decoy", epoch, decoys[0].target)
    return decoys[int(rng.integers(len(decoys)))]
