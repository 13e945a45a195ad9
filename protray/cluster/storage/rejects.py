"""What a job could not use: a table of reasons, and the same in a few lines."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa

from protray.data import schemas
from protray.seq.errors import InputError

LONGEST = 300  # characters of a reason


def rejected_table(errors: Iterable[InputError]) -> pa.Table:
    """One row of ``schemas.REJECTED`` for each protein that cannot be used."""
    rows = [
        {
            "id": printable(error.id),
            "file": printable(error.file),
            "line": error.line,
            "reason": _short(printable(error.reason)),
        }
        for error in errors
    ]
    return pa.Table.from_pylist(rows, schema=schemas.REJECTED)


def printable(name: str | None) -> str | None:
    """Put '?' for the bytes of a file name that are no text, which Arrow cannot store."""
    return None if name is None else name.encode(errors="replace").decode()


def group_reasons(reasons: Iterable[str]) -> Counter[str]:
    """Count reasons that differ only in numbers, names and paths."""
    pattern = re.compile(r"'[^']*'|\([^)]*\)|\S*/\S*|\b\d+(?:\.\d+)?\b")
    return Counter(pattern.sub("...", reason) for reason in reasons)


def reason_lines(reasons: Mapping[str, int]) -> str:
    """What `group_reasons` has counted, a line for each, to stand behind an error."""
    return "".join(f"\n  {count} x {reason}" for reason, count in reasons.items())


def _short(reason: str | None) -> str:
    return reason if reason is None or len(reason) <= LONGEST else reason[: LONGEST - 4] + " ..."  # type: ignore[return-value]
