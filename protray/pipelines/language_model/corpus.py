"""FASTA files -> an encoded corpus in a folder, with one Ray Data task for every bundle of files.

A bundle that is done has a ``bundle-B.json`` and is never read again; ``corpus.json``, written last, adds them up.
"""

import json
import logging
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from protray.cluster.batch.tasks import run_tasks
from protray.cluster.storage import remote
from protray.cluster.storage.files import whole, write_json
from protray.pipelines.language_model.pretrain_run import PretrainRun
from protray.plm.corpus import fasta_files, open_corpus, read_sequences
from protray.plm.encode import EXCLUDED, IdTable, Sieve, add_up, bundles_of, draw_clusters, encode_files, read_ids

log = logging.getLogger(__name__)


def encode_corpus(run: PretrainRun, folder: Path, progress: Callable[[float, float], None]) -> dict:
    """Write what is missing in `folder` and return the content of ``corpus.json``.

    `progress(done, of)` counts bytes of input.  Raises ValueError if a file cannot be read to its end, if nothing is
    left to train on, or if no cluster was held out.
    """
    complete = folder / "corpus.json"
    if complete.is_file():
        return json.loads(complete.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(run, folder)
    bundles = bundles_of(fasta_files(run.fasta))
    sizes = [sum(file.stat().st_size for file in files) for files in bundles]
    missing = [b for b in range(len(bundles)) if not _record(folder, b).is_file()]
    done = sum(sizes) - sum(sizes[b] for b in missing)
    pieces = [{"bundle": b, "files": [str(path.resolve()) for path in bundles[b]]} for b in missing]
    for number, problem in run_tasks(_encode_bundle, pieces, folder=folder.resolve(), min_length=run.min_length):
        if problem:
            raise ValueError(problem)
        done += sizes[missing[number]]
        progress(done, sum(sizes))
    remote.pull(folder)
    summary = add_up(json.loads(_record(folder, b).read_text()) for b in range(len(bundles)))
    _check(summary, run)
    write_json(complete, summary)
    _warn_of_twins(folder)
    return summary


def _write_tables(run: PretrainRun, folder: Path) -> None:
    """Sort the ids that do not simply train into tables on disk, which all tasks map into memory."""
    ids: Iterable[tuple[str, bool]] = ()
    if run.held_out:
        ids = ((name, False) for name, _ in read_sequences(run.held_out))
    if run.exclude:
        ids = chain(ids, read_ids(run.exclude))
    tables: dict[str, Iterable[tuple[str, bool]]] = {"excluded": ids}
    if run.clusters:
        tables["clusters"] = draw_clusters(run.clusters, run.held_out_share, run.lm.seed)
    for name, entries in tables.items():
        with whole(folder / f"{name}.npy") as partial, partial.open("wb") as file:
            np.save(file, IdTable.make(entries).entries_M)


def _encode_bundle(piece: dict, folder: Path, min_length: int) -> str:
    """Ray task: stream the files of one bundle into parts; returns what is wrong with its input, if something is."""
    excluded, clusters = (_table(remote.pull(folder / f"{name}.npy")) for name in ("excluded", "clusters"))
    sieve = Sieve(min_length=min_length, excluded=excluded, clusters=clusters)
    folder, bundle = remote.here(folder), f"{piece['bundle']:05d}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        counts = encode_files([Path(file) for file in piece["files"]], folder, bundle, sieve)
    except ValueError as error:  # told by the driver in one line, where Ray would add a page
        return str(error)
    for part in folder.glob(f"*-{bundle}-*"):
        remote.push(part)
    write_json(_record(folder, piece["bundle"]), counts)
    return ""


def _table(path: Path) -> IdTable | None:
    return IdTable(np.load(path, mmap_mode="r")) if path.is_file() else None


def _record(folder: Path, bundle: int) -> Path:
    return folder / f"bundle-{bundle:05d}.json"


def _check(summary: dict, run: PretrainRun) -> None:
    """Say what was left out, and stop if too much was."""
    counted, residues = summary["sequences"], summary["residues"]
    log.info("corpus: %d sequences, %.1f M residues to train on", counted["train"], residues["train"] / 1e6)
    if run.clusters:
        log.info("corpus: %d sequences of whole clusters are held out", counted["held-out"])
    for reason, count in sorted(summary["left_out"].items()):
        log.info("corpus: %d left out: %s (first: %s)", count, reason, summary["first_left_out"][reason])
    if run.exclude and EXCLUDED not in summary["left_out"]:
        log.warning("corpus: no sequence has an id of %s; are they spelled as in the FASTA headers?", run.exclude)
    if not counted["train"]:
        raise ValueError(f"nothing to train on in {[str(path) for path in run.fasta]}: {summary['left_out']}")
    if run.clusters and not counted["held-out"]:
        raise ValueError(
            f"no sequence belongs to a held-out cluster of {run.clusters}: raise --held-out-share, now "
            f"{run.held_out_share}, or use smaller clusters"
        )


def _warn_of_twins(folder: Path) -> None:
    ids = open_corpus(folder, "train").ids()
    twins = len(ids) - len(np.unique(ids))
    if twins:
        log.warning("corpus: %d sequences have the id of another; they train as often as they occur", twins)
