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
from typing import Any

from protray.data.inputs import files_in
from protray.data.location import Location
from protray.seq.msa import InputError, read_bytes, unpack
from protray.struct.io import FORMATS, is_structure

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
_PACKED = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open, b"BZ": bz2.open}  # by the first two bytes
_COPY_BYTES = 1 << 24
PLAIN = "archive.tar"  # the unpacked copy
BEGINNING_S, HELD = 4.0, 48  # of a packed archive: how long `beginning` reads, and files that it keeps in memory


@dataclass(frozen=True)
class Source:
    """One structure file: `size` bytes of `path` from `offset` on, or all of it."""

    name: str  # the file, or archive/member, as it was given
    path: str  # absolute: workers may have another working directory
    offset: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Beginning:
    """The first structure files of a packed archive, and what they say about all."""

    members: tuple[tuple[str, bytes], ...]  # name and content of some
    files: float  # in all of the archive
    bytes: float  # of these
    exact: bool  # all of it was read


def find_sources(structures: Path, work: str | Path) -> tuple[list[Source], list[InputError]]:
    """List structure files in the order of their names; what is none of them is an error, and stops nothing.

    Parameters
    ----------
    structures : Path
        A folder (read with its subfolders, without hidden files), a tar archive, a structure file, or a text file
        with one path a line, relative to its own folder; '#' begins a comment.
    work : str or Path
        Folder, or address, for the unpacked copy of a packed archive; all nodes read it there.

    Raises
    ------
    ValueError
        If it does not exist, or the archive is damaged.
    """
    if structures.is_dir():
        return _sort_out(((str(path), None) for path in files_in(structures)), structures)
    if not structures.is_file():
        raise ValueError(f"structures: {structures} does not exist")
    if is_archive(structures):
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


def must_be_unpacked(structures: Path, work: str | Path) -> bool:
    """Whether it is an archive whose members cannot be found before `find_sources` has unpacked it into `work`."""
    return (
        structures.is_file()
        and is_archive(structures)
        and _opener(structures) is not None
        and not (Location(work) / PLAIN).exists()
    )


@cache
def beginning(archive: Path) -> Beginning:
    """What the first seconds of reading an archive give; InputError if it is damaged there."""
    members: list[tuple[str, bytes]] = []
    sizes: list[int] = []
    deadline, whole = time.monotonic() + BEGINNING_S, True
    try:
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r|*") as tar:
            for member in tar:
                if member.isreg() and is_structure(member.name):
                    sizes.append(member.size)
                    file = tar.extractfile(member) if len(members) < HELD else None
                    if file:
                        members.append((member.name, file.read()))
                if time.monotonic() > deadline:
                    whole = False
                    break
            share = 1.0 if whole else packed.tell() / archive.stat().st_size
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise InputError(archive, None, f"the archive cannot be read: {error}") from error
    return Beginning(tuple(members), len(sizes) / share, sum(sizes) / share, whole)


def read_source(source: Source) -> bytes:
    """The decompressed content of one structure file; InputError if it is damaged."""
    if source.offset is None or source.size is None:
        return read_bytes(source.path)
    with Location(source.path).open() as file:
        file.seek(source.offset)
        return unpack(io.BytesIO(file.read(source.size)), source.name)


def listed(path: Path) -> list[tuple[str, int]]:
    """The paths in a text list, and the line that each is on."""
    raw = read_bytes(path)
    if b"\0" in raw:
        raise InputError(path, None, f"neither a structure, an archive ({' '.join(ARCHIVES)}) nor a text list of files")
    lines = [line.partition("#")[0].strip() for line in raw.decode("utf-8", "surrogateescape").splitlines()]
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


def _in_archive(archive: Path, work: str | Path) -> tuple[list[Source], list[InputError]]:
    """Index an archive, so that each task reads its own members; nothing is extracted."""
    plain = _unpacked(archive, Location(work))
    sources, errors = [], []
    try:
        with plain.open() as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                name, path = f"{archive}/{member.name}", PurePosixPath(member.name)
                if member.isdir() or any(part.startswith(".") and part != ".." for part in path.parts):
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


def _unpacked(archive: Path, work: Location) -> Location:
    """The archive itself, or an unpacked copy in `work`, as packed ones cannot be read in parallel."""
    opener = _opener(archive)
    if opener is None:
        return Location(archive)
    plain = work / PLAIN
    if not plain.exists():
        try:
            with opener(archive) as packed, plain.writing() as partial, partial.open("wb") as copy:
                shutil.copyfileobj(packed, copy, _COPY_BYTES)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise InputError(archive, None, f"the archive cannot be unpacked into {work}: {error}") from error
    return plain


def _opener(archive: Path) -> Callable[..., Any] | None:
    with archive.open("rb") as file:
        return _PACKED.get(file.read(2))


def _foreign(name: str) -> str:
    suffix = PurePosixPath(name.removesuffix(".gz")).suffix
    return f"extension {suffix!r} is no structure format; known are {' '.join(FORMATS)}"
