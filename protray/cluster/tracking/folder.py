"""Where this node keeps what MLflow writes for a job, and which process may write it."""

import functools
import hashlib
import os
import socket
import uuid
from pathlib import Path

from protray.data.location import Location, cache


def folder_of(out: Location) -> Path:
    """Where this node keeps what MLflow writes for a job."""
    return cache() / "mlflow" / hashlib.sha256(out.encode()).hexdigest()[:16] if out.is_address else out.path


def newest(there: Location, here: Path) -> None:
    """Copy what another node has left, unless this one has it already."""
    if there.is_file() and (not here.is_file() or here.stat().st_mtime_ns < there.stamp()[1]):
        with Location(here).writing() as partial:
            partial.write_bytes(there.read_bytes())


def folder_id(file: Path) -> str:
    if not file.exists() or not file.read_text().strip():
        file.write_text(uuid.uuid4().hex)
    return file.read_text().strip()


@functools.cache
def this_driver() -> str:
    import psutil

    return f"{socket.gethostname()}|{os.getpid()}|{psutil.Process().create_time():.0f}"


def lives(driver: str) -> bool:
    import psutil

    host, _, rest = driver.partition("|")
    pid, _, born = rest.partition("|")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(born)) < 2
    except psutil.Error:
        return False
