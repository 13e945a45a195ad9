"""A finished model on one protein or 100,000, with Ray Data: a pool of actors, each with the model loaded once.

Inputs are cut into parts in their order.  An actor reads the proteins of a part, batches them by length, and writes
their predictions as one Parquet file as soon as it is done, so that a killed run loses the parts in flight and no more.
At the end the parts become the file that was asked for.  For all proteins at
once only names, and the sequences of a FASTA file, are in memory.

``OUT``                       the predictions; see ``protray.inference.write``
``OUT stem.rejected.parquet`` ``schemas.REJECTED``; written last: with the settings in its metadata it says "finished"
``OUT.parts``                 what is done so far, removed at the end; on several nodes it has to lie where all see it
"""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.health.doctor import check_shared
from protray.cluster.runtime.progress import Progress
from protray.cluster.runtime.resources import Plan, actor_pool, describe, make_plan
from protray.cluster.runtime.start import setup_worker_logging, start_ray, stop_ray
from protray.cluster.storage import remote
from protray.cluster.storage.files import (
    difference,
    group_reasons,
    reason_lines,
    rejected_table,
    state_of,
    write_json,
    write_table,
)
from protray.data.inputs import files_in, find_items
from protray.data.parquet import AGAIN, read_parquet
from protray.inference.many import Source, predict_part
from protray.inference.write import PREDICTED, check_format, check_target, write
from protray.plm.shipped import check_present, fingerprint
from protray.seq.fasta import read_fasta
from protray.seq.msa import InputError

log = logging.getLogger(__name__)

LARGEST_PART = 32  # proteins: what a crash can lose per actor
PARTS = 64  # of a small input, so that even 40 proteins keep all actors of a laptop busy
RECORD = b"protray_predict"  # metadata of the table of rejects
LONGEST_STALL_S = 6 * 3600.0  # between two parts: protray's default of minutes would end a run at a few long proteins


@dataclass(frozen=True, kw_only=True)
class PredictRun:
    """What to predict with what; one of `msas` and `fasta`."""

    model: Path
    """The folder `model` of a finished jobs/distil.py run."""
    msas: Path | None = None
    """Folder of alignments, one file per protein: .a3m .a2m .sto .fasta .aln, plain or .gz."""
    fasta: Path | None = None
    """FASTA file, plain, .gz, .xz or .bz2: every record is a protein without homologs."""
    out: Path
    """Where to write, a path or an s3:// or gs:// address; its extension, .parquet, .3line or .ss2, is the format."""
    max_length: int = 5000
    """Longer proteins are left out: a protein costs one pass of the language model per residue."""
    plan: bool = False
    """Print stages, resources, estimated rows/s and hours, and stop; nothing is written."""

    @property
    def rejected(self) -> Path:
        return self.out.with_suffix(".rejected.parquet")

    @property
    def work(self) -> Path:
        return self.out.with_name(self.out.name + ".parts")


@remote.kept("model", places=lambda run: (run.out, run.rejected, run.work))
def predict(run: PredictRun) -> dict:
    """Predict what is missing and write the file; returns the counts and where things are.

    Raises
    ------
    ValueError
        When nothing can be done: options, model, input or output are unusable, the work folder belongs to other
        settings, or not one protein could be predicted.
    """
    started = time.monotonic()
    sources, errors, settings, summary = opened(run)
    if summary is None:
        parts = cut(sources)
        compute(run, parts, settings)
        summary = _finish(run, len(parts), errors, len(sources) + len(errors) > 1, settings)
    return summary | {"seconds": time.monotonic() - started}


def opened(run: PredictRun) -> tuple[list[Source], list[InputError], dict, dict | None]:
    """Proteins, what cannot be used, all that the predictions depend on, and the summary of a run that is finished.

    Raises ValueError if options, model, input or output are unusable.
    """
    if (run.msas is None) == (run.fasta is None):
        raise ValueError("give exactly one of --msas DIR and --fasta FILE")
    if run.max_length < 1:
        raise ValueError(f"--max-length is {run.max_length}; it must be at least 1")
    check_format(run.out)
    lm = check_model(run.model)
    sources, errors = find_sources(run)
    settings = _settings(run, lm, sources, errors)
    summary = _finished(run, settings)
    if summary is None:
        check_present(lm)
        _check_out(run, len(sources) + len(errors) > 1, settings)
    return sources, errors, settings, summary


