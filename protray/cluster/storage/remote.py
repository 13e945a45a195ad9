"""What jobs write to ``s3://`` or ``gs://``: all work is done in mirrors (`storage.addresses`), which are
folders of one node each; the bucket is what the nodes share.

- When a job starts, its mirror is made equal to the bucket (`kept`): whatever a killed run left here alone is gone.
- `files.whole` puts each file into the bucket as soon as it is written, by whichever process.  What is written in other
  ways the driver pushes at the end, or before it writes that something is finished.
- Whoever reads what another node may have written pulls it first.
- Checkpoints go through Ray Train to the address itself, and are in no mirror.

For paths that are in no mirror these functions do nothing, so that the rest of the package need not ask.  Endpoint,
region and credentials are those of the environment (``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``, ...;
or what the machine has), on every node.
"""

import errno
import functools
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from protray.cluster.storage.addresses import MIRROR, here, is_address, located, named, root, uri_of
from protray.cluster.tracking.run_info import redact
from protray.cluster.tracking.spool import locked

if TYPE_CHECKING:
    from pyarrow import fs

log = logging.getLogger(__name__)

Job = TypeVar("Job", bound=Callable[..., Any])

AT_ONCE = 8  # files that are copied at the same time
PIECE = 8 << 20  # bytes
CHECKPOINTS = ("checkpoint-", "checkpoint_")  # how Ray Train's folders begin
_PARTIAL = re.compile(r"\..+\.(\d+|partial)|.*-journal")  # files that are being written

_as_there: dict[Path, tuple[int, int]] = {}  # files that are as in the bucket: size and time when they were copied


def push(path: Path) -> None:
    """Copy a file, or what is new in a folder, to the bucket.

    Files that end in .json come last, and those at the top after those below: they say that others are complete.
    """
    if uri_of(path) is None:
        return
    path = here(path)
    below = (file for file in path.rglob("*") if file.is_file() and not _PARTIAL.fullmatch(file.name))
    new = [file for file in ([path] if path.is_file() else below) if _as_there.get(file) != _state(file)]
    marks = sorted((file for file in new if file.suffix == ".json"), key=lambda file: (-len(file.parts), file))
    with _told(path), ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_upload, [file for file in new if file.suffix != ".json"]))
        for file in marks:
            _upload(file)


def pull(path: Path, exact: bool = False, skip: str | None = None) -> Path:
    """Copy what is new in the bucket below `path`, a file or a folder; returns the path in this node's mirror.

    With `exact`, files that the bucket does not have are removed here.  Folders of the name `skip` stay there alone,
    as checkpoints do.  Processes of one node, which share a mirror, pull one after the other.
    """
    if uri_of(path) is None:
        return path
    path = here(path)
    root().mkdir(parents=True, exist_ok=True)
    with _told(path), locked(root() / ".lock"), ThreadPoolExecutor(AT_ONCE) as pool:
        there = {file: found for file, found in _listed(path) if not _stays(file.relative_to(path), skip)}
        if exact:
            _remove_others(path, there.keys())
        list(pool.map(_download, there, there.values()))
    return path


def remove(path: Path) -> None:
    """Remove a file or a folder, here and in the bucket; nothing happens where there is none."""
    _remove_here(here(path))
    if uri_of(path) is None:
        return
    with _told(path):
        filesystem, key = _place(path)
        kind = filesystem.get_file_info(key).type.name
        if kind == "Directory":
            with suppress(FileNotFoundError):  # gs:// has no folders as such; what is in this one is gone
                filesystem.delete_dir(key)
        elif kind == "File":
            filesystem.delete_file(key)


def drop(path: Path) -> None:
    """Remove this node's copy of what is in the bucket; a path outside of mirrors stays."""
    if uri_of(path) is not None:
        _remove_here(here(path))


def kept(
    *inputs: str, skip: str | None = None, places: Callable[[Any], tuple[Path, ...]] = lambda run: (run.out,)
) -> Callable[[Job], Job]:
    """Decorate ``job(run, ...)`` so that ``run.out``, and the options `inputs`, may be addresses.

    The job sees paths in mirrors.  Before it begins, `places`, all that it writes, are as in the bucket, but for
    folders `skip`, which it does not read; when it ends, in whatever way, what it wrote is in the bucket.
    """

    def decorate(job: Job) -> Job:
        @functools.wraps(job)
        def with_mirrors(run: Any, *args: Any, **more: Any) -> Any:
            run = replace(run, **_mirrors(run, inputs))
            for place in places(run):
                pull(place, exact=True, skip=skip)
            try:
                result = job(run, *args, **more)
            except BaseException:
                try:
                    _push_all(places(run))
                except OSError as error:  # the job's own error is the one to show
                    log.warning("%s", error)
                raise
            _push_all(places(run))
            return result

        return with_mirrors  # type: ignore[return-value]

    return decorate


