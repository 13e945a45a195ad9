"""ATOM3D's splits of PSR (quality of models) and MSP (binding of mutants) -> what the jobs of these tasks read.

PSR  ``OUT/T0759/*.pdb`` and ``OUT/scores.csv``, for jobs/quality.py --data OUT
MSP  ``OUT/complexes/*.pdb`` and ``OUT/mutations.csv``, for jobs/stability.py --task msp --data OUT/mutations.csv

The table is written line by line: after a stop the same command goes on behind its last line.
"""

import ast
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from protray.cluster.runtime.command import run_command
from protray.cluster.runtime.progress import Progress
from protray.cluster.storage.rejects import check_rejected, rejected_table
from protray.data.decoys.score_tables import SCORES
from protray.data.location import Location
from protray.models.tasks.graphqa_config import GLOBAL
from protray.seq.errors import InputError
from protray.struct.files.atom3d import count_items, pdb_text, read_items, substitutions
from protray.struct.files.io import structure_stem

SPLITS = {"train": "train", "val": "validation", "test": "test"}
MUTATIONS, COMPLEXES = "mutations.csv", "complexes"
PSR, MSP = ("target", "decoy", *GLOBAL, "split"), ("id", "structure", "mutation", "value", "split")


@dataclass(frozen=True, kw_only=True)
class Unpack:
    """Which databases to read, and where to write."""

    data: Location
    """Folder with the databases train, val and test, such as split-by-year/data of PSR."""
    out: Location
    """Folder to write to."""


def unpack_command(description: str | None, argv: list[str] | None = None) -> int:
    """Unpack from the command line; returns the exit status."""
    return run_command(Unpack, unpack, description, argv)


def unpack(run: Unpack) -> None:
    """Write structures and table; ValueError if there are no such databases, or over a tenth cannot be used."""
    folders = {split: run.data.path / name for name, split in SPLITS.items()}
    if lost := [folder for folder in folders.values() if not (folder / "data.mdb").is_file()]:
        raise ValueError(f"{lost[0]} is no LMDB; --data is a folder with {', '.join(SPLITS)}, each with data.mdb in it")
    _, first = next(read_items(folders["train"]))
    of_models = "scores" in first
    table, columns = run.out.path / (SCORES if of_models else MUTATIONS), PSR if of_models else MSP
    done, total = _begun(table, columns), sum(map(count_items, folders.values()))
    items = chain.from_iterable(_of_split(folder, split, of_models, done) for split, folder in folders.items())
    errors, used = [], len(done)
    with Progress("items") as show, table.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        for id, split, item in items:
            try:
                row = (_model if of_models else _mutant)(id, item, run.out.path)
                writer.writerow(row | {"split": split})
                used += 1
            except (ValueError, KeyError) as error:
                errors.append(InputError(run.data / split, None, str(error), id))
            file.flush()
            show(used + len(errors), total)
    if errors:
        with (run.out / "rejected.parquet").writing() as path:
            pq.write_table(rejected_table(errors), path)
    check_rejected(run.out, "items", used)
    print(f"{used} of {total} items\ntable  {table}")


def _begun(table: Path, columns: tuple[str, ...]) -> set[tuple[str, ...]]:
    """What names the rows of a table; a last one that was cut is taken off, and a new table gets its header."""
    whole = table.read_bytes() if table.is_file() else b""
    whole = whole[: whole.rfind(b"\n") + 1] or (",".join(columns) + "\r\n").encode()
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_bytes(whole)
    return {_key(row) for row in csv.DictReader(io.StringIO(whole.decode(), newline=""))}


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return (row["target"], row["decoy"]) if "target" in row else (row["id"],)


def _of_split(
    folder: Path, split: str, of_models: bool, done: set[tuple[str, ...]]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    def skip(id: str) -> bool:
        return (names_of(id) if of_models else (id,)) in done

    yield from ((id, split, item) for id, item in read_items(folder, skip))


def names_of(id: str) -> tuple[str, str]:
    """Target and model of an item of PSR.

    >>> names_of("('T0759', 'QUARK_TS1.pdb')")
    ('T0759', 'QUARK_TS1')
    """
    target, model = ast.literal_eval(id)
    return str(target), structure_stem(str(model))


def _model(id: str, item: dict[str, Any], out: Path) -> dict[str, Any]:
    target, model = names_of(id)
    (out / target).mkdir(exist_ok=True)
    (out / target / f"{model}.pdb").write_text(pdb_text(item["atoms"]))
    return {"target": target, "decoy": model} | {
        name: item["scores"][name] for name in GLOBAL if name in item["scores"]
    }


def _mutant(id: str, item: dict[str, Any], out: Path) -> dict[str, Any]:
    """Of what is measured only the sign is there: below 0, the mutant binds better."""
    text = pdb_text(item["original_atoms"])
    name = (
        f"{COMPLEXES}/{id.split('_')[0]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}.pdb"  # one for all its mutants
    )
    (out / COMPLEXES).mkdir(exist_ok=True)
    (out / name).write_text(text)
    mutation = substitutions(item["original_atoms"], item["mutated_atoms"])
    return {"id": id, "structure": name, "mutation": mutation, "value": -1 if int(item["label"]) else 1}
