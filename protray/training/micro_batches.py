"""Settings that trainings have in common, and how a global batch is shared.  Light: checked without torch."""

from typing import Any


def check_positive(config: Any, *names: str) -> None:
    """Raise ValueError if one of these settings is not above 0."""
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be positive, got {getattr(config, name)}")


class SharedSteps:
    """Of settings whose steps are shared by workers; they have ``learning_rate`` and ``clip``, too."""

    batch: int
    micro_batch: int

    def check_step(self, *names: str) -> None:
        """Raise ValueError if settings of a step, or of `names`, are not positive, or micro-batches are not whole."""
        check_positive(self, "batch", "micro_batch", "learning_rate", "clip", *names)
        if self.batch % self.micro_batch:
            raise ValueError(f"batch must be a multiple of micro_batch, got {self.batch} and {self.micro_batch}")

    def check_workers(self, workers: int) -> None:
        """Raise ValueError if `workers` cannot share a batch evenly; each takes whole micro-batches."""
        groups = self.batch // self.micro_batch
        if groups % workers:
            raise ValueError(
                f"{workers} workers cannot share {groups} micro-batches of {self.micro_batch} evenly: choose a number "
                f"of workers that divides {groups}, or another --fit.batch or --fit.micro-batch"
            )


class WholeEpochs(SharedSteps):
    """Of settings whose epochs end with what is left, a smaller batch."""

    epochs: int

    def per_epoch(self, rows: int) -> int:
        """Steps of an epoch."""
        return -(-rows // self.batch)

    def steps(self, rows: int) -> int:
        """Steps of a training that is not stopped before its end."""
        return self.epochs * self.per_epoch(rows)