def _mirrors(run: Any, inputs: tuple[str, ...]) -> dict[str, Any]:
    """The options of `run` that are addresses, as paths in mirrors; inputs are copied there."""
    found = {}
    for name in (field.name for field in fields(run)):
        value = getattr(run, name)
        several = isinstance(value, tuple)
        paths = [path for path in (value if several else (value,)) if isinstance(path, Path)]
        if not any(map(is_address, paths)):
            continue
        if name not in ("out", *inputs):
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} is {named(paths[0])}; it must be a file or folder that all nodes see")
        mirrors = [located(path) if name == "out" else pull(located(path)) for path in paths]
        found[name] = tuple(mirrors) if several else mirrors[0]
    return found


def _push_all(places: tuple[Path, ...]) -> None:
    for place in places:
        push(place)


@functools.cache
def _filesystem(bucket: str) -> "fs.FileSystem":
    from pyarrow import fs

    return fs.FileSystem.from_uri(bucket)[0]


def _place(path: Path) -> "tuple[fs.FileSystem, str]":
    """File system and name there of a path in a mirror."""
    scheme, bucket, *rest = path.parts[path.parts.index(MIRROR) + 1 :]
    return _filesystem(f"{scheme}://{bucket}"), "/".join([bucket, *rest])


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name the address in errors of the file system."""
    try:
        yield
    except OSError as error:
        if error.filename or error.errno == errno.ENOSPC:
            raise  # of this node's disk
        reason = redact(" ".join(str(error).split()))
        raise OSError(f"{uri_of(path)}: {reason}; are the address, the region and the credentials right?") from None


def _listed(path: Path) -> "list[tuple[Path, fs.FileInfo]]":
    """Every file in the bucket at or below `path`, by its name here."""
    from pyarrow import fs

    filesystem, key = _place(path)
    found = filesystem.get_file_info(key)
    if found.is_file:
        return [(path, found)]
    below = filesystem.get_file_info(fs.FileSelector(key, recursive=True, allow_not_found=True))
    return [(path / info.path[len(key) + 1 :], info) for info in below if info.is_file]


def _stays(name: Path, skip: str | None) -> bool:
    return any(part == skip or part.startswith(CHECKPOINTS) for part in name.parts)


def _upload(file: Path) -> None:
    filesystem, key = _place(file)
    state = _state(file)
    _copy(str(file), key, into=filesystem)
    seconds = int(filesystem.get_file_info(key).mtime.timestamp())
    if _state(file) == state:  # else it has changed meanwhile, and is copied again next time
        _note(file, seconds)


def _download(file: Path, found: "fs.FileInfo") -> None:
    seconds = int(found.mtime.timestamp())
    if not file.is_file() or _state(file) != (found.size, seconds * 10**9):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        filesystem, key = _place(file)
        _copy(key, str(partial), out_of=filesystem)
        partial.replace(file)
    _note(file, seconds)


def _copy(source: str, target: str, into: "fs.FileSystem | None" = None, out_of: "fs.FileSystem | None" = None) -> None:
    from pyarrow import fs

    local = fs.LocalFileSystem()
    fs.copy_files(source, target, out_of or local, into or local, chunk_size=PIECE, use_threads=False)


def _note(file: Path, seconds: int) -> None:
    """Give a file the bucket's time, by which it is known to be the same."""
    os.utime(file, ns=(seconds * 10**9, seconds * 10**9))
    _as_there[file] = _state(file)


def _state(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _remove_here(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_others(path: Path, wanted: "set[Path] | Any") -> None:
    """Remove the files at or below `path` that are not `wanted`, and folders that are empty then."""
    found = [path] if path.is_file() else sorted(path.rglob("*"), reverse=True)  # what is in a folder before it
    for entry in found:
        if entry.is_dir():
            if not any(entry.iterdir()):
                entry.rmdir()
        elif entry not in wanted and not _PARTIAL.fullmatch(entry.name):
            entry.unlink(missing_ok=True)
