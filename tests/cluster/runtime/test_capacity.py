"""How large a cluster may become, by hand."""

from pathlib import Path

import yaml

from protray.cluster.runtime.capacity import POOL, Group, Node, configured, largest

CLUSTER_YAML = Path(__file__).parents[3] / "cluster.yaml"
HEAD = Node({"memory": 3e10, "node:__internal_head__": 1.0}, "head")  # 0 CPUs: Ray leaves the name out
CPU, GPU = Node({"CPU": 16, "memory": 6e10}, "cpu"), Node({"CPU": 8, "GPU": 1}, "gpu")


def test_cluster_yaml_with_no_node_but_the_head() -> None:
    """8 x 16 + 4 x 8 = 160 CPUs, 4 GPUs: a job that is submitted then is no reason to refuse it."""
    nodes = largest([HEAD], *configured(yaml.safe_load(CLUSTER_YAML.read_text())))
    assert [node.pool for node in nodes] == ["head"] + 4 * ["gpu"] + 8 * ["cpu"]
    assert sum(node.cpus for node in nodes) == 160
    assert sum(node.gpus for node in nodes) == 4


def test_nodes_that_are_up_are_counted_once() -> None:
    more = Node({"CPU": 16}, "cpu")
    groups = [Group(more, 2), Group(GPU, 1)]
    assert largest([HEAD, CPU], groups) == (HEAD, CPU, more, GPU)
    assert largest([HEAD, CPU, CPU, GPU], groups) == (HEAD, CPU, CPU, GPU)
    assert largest([HEAD, CPU, CPU, CPU], groups[:1]) == (HEAD, CPU, CPU, CPU)  # one was added by hand
    other = Node({"CPU": 16}, "other")  # as large, for other work
    assert largest([HEAD, other], groups) == (HEAD, other, more, more, GPU)
    assert largest([CPU], []) == (CPU,)


def test_no_more_workers_than_allowed_the_largest_first() -> None:
    groups = [Group(CPU, 8), Group(GPU, 4)]
    assert largest([HEAD], groups, 5) == (HEAD, GPU, GPU, GPU, GPU, CPU)
    assert largest([HEAD, CPU, CPU], groups, 3) == (HEAD, CPU, CPU, GPU)
    assert largest([HEAD, CPU, CPU], groups, 2) == (HEAD, CPU, CPU)


def test_types_without_numbers() -> None:
    """Of one's own machines nobody has stated the CPUs; a type without a limit has that of the cluster."""
    config = {
        "max_workers": 3, "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 4}}, "own": {}, "cpu": {"resources": {"CPU": 2}, "labels": {POOL: "cpu"}},
        },
    }  # fmt: skip
    assert configured(config) == ([Group(Node({"CPU": 2}, "cpu"), 3)], 3)
