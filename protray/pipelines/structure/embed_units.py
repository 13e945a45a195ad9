"""Which chains an actor embeds next, the longest first, and what becomes of units whose process died."""

import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from protray.cluster.batch.pool import Lost
from protray.cluster.storage import remote
from protray.data.structures import Structures
from protray.inference.embed_part import Failure

log = logging.getLogger(__name__)

UNIT_PAIRS = 1 << 24  # half a minute of a core with the default network: what a crash loses per actor
UNIT_PAIRS_KEPT = 1 << 22  # where pairs are kept: 512 MB of a network of 64 channels in one file
LEAST_PAIRS = 1 << 18
UNITS_PER_ACTOR = 8  # at least, so that none waits long for the last one
MOST_CHAINS = 4096
ACTOR_PAIRS = 1 << 22  # some seconds of a core with the default network: for less no other process is worth its start
ALONE = 3  # processes that a chain alone may take down before it is given up


@dataclass(frozen=True)
class Unit:
    """Numbers of chains that make one file, and how many processes they have cost already."""

    part: int
    chains: tuple[int, ...]
    lost: int = 0


class Queue:
    """Units of the chains `missing`, and what becomes of them."""

    def __init__(
        self, structures: Structures, missing: list[int], folder: Path, pairs_kept: bool, workers: int
    ) -> None:
        self.structures, self.folder = structures, folder
        self.pairs = structures.lengths.astype(float) ** 2
        self.parts = max((int(file.stem.rpartition("-")[2]) for file in folder.glob("part-*.parquet")), default=-1) + 1
        self.left = float(self.pairs[missing].sum())
        self.failures: list[Failure] = []
        budget = min(self.left / (workers * UNITS_PER_ACTOR), UNIT_PAIRS_KEPT if pairs_kept else UNIT_PAIRS)
        longest_first = sorted(missing, key=lambda chain: (-self.pairs[chain], chain))
        self.units = deque(self._unit(chains) for chains in self._cut(longest_first, max(budget, LEAST_PAIRS)))
        self.alone: deque[Unit] = deque()  # chains of units that were lost

    def _cut(self, chains: list[int], budget: float) -> list[list[int]]:
        units: list[list[int]] = []
        pairs = 0.0
        for chain in chains:
            if not units or pairs + self.pairs[chain] > budget or len(units[-1]) == MOST_CHAINS:
                units.append([])
                pairs = 0.0
            units[-1].append(chain)
            pairs += self.pairs[chain]
        return units

    def _unit(self, chains: list[int], lost: int = 0) -> Unit:
        self.parts += 1
        return Unit(self.parts - 1, tuple(chains), lost)

    @property
    def progress(self) -> tuple[float, float]:
        total = float(self.pairs.sum())
        return total - self.left, total

    def path(self, unit: Unit) -> Path:
        return self.folder / f"part-{unit.part:06d}.parquet"

    def next(self) -> Unit | None:
        queue = self.units or self.alone
        return queue.popleft() if queue else None

    def send(self, actor: Any, unit: Unit) -> ray.ObjectRef:
        return actor.embed.remote([self.structures.chain(m) for m in unit.chains], self.path(unit).resolve())

    def done(self, unit: Unit, failures: list[Failure]) -> None:
        self.failures += failures
        self.left -= float(self.pairs[list(unit.chains)].sum())

    def lost(self, unit: Unit, lost: Lost) -> None:
        """Try each chain of a lost unit alone, and give one up that was alone often enough."""
        if remote.pull(self.path(unit)).exists():  # its process died after the work
            return self.done(unit, [])
        alone = len(unit.chains) == 1
        count = unit.lost + (not lost.preempted) if alone else 0
        if count >= ALONE:
            name = self.structures.ids[unit.chains[0]]
            log.warning("%s is given up: %s", name, lost.reason)
            return self.done(unit, [Failure(name, lost.reason, again=True)])
        chains = "1 chain is" if alone else f"{len(unit.chains)} chains are"
        log.warning("%s tried again, alone: %s", chains, lost.reason)
        self.alone.extend(self._unit([chain], count) for chain in unit.chains)
        return None
