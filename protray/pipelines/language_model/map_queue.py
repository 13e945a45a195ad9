"""Which unit comes next, and what becomes of it: shards are opened one after the other and closed when all is there."""

import logging
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from protray.cluster.batch.pool import Lost
from protray.cluster.batch.shards import Manifest
from protray.cluster.runtime.resources import Stage
from protray.cluster.storage import remote
from protray.cluster.storage.files import group_reasons, rejected_table, write_table
from protray.data.parquet import read_parquet
from protray.pipelines.language_model.map_parts import merge_parts, missing_spans, spans_in
from protray.pipelines.language_model.map_units import UNIT_TOKENS, Failure, MapConfig, Unit, cut
from protray.plm import masked
from protray.seq.msa import InputError

log = logging.getLogger(__name__)

UNITS_PER_ACTOR = 8  # at least, so that none waits long for the last one
ALONE = 3  # processes that a protein alone may take down before it is given up


@dataclass
class _Open:
    """A shard that is being worked off."""

    staged: pa.Table
    parts: Path
    left: int = 0  # units
    failures: dict[int, Failure] = field(default_factory=dict)

    def let_go(self) -> None:
        """Keep the rows of failures alone: many shards may wait for being merged."""
        rows = sorted(self.failures)
        self.failures = {row: self.failures[row] for row in rows}
        self.staged = self.staged.take(pa.array(rows, pa.int64()))


class Queue:
    """Units of one shard after the other, and what becomes of them."""

    def __init__(self, manifest: Manifest, config: MapConfig, stage: Stage) -> None:
        self.manifest, self.config, self.stage = manifest, config, stage
        self.to_open = deque(manifest.unfinished)
        self.open: dict[int, _Open] = {}
        self.units: deque[Unit] = deque()
        self.alone: deque[Unit] = deque()  # proteins of units that were lost
        self.merging: dict[Any, int] = {}
        shards = manifest.shards or []
        self.tokens = sum(shard.tokens for shard in shards)
        self.tokens_done = sum(shard.tokens for shard in shards if shard.finished)
        least, share = masked.TOKENS_AT_ONCE, (self.tokens - self.tokens_done) // (stage.workers * UNITS_PER_ACTOR)
        self.budget = min(max(least, share), UNIT_TOKENS)
        self.cached = sum(shard.computed for shard in shards if shard.finished)  # proteins done by earlier runs

    def progress(self) -> tuple[int, int, str]:
        shards = self.manifest.shards or []
        n_done = sum(shard.finished for shard in shards)
        return self.tokens_done, self.tokens, f"{n_done} of {len(shards)} shards" if len(shards) > 1 else ""

    def next(self) -> Unit | None:
        while not self.units and not self.alone and self.to_open:
            self._open(self.to_open.popleft())
        queue = self.units or self.alone
        return queue.popleft() if queue else None

    def _open(self, number: int) -> None:
        parts = self.manifest.work / f"parts-{number:05d}"
        parts.mkdir(exist_ok=True)
        shard = _Open(read_parquet(self.manifest.staged(number)), parts)
        lengths = list(map(len, shard.staged["sequence"].to_pylist()))
        missing = list(missing_spans(lengths, spans_in(parts)))
        self.cached += len(lengths) - len({span.row for span in missing})
        units = cut(number, missing, lengths, self.budget, self.config)
        shard.left = len(units)
        self.open[number] = shard
        self.units.extend(units)
        self.tokens_done += sum(map(self.config.tokens, lengths)) - sum(unit.tokens for unit in units)
        if not units:
            self._merge(number)

    def send(self, actor: Any, unit: Unit) -> ray.ObjectRef:
        shard = self.open[unit.shard]
        sequences = shard.staged["sequence"].take([span.row for span in unit.spans]).to_pylist()
        return actor.compute.remote(unit.spans, sequences, (shard.parts / unit.part).resolve())

    def done(self, unit: Unit, failures: list[Failure]) -> None:
        shard = self.open[unit.shard]
        shard.failures |= {failure.row: failure for failure in failures}
        shard.left -= 1
        self.tokens_done += unit.tokens
        if not shard.left:
            self._merge(unit.shard)

    def lost(self, unit: Unit, lost: Lost) -> None:
        """Try each protein of a lost unit alone, and give one up that was alone often enough."""
        shard = self.open[unit.shard]
        if remote.pull(shard.parts / unit.part).exists():  # its process died after the work
            spans = [span for span in unit.spans if span not in spans_in(shard.parts)]
        else:
            spans = list(unit.spans)
        alone = len(unit.spans) == 1
        if alone and spans and not lost.preempted and unit.lost + 1 >= ALONE:
            name = shard.staged["id"][spans[0].row]
            log.warning("%s is given up: %s", name, lost.reason)
            return self.done(unit, [Failure(spans[0].row, lost.reason, again=True)])
        log.warning(
            "%d protein%s tried again, alone: %s", len(spans), "s are" if len(spans) > 1 else " is", lost.reason
        )
        count = unit.lost + (not lost.preempted) if alone else 0
        lengths = {span: len(shard.staged["sequence"][span.row].as_py()) for span in spans}
        tokens = {span: (span.stop - span.start) * self.config.row_tokens(lengths[span]) for span in spans}
        self.alone.extend(Unit(unit.shard, (span,), tokens[span], count) for span in spans)
        shard.left += len(spans)
        return self.done(replace(unit, tokens=unit.tokens - sum(tokens.values())), [])

    def _merge(self, number: int) -> None:
        self.open[number].let_go()
        staged, parts = self.manifest.staged(number).resolve(), self.open[number].parts.resolve()
        merge = ray.remote(num_cpus=1, label_selector=self.stage.labels)(_merge)
        self.merging[merge.remote(staged, parts, self._table(number).resolve(), self.config.schema)] = number

    def _table(self, number: int) -> Path:
        return self.manifest.out / "maps" / f"maps-{number:05d}.parquet"

    def close_shards(self, wait: bool = False) -> None:
        """Note what became of shards whose table is there."""
        while self.merging:
            ready, _ = ray.wait(list(self.merging), timeout=None if wait else 0)
            if not ready:
                return
            number = self.merging.pop(ready[0])
            self._close(number, ray.get(ready[0]))

    def _close(self, number: int, computed: int) -> None:
        shard, record = self.open.pop(number), (self.manifest.shards or [])[number]
        if computed + len(shard.failures) != record.proteins:
            raise RuntimeError(
                f"shard {number} of {self.manifest.out}: {computed} maps and {len(shard.failures)} rejects "
                f"of {record.proteins} proteins; start the same command again"
            )
        failures = list(shard.failures.values())
        errors = [
            InputError(source["file"], source["line"], failure.reason, source["id"])
            for source, failure in zip(shard.staged.to_pylist(), failures, strict=True)
        ]
        write_table(rejected_table(errors), self.manifest.rejected(number))
        record.computed, record.reasons = computed, group_reasons([failure.reason for failure in failures])
        record.again = sum(failure.again for failure in failures)
        record.finished = not record.again
        self.manifest.save()
        if record.finished:
            remote.remove(shard.parts)
            remote.remove(self.manifest.staged(number))


def _merge(staged: Path, parts: Path, table: Path, schema: pa.Schema) -> int:
    """Ray task: `merge_parts`; of a bucket's files this node keeps none."""
    computed = merge_parts(remote.pull(staged), remote.pull(parts), table, schema)
    for path in (staged, parts, table):
        remote.drop(path)
    return computed
