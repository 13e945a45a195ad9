"""What Ray needs of this machine: a short path for its sockets, a network that leads back, and enough open files."""

import os
import resource
import socket
import sys
import tempfile
from pathlib import Path

SOCKET_PATH = 107 if sys.platform == "linux" else 103  # bytes
BELOW = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")  # what Ray adds to its folder
LONGEST = SOCKET_PATH - BELOW
FALLBACKS = ("/tmp", "/var/tmp")
FEWEST_FILES, SOME_FILES = 256, 4096  # open at a time, in each process of Ray: needed, and wanted
BACK_S = 5.0  # in which a machine has to reach itself


def session_folder() -> Path:
    """The folder for Ray's sessions: RAY_TMPDIR or TMPDIR if Ray can use it, else /tmp.

    Raises ValueError if RAY_TMPDIR, which is meant for Ray alone, cannot be used, or if no folder can.
    """
    own = os.environ.get("RAY_TMPDIR")
    if own:
        problem = _problem(own)
        if problem:
            raise ValueError(f"RAY_TMPDIR={_short(own)} {problem}; unset it, or set another folder")
        return Path(own)
    for folder in (os.environ.get("TMPDIR") or FALLBACKS[0], *FALLBACKS):
        if not _problem(folder):
            return Path(folder)
    raise ValueError(
        f"Ray has no folder for its sockets: {' and '.join(FALLBACKS)} cannot be written; set RAY_TMPDIR to a folder "
        f"that can, with a path of at most {LONGEST} bytes"
    )


def _problem(folder: str) -> str:
    """Why Ray cannot keep its sockets there; empty if it can."""
    if len(os.fsencode(folder)) > LONGEST:
        return f"has a path of {len(os.fsencode(folder))} bytes, and Ray's sockets leave room for {LONGEST}"
    if not os.path.isabs(folder):
        return "is no absolute path"
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))  # fails if the disk is full
    except OSError as error:
        return f"cannot be written ({error.strerror})"
    return ""


def allow_open_files() -> None:
    """Raise this process's limit of open files, and so that of those it starts, to some thousand where it is lower.

    Raises ValueError where the machine allows too few; Ray's processes would end without a word.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = SOME_FILES if hard == resource.RLIM_INFINITY else min(hard, SOME_FILES)
    if most < FEWEST_FILES:
        raise ValueError(
            f"a process may have {hard} files open here (ulimit -Hn), and Ray needs {FEWEST_FILES}; raise the limit"
        )
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"


def check_reaches_itself(address: str = "127.0.0.1") -> None:
    """Raise ConnectionError if this machine cannot talk to itself at an address of its own.

    Ray's processes do, and would ask one another for minutes, and say nothing.
    """
    try:
        with socket.create_server((address, 0)) as server:
            socket.create_connection(server.getsockname()[:2], timeout=BACK_S).close()
    except OSError as error:
        raise ConnectionError(
            f"this machine cannot reach itself at {address} ({error.strerror or error}), and Ray's processes talk over "
            "it: is the loopback interface up (ip link set lo up), and does a firewall or sandbox let it through?"
        ) from None
