"""What a training loop knows of the other workers: its rank, their number, and how to add numbers up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """One worker among `size`; the default is a plain single process."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def wrap(self, model: nn.Module) -> nn.Module:
        """Average gradients over workers (DDP); a lone worker keeps its bare model."""
        model = model.to(self.device)
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)  # none of ours change in a step

    def sum(self, values: list[float]) -> list[float]:
        """Add each number up over all workers."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return total.tolist()

    def union(self, names: Iterable[str]) -> list[str]:
        """All names that any worker has, sorted; through tensors, which go over whatever its group talks by."""
        own = sorted(names)
        if self.size == 1:
            return own
        text = "\n".join(own).encode()
        sizes = self.sum([float(len(text)) if rank == self.rank else 0.0 for rank in range(self.size)])
        letters = torch.zeros(self.size, int(max(sizes)), dtype=torch.int64, device=self.device)
        letters[self.rank, : len(text)] = torch.tensor(list(text), dtype=torch.int64, device=self.device)
        self.add([letters])
        texts = [bytes(row[: int(size)]).decode() for row, size in zip(letters.tolist(), sizes, strict=True)]
        return sorted({name for text in texts for name in text.split("\n") if name})

    def means(self, sums: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """Of each name a sum over a count, both over all workers, where the count is not 0; some may lack a name."""
        names = self.union(sums)
        flat = self.sum([number for name in names for number in sums.get(name, (0.0, 0.0))])
        pairs = zip(names, flat[::2], flat[1::2], strict=True)
        return {name: total / count for name, total, count in pairs if count}

    def add(self, tensors: list[Tensor]) -> None:
        """Add each tensor up over all workers, in place."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        torch.distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view(tensor.shape))
