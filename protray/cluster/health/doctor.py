"""Look at a cluster before money is spent on it: Ray, storage, MLflow, the upload, GPUs, memory, limits and clocks."""

import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from protray.cluster.health import checks
from protray.cluster.health.checks import Check
from protray.cluster.health.probe import Facts, Node, installed, name_for, visit
from protray.cluster.health.upload import upload_sizes
from protray.cluster.runtime.start import Cluster, start_ray, stop_ray
from protray.cluster.storage.secrets import redact
from protray.cluster.tracking.folder import folder_of
from protray.cluster.tracking.store import absolute, connect
from protray.cluster.tracking.tracker import DATABASE
from protray.data.location import Location

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DoctorRun:
    """What the job that is to follow will use."""

    out: Location
    """Its --out: the doctor writes a small file there from every node, and removes it."""
    mlflow: str | None = None
    """Its --mlflow; default: $MLFLOW_TRACKING_URI, else a file in --out."""
    working_dir: Path = Path(".")
    """What `ray job submit --working-dir` will upload."""

    @property
    def plan(self) -> bool:
        """It only looks: a job may be at work in `out`."""
        return True


def examine(run: DoctorRun) -> list[Check]:
    """Start or join Ray, visit every node, and judge what was found there.

    Raises
    ------
    ValueError
        If --out is an address that cannot be used, or --mlflow is none that MLflow can use.
    """
    out, given = run.out, run.mlflow or ""
    uri = absolute(given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder_of(out) / DATABASE}")
    cluster = start_ray()
    try:
        nodes = nodes_up()
        found, silent, storage = look_around(nodes, out)
        return [
            checks.judge_nodes(len(nodes), max(0, len(cluster.nodes) - len(nodes)), silent),
            checks.judge_versions(installed(), found),
            judge_access(cluster),
            storage,
            checks.judge_mlflow(redact(uri), server_error(uri), len(nodes), password=redact(given) != given),
            checks.judge_upload(upload_sizes(run.working_dir)),
            checks.judge_gpus(found),
            checks.judge_shared_memory(found),
            checks.judge_open_files(found),
            checks.judge_clocks(found),
        ]
    finally:
        stop_ray(cluster)


def check_shared(cluster: Cluster, out: Location) -> None:
    """Raise ValueError if a job's `out` is another folder on some node that is up, whose results would be lost."""
    if cluster.local:
        return
    nodes = nodes_up()
    if len(nodes) > 1:
        storage = look_around(nodes, out)[2]
        if storage.state == "fail":
            raise ValueError(f"--out {storage.found}; {storage.fix}")
    elif len(cluster.nodes) > 1 and not out.is_address:
        log.info("nodes that join later must see %s, too; with an s3:// address as --out no folder is shared", out)


def look_around(nodes: list[Node], out: Location) -> tuple[list[Facts], dict[str, str], Check]:
    """What a visitor finds on each node, which nodes do not answer, and whether `out` is the same for those that do."""
    with Mark(out) as mark:
        found, silent = visit(nodes, mark.file)
        arrived = {facts.node.name for facts in found if mark.file and name_for(mark.file, facts.node).is_file()}
    return found, silent, checks.judge_storage(str(out), mark.error, found, arrived)


def nodes_up() -> list[Node]:
    import ray

    return [
        Node(
            id=node["NodeID"],
            name=f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}",
            gpus=int(node["Resources"].get("GPU", 0)),
            object_store_bytes=int(node["Resources"].get("object_store_memory", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


class Mark:
    """A file in the output folder that other nodes look for; it goes again, with all that was made for it."""

    def __init__(self, out: Location) -> None:
        self.out = out
        self.file: Location | None = None
        self.error = ""
        above = [] if out.is_address else [Path(out), *Path(out).parents]
        self._made = [folder for folder in above if not folder.exists()]

    def __enter__(self) -> "Mark":
        file = self.out / f".doctor-{secrets.token_hex(8)}"
        try:
            file.write_text("protray looks whether all nodes see this; may be removed")
            self.file = file
        except OSError as error:
            self.error = error.strerror or str(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            for node in nodes_up():
                name_for(self.file, node).remove()
            self.file.remove()
        for folder in self._made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def judge_access(cluster: Cluster) -> Check:
    """Ask the dashboard for its jobs without a token, where there is one."""
    address = dashboard()
    mode = os.environ.get("RAY_AUTH_MODE", "unset")
    return checks.judge_token(cluster.local, mode, address, answer_without_token(address) if address else None)


def dashboard() -> str:
    """Host and port of Ray's dashboard; empty if there is none, or Ray does not say."""
    try:
        from ray._private.worker import get_dashboard_url

        return get_dashboard_url() or ""
    except (ImportError, AttributeError):  # private: then RAY_AUTH_MODE has to tell
        return ""


def answer_without_token(address: str) -> int | None:
    """HTTP status of a request for the list of jobs that carries no token; None if nothing answered."""
    try:
        with urlopen(f"http://{address}/api/jobs/", timeout=10) as answer:
            return answer.status
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return None


def server_error(uri: str) -> str:
    """Why the driver cannot use the MLflow server at `uri`; empty if it can, or if `uri` is a file."""
    if uri.startswith("sqlite:"):
        return ""
    try:
        connect(uri).search_experiments(max_results=1)
    except Exception as error:  # whatever a store may raise: the driver would meet the same
        lines = str(error).splitlines()
        return redact(lines[0]) if lines else type(error).__name__
    return ""
