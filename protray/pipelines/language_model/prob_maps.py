"""Probability maps of a dataset or of FASTA files as a job of its own.  Light: `--help` needs no torch and no Ray.

``OUT/maps/*.parquet``    id, sequence, prob_map: ``schemas.MAPS``, or ``MAPS_FLOAT16``; in the order of the input
``OUT/rejected.parquet``  ``schemas.REJECTED``; written last
``OUT/manifest.json``     settings and counts; see ``protray.cluster.batch.shards``
``OUT/work``              what is done so far, removed at the end
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from protray.cluster.storage.remote import kept, named
from protray.plm.shipped import SHIPPED, absolute, check_present, fingerprint

if TYPE_CHECKING:
    from protray.cluster.batch.shards import Manifest
    from protray.pipelines.language_model.map_units import MapConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ProbMapsRun:
    """Which proteins are read by which language model, and what is kept of it."""

    data: Path
    """Folder written by jobs/prepare.py, or a FASTA file or a folder of them (plain, .gz, .xz, .bz2)."""
    lm: str = SHIPPED
    """Masked protein language model: a Hugging Face name or folder, or the small one in the package."""
    out: Path
    """An s3:// or gs:// address, or a folder to write to; on several nodes one that all of them share."""
    float16: bool = False
    """Store probabilities in half precision: half the size, three digits."""
    hidden: bool = False
    """Store the model's last hidden state, too (nothing masked, float16)."""
    bf16: bool = False
    """Multiply matrices in bfloat16: faster where the hardware has it; probabilities change by less than 0.002."""
    window: int | None = None
    """Read longer proteins in overlapping windows of so many residues; needed only for memory or time."""
    overlap: int | None = None
    """Residues that neighbouring windows share at least; default: half a window."""
    shard: int = 100_000
    """Proteins in one output file, at most; the driver holds so many in memory."""
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    def config(self) -> "MapConfig":
        from protray.pipelines.language_model.map_units import MapConfig

        precision = "bfloat16" if self.bf16 else "float32"
        reading = Reading(precision, window=self.window, overlap=self.overlap)
        return MapConfig(lm=absolute(self.lm), reading=reading, hidden=self.hidden, float16=self.float16)


@kept("data", skip="maps")
def prob_maps(run: ProbMapsRun) -> dict:
    """Compute what is missing in ``run.out``; returns the counts.

    Raises
    ------
    ValueError
        When nothing can be done: options, model or input are unusable, the folder belongs to other settings, or not
        one protein has a map.
    """
    from protray.cluster.batch.shards import Manifest, read_sources
    from protray.cluster.storage.files import reason_lines

    started = time.monotonic()
    config, settings = check(run)
    manifest = Manifest.open(run.out, settings)
    cached = manifest.complete
    if cached:
        computed_before = manifest.summary()["n_computed"]
    else:
        if manifest.shards is None:
            manifest.stage(read_sources(run.data), run.shard, config.tokens)
        computed_before = _compute(manifest, config)
    summary = manifest.summary()
    if not summary["n_computed"]:
        rejected = run.out / "rejected.parquet"
        lines = reason_lines(summary["reasons"])
        raise ValueError(f"no protein of {summary['n_rejected']} in {run.data} has a map; see {rejected}{lines}")
    before = {"n_cached": computed_before, "cached": cached}
    return summary | before | {"seconds": time.monotonic() - started}


def check(run: ProbMapsRun) -> "tuple[MapConfig, dict]":
    """How maps are computed, and all that they depend on; ValueError for options, a model or input of no use."""
    if run.shard < 1:
        raise ValueError(f"--shard is {run.shard}; it must be at least 1")
    config = run.config()
    check_present(run.lm)
    return config, _settings(run)


def _settings(run: ProbMapsRun) -> dict:
    """All that the maps depend on, and the size of a shard."""
    from protray.cluster.batch.shards import source_files
    from protray.cluster.storage.files import state_of

    return {
        "data": named(run.data.resolve()),
        "state of the data": state_of(file.resolve() for file in source_files(run.data))[:16],
        "language model": f"{absolute(run.lm)} ({fingerprint(run.lm)})",
        **{name: getattr(run, name) for name in ("float16", "hidden", "bf16", "window", "overlap", "shard")},
    }


def _compute(manifest: "Manifest", config: "MapConfig") -> int:
    """Start Ray and compute; returns how many maps were there already."""
    from protray.cluster.health.doctor import check_shared
    from protray.cluster.runtime.progress import Progress
    from protray.cluster.runtime.resources import actor_pool, describe, make_plan
    from protray.cluster.runtime.start import start_ray, stop_ray
    from protray.pipelines.language_model.map_units import ACTOR_TOKENS
    from protray.pipelines.language_model.maps import compute_maps

    cluster = start_ray()
    try:
        check_shared(cluster, manifest.out)
        plan = make_plan([actor_pool("maps", cluster.nodes, manifest.tokens_left // ACTOR_TOKENS)], cluster.nodes)
        log.info("%s", describe(plan))
        with Progress("probability maps") as progress:
            return compute_maps(manifest, config, plan["maps"], plan.threads("maps"), progress)
    finally:
        stop_ray(cluster)
