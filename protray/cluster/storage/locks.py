"""Locks among the processes of a machine, given back when their process ends, however it does."""

import fcntl  # POSIX only, as is Ray beyond its Windows beta
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protray.data.location import Location, cache


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock among the processes that share this file system."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_in(out: Location) -> Iterator[None]:
    """Raise ValueError if another process of this machine, such as the same command twice, works in `out`."""
    try:
        (cache() / "locks").mkdir(parents=True, exist_ok=True)
        file = open(cache() / "locks" / hashlib.sha256(out.encode(errors="surrogateescape")).hexdigest()[:16], "w")
    except OSError:  # no home to write to: then nobody is kept out
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another job is working in {out}: wait for it, or choose another --out") from None
        yield
