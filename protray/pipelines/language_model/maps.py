"""Probability maps of many proteins with a pool of actors, each with the language model loaded once.

The unit of work is a list of spans, positions of proteins, of about equal cost in forward tokens: hundreds of short
proteins, or a piece of a long one, so that one protein of 2,000 residues keeps a whole cluster busy.  An actor writes
each unit as one part as soon as it is done; a killed run loses the units in flight and no more.  When all spans of a
shard are there, a task makes them into its table, ``maps/maps-00000.parquet``, and the shard is not opened again.

A protein is given up, and the next run tries it again, when even one masked copy of it does not fit into the memory, or
when three processes died of it alone.  It is rejected for good when the probabilities of the model are not finite.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray

from protray.cluster.batch.pool import Lost, run_pool
from protray.cluster.batch.shards import Manifest
from protray.cluster.runtime.resources import Stage
from protray.cluster.runtime.start import setup_worker_logging
from protray.cluster.storage import remote
from protray.pipelines.language_model.map_parts import Rows, Span, write_part
from protray.pipelines.language_model.map_queue import Queue
from protray.pipelines.language_model.map_units import Failure, MapConfig
from protray.plm import masked
from protray.plm.masked import hidden_rows, map_rows, out_of_memory
from protray.plm.reading import windows
from protray.seq.alphabet import encode


class MapActor:
    """Loads the language model once, then turns units into parts."""

    def __init__(self, config: MapConfig, threads: int, gpu: bool) -> None:
        self.config, self.threads, self.gpu = config, threads, gpu

    def open(self) -> None:
        """Load the model; raises ValueError if there is none, or if it cannot be read in such windows."""
        import torch

        setup_worker_logging()
        torch.set_num_threads(self.threads)
        try:
            self.lm = masked.load(self.config.lm, device="cuda" if self.gpu else "cpu")
        except OSError as error:  # what Transformers raises for files that are missing
            raise ValueError(f"language model {self.config.lm}: {str(error).splitlines()[0]}") from None
        limit = self.config.reading.limit(self.lm.longest)
        if limit is not None:
            windows(limit + 1, limit, self.config.reading.overlap)

    def compute(self, spans: tuple[Span, ...], sequences: list[str], part: Path) -> list[Failure]:
        """Write the rows of `spans` as a part; returns which could not be made."""
        done, failures = [], []
        for span, sequence in zip(spans, sequences, strict=True):
            try:
                rows = self._rows(span, encode(sequence))
            except Exception as error:
                if not out_of_memory(error):
                    raise
                failures.append(Failure(span.row, f"out of memory: {error}", again=True))
                continue
            if np.isfinite(rows.prob_LA).all():
                done.append(rows)
            else:
                failures.append(Failure(span.row, "its probabilities are not finite", again=False))
        write_part(done, part, self.config.schema)
        remote.drop(part)  # once it is in the bucket: it is read where the shard is put together
        return failures

    def _rows(self, span: Span, codes_L: np.ndarray) -> Rows:
        config = self.config
        prob_LA = map_rows(self.lm, codes_L, span.start, span.stop, config.reading)
        whole = config.hidden and not span.start
        return Rows(span, prob_LA, hidden_rows(self.lm, codes_L, config.reading) if whole else None)


def compute_maps(
    manifest: Manifest,
    config: MapConfig,
    stage: Stage,
    threads: int,
    on_progress: Callable[[int, int, str], None],
    actor: type[MapActor] | None = None,
) -> int:
    """Compute what is missing in a folder whose proteins are staged; ``manifest`` then says what became of each.

    Returns how many proteins were there already.

    `on_progress(done, of, note)` counts forward tokens; `actor` may stand in for ``MapActor``.
    """
    (manifest.out / "maps").mkdir(exist_ok=True)
    queue = Queue(manifest, config, stage)
    on_progress(*queue.progress())
    if manifest.unfinished:
        gpu = stage.gpus_per_worker > 0
        start = ray.remote(**stage.options)(actor or MapActor)
        _work_off(queue, stage.workers, lambda: start.remote(config, threads, gpu), on_progress)
    manifest.finish()
    return queue.cached


def _work_off(
    queue: Queue, workers: int, start: Callable[[], Any], on_progress: Callable[[int, int, str], None]
) -> None:
    for unit, result in run_pool(start, workers, queue.next, queue.send):
        if isinstance(result, Lost):
            queue.lost(unit, result)
        else:
            queue.done(unit, result)
        queue.close_shards()
        on_progress(*queue.progress())
    queue.close_shards(wait=True)
