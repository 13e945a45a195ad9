"""What a job could not use: a table of reasons, and the same in a few lines."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import pyarrow as pa

from protray.data import schemas
from protray.data.location import Location
from protray.data.parquet import read_parquet
from protray.seq.errors import InputError

log = logging.getLogger(__name__)

LONGEST = 300  # characters of a reason
MOST_REJECTED = 0.1  # share of a task's files or rows


def rejected_table(errors: Iterable[InputError]) -> pa.Table:
    """One row of ``schemas.REJECTED`` for each protein that cannot be used."""
    return pa.Table.from_pylist([rejected_row(error) for error in errors], schema=schemas.REJECTED)


def rejected_row(error: InputError) -> dict:
    """The same of one; `InputError` takes it back."""
    reason = _short(printable(error.reason))
    return {"id": printable(error.id), "file": printable(error.file), "line": error.line, "reason": reason}


def printable(name: str | None) -> str | None:
    """Put '?' for the bytes of a file name that are no text, which Arrow cannot store."""
    return None if name is None else name.encode(errors="replace").decode()


def group_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Count reasons that differ only in numbers, names and paths, the most frequent first; what all say is in full."""
    pattern = re.compile(r"'[^']*'|\([^)]*\)|\S*/\S*|\b\d+(?:\.\d+)?\b")
    alike: dict[str, list[str]] = defaultdict(list)
    for reason in reasons:
        alike[pattern.sub("...", reason)].append(reason)
    return dict(Counter({_shared(pattern, some): len(some) for some in alike.values()}).most_common())


def _shared(pattern: re.Pattern[str], some: list[str]) -> str:
    """Reasons of one form, with "..." for the words of `pattern` in which they differ."""
    words = [words[0] if len(set(words)) == 1 else "..." for words in zip(*map(pattern.findall, some), strict=True)]
    return "".join(map("".join, zip(pattern.split(some[0]), [*words, ""], strict=True)))


def reason_lines(reasons: Mapping[str, int]) -> str:
    """What `group_reasons` has counted, a line for each, to stand behind an error."""
    return "".join(f"\n  {count} x {reason}" for reason, count in reasons.items())


def check_rejected(out: Location, what: str, used: int) -> None:
    """Warn of what ``OUT/rejected.parquet`` names, if it is there; ValueError above a tenth of it and the `used`."""
    file = out / "rejected.parquet"
    table = read_parquet(file) if file.is_file() else schemas.REJECTED.empty_table()
    if not (refused := table.num_rows):
        return
    told = f"{refused} of {used + refused} {what} cannot be used:"
    told += reason_lines(group_reasons(table["reason"].to_pylist()))
    if refused > MOST_REJECTED * (used + refused):
        first = InputError(**table.slice(0, 1).to_pylist()[0])
        raise ValueError(f"{told}\nfirst: {first}\nno more than a tenth may be so; all are in {file}")
    log.warning("%s", told)


def _short(reason: str | None) -> str:
    return reason if reason is None or len(reason) <= LONGEST else reason[: LONGEST - 4] + " ..."  # type: ignore[return-value]
