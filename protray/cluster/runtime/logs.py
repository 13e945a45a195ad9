"""One readable log in place of Ray's own: what we log in workers appears in the driver's log, Ray's lines do not.

A job calls ``setup_logging()`` first; functions that run inside Ray workers call ``setup_worker_logging()`` first.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
TIME = "%H:%M:%S"
MARK = "\x1eprotray"  # starts each line that we log in a worker; ordinary text has no record separator
LOUD = {
    "ray": logging.ERROR,
    "mlflow": logging.WARNING,
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "transformers": logging.ERROR,
    "huggingface_hub": logging.ERROR,
    "py.warnings": logging.ERROR,
}


def open_closed_streams() -> None:
    """Put /dev/null in place of a standard input, output or error that is closed, as services and `2>&-` leave it.

    Otherwise the next file that is opened gets its number, and what a library prints to it lands in that file.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))


def setup_logging() -> None:
    """Send the log to stderr: time, level, message; with colours in a terminal."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler: logging.Handler = RichHandler(
            console=Console(stderr=True), show_path=False, log_time_format=TIME, markup=False, rich_tracebacks=False
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(FORMAT, TIME))
    _use(handler)


def setup_worker_logging() -> None:
    """Inside a Ray worker: mark our lines, so that the driver tells them from Ray's and repeats them in its own log."""
    handler = logging.StreamHandler()
    handler.setFormatter(_MarkedLines())
    _use(handler)


class _MarkedLines(logging.Formatter):
    """Write ``MARK|level|logger|text`` for every line of a message, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "\n".join(f"{MARK}|{record.levelno}|{record.name}|{line}" for line in text.splitlines() or [""])


def _use(handler: logging.Handler) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("protray", "jobs", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.captureWarnings(True)
    quieten()


def quieten() -> None:
    for name, level in LOUD.items():
        logging.getLogger(name).setLevel(level)
    # Ray Data logs at DEBUG into its session folder, which is worth keeping: only its console is too loud.
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.CRITICAL)  # its errors are raised as well


@contextmanager
def log_level_not_announced() -> Iterator[None]:
    """Leave out the one line of stderr in which Ray's C++ repeats RAY_BACKEND_LOG_LEVEL.

    Another process reads the lines, so that what a crash of this one says is shown, too.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    others = subprocess.Popen(
        ["grep", "--line-buffered", "-v", "RAY_BACKEND_LOG_LEVEL"], stdin=subprocess.PIPE, stdout=stderr
    )
    assert others.stdin
    os.dup2(others.stdin.fileno(), 2)
    others.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)  # the last writer's end: the other process ends, too
        os.close(stderr)
        others.wait(timeout=10)


def show_only_our_lines() -> None:
    """Replace Ray's printer of worker output by one that repeats our marked lines in this process's log.

    An exception in a worker needs no line: it is raised again in the driver.  All output stays in Ray's log folder.
    """
    try:
        import ray._private.worker
        from ray._private.ray_logging import global_worker_stdstream_dispatcher as dispatcher

        dispatcher.remove_handler("ray_print_logs")
        dispatcher.add_handler("ray_print_logs", _repeat)  # under Ray's name, so that ray.shutdown() removes it
        # what is left to Ray's printer: a paragraph on stdout for each process that dies
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    except (ImportError, AttributeError):  # private: if it moves, Ray's own lines come back, nothing worse
        logger.debug("this version of Ray prints worker output in its own way")


def _repeat(data: Mapping[str, Any]) -> None:
    for line in data.get("lines", ()):
        _, found, rest = line.partition(MARK + "|")
        if found:
            level, name, text = rest.split("|", 2)
            logging.getLogger(name).log(int(level), "%s", text)
