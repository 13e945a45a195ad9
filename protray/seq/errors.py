"""The error of a user's file, and lists of any length in few words."""

from collections.abc import Sequence
from pathlib import Path

SHOWN = 60  # characters of a name from a file


class InputError(ValueError):
    """A user's file that cannot be used: which `file`, which 1-based `line` (or None), why, and for which protein."""

    def __init__(self, file: str | Path, line: int | None, reason: str, id: str | None = None) -> None:
        super().__init__(str(file), line, reason, id)  # all arguments, so that the error survives pickling
        self.file, self.line, self.reason, self.id = str(file), line, reason, id

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.reason}"


def is_of_disk(error: BaseException) -> bool:
    """Whether an error is of a disk, and no fault of a file: it has a number, which those of damaged content have not.

    >>> is_of_disk(OSError(28, "No space left on device")), is_of_disk(OSError("CRC check failed"))
    (True, False)
    """
    return isinstance(error, OSError) and error.errno is not None


def first_of(things: Sequence[object], most: int = 2) -> str:
    """The first few of many, and how many more there are, so that a reason stays short.

    >>> first_of([5, 6])
    '5, 6'
    >>> first_of(range(2002), most=3)
    '0, 1, 2 and 1,999 more'
    """
    more = len(things) - most
    return ", ".join(map(str, things[:most])) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "residue"), counted(2000, "residue")
    ('1 residue', '2,000 residues')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def shown(text: bytes) -> str:
    """The beginning of a line or a name, in quotes."""
    return repr(text[:30].strip().decode("ascii", "replace"))