def check_model(folder: Path) -> str:
    """Load the networks once, here, where an error is short; returns the name of their language model."""
    from protray.training.secondary.export import load_model

    try:
        return load_model(folder)[0].lm
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{folder}: this model cannot be loaded: {type(error).__name__}: {error}") from None


def find_sources(run: PredictRun) -> tuple[list[Source], list[InputError]]:
    """The proteins to predict, in input order, each id once, and what can be seen to be unusable without reading."""
    if run.fasta is not None:
        return read_fasta(run.fasta.resolve())
    assert run.msas is not None
    ours = [run.out, run.rejected]
    for folder in (run.work, run.out):  # an --out inside --msas
        ours += files_in(folder) if folder.is_dir() else []
    items, errors = find_items(run.msas.resolve(), None, ignore=tuple(ours))
    unprintable = [item for item in items if not item.id.isprintable()]
    errors += [InputError(item.msa_file, None, "the file name is not printable text", item.id) for item in unprintable]
    return [Source(item.id, item.msa_file) for item in items if item.id.isprintable()], errors


def cut(sources: list[Source]) -> list[list[Source]]:
    """Parts of equal size; the size depends on the number of proteins alone, so that a restart finds the same parts."""
    size = min(LARGEST_PART, max(1, -(-len(sources) // PARTS)))
    return [sources[start : start + size] for start in range(0, len(sources), size)]


def compute(run: PredictRun, parts: list[list[Source]], settings: dict) -> None:
    """Write the parts that are not there yet."""
    run.work.mkdir(parents=True, exist_ok=True)
    write_json(run.work / "settings.json", settings)
    missing = [number for number in range(len(parts)) if not part_path(run.work, number).exists()]
    if not missing:
        return
    total, done = sum(map(len, parts)), sum(map(len, parts)) - sum(len(parts[number]) for number in missing)
    if done:
        log.info("%d of %d proteins are done already, in %s", done, total, run.work)
    cluster = start_ray()
    try:
        check_shared(cluster, run.work)
        job_plan = make_plan([actor_pool("predict", cluster.nodes, at_most=len(missing))], cluster.nodes)
        log.info("%s", describe(job_plan))
        with Progress("predict") as show:
            show(done, total)
            for proteins in _run(run, {number: parts[number] for number in missing}, job_plan):
                done += proteins
                show(done, total, f"{done} of {total}")
    finally:
        stop_ray(cluster)


def _run(run: PredictRun, parts: dict[int, list[Source]], job_plan: Plan) -> Iterator[int]:
    """Let actors write `parts`; yields the number of proteins of each part that is done."""
    import ray.data

    stage = job_plan["predict"]
    payloads = [json.dumps([asdict(source) for source in part]) for part in parts.values()]
    table = pa.table({"part": pa.array(list(parts), pa.int64()), "payload": pa.array(payloads, pa.large_string())})
    threads, gpu = job_plan.threads("predict"), stage.gpus_per_worker > 0
    dataset = (
        ray.data.from_arrow(table)
        .repartition(target_num_rows_per_block=1)
        .map_batches(
            PredictActor,  # type: ignore[arg-type]
            fn_constructor_args=[str(run.model.resolve()), str(run.work.resolve()), run.max_length, threads, gpu],
            batch_size=1,
            batch_format="pyarrow",
            **stage.options,
            compute=ray.data.ActorPoolStrategy(size=stage.workers),
        )
    )
    dataset.context.execution_no_progress_timeout_s = LONGEST_STALL_S
    batches: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    for batch in batches:
        yield from batch["proteins"].to_pylist()


class PredictActor:
    """Loads the model and its language model once, then turns parts into Parquet files."""

    def __init__(self, model: str, folder: str, max_length: int, threads: int, gpu: bool) -> None:
        import torch

        from protray.inference.predict import Predictor

        setup_worker_logging()
        torch.set_num_threads(threads)
        self.predictor = Predictor.open(remote.pull(Path(model)), device="cuda" if gpu else "cpu")
        self.folder, self.max_length = Path(folder), max_length

    def __call__(self, batch: pa.Table) -> pa.Table:
        part = batch["part"][0].as_py()
        sources = [Source(**fields) for fields in json.loads(batch["payload"][0].as_py())]
        table, errors = predict_part(self.predictor, sources, self.max_length)
        write_table(rejected_table(errors), part_path(self.folder, part, "rejected"))
        write_table(table, part_path(self.folder, part))  # second: it says that the part is done
        return pa.table({"part": [part], "proteins": [len(sources)]})


def _settings(run: PredictRun, lm: str, sources: list[Source], errors: list[InputError]) -> dict:
    """All that the predictions depend on."""
    files = sorted({source.file for source in sources} | {error.file for error in errors})
    return {
        "model": f"{remote.named(run.model.resolve())} ({fingerprint(str(run.model))})",
        "language model": f"{lm} ({fingerprint(lm)})",
        "inputs": str((run.msas or run.fasta or Path()).resolve()),
        "number of inputs": len(sources) + len(errors),
        "state of the inputs": state_of(map(Path, files))[:16],
        "max_length": run.max_length,
    }


def _finished(run: PredictRun, settings: dict) -> dict | None:
    """The summary of an earlier run that was the same and wrote everything."""
    if not run.out.exists() or not run.rejected.is_file() or run.work.exists():
        return None
    metadata: dict[bytes, bytes] = pq.read_schema(run.rejected).metadata or {}
    stored = json.loads(metadata.get(RECORD, b"{}"))
    if stored.get("out") != run.out.name or stored.get("settings") != settings or not stored["predicted"]:
        return None
    return _summary(stored["predicted"], pq.read_table(run.rejected)) | {"cached": True}


def _check_out(run: PredictRun, many: bool, settings: dict) -> None:
    """Refuse a work folder of other settings, and a folder that holds files which are not ours to replace."""
    check_target(run.out, many)
    stored = run.work / "settings.json"
    if stored.is_file():
        if changed := difference(json.loads(stored.read_text()), settings):
            raise ValueError(
                f"{run.work} holds an unfinished run with other settings: {changed}. "
                "Choose another --out, or remove that folder"
            )
    elif run.out.is_dir() and any(run.out.iterdir()):
        raise ValueError(f"{run.out} is a folder with files in it; choose another --out, or remove it")


def _finish(run: PredictRun, n_parts: int, errors: list[InputError], many: bool, settings: dict) -> dict:
    """Write the file and the rejects from the parts, and remove the work folder."""
    remote.pull(run.work)
    parts = [part_path(run.work, number) for number in range(n_parts)]
    faults = [read_parquet(part_path(run.work, number, "rejected"), remedy=AGAIN) for number in range(n_parts)]
    rejected = pa.concat_tables([rejected_table(errors), *faults])
    predicted = sum(pq.read_metadata(part).num_rows for part in parts)
    if predicted:
        write((read_parquet(part, remedy=AGAIN).cast(PREDICTED) for part in parts), run.out, many)
    record = {"out": run.out.name, "predicted": predicted, "settings": settings}
    rejected = rejected.replace_schema_metadata((rejected.schema.metadata or {}) | {RECORD: json.dumps(record)})
    run.rejected.parent.mkdir(parents=True, exist_ok=True)
    remote.push(run.out)  # before what says that it is finished
    write_table(rejected, run.rejected)
    remote.remove(run.work)
    summary: dict = {**_summary(predicted, rejected), "cached": False}
    if not predicted:
        lines = reason_lines(summary["reasons"])
        raise ValueError(
            f"no usable protein among {rejected.num_rows} in {run.msas or run.fasta}; see {run.rejected}{lines}"
        )
    return summary


def _summary(predicted: int, rejected: pa.Table) -> dict[str, Any]:
    reasons = group_reasons(rejected["reason"].to_pylist())
    return {"n_predicted": predicted, "n_rejected": rejected.num_rows, "reasons": reasons}


def part_path(folder: Path, number: int, kind: str = "part") -> Path:
    return folder / f"{kind}-{number:06d}.parquet"
