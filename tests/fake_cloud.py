"""A cluster on this machine whose autoscaler starts and ends nodes: real raylets, from Ray's fake cloud."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from protray.cluster.runtime.capacity import POOL

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
LISTS = [
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files",
]  # fmt: skip
HEAD = "f" * 51 + "00000"  # the name by which that provider knows the head


class FakeCloud:
    """A head without CPUs, as cluster.yaml has it, and at most `most` nodes of `cpus` logical CPUs, one core for each.

    A larger one could come, too, but is labelled for other work.

    `seen` is how many nodes there were, one number for each change.  What the autoscaler is configured with lies where
    `ray up` puts it.
    """

    def __init__(self, cpus: int, most: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pr"))  # short: the paths of sockets end in it
        self.gcs, self.dashboard = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.cpus, self.seen, self.stopped = cpus, [], threading.Event()
        self.cores = sorted(os.sched_getaffinity(0), reverse=True)  # the first is often the busiest
        self.pinned: dict[int, int] = {}  # pid of a worker's raylet -> its core
        self.allow(most)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {
            "HOME": str(self.folder), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_enable_autoscaler_v2": "1",  # which `ray up` starts
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD, "RAY_CLOUD_INSTANCE_ID": HEAD, "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",  # Ray's 15 starves workers on a machine that does something else, too
        }  # fmt: skip
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=0",
            f"--autoscaling-config={self.config}", *head_options(self.folder, self.gcs, self.dashboard),
        ]  # fmt: skip
        with (self.folder / "head.log").open("w") as log:
            self.head = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def config(self) -> Path:
        return self.folder / "ray_bootstrap_config.yaml"

    def allow(self, most: int) -> None:
        """Write the autoscaler's configuration; one that runs reads it again."""
        worker = {"resources": {"CPU": self.cpus}, "node_config": {}, "min_workers": 0, "max_workers": most}
        worker["labels"] = {POOL: "cpu"}
        larger = worker | {"resources": {"CPU": 4 * self.cpus}, "max_workers": 1, "labels": {POOL: "gpu"}}
        config = {
            "cluster_name": "fake", "max_workers": most + 1, "upscaling_speed": 100.0, "idle_timeout_minutes": 0.1,
            "provider": {
                "type": "external", "module": PROVIDER, "gcs_address": self.gcs, "head_node_id": HEAD,
                "launch_multiple": True, "disable_node_updaters": True, "disable_launch_config_check": True,
            },
            "head_node_type": "ray.head.default",
            "available_node_types": {
                "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}, "worker": worker,
                "larger": larger,
            },
        }  # fmt: skip
        config |= dict.fromkeys(LISTS, [])  # `ray up` fills them in; here nothing is run
        partial = self.config.with_suffix(".partial")
        partial.write_text(json.dumps(config))  # JSON is YAML
        partial.replace(self.config)

    def wait_for(self, nodes: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.seen[-1:] != [nodes]:
            assert time.monotonic() < deadline, f"{self.seen} nodes so far, not {nodes}; see {self.folder}"
            time.sleep(0.2)

    def _watch(self) -> None:
        while not self.stopped.wait(0.5):
            try:
                raylets = [process for process in processes_of(self.folder) if process.name() == "raylet"]
                pids = {raylet.pid for raylet in raylets}
                raylets = [raylet for raylet in raylets if raylet.ppid() not in pids]  # which are about to be workers
                raylets.sort(key=lambda process: process.create_time())
                if raylets and self.seen[-1:] != [len(raylets)]:
                    self.seen.append(len(raylets))
                self.pinned = {pid: core for pid, core in self.pinned.items() if pid in pids}
                for raylet in raylets[1:]:
                    self._pin(raylet)
            except psutil.Error:
                continue  # one has just ended

    def _pin(self, raylet: psutil.Process) -> None:
        """Give a node a core that no other has, if there is one."""
        if raylet.pid not in self.pinned:
            free = [core for core in self.cores if core not in self.pinned.values()]
            self.pinned[raylet.pid] = (free or self.cores)[0]
        for process in [raylet, *raylet.children(recursive=True)]:
            process.cpu_affinity([self.pinned[raylet.pid]])

    def stop(self) -> None:
        """End what was started here."""
        self.stopped.set()
        end_processes_of(self.folder)
        self.head.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)


def head_options(folder: Path, gcs: str, dashboard: str) -> list[str]:
    """What `ray start --head` needs on a machine where other clusters run: ports and a folder of its own."""
    return [
        "--node-ip-address=127.0.0.1", f"--port={port_of(gcs)}", f"--dashboard-port={port_of(dashboard)}",
        f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}",
        "--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=100000000", f"--temp-dir={folder}/ray",
    ]  # fmt: skip


def processes_of(folder: Path) -> list[psutil.Process]:
    """All of the cluster with this folder, and of no other: with the folder in their command, or below such a one."""
    found = []
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            found += [process, *process.children(recursive=True)]
    return list({process.pid: process for process in found}.values())


def end_processes_of(folder: Path) -> None:
    for _ in range(3):
        running = processes_of(folder)
        for process in running:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(running, timeout=10)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])
