"""ATOM3D's splits of PSR (quality of models) and MSP (binding of mutants) -> what the jobs of these tasks read.

PSR  ``OUT/T0759/*.pdb`` and ``OUT/scores.csv``, for jobs/quality.py --data OUT
MSP  ``OUT/complexes/*.pdb`` and ``OUT/mutations.csv``, for jobs/stability.py --task msp --data OUT/mutations.csv

The table is written line by line: after a stop the same command goes on behind its last line.
"""

import ast
import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protray.cluster.runtime.command import run_command
from protray.cluster.runtime.progress import Progress
from protray.data.decoys.files import NATIVE
from protray.data.decoys.score_tables import SCORES
from protray.data.location import Location
from protray.models.tasks.graphqa_config import GLOBAL
from protray.pipelines.tasks.properties.inputs import check_rejected
from protray.seq.errors import SHOWN, InputError
from protray.struct.files.atom3d import pdb_text, read_ids, read_items, substitutions, unpacked

SPLITS = {"train": "train", "val": "validation", "test": "test"}
MUTATIONS, COMPLEXES = "mutations.csv", "complexes"
PSR, MSP = ("target", "decoy", *GLOBAL, "split"), ("id", "structure", "mutation", "value", "split")
NAMES = ("target", "decoy", "id")  # columns that name a row
_NAME = re.compile(r"\w[\w.+-]{0,99}")  # of what becomes a file
_ENDING = re.compile(r"(\.pdb|\.cif)?(\.gz)?$")

Key = tuple[str, ...]


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
    of_models = _of_models(folders["train"])
    table, columns = run.out.path / (SCORES if of_models else MUTATIONS), PSR if of_models else MSP
    done = _begun(table, columns)
    keys, errors = _keys(folders, of_models)
    if strange := done - set(keys.values()):
        raise ValueError(
            f"{table} has rows of other data than {run.data}, such as {min(strange)}; choose another --out"
        )
    with Progress("items") as show, table.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        for split, folder in folders.items():
            wanted = [id for of, id in keys if of == split and keys[of, id] not in done]
            for id, raw in read_items(folder, wanted):
                try:
                    row = _model(keys[split, id], raw, run.out.path) if of_models else _mutant(id, raw, run.out.path)
                    writer.writerow(row | {"split": split})
                    file.flush()
                    done.add(keys[split, id])
                except (ValueError, TypeError, KeyError) as error:
                    why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
                    errors.append(InputError(folder, None, why, id))
                show(len(done) + len(errors), len(keys) + len(errors))
    check_rejected(run.out, errors, len(done), "items")
    print(f"{len(done)} items, {len(errors)} that cannot be used\ntable  {table}")


def _of_models(folder: Path) -> bool:
    """Whether the first item is a model of PSR; if not, it is a mutant of MSP."""
    names = {name for _, raw in read_items(folder, read_ids(folder)[:1]) for name in unpacked(raw)}
    if not {"atoms", "scores"} <= names and not {"original_atoms", "mutated_atoms", "label"} <= names:
        found = ", ".join(sorted(names)) or "nothing"
        raise ValueError(f"{folder} is neither PSR nor MSP of ATOM3D: its first item has {found}")
    return "scores" in names


def _begun(table: Path, columns: tuple[str, ...]) -> set[Key]:
    """What names the rows of a table; a last one that was cut is taken off, and a new table gets its header."""
    header = (",".join(columns) + "\n").encode()
    found = table.read_bytes() if table.is_file() else b""
    whole = found[: found.rfind(b"\n") + 1] or header
    if not whole.startswith(header):
        raise ValueError(f"{table} is there and has other columns; choose another --out")
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_bytes(whole)
    rows = csv.DictReader(io.StringIO(whole.decode(), newline=""))
    return {tuple(row[name] for name in NAMES if name in row) for row in rows}


def _keys(folders: dict[str, Path], of_models: bool) -> tuple[dict[tuple[str, str], Key], list[InputError]]:
    """What names the row of each item, by split and id; and an error for each id that names none of its own."""
    found: dict[tuple[str, str], Key] = {}
    errors, seen = [], set()
    for split, folder in folders.items():
        for id in read_ids(folder):
            try:
                key = names_of(id) if of_models else (id,)
                if key in seen:
                    raise ValueError("another item has the same names")
            except ValueError as error:
                errors.append(InputError(folder, None, str(error), id))
                continue
            seen.add(key)
            found[split, id] = key
    return found, errors


def names_of(id: str) -> tuple[str, str]:
    """Target and model of an item of PSR, which become a folder and a file.

    >>> names_of("('T0759', 'QUARK_TS1.pdb')")
    ('T0759', 'QUARK_TS1')
    """
    try:
        target, model = map(str, ast.literal_eval(id))
    except (ValueError, TypeError, SyntaxError):
        raise ValueError("the id does not name a target and a model, as ('T0759', 'QUARK_TS1') does") from None
    return _of_file(target), _of_file(_ENDING.sub("", model))


def _of_file(name: str) -> str:
    """The name, if a file may have it."""
    if not _NAME.fullmatch(name) or name == NATIVE:
        raise ValueError(
            f"{name[:SHOWN]!r} cannot name a file: it is to be of letters, digits, dots, dashes, at most 100"
        )
    return name


def _model(key: Key, raw: bytes, out: Path) -> dict[str, Any]:
    item, (target, model) = unpacked(raw), key
    scores = {name: item["scores"][name] for name in GLOBAL if name in (item["scores"] or ())}
    if not scores or not all(isinstance(score, int | float) and 0 <= score <= 1 for score in scores.values()):
        raise ValueError(f"of {', '.join(GLOBAL)} it has {scores or 'none'}; needed are shares from 0 to 1")
    text = pdb_text(item["atoms"])
    (out / target).mkdir(exist_ok=True)
    (out / target / f"{model}.pdb").write_text(text)
    return {"target": target, "decoy": model} | scores


def _mutant(id: str, raw: bytes, out: Path) -> dict[str, Any]:
    """Of what is measured only the sign is there: below 0, the mutant binds better.  Mutants share a complex's file."""
    item = unpacked(raw)
    mutation = substitutions(item["original_atoms"], item["mutated_atoms"])
    value = -1 if int(item["label"]) else 1
    text = pdb_text(item["original_atoms"])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    name = f"{COMPLEXES}/{_of_file(id.split('_')[0])}_{digest}.pdb"
    (out / COMPLEXES).mkdir(exist_ok=True)
    (out / name).write_text(text)
    return {"id": id, "structure": name, "mutation": mutation, "value": value}
