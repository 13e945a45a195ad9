"""How a global batch is shared among workers.  Light: settings are checked without torch."""


def check_shared(batch: int, micro_batch: int, workers: int) -> None:
    """Raise ValueError if `workers` cannot share a batch evenly; each takes whole micro-batches."""
    groups = batch // micro_batch
    if groups % workers:
        raise ValueError(
            f"{workers} workers cannot share {groups} micro-batches of {micro_batch} evenly: choose a number "
            f"of workers that divides {groups}, or another --fit.batch or --fit.micro-batch"
        )
