"""Files that appear under their name only when they are whole, what tells inputs and settings apart, and rejects."""

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from protray.cluster.storage import remote
from protray.data import schemas
from protray.data.parquet import WRITING
from protray.seq.msa import InputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name to write under; the file gets its own when all went well, and is then also in the bucket.

    Where `path` lies in the mirror of an address, be it another node's, the file is written in this node's.
    """
    if remote.uri_of(path) is not None:
        path = remote.here(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    yield partial
    partial.replace(path)
    remote.push(path)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file, whole or not at all."""
    with whole(path) as partial:
        pq.write_table(table, partial, **WRITING)


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all; NaN is an error."""
    with whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote; raises ValueError naming the file if it is something else."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove its folder, or put the file back") from None


def finite(content: Any) -> Any:
    """`content` with null for every number that is not finite, which JSON does not know."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def state_of(files: Iterable[Path]) -> str:
    """Hash of the names, sizes and times of files: another one where they are others."""
    state = hashlib.sha256()
    for file in files:
        stat = file.stat()
        name = remote.uri_of(file) or file
        state.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return state.hexdigest()


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


def group_reasons(reasons: list[str]) -> dict[str, int]:
    """Count reasons that differ only in numbers, names and paths, the most frequent first."""
    pattern = re.compile(r"'[^']*'|\([^)]*\)|\S*/\S*|\b\d+(?:\.\d+)?\b")
    return dict(Counter(pattern.sub("...", reason) for reason in reasons).most_common())


def reason_lines(reasons: Mapping[str, int]) -> str:
    """What `group_reasons` has counted, a line for each, to stand behind an error."""
    return "".join(f"\n  {count} x {reason}" for reason, count in reasons.items())
