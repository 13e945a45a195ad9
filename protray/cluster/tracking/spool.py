"""A file of entries that could not be written yet: appended by any process, drained by the driver.

A process may be killed at any point.  An entry is then still in the file, or, if it was being drained, drained once
more: the writer must take the same entry twice.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from protray.cluster.storage.locks import locked

logger = logging.getLogger(__name__)

Entry = dict[str, object]


def append(spool: Path, entry: Entry) -> None:
    """Add one entry; safe among processes."""
    with locked(_lock(spool)), open(spool, "a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(entry) + "\n")  # the first newline ends what a killed process left half-written


def drain(spool: Path, write: Callable[[Entry], bool]) -> tuple[int, int]:
    """Hand each entry to `write`, oldest first; keep those for which it returns False.

    Returns
    -------
    written, left : int
        Entries that are done and entries that stay.
    """
    taken = spool.with_suffix(".replaying")  # so that others can append meanwhile
    with locked(_lock(spool)):
        text = "".join(path.read_text(encoding="utf-8") for path in (taken, spool) if path.exists())
        if not text:
            return 0, 0
        _write_whole(taken, text)
        spool.unlink(missing_ok=True)
    entries = list(_parse(text, spool))
    left = [entry for entry in entries if not write(entry)]
    with locked(_lock(spool)):
        newer = spool.read_text(encoding="utf-8") if spool.exists() else ""
        older = "".join(json.dumps(entry) + "\n" for entry in left)
        if older + newer:
            _write_whole(spool, older + newer)
        taken.unlink()
    return len(entries) - len(left), len(left)


def _parse(text: str, spool: Path) -> Iterator[Entry]:
    for line in text.splitlines():
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                logger.warning("%s has a line that was cut short, probably by a kill; skipped: %.80s", spool, line)


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _lock(spool: Path) -> Path:
    return spool.with_suffix(".lock")
