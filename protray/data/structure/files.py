"""A user's structure files: a folder, a tar archive, a text list or one file; what is in it and what cannot be used."""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from protray.data.location import Location
from protray.data.secondary.inputs import files_in
from protray.seq.errors import InputError, is_of_disk
from protray.seq.files.folders import list_folder
from protray.seq.files.packed import read_bytes, unpack
from protray.struct.files.io import FORMATS, is_structure

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open, b"BZ": bz2.open}  # by the first two bytes
_COPY_BYTES = 1 << 24
BEGINNING_S, HELD = 4.0, 48  # of a packed archive: how long it is read for an estimate, and files that are kept
BROKEN = (EOFError, lzma.LZMAError, zlib.error)


@dataclass(frozen=True)
class Source:
    """One structure file: `size` bytes of `path` from `offset` on, or all of it, or what it holds already."""

    name: str  # the file, or archive/member, as it was given
    path: str  # absolute: workers may have another working directory
    offset: int | None = None
    size: int | None = None
    content: bytes | None = None  # as it lies in the archive


def find_sources(structures: Path, work: Location | None) -> tuple[list[Source], list[InputError]]:
    """List structure files in the order of their names; what is none of them is an error, and stops nothing.

    Parameters
    ----------
    structures : Path
        A folder (read with its subfolders, without hidden files), a tar archive, a structure file, or a text file
        with one path a line, relative to its own folder; '#' begins a comment.
    work : Location, optional
        Folder, or address, for the unpacked copy of a packed archive; all nodes read it there.  Without one, files of
        its beginning are listed (`beginning`).

    Raises
    ------
    ValueError
        If it does not exist, or the archive is damaged.
    OSError
        Of a disk, where an archive is read or unpacked.
    """
    if structures.is_dir():
        listing = list_folder(structures)
        sources, errors = _sort_out(((str(path), None) for path in listing.files), structures)
        return sources, errors + listing.errors
    if not structures.is_file():
        raise ValueError(f"structures: {structures} does not exist")
    if is_archive(structures):
        if work is None and is_packed(structures):
            return beginning(structures)[0], []
        return _in_archive(structures, work)
    if is_structure(structures):
        return [Source(str(structures), str(structures.absolute()))], []
    return _sort_out(listed(structures), structures)


def input_files(structures: Path) -> list[Path]:
    """The files that `find_sources` would read, a list itself included; raises ValueError if there is no such path."""
    if structures.is_dir():
        return files_in(structures)
    if not structures.is_file():
        raise ValueError(f"structures: {structures} does not exist")
    if is_archive(structures) or is_structure(structures):
        return [structures]
    return [structures, *(file for name, _ in listed(structures) if (file := Path(name)).is_file())]


def is_archive(path: Path) -> bool:
    """Whether the name ends as tar archives do."""
    return path.name.lower().endswith(ARCHIVES)


def is_packed(path: Path) -> bool:
    """Whether it is an archive that has to be unpacked."""
    return path.is_file() and is_archive(path) and _opener(path) is not None


def read_source(source: Source) -> bytes:
    """The decompressed content of one structure file; InputError if it is damaged."""
    if source.content is not None:
        return unpack(io.BytesIO(source.content), source.name)
    if source.offset is None or source.size is None:
        return read_bytes(source.path)
    with Location(source.path).open() as file:
        file.seek(source.offset)
        return unpack(io.BytesIO(file.read(source.size)), source.name)


@cache
def beginning(archive: Path) -> tuple[list[Source], float]:
    """Files of the first seconds of a packed archive, in memory, and the share of it that was read, for an estimate.

    Raises ValueError if it is damaged.
    """
    sources: list[Source] = []
    deadline = time.monotonic() + BEGINNING_S
    try:
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r|*") as tar:
            for member in tar:
                wanted = member.isreg() and is_structure(member.name) and not _is_hidden(PurePosixPath(member.name))
                file = tar.extractfile(member) if wanted else None
                if file:
                    content = file.read()
                    sources.append(Source(f"{archive}/{member.name}", str(archive), None, len(content), content))
                if len(sources) == HELD or time.monotonic() > deadline:
                    return sources, packed.tell() / archive.stat().st_size
    except (tarfile.TarError, OSError, *BROKEN) as error:
        if is_of_disk(error):
            raise
        raise InputError(archive, None, f"the archive cannot be read: {error}") from error
    return sources, 1.0


