"""Settings that trainings have in common, and how a global batch is shared.  Light: checked without torch."""

from typing import Any


def check_positive(config: Any, *names: str) -> None:
    """Raise ValueError if one of these settings is not above 0."""
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be positive, got {getattr(config, name)}")


def check_step(config: Any, *names: str) -> None:
    """Raise ValueError if settings of a step, or of `names`, are not positive, or micro-batches are not whole."""
    check_positive(config, "batch", "micro_batch", "learning_rate", "clip", *names)
    if config.batch % config.micro_batch:
        raise ValueError(f"batch must be a multiple of micro_batch, got {config.batch} and {config.micro_batch}")


def check_shared(batch: int, micro_batch: int, workers: int) -> None:
    """Raise ValueError if `workers` cannot share a batch evenly; each takes whole micro-batches."""
    groups = batch // micro_batch
    if groups % workers:
        raise ValueError(
            f"{workers} workers cannot share {groups} micro-batches of {micro_batch} evenly: choose a number "
            f"of workers that divides {groups}, or another --fit.batch or --fit.micro-batch"
        )
