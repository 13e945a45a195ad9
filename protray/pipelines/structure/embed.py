"""Embeddings of many structures with a pool of actors.  Light: `--help` needs no torch and no Ray.

``OUT/embeddings/*.parquet``  ``schemas.EMBEDDINGS`` or ``PAIR_EMBEDDINGS``; a file appears when it is whole
``OUT/rejected.parquet``      ``schemas.REJECTED``
``OUT/manifest.json``         settings and, once all is done, counts
``OUT/work``                  chains parsed from files, removed at the end

The driver holds 17 bytes per residue, and 55 while it puts the chains in order: of 100,000 chains of 300 residues 0.5
and 1.7 GB.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from protray.cluster.storage import remote
from protray.cluster.storage.files import (
    difference,
    group_reasons,
    read_json,
    reason_lines,
    rejected_table,
    state_of,
    whole,
    write_json,
    write_table,
)
from protray.data.dataset import parquet_files
from protray.data.embeddings import FOLDER, Level, ids_in
from protray.data.structure_files import find_sources, input_files
from protray.data.structure_rows import StructureSettings
from protray.data.structures import FOLDER as STRUCTURES
from protray.data.structures import Structures, gather, read_structures
from protray.plm.shipped import fingerprint
from protray.seq.msa import InputError

if TYPE_CHECKING:
    from protray.data.structures import StructureChain
    from protray.inference.embed_part import Failure

log = logging.getLogger(__name__)

PART_FILES = 64  # files that a task parses
ANY_CHAIN = StructureSettings(min_residues=2, max_unknown=1.0)


@dataclass(frozen=True, kw_only=True)
class EmbedRun:
    """What to embed with what."""

    model: Path
    """The folder `model` of a finished jobs/score_net.py run, or its address."""
    structures: tuple[Path, ...] = ()
    """A dataset of jobs/prepare_structures.py; or mmCIF/PDB files (plain or .gz), folders, tar archives, text lists of
    files.  Default: the bundled sample."""
    out: Path
    """An s3:// or gs:// address, or a folder to write to; on several nodes one that all of them share."""
    level: Level = "protein"
    """One vector for each protein, residue, or pair of residues."""
    noise: float = 1.0
    """Å: the network is told its noise level nearest to this; structures are read as they are."""
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""


@remote.kept("model", "structures")
def embed(run: EmbedRun) -> dict:
    """Embed what is missing in ``run.out``; returns the counts.

    Raises
    ------
    ValueError
        When nothing can be done: model or input are unusable, the folder belongs to other settings, or not one chain
        could be embedded.
    """
    started = time.monotonic()
    run = replace(run, model=run.model.resolve(), out=run.out.resolve())  # workers may have another working directory
    check_model(run)
    settings = settings_of(run)
    stored = _open(run.out, settings)
    if stored is not None and not stored["n_again"]:
        return stored | {"cached": True, "n_cached": stored["n_embedded"], "seconds": time.monotonic() - started}
    from protray.cluster.health.doctor import check_shared
    from protray.cluster.runtime.start import start_ray, stop_ray

    cluster = start_ray()
    try:
        check_shared(cluster, run.out)
        structures, sources, rejected = read_chains(run)
        cached, failures = _embed_missing(run, structures, cluster)
    finally:
        stop_ray(cluster)
    dataset = str(run.structures[0]) if run.structures else "the bundled sample"
    errors = [InputError(sources.get(failure.id, dataset), None, failure.reason, failure.id) for failure in failures]
    summary = _finish(run, settings, pa.concat_tables([rejected, rejected_table(errors)]), failures)
    return summary | {"cached": False, "n_cached": cached, "seconds": time.monotonic() - started}


def check_model(run: EmbedRun) -> None:
    """Load the network once, here, where an error is short."""
    from protray.inference.embed import Embedder

    Embedder.open(run.model, run.noise)


def read_chains(run: EmbedRun) -> tuple[Structures, dict[str, str], pa.Table]:
    """All chains, each id once; by id, the files that they are from; and what cannot be used of the files."""
    given = run.structures
    if not given or is_dataset(given[0]):
        return read_structures(given[0] if given else None), {}, rejected_table([])
    from protray.cluster.batch.parts import parse_parts, read_part
    from protray.cluster.runtime.progress import Progress
    from protray.pipelines.structure.prepare_structures import parse_part

    sources, errors = [], []
    for number, path in enumerate(given):
        work = run.out / "work" / f"unpacked-{number}"
        work.mkdir(parents=True, exist_ok=True)
        found, faults = find_sources(path, work)
        remote.push(work)  # an archive that was unpacked
        sources += found
        errors += [fault for fault in faults if not _is_ours(run, fault)]
    parsed = run.out / "work" / "parsed"
    parsed.mkdir(exist_ok=True)
    chunks = [list(map(asdict, sources[start : start + PART_FILES])) for start in range(0, len(sources), PART_FILES)]
    with Progress("parse") as show:
        parse_parts(parse_part, chunks, parsed, lambda _, done, of: show(done, of), settings=ANY_CHAIN)
    file_of: dict[str, str] = {}

    def first_ones() -> Iterator[pa.Table]:
        for part in range(len(chunks)):
            table = read_part(parsed, part, columns=["id", "sequence", "index", "backbone_cA", "source"])
            first = []
            for id, source in zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True):
                first.append(id not in file_of)
                if id in file_of:
                    why = f"id {id!r} is also that of a chain before it, which is kept"
                    errors.append(InputError(source, None, why, id))
                else:
                    file_of[id] = source
            yield table.filter(pa.array(first, pa.bool_()))

    structures = gather(first_ones())
    rejected = [read_part(parsed, part, "rejected") for part in range(len(chunks))]
    return structures, file_of, pa.concat_tables([rejected_table(errors), *rejected])


