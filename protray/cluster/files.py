"""Files that appear under their name only when they are whole, and text that Arrow can store."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from protray.data import schemas
from protray.seq.msa import InputError


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all; NaN is an error."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    partial.replace(path)


def difference(before: dict, now: dict) -> str:
    """Say which settings of a folder differ from those asked for, and how; empty if none does."""
    now = json.loads(json.dumps(now))
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return "; ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in names)


def printable(name: str | None) -> str | None:
    """Put '?' for the bytes of a file name that are no text, which Arrow cannot store."""
    return None if name is None else name.encode(errors="replace").decode()


def rejected_table(errors: list[InputError]) -> pa.Table:
    """One row of ``schemas.REJECTED`` for each protein that cannot be used."""
    rows = [
        {
            "id": printable(error.id),
            "file": printable(error.file),
            "line": error.line,
            "reason": printable(error.reason),
        }
        for error in errors
    ]
    return pa.Table.from_pylist(rows, schema=schemas.REJECTED)
