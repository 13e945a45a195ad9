"""Where files lie: a path, or an address in an object store.  Arrow's file systems read and write both in place.

A `Location` is a string (so that Arrow, Ray and JSON take it as it is) with what a job does with files.  Endpoint,
region and credentials of an address come from the environment of each node (``AWS_ENDPOINT_URL``, ``AWS_REGION``,
``AWS_ACCESS_KEY_ID``, ...; or what the machine has), never from the address.
"""

import errno
import fnmatch
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

SCHEMES = ("s3", "gs")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://?(.*)")  # pathlib makes one slash of two


class Location(str):
    """An absolute path, or ``s3://bucket/folder`` or ``gs://bucket/folder``.

    >>> Location("s3://bucket/runs/") / "mine" / "report.html"
    's3://bucket/runs/mine/report.html'

    Raises
    ------
    ValueError
        For an address of another kind, without a folder in the bucket, or with credentials or options in it.
    """

    def __new__(cls, where: str | os.PathLike[str]) -> "Location":
        text = os.fspath(where)
        found = _ADDRESS.fullmatch(text)
        return super().__new__(cls, _address(found[1].lower(), found[2]) if found else os.path.abspath(text))

    @property
    def is_address(self) -> bool:
        return "://" in self

    @property
    def path(self) -> Path:
        """The path of what lies in a file system; ValueError for an address."""
        if self.is_address:
            raise ValueError(f"{self}: this must be a file or folder that all nodes see, not an address")
        return Path(self)

    @property
    def name(self) -> str:
        return self.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.name)[1]

    @property
    def parent(self) -> "Location":
        return Location(self.rpartition("/")[0] or "/")

    def __truediv__(self, name: str) -> "Location":
        return Location(f"{self.rstrip('/')}/{name}")

    def is_file(self) -> bool:
        return self._kind() == "File"

    def is_dir(self) -> bool:
        return self._kind() == "Directory"

    def exists(self) -> bool:
        return self._kind() != "NotFound"

    def size(self) -> int:
        """Bytes of a file."""
        with _named(self):
            return self._files.get_file_info(self._key).size or 0

    def stamp(self) -> tuple[int, int]:
        """Size, and time of the last change in ns, of a file: equal, as far as can be told without reading it."""
        with _named(self):
            info = self._files.get_file_info(self._key)
        return info.size or 0, info.mtime_ns or 0

    def files(self, pattern: str = "*") -> list["Location"]:
        """All files in this folder and below whose name matches, in order; hidden ones and half-written ones not."""
        return list(self.sizes(pattern))

    def sizes(self, pattern: str = "*") -> dict["Location", int]:
        """The same with the bytes of each; one request of an object store tells a thousand."""
        from pyarrow import fs

        with _named(self):
            below = self._files.get_file_info(fs.FileSelector(self._key, recursive=True, allow_not_found=True))
        sizes = {info.path[len(self._key.rstrip("/")) + 1 :]: info.size or 0 for info in below if info.is_file}
        shown = [name for name in sorted(sizes) if not any(part.startswith(".") for part in name.split("/"))]
        return {self / name: sizes[name] for name in shown if fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)}

    def open(self) -> BinaryIO:
        """A file to read from any place in it."""
        with _named(self):
            return cast(BinaryIO, self._files.open_input_file(self._key))

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return file.read()

    def read_json(self) -> Any:
        """What `write_json` wrote; ValueError naming the file if it is something else."""
        try:
            return json.loads(self.read_bytes())
        except ValueError as error:
            raise ValueError(f"{self} is damaged ({error}); remove its folder, or put the file back") from None

    def write_bytes(self, content: bytes) -> None:
        with self.writing() as partial:
            partial.write_bytes(content)

    def write_text(self, content: str) -> None:
        self.write_bytes(content.encode())

    def write_json(self, content: object) -> None:
        """NaN is an error: JSON has none."""
        self.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A path for a file or a folder, which appears here when all went well, whole or not at all.

        A folder replaces what was here.  In an object store its .json files come last: they say that it is complete.
        """
        if not self.is_address:
            Path(self).parent.mkdir(parents=True, exist_ok=True)
            partial = Path(self).with_name(f".{self.name}.{secrets.token_hex(4)}")
            try:
                yield partial
                if partial.is_dir() and Path(self).is_dir():
                    shutil.rmtree(self)
                partial.replace(self)
            finally:
                _remove(partial)
            return
        with tempfile.TemporaryDirectory() as folder:
            partial = Path(folder) / self.name
            yield partial
            files = [file for file in partial.rglob("*") if file.is_file()] if partial.is_dir() else [partial]
            with _named(self):
                if partial.is_dir():
                    self.remove()
                for file in sorted(files, key=lambda file: (file.suffix == ".json", file)):
                    beside = file.relative_to(partial).as_posix()
                    _copy(str(file), None, self._key if file == partial else f"{self._key}/{beside}", self._files)

    def fetch(self) -> Path:
        """This file or folder as a path of this node; of an address a copy, made once for each state of it."""
        from pyarrow import fs

        if not self.is_address:
            return Path(self)
        found = [self] if self.is_file() else self.files()
        if not found:
            raise FileNotFoundError(errno.ENOENT, "No such file or folder", str(self))
        state = hashlib.sha256(repr([(name, name.stamp()) for name in found]).encode()).hexdigest()[:16]
        here = cache() / "fetched" / state / self.name
        if not here.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            with Location(here).writing() as partial, _named(self):
                for file in found:
                    target = partial / file[len(self) + 1 :] if file != self else partial
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _copy(file._key, file._files, str(target), fs.LocalFileSystem())
        return here

    def remove(self) -> None:
        """Remove a file or a folder; nothing happens where there is none."""
        if not self.is_address:
            return _remove(Path(self))
        with _named(self):
            kind = self._kind()
            if kind == "Directory":
                with suppress(FileNotFoundError):  # gs:// has no folders as such; what is in this one is gone
                    self._files.delete_dir(self._key)
            elif kind == "File":
                self._files.delete_file(self._key)
        return None

    @property
    def _files(self) -> Any:
        return _filesystem(self.partition("://")[0] + "://bucket" if self.is_address else "")

    @property
    def _key(self) -> str:
        return self.partition("://")[2] if self.is_address else str(self)

    def _kind(self) -> str:
        with _named(self):
            return self._files.get_file_info(self._key).type.name


def cache() -> Path:
    """Where this node keeps copies and locks: ``$PROTRAY_CACHE``, or ``~/.cache/protray``."""
    return Path(os.environ.get("PROTRAY_CACHE") or Path.home() / ".cache" / "protray").absolute()


def _address(scheme: str, rest: str) -> str:
    shown = f"{scheme}://{rest}"
    if scheme not in SCHEMES:
        known = " and ".join(f"{name}://" for name in SCHEMES)
        raise ValueError(f"{_without_user(shown)}: protray knows folders and the addresses {known}")
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise ValueError(
            f"{_without_user(shown)}: an address names a bucket and a folder in it; credentials, region and endpoint "
            "come from the environment of all nodes (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...)"
        )
    parts = [part for part in rest.split("/") if part]
    if len(parts) < 2 or ".." in parts:
        raise ValueError(f"{shown}: expected a bucket and a folder in it, such as {scheme}://bucket/runs/mine")
    return f"{scheme}://{'/'.join(parts)}"


def _without_user(address: str) -> str:
    """What may be shown of an address that holds credentials."""
    return re.sub(r"\?.*", "***", re.sub(r"://[^@]*@", "://***@", address))


@functools.cache
def _filesystem(bucket: str) -> Any:
    from pyarrow import fs

    return fs.FileSystem.from_uri(bucket)[0] if bucket else fs.LocalFileSystem()


@contextmanager
def _named(location: Location) -> Iterator[None]:
    """Name the location in errors of an object store, which speak of keys and requests."""
    try:
        yield
    except OSError as error:
        if not location.is_address or error.filename or error.errno == errno.ENOSPC:
            raise
        reason = " ".join(str(error).split())
        raise OSError(f"{location}: {reason}; are the address, the region and the credentials right?") from None


def _copy(source: str, out_of: Any, target: str, into: Any) -> None:
    from pyarrow import fs

    fs.copy_files(source, target, out_of or fs.LocalFileSystem(), into, chunk_size=8 << 20, use_threads=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
