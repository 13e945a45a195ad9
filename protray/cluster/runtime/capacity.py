"""What a cluster can become: the nodes that are up, and those that its autoscaler may add.

Ray tells a job only of the first.  An autoscaler's limits are in the file that `ray up` leaves on the head, where the
drivers of submitted jobs run; a platform may also report them to Ray (``ReportClusterConfig``).  Where neither is to be
had (KubeRay), only the nodes that are up count.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

BOOTSTRAP = "~/ray_bootstrap_config.yaml"  # of the autoscaler that `ray up` starts: cluster.yaml, filled in
POOL = "protray-pool"  # the label of a node, in cluster.yaml, that says what work it is for
UNLIMITED = 100  # nodes counted of a type without a limit


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: its ``CPU``, ``GPU``, ..., and what its label `POOL` says."""

    resources: Mapping[str, float]
    pool: str = ""

    @property
    def cpus(self) -> float:
        return self.resources.get("CPU", 0.0)

    @property
    def gpus(self) -> float:
        return self.resources.get("GPU", 0.0)

    @property
    def memory(self) -> float:
        """Bytes that processes may ask for; of a node that is not up and does not say, no limit is known."""
        return self.resources.get("memory", math.inf)


@dataclass(frozen=True)
class Group:
    """Nodes of one type that the autoscaler may have up at a time."""

    node: Node
    most: int


def cluster_nodes(joined: bool) -> tuple[Node, ...]:
    """Every node of this process's Ray, and, of a cluster that it has `joined`, those that may come."""
    import ray

    up = [Node(dict(node["Resources"]), node.get("Labels", {}).get(POOL, "")) for node in ray.nodes() if node["Alive"]]
    if not joined:
        return tuple(up)
    path = Path(BOOTSTRAP).expanduser()
    if path.is_file():
        import yaml

        groups, workers = configured(yaml.safe_load(path.read_text()))
    else:
        groups, workers = reported(), None
    nodes = largest(up, groups, workers)
    return nodes if heeds_labels() else (*up, *(replace(node, pool="") for node in nodes[len(up) :]))


def heeds_labels() -> bool:
    """Whether the autoscaler adds the nodes whose label is asked for; its first version would let a job wait."""
    try:
        from ray.autoscaler.v2.utils import is_autoscaler_v2

        return is_autoscaler_v2()
    except Exception:  # private: without an answer labels of nodes to come are not counted on
        return False


def largest(up: Sequence[Node], groups: Sequence[Group], workers: int | None = None) -> tuple[Node, ...]:
    """The nodes that are up, then those that may come; no more than `workers` beside the head."""
    there = Counter(map(_shape, up))
    may_come: list[Node] = []
    for group in groups:
        already = min(there[_shape(group.node)], group.most)
        there[_shape(group.node)] -= already
        may_come += [group.node] * (group.most - already)
    if workers is not None:
        may_come = sorted(may_come, key=_shape, reverse=True)[: max(0, workers - (len(up) - 1))]
    return (*up, *may_come)


def configured(config: Mapping[str, Any]) -> tuple[list[Group], int | None]:
    """Worker types of an autoscaler's configuration, and how many workers it may have in all."""
    workers, head = config.get("max_workers"), config.get("head_node_type")
    types = {name: kind for name, kind in config.get("available_node_types", {}).items() if name != head}
    return [
        Group(
            Node(kind["resources"], kind.get("labels", {}).get(POOL, "")),
            kind.get("max_workers", workers or UNLIMITED),
        )
        for kind in types.values()
        if kind.get("resources")  # of one's own machines Ray counts them, once they are up
    ], workers


def reported() -> list[Group]:
    """Node groups that the platform has told Ray of."""
    try:
        from ray._private.state import state

        config = state.get_cluster_config()
    except (ImportError, AttributeError):  # private
        return []
    groups = config.node_group_configs if config else []
    return [
        Group(Node(dict(group.resources)), UNLIMITED if group.max_count < 0 else group.max_count)
        for group in groups
        if group.resources
    ]


def _shape(node: Node) -> tuple[float, float, str]:
    return node.gpus, node.cpus, node.pool
