"""What jobs/prob_maps.py will do and about how long; and the maps' part of other jobs.

Cost is counted in forward tokens, as in `map_units`: a position of a protein of L residues takes L + 2.
"""

import time
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq

from protray.cluster.batch.shards import Manifest, source_files
from protray.cluster.health.estimate import Estimate, Line, Process, Timed, Trials, mean_rate, seconds_for, timed
from protray.cluster.health.lengths import Lengths, read_lengths
from protray.cluster.runtime.resources import Plan, actor_pool, make_plan
from protray.cluster.storage.remote import kept
from protray.pipelines.language_model.map_parts import missing_spans, spans_in
from protray.pipelines.language_model.map_units import ACTOR_TOKENS, MapConfig
from protray.pipelines.language_model.prob_maps import ProbMapsRun, check
from protray.plm import masked
from protray.plm.masked import map_rows
from protray.seq.alphabet import N_AA

PIECE_S = 0.4  # of one piece that is timed
DRAWN = 4096  # lengths that travel to a trial
LEAVES_OUT = "starting Ray and its processes, reading the input and writing the tables: seconds, and more of millions"


@kept("data", skip="maps")
def stages(run: ProbMapsRun) -> Estimate:
    """The maps that are missing in ``run.out``.

    Raises
    ------
    ValueError
        As the job itself does, for unusable options, model, input or folder.
    """
    config, settings = check(run)
    files = source_files(run.data)
    manifest = Manifest.read(run.out, settings)
    if manifest and manifest.complete:
        return Estimate()
    lengths = read_lengths(files)
    if not lengths.total:
        raise ValueError(f"no protein in {run.data}")
    with Trials(run.out) as trials:
        tokens = manifest.tokens_left if manifest and manifest.shards else config.total(lengths)
        nodes = trials.cluster.nodes
        plan = make_plan([actor_pool("maps", nodes, int(tokens / ACTOR_TOKENS))], nodes)
        return trials.estimate([maps_line(trials, plan, config, lengths, manifest)], _left_out(lengths))


def maps_line(trials: Trials, plan: Plan, config: MapConfig, lengths: Lengths, manifest: Manifest | None) -> Line:
    """The stage ``maps`` of a plan, for proteins of such lengths, less what is there in the folder of `manifest`."""
    drawn, tokens = draw_by_cost(config, lengths)
    proteins = lengths.total
    done_tokens = done = 0.0
    parts = ""
    if manifest and manifest.shards:
        done, done_tokens = done_in(manifest, config)
        proteins, tokens = (sum(getattr(shard, name) for shard in manifest.shards) for name in ("proteins", "tokens"))
        finished = len(manifest.shards) - len(manifest.unfinished)
        if len(manifest.shards) > 1:
            parts = f"{finished} of {len(manifest.shards)} shards"
    stage, rate = plan["maps"], None
    if tokens > done_tokens:
        rate = mean_rate(trials.run(stage, plan.threads("maps"), time_maps, config, drawn))
    return Line(
        name="maps", unit="proteins", rows=proteins, done=done, parts=parts, stage=stage,
        about=not lengths.exact and not (manifest and manifest.shards),
        seconds=seconds_for(tokens - done_tokens, rate, stage.workers),
    )  # fmt: skip


def draw_by_cost(config: MapConfig, lengths: Lengths) -> tuple[np.ndarray, float]:
    """Some lengths, each drawn in proportion to what its proteins cost; and the forward tokens of all proteins."""
    tokens_M = config.each(lengths)
    if not tokens_M.sum():
        return np.ones(1, np.int64), 0.0
    drawn = np.random.default_rng(0).choice(lengths.residues, DRAWN, p=tokens_M / tokens_M.sum())
    return drawn, lengths.sum(tokens_M)


def time_maps(process: Process, config: MapConfig, lengths: np.ndarray) -> Timed:
    """Rows of maps of proteins whose lengths were drawn in proportion to their cost; the residues are made up.

    Each piece is some rows of one protein: one at first, then as many as take `PIECE_S`.
    """
    process.use_torch()
    lm = masked.load(config.lm, device=process.device)
    rng = np.random.default_rng(process.rank)

    def pieces() -> Iterator[float]:
        budget = 0.0
        for length in lengths[process.rank :: process.of].tolist() * 1000:
            codes_L = rng.integers(0, N_AA, length, dtype=np.uint8)
            each = config.row_tokens(length)
            stop = min(length, max(1, int(budget / each)))
            started = time.monotonic()
            map_rows(lm, codes_L, 0, stop, config.reading)
            taken = max(time.monotonic() - started, 1e-6)
            budget = min(stop * each / taken * PIECE_S, 8 * max(budget, each))
            yield float(stop * each)

    return timed(pieces(), process.seconds)


def done_in(manifest: Manifest, config: MapConfig) -> tuple[float, float]:
    """Proteins that have a map in a folder, and the forward tokens of all rows that are there."""
    proteins = tokens = 0.0
    for number, shard in enumerate(manifest.shards or []):
        parts = manifest.work / f"parts-{number:05d}"
        if shard.finished:
            proteins, tokens = proteins + shard.proteins, tokens + shard.tokens
        elif parts.is_dir():
            sequences = pq.read_table(manifest.staged(number), columns=["sequence"])["sequence"].to_pylist()
            lengths = list(map(len, sequences))
            missing = list(missing_spans(lengths, spans_in(parts)))
            proteins += len(lengths) - len({span.row for span in missing})
            tokens += shard.tokens
            tokens -= sum((span.stop - span.start) * config.row_tokens(lengths[span.row]) for span in missing)
    return proteins, tokens


def _left_out(lengths: Lengths) -> str:
    return LEAVES_OUT + (f"; {lengths.note}" if lengths.note else "")