class EmbedActor:
    """Loads the network once, then turns lists of chains into files."""

    def __init__(self, run: EmbedRun, threads: int, gpu: bool) -> None:
        self.run, self.threads, self.gpu = run, threads, gpu

    def open(self) -> None:
        import torch

        from protray.cluster.runtime.start import setup_worker_logging
        from protray.inference.embed import Embedder

        setup_worker_logging()
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = False  # convolutions on a GPU would have 10 bits
        self.embedder = Embedder.open(remote.pull(self.run.model), self.run.noise, "cuda" if self.gpu else "cpu")

    def embed(self, chains: "list[StructureChain]", path: Path) -> "list[Failure]":
        """Write the embeddings of `chains`; returns which have none."""
        from protray.inference.embed_part import write_embeddings

        with whole(path) as partial:
            return write_embeddings(self.embedder, chains, self.run.level, partial)


def _embed_missing(run: EmbedRun, structures: Structures, cluster: Any) -> tuple[int, "list[Failure]"]:
    """Embed what no file holds yet; returns how many chains were there already, and which have no embedding."""
    import ray

    from protray.cluster.batch.pool import Lost, run_pool
    from protray.cluster.runtime.progress import Progress
    from protray.cluster.runtime.resources import actor_pool, describe, make_plan
    from protray.pipelines.structure.embed_units import ACTOR_PAIRS, Queue

    folder = run.out / FOLDER
    folder.mkdir(exist_ok=True)
    for partial in folder.glob(".part-*"):  # of a killed run
        partial.unlink()
    there = ids_in(folder)
    missing = [m for m, id in enumerate(structures.ids) if id not in there]
    cached = len(structures) - len(missing)
    if not missing:
        return cached, []
    if cached:
        log.info("%d of %d chains are done already, in %s", cached, len(structures), folder)
    pairs = (structures.lengths[missing].astype(float) ** 2).sum()
    plan = make_plan([actor_pool("embed", cluster.nodes, int(pairs / ACTOR_PAIRS))], cluster.nodes)
    log.info("%s", describe(plan))
    stage = plan["embed"]
    actor = ray.remote(**stage.options)(EmbedActor)
    queue = Queue(structures, missing, folder, run.level == "pair", stage.workers)
    with Progress("embed") as show:
        show(*queue.progress)

        def start() -> Any:
            return actor.remote(run, plan.threads("embed"), stage.gpus_per_worker > 0)

        for unit, result in run_pool(start, stage.workers, queue.next, queue.send):
            if isinstance(result, Lost):
                queue.lost(unit, result)
            else:
                queue.done(unit, result)
            show(*queue.progress)
    return cached, queue.failures


def read_manifest(out: Path, settings: dict) -> dict | None:
    """What the folder says of itself, None if it is new; ValueError if it is of other settings, or not ours."""
    path = out / "manifest.json"
    if path.is_file():
        stored = read_json(path)
        if changed := difference(stored["settings"], settings):
            raise ValueError(f"{out} was made differently: {changed}. Choose another --out, or remove it")
        return stored
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and has no manifest.json; choose another --out, or remove it")
    return None


def _open(out: Path, settings: dict) -> dict | None:
    """The summary of a finished run with these settings; begins the folder where there is none."""
    stored = read_manifest(out, settings)
    if stored is None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "manifest.json", {"settings": settings, "summary": None})
    return stored and stored["summary"]


def _finish(run: EmbedRun, settings: dict, rejected: pa.Table, failures: "list[Failure]") -> dict:
    """Write the rejects and the counts."""
    write_table(rejected, run.out / "rejected.parquet")
    summary = {
        "n_embedded": len(ids_in(remote.pull(run.out / FOLDER))),
        "n_rejected": rejected.num_rows,
        "n_again": sum(failure.again for failure in failures),
        "reasons": group_reasons(rejected["reason"].to_pylist()),
    }
    if not summary["n_embedded"]:
        lines = reason_lines(summary["reasons"])
        raise ValueError(f"no chain could be embedded; see {run.out / 'rejected.parquet'}{lines}")
    write_json(run.out / "manifest.json", {"settings": settings, "summary": summary})
    if not summary["n_again"]:
        remote.remove(run.out / "work")
    return summary


def settings_of(run: EmbedRun) -> dict:
    """All that the embeddings depend on."""
    files = [file.resolve() for path in run.structures for file in _files(path)]
    if len(run.structures) > 1 and any(map(is_dataset, run.structures)):
        raise ValueError(f"--structures takes one dataset, or files; got {len(run.structures)} paths with a dataset")
    return {
        "model": f"{remote.named(run.model.resolve())} ({fingerprint(str(run.model))})",
        "structures": [remote.named(path.resolve()) for path in run.structures] or "the bundled sample",
        "state of the structures": state_of(files)[:16],
        "level": run.level,
        "noise": run.noise,
    }


def _files(path: Path) -> list[Path]:
    """The files that a path of --structures means."""
    return parquet_files(path / STRUCTURES) if is_dataset(path) else input_files(path)


def is_dataset(path: Path) -> bool:
    """Whether it is a folder of jobs/prepare_structures.py."""
    return (path / "dataset.json").is_file()


def _is_ours(run: EmbedRun, fault: InputError) -> bool:
    """Whether a file that is no structure is our own, where --out lies in a folder of --structures."""
    return run.out.resolve() in Path(fault.file).resolve().parents
