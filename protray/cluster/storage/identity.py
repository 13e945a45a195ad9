"""What a folder of results belongs to: its settings, and the content of its inputs.

A file is known by what is in it, so that copied and touched inputs are the same.  Digests are kept in this node's
cache by path, size and time, and files that have not changed are not read again.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing

from protray.data.location import Location, cache

PIECE = 1 << 22  # bytes that are read at a time
_DIGEST = re.compile(r"[0-9a-f]{12}|[0-9a-f]{16}|[0-9a-f]{32}")


def digest(content: object) -> str:
    """Twelve letters for anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


def content_digest(files: Iterable[Location], below: Location | None = None) -> str:
    """Hash of the content of files, and of their names in the folder `below`; a file that is itself `below` has none.

    Of an address size and time count: reading it would be a download.
    """
    state = hashlib.sha256()
    with closing(_known()) as known:
        for file in files:
            name = file[len(below) :] if below and file.startswith(below) else file.name
            state.update(f"{name}\0{_digest_of(file, known)}\n".encode(errors="surrogateescape"))
        known.commit()
    return state.hexdigest()[:16]


def dataset_digest(data: Location | None) -> str:
    """What identifies a dataset: the digest that the job which prepared it wrote, or the hash of the sample."""
    if data is None:
        from protray.data.sample import SAMPLE

        return content_digest([Location(SAMPLE)])
    record = data / "dataset.json"
    if not record.is_file():
        raise ValueError(
            f"{data}: no dataset.json in it; make it with jobs/prepare.py, of structures with "
            "jobs/prepare_structures.py, which write that file last"
        )
    found = record.read_json()
    if "digest" not in found:
        raise ValueError(f"{record} is damaged or not by those jobs: it lacks the digest; make the dataset anew")
    return found["digest"]


def contents(files: Iterable[Location], below: Location | None = None) -> str:
    """The same for a list of settings, with the number of the files."""
    found = list(files)
    return f"{len(found)} file{'s' if len(found) != 1 else ''} ({content_digest(found, below)})"


def claim(out: Location, settings: dict) -> None:
    """Write down that the folder belongs to these settings; ValueError if it belongs to others."""
    if not belongs(out, settings):
        (out / "run.json").write_json(settings)


def release(out: Location) -> None:
    """Let the folder belong to nothing again; what is in it may stay."""
    (out / "run.json").write_json(None)


def check_same_job(out: Location, settings: dict) -> None:
    """ValueError if the folder holds something else than results of such a job, whatever its settings were."""
    before = _settings_of(out)
    if before is not None and (foreign := sorted(before.keys() ^ settings.keys())):
        raise ValueError(f"{out} belongs to another job ({foreign[0]!r} is no setting of both); choose another --out")


def belongs(out: Location, settings: dict) -> bool:
    """Whether the folder belongs to these settings already; False if it is new.

    Raises
    ------
    ValueError
        If it belongs to other settings, which are named with both values, or holds files of something else.
    """
    before = _settings_of(out)
    if before is None:
        return False
    if changed := difference(before, settings):
        raise ValueError(f"{out} was made differently: {changed}. Choose another --out, or remove it")
    return True


def _settings_of(out: Location) -> dict | None:
    """What the folder belongs to; None if it is new or released, ValueError if it holds files of something else."""
    record = out / "run.json"
    if record.is_file():
        return record.read_json()
    if out.is_file() or (out.is_dir() and out.files()):
        raise ValueError(f"{out} exists and is no folder of such a job (it has no run.json); choose another --out")
    return None


def difference(before: dict, now: dict) -> str:
    """Say which settings differ, and how; empty if none does."""
    now = json.loads(json.dumps(now))
    return "; ".join(_changes("", before, now))


def _changes(name: str, before: object, now: object) -> Iterator[str]:
    """What differs, by the names of the innermost settings."""
    if before == now:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _changes(f"{name}.{key}".lstrip("."), before.get(key), now.get(key))
    else:
        yield _change(name, before, now)


def _change(name: str, before: object, now: object) -> str:
    if all(isinstance(value, str) and _DIGEST.fullmatch(value) for value in (before, now)):
        return f"the content of {name!r} is not the same"
    return f"{name} was {before!r}, is {now!r}"


def _digest_of(file: Location, known: sqlite3.Connection) -> str:
    size, time = file.stamp()
    if file.is_address:
        return f"{size} {time}"
    key = file.encode(errors="surrogateescape")
    found = known.execute("SELECT digest FROM files WHERE path=? AND size=? AND time=?", (key, size, time)).fetchone()
    if found:
        return found[0]
    content = hashlib.sha256()
    with open(file, "rb") as opened:
        while piece := opened.read(PIECE):
            content.update(piece)
    known.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (key, size, time, content.hexdigest()))
    return content.hexdigest()


def _known() -> sqlite3.Connection:
    """The digests that this node knows; without a cache to write to, an empty table in memory."""
    try:
        cache().mkdir(parents=True, exist_ok=True)
        known = sqlite3.connect(cache() / "digests.db", timeout=60)
        known.execute("CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INT, time INT, digest TEXT)")
    except (OSError, sqlite3.Error):
        known = sqlite3.connect(":memory:")
        known.execute("CREATE TABLE files (path BLOB PRIMARY KEY, size INT, time INT, digest TEXT)")
    return known
