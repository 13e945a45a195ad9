"""The frame around every job: an error is one line, and Ctrl-C says how to go on."""

import sys
from collections.abc import Callable
from pathlib import Path

from protray.cluster.addresses import named


def run_job(work: Callable[[], None], out: Path) -> int:
    """Do `work` and return the exit status; `out` is where the job keeps what is done.

    ValueError and OSError (files, and clusters that cannot be reached) are the user's to mend, and told in one line;
    any other error is ours, and shows where it came from.
    """
    try:
        work()
    except (ValueError, OSError) as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with what is done in {named(out)}", file=sys.stderr)
        return 130
    return 0


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