def listed(path: Path) -> list[tuple[str, int]]:
    """The paths in a text list, and the line that each is on."""
    raw = read_bytes(path)
    if b"\0" in raw:
        raise InputError(path, None, f"neither a structure, an archive ({' '.join(ARCHIVES)}) nor a text list of files")
    lines = [line.partition("#")[0].strip() for line in raw.decode("utf-8-sig", "surrogateescape").splitlines()]
    found = [(str(path.parent / line), number) for number, line in enumerate(lines, start=1) if line]
    if not found:
        raise InputError(path, None, "the list of structure files is empty")
    return found


def _sort_out(files: Iterable[tuple[str, int | None]], given: Path) -> tuple[list[Source], list[InputError]]:
    sources, errors = [], []
    for name, line in files:
        where = name if line is None else given  # of a listed file, the line in the list is to blame
        if not is_structure(name):
            errors.append(InputError(where, line, _foreign(name)))
        elif line is not None and not Path(name).is_file():
            errors.append(InputError(where, line, f"no such file: '{name}'"))
        else:
            sources.append(Source(name, str(Path(name).absolute())))
    return sources, errors


def _in_archive(archive: Path, work: Location | None) -> tuple[list[Source], list[InputError]]:
    """Index an archive, so that each task reads its own members; nothing is extracted."""
    plain = _unpacked(archive, work) if work else Location(archive)
    sources, errors = [], []
    try:
        with plain.open() as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                name, path = f"{archive}/{member.name}", PurePosixPath(member.name)
                if member.isdir() or _is_hidden(path):
                    continue
                if path.is_absolute() or ".." in path.parts:
                    errors.append(InputError(name, None, "a member path that leads out of the archive is not read"))
                elif not member.isreg() or member.issparse():
                    errors.append(InputError(name, None, "a link or another thing that is no plain file is not read"))
                elif not is_structure(member.name):
                    errors.append(InputError(name, None, _foreign(member.name)))
                else:
                    sources.append(Source(name, str(plain), member.offset_data, member.size))
    except (tarfile.TarError, EOFError) as error:
        raise InputError(archive, None, f"the archive cannot be read: {error}") from error
    end = max((source.offset + source.size for source in sources if source.offset and source.size), default=0)
    if end > plain.size():
        raise InputError(archive, None, "the archive is truncated: its last member is not whole")
    return sorted(sources, key=lambda source: source.name), errors


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)


def _unpacked(archive: Path, work: Location) -> Location:
    """The archive itself, or an unpacked copy in `work`, as packed ones cannot be read in parallel."""
    opener = _opener(archive)
    if opener is None:
        return Location(archive)
    plain = work / "archive.tar"
    if not plain.exists():
        with plain.writing() as partial:
            try:
                with opener(archive) as packed, partial.open("wb") as copy:
                    shutil.copyfileobj(packed, copy, _COPY_BYTES)
            except (OSError, *BROKEN) as error:
                if is_of_disk(error):
                    raise
                raise InputError(archive, None, f"the archive cannot be unpacked into {work}: {error}") from error
    return plain


def _opener(archive: Path) -> Callable[[Path], BinaryIO] | None:
    """What opens a packed archive; None for one that is not."""
    with archive.open("rb") as file:
        return _PACKED.get(file.read(2))


def _foreign(name: str) -> str:
    suffix = PurePosixPath(name.removesuffix(".gz")).suffix
    return f"extension {suffix!r} is no structure format; known are {' '.join(FORMATS)}"
