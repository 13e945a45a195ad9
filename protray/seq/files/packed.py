"""Files that may be packed with gzip, xz or bzip2, which their first bytes tell, whatever they are called."""

import bz2
import gzip
import lzma
import shutil
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO

from protray.seq.errors import InputError, is_of_disk

MAX_BYTES = 1 << 30
SUFFIXES = (".gz", ".xz", ".bz2")
DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error)  # what unpacking raises; of OSErrors those without a number

_PACKED: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"\xfd7zXZ\0": ("xz", lzma.open),
    b"BZh": ("bzip2", bz2.open),
}
_FOREIGN = {
    b"\x28\xb5\x2f\xfd": "is packed with zstd; unpack it with zstd -d",
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive; unpack it",
    b"\x1f\x9d": "is packed with compress; unpack it with gzip -d",
}
_LONGEST = 6


def without_packing(name: str) -> str:
    """The name of the file inside.

    >>> without_packing("1ABC_A.a3m.gz")
    '1ABC_A.a3m'
    """
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading; InputError for an archive of a kind that is not read."""
    opener = opener_of(path)
    return opener(path, "rb") if opener else path.open("rb")


def opener_of(path: Path) -> Any:
    """`gzip.open` or its like; None for a plain file.  InputError for an archive of a kind that is not read."""
    with path.open("rb") as file:
        return _packing(file.read(_LONGEST), path)[1]


def read_bytes(path: str | Path) -> bytes:
    """Read a whole file and unpack it, at most ``MAX_BYTES``."""
    with open(path, "rb") as file:
        return unpack(file, path)


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file, whatever its line ends, without a byte-order mark; each byte is one letter.

    InputError for UTF-16 and what is no text.
    """
    raw = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    if b"\0" in raw:
        raise InputError(path, None, "holds a NUL byte: a binary or UTF-16 file, not plain text")
    return raw.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def unpack(file: BinaryIO, source: str | Path) -> bytes:
    """Read an open file as `read_bytes` does; `source` is named in errors."""
    name, opener = _packing(file.read(_LONGEST), source)
    file.seek(0)
    try:
        raw = (opener(file, "rb") if opener else file).read(MAX_BYTES + 1)
    except EOFError:
        raise InputError(source, None, f"the {name} stream ends early: the file is truncated") from None
    except DAMAGE as error:
        if not name or is_of_disk(error):
            raise
        raise InputError(source, None, f"the {name} stream is damaged: {error}") from None
    if len(raw) > MAX_BYTES:
        raise InputError(
            source, None, f"more than {MAX_BYTES} bytes of text; filter the alignment, e.g. at 90 % identity"
        )
    return raw


def unpack_into(path: Path, plain: Path) -> None:
    """Unpack a file of any size into another; InputError if it is damaged."""
    try:
        with open_unpacked(path) as packed, plain.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    except DAMAGE as error:
        if is_of_disk(error):
            raise
        raise InputError(path, None, f"the file is damaged: get it anew ({error})") from None


def _packing(first: bytes, source: str | Path) -> tuple[str, Any]:
    """Name and opener of what packed a file, by its first bytes; empty for a plain one."""
    for magic, reason in _FOREIGN.items():
        if first.startswith(magic):
            raise InputError(source, None, f"the file {reason}")
    return next((packing for magic, packing in _PACKED.items() if first.startswith(magic)), ("", None))
