"""The frame around every job: an error is one line, and Ctrl-C says how to go on."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from protray.cluster.storage.addresses import is_address, named, root


def run_job(work: Callable[[], None], out: Path, alone: bool = False) -> int:
    """Do `work` and return the exit status; `out` is where the job keeps what is done.

    ValueError and OSError (files, and clusters that cannot be reached) are the user's to mend, and told in one line;
    any other error is ours, and shows where it came from.  With `alone`, a second job in `out` is refused meanwhile.
    """
    try:
        with _locked(out) if alone else nullcontext():
            work()
    except (ValueError, OSError) as error:
        error = getattr(error, "cause", error)  # Ray's errors of tasks are of the type of their cause, with a traceback
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with what is done in {named(out)}", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Raise ValueError if another process of this machine, such as the same command twice, works in `out`."""
    import fcntl

    folder = root().parent / "locks"
    name = named(out) if is_address(out) else str(out.absolute())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16], "w")
    except OSError:  # no home to write to: then nobody is kept out
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back when the process ends, however it does
        except BlockingIOError:
            raise ValueError(f"another job is working in {named(out)}: wait for it, or choose another --out") from None
        yield


def _sentence(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{named(error.filename)}: {error.strerror}; is it a path that this user may read, and for --out write?"
    return named(error)


def print_outcome(done: str, summary: dict, written: Path, rejected: Path) -> None:
    """Print what became of many proteins: `done` counts them, ``summary["reasons"]`` says why some were rejected."""
    print(done)
    for reason, count in summary["reasons"].items():
        print(f"           {count} x {reason}")
    if summary.get("n_again"):
        print(f"           {summary['n_again']} of these are not to blame: the same command tries them again")
    print(f"time       {summary['seconds']:.0f} s")
    print(f"written    {named(written)}")
    if summary["n_rejected"]:
        print(f"rejected   {named(rejected)}")
