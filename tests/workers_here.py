"""Two workers in two threads of this process, who add up."""

import threading
from collections.abc import Callable
from typing import Any

import torch

from protray.training.world import World


def two_workers(work: Callable[[World], Any]) -> list[Any]:
    """What `work` gives to each of them."""
    barrier, parts, found = threading.Barrier(2, timeout=60), [None, None], [None, None]

    class Here(World):
        def sum(self, values: list[float]) -> list[float]:
            parts[self.rank] = values  # type: ignore[call-overload]
            barrier.wait()
            total = [a + b for a, b in zip(*parts, strict=True)]  # type: ignore[arg-type]
            barrier.wait()
            return total

        def add(self, tensors: list[torch.Tensor]) -> None:
            flat = self.sum(torch.cat([tensor.flatten() for tensor in tensors]).double().tolist())
            parts = torch.tensor(flat).split([tensor.numel() for tensor in tensors])
            for tensor, total in zip(tensors, parts, strict=True):
                tensor.copy_(total.view(tensor.shape))

    def one(rank: int) -> None:
        found[rank] = work(Here(rank, 2))

    threads = [threading.Thread(target=one, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
