"""What is in a folder: the one place that lists the files a user gives, links among them."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from protray.seq.errors import InputError


@dataclass(frozen=True)
class Listing:
    """Files of a folder and its subfolders, sorted, without hidden ones; and what there cannot be read, and why."""

    files: list[Path]
    errors: list[InputError] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """List what is in a folder, also behind links to folders; each folder is read once, by its own name if it has one.

    Raises ValueError if it is no folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    found = Listing([])
    seen: set[tuple[int, int]] = set()
    pending = [folder]
    while pending:
        links: list[Path] = []
        for path in pending:
            if path is not folder and _holds(path, path.parent):
                found.errors.append(InputError(path, None, "a link to a folder that it lies in; not followed"))
            else:
                links += _walk(path, seen, found)
        pending = sorted(links)
    found.files.sort()
    found.errors.sort(key=lambda error: error.file)
    return found


def _walk(top: Path, seen: set[tuple[int, int]], found: Listing) -> list[Path]:
    """Add the files below `top`; returns the links to folders, which come last, so that names without links win."""
    links: list[Path] = []

    def refused(error: OSError) -> None:
        found.errors.append(InputError(error.filename, None, f"the folder cannot be read: {error.strerror}"))

    for here, folders, files in os.walk(top, onerror=refused):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += [path for name in folders if os.path.islink(path := Path(here, name))]
        for name in files:
            path = Path(here, name)
            if name.startswith("."):
                continue
            if os.path.isfile(path):
                found.files.append(path)
            else:
                found.errors.append(InputError(path, None, _why_no_file(path)))
    return links


def _why_no_file(path: Path) -> str:
    if path.is_symlink():
        return f"a broken link, to {str(os.readlink(path))[:150]!r}; remove it, or put the file there"
    return "no plain file but a pipe, socket or device"


def _holds(path: Path, inner: Path) -> bool:
    """Whether `inner` lies in the folder that `path` leads to, or is it."""
    real, inside = os.path.realpath(path), os.path.realpath(inner)
    return inside == real or inside.startswith(real.rstrip("/") + "/")
