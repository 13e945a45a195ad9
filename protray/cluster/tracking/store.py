"""Where MLflow keeps its runs: the address, the client, the experiment, and the command that shows them."""

import json
import logging
import os
import shlex
import socket
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from protray.cluster.storage.secrets import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def absolute(uri: str) -> str:
    """Make a SQLite path absolute, since workers run in other folders, and refuse what MLflow cannot use."""
    if uri.startswith("file:") or ("://" not in uri and not uri.startswith("databricks")):
        raise ValueError(
            f"MLflow no longer keeps runs in a folder, got tracking URI {redact(uri)!r}; "
            "use sqlite:////absolute/path/mlflow.db or the address of a server"
        )
    if not uri.startswith("sqlite:"):
        return uri
    path = uri.removeprefix("sqlite:///")
    if path in ("", ":memory:", uri):
        raise ValueError(f"tracking URI {uri!r} is not a database file; use sqlite:////absolute/path/mlflow.db")
    return f"sqlite:///{Path(path).resolve()}"


def _artifact_root(uri: str, out: Path) -> str | None:
    """Folder for artifacts; None where a server decides."""
    if uri.startswith("sqlite:///"):
        return (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts").as_uri()
    return None if uri.startswith(("http", "databricks")) else (out / "mlartifacts").as_uri()


@cache
def connect(uri: str) -> "MlflowClient":
    """Make the client of this process; raises within seconds if nothing answers at `uri`."""
    # MLflow's own defaults retry for 4 minutes, and training would wait for them.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for each run that ends
    _knock(uri)
    from mlflow import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints a traceback per failure
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _knock(uri: str) -> None:
    """Raise OSError or sqlite3.Error if the store cannot work: MLflow would retry a dead database for 100 s."""
    if uri.startswith("sqlite:///"):
        sqlite3.connect(uri.removeprefix("sqlite:///")).execute("PRAGMA schema_version").connection.close()
        return
    parts = urlsplit(uri)
    port = parts.port or {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}.get(parts.scheme.split("+")[0])
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), timeout=5).close()


@cache
def experiment_id(uri: str, name: str, out: Path) -> str:
    from mlflow.exceptions import MlflowException

    client = connect(uri)
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, _artifact_root(uri, out))
        except MlflowException:  # another job was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def all_runs(client: "MlflowClient", experiment: str, where: str) -> Iterator["Run"]:
    """Every run of an experiment that a search finds, page by page."""
    page = client.search_runs([experiment], where)
    while True:
        yield from page
        if not page.token:
            return
        page = client.search_runs([experiment], where, page_token=page.token)


def ui_command(uri: str) -> str:
    """Give the shell line that opens the MLflow UI on the store at `uri`."""
    python = shlex.quote(sys.executable)
    if uri.startswith(("http://", "https://")):
        return f"{python} -m webbrowser {shlex.quote(redact(uri))}"
    # Without its job runner the server needs 0.5 GB in 2 processes instead of 2.4 GB in 10.
    begin = f"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false {python} -m mlflow ui --workers 1 --host 127.0.0.1 --port 5000"
    if not uri.startswith("sqlite:///"):  # may hold a password, which does not belong on a screen
        return f'{begin} --backend-store-uri "$MLFLOW_TRACKING_URI"'
    artifacts = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    return f"{begin} --backend-store-uri {shlex.quote(uri)} --default-artifact-root {shlex.quote(artifacts.as_uri())}"


def runs_page(uri: str, experiment: str) -> str:
    """Give the address of an experiment's runs, by its id; the UI's front page is about chat models."""
    return f"{_address(uri)}/#/experiments/{experiment}/runs?workflowType=machine_learning"


def compare_page(uri: str, experiment: str, runs: Sequence[str]) -> str:
    """Give the address of the page that compares `runs`: parameters, metrics, parallel coordinates."""
    ids, experiments = (quote(json.dumps(names, separators=(",", ":"))) for names in (list(runs), [experiment]))
    return f"{_address(uri)}/#/compare-runs?runs={ids}&experiments={experiments}"


def _address(uri: str) -> str:
    return redact(uri).rstrip("/") if uri.startswith(("http://", "https://")) else "http://127.0.0.1:5000"
