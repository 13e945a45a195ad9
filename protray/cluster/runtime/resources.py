"""What a job will use of a cluster, added up before anything starts.

Ray waits in silence for resources that never come.  The rule here: every stage needs
``workers * cpus_per_worker + data_cpus`` CPUs at once, and a Ray Data pipeline beside or inside a stage needs at least
one CPU of its own to read and write.  Stages of one plan run one after another.

Where nodes are labelled ``protray-pool: cpu`` and ``gpu``, as in cluster.yaml, a stage whose processes use GPUs has the
second for itself and any other stage the first, if it fits there; if not, it takes what it finds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from protray.cluster.runtime.capacity import POOL, Node

EPSILON = 1e-4  # Ray counts resources in steps of 1/10000


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a job: an actor pool (``map``), a trainer (``train``) or trials of a sweep (``trial``).

    It has `workers` processes of equal size at a time.
    """

    name: str
    kind: Literal["map", "train", "trial"]
    workers: int
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    memory_per_worker: int = 0  # bytes; 0: not asked for
    data_cpus: float = 0.0  # for Ray Data's own tasks: at least 1 where the stage reads or writes a Dataset
    least: int | None = None  # elastic: so many workers are enough to begin, and to go on with
    pool: str = ""  # its processes run on nodes of this pool alone; the planner's choice

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"stage {self.name!r} has {self.workers} workers; it needs at least 1")
        if self.least is not None and not 1 <= self.least <= self.workers:
            raise ValueError(
                f"stage {self.name!r} has {self.workers} workers; its fewest must be 1 to so many, got {self.least}"
            )
        if self.cpus_per_worker <= 0 or self.gpus_per_worker < 0 or self.data_cpus < 0:
            raise ValueError(
                f"stage {self.name!r}: cpus_per_worker must be above 0, gpus_per_worker and data_cpus not below it, "
                f"got {self.cpus_per_worker}, {self.gpus_per_worker} and {self.data_cpus}"
            )
        if self.kind == "map" and self.data_cpus < 1:
            raise ValueError(
                f"map {self.name!r} has data_cpus={self.data_cpus}: its reading and writing tasks take 1 CPU each, "
                "and with none free the map never starts; set data_cpus to 1 or more"
            )
        for field in ("cpus_per_worker", "gpus_per_worker"):
            value = getattr(self, field)
            if value > 1 and value != int(value):
                raise ValueError(f"stage {self.name!r}: {field}={value}; above 1, Ray takes whole numbers only")

    @property
    def cpus(self) -> float:
        return self.workers * self.cpus_per_worker + self.data_cpus

    @property
    def gpus(self) -> float:
        return self.workers * self.gpus_per_worker

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the nodes that it runs on, as Ray's ``label_selector`` takes them."""
        return {POOL: self.pool} if self.pool else {}

    @property
    def bundle(self) -> dict[str, float]:
        """CPUs and GPUs of one of its processes, by Ray's names."""
        return {"CPU": self.cpus_per_worker} | ({"GPU": self.gpus_per_worker} if self.gpus_per_worker else {})

    @property
    def options(self) -> dict[str, Any]:
        """What one of its processes asks of Ray."""
        memory = {"memory": self.memory_per_worker} if self.memory_per_worker else {}
        return {
            "num_cpus": self.cpus_per_worker, "num_gpus": self.gpus_per_worker, "label_selector": self.labels, **memory
        }  # fmt: skip

    def nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """Those that it may run on."""
        return [node for node in nodes if self.pool in ("", node.pool)]


@dataclass(frozen=True)
class Plan:
    """Stages that were found to fit, and the cluster they were held against."""

    stages: tuple[Stage, ...]
    nodes: tuple[Node, ...]

    def __getitem__(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(f"no stage {name!r} in this plan; it has {[stage.name for stage in self.stages]}")

    def threads(self, name: str) -> int:
        """Torch threads for each worker of stage `name`.

        As many as a worker of a trainer without GPUs has CPUs, or any worker with more than one.  Else the workers
        on one node (with GPUs, if they have some) share its cores: 1 actor on a 2-core laptop gets 2 threads, 2 get 1.
        """
        stage = self[name]
        if stage.cpus_per_worker > 1 or (stage.kind == "train" and not stage.gpus_per_worker):
            return max(1, int(stage.cpus_per_worker))
        node = max((node for node in stage.nodes(self.nodes) if _fit_on(node, stage)), key=lambda node: node.cpus)
        return max(1, int(node.cpus // min(stage.workers, _fit_on(node, stage))))


def make_plan(stages: Sequence[Stage], nodes: Sequence[Node]) -> Plan:
    """Hold `stages`, which run one after another, against the machines of a cluster, and give each its pool.

    Raises
    ------
    ValueError
        If a stage would wait for ever; names every such stage, its numbers, and what to change.
    """
    placed = [_placed(stage, nodes) for stage in stages]
    problems = [problem for stage in placed if (problem := _problem(stage, nodes))]
    if problems:
        raise ValueError("this plan would wait for ever:\n  " + "\n  ".join(problems))
    return Plan(tuple(placed), tuple(nodes))


def actor_pool(
    name: str,
    nodes: Sequence[Node],
    at_most: int | None = None,
    *,
    actors: int | None = None,
    cpus: float | None = None,
    memory: int = 0,
) -> Stage:
    """One actor per GPU, or as many as fit beside one CPU for reading and writing; `memory` in bytes of each.

    `at_most` keeps a small job from asking an autoscaler for all the machines it may have; `actors` and `cpus` (of
    each) are the user's.
    """
    gpus = int(sum(node.gpus for node in nodes))
    if not gpus:
        nodes = [node for node in nodes if node.pool == "cpu"] or nodes
    total = sum(int(node.cpus) for node in nodes)
    each = cpus or 1.0
    if cpus is None and not gpus and total <= 2 and max(node.cpus for node in nodes) == total:
        # two actors halve the one CPU that is left; each still has a core's worth of work.  Not on two nodes of one
        # CPU: with a half taken on each, none has a whole one for reading and writing, and the job would wait for ever
        each = 0.5
    if any(math.isinf(node.memory) for node in nodes):
        memory = 0  # an autoscaler that does not know it would add no node for actors that ask for some
    one = Stage(
        name=name, kind="map", workers=1, cpus_per_worker=each, gpus_per_worker=1.0 if gpus else 0.0,
        memory_per_worker=memory, data_cpus=1.0,
    )  # fmt: skip
    wanted = min(number for number in (fitting(one, nodes), actors, at_most) if number is not None)
    return replace(one, workers=max(1, wanted))


def fitting(stage: Stage, nodes: Sequence[Node]) -> int:
    """Processes of `stage` that fit on `nodes` beside the CPUs of its data."""
    own = stage.nodes(nodes)
    total = sum(int(node.cpus) for node in own)
    return min(sum(_fit_on(node, stage) for node in own), _times(total - stage.data_cpus, stage.cpus_per_worker))


def trainer(
    name: str,
    workers: int,
    gpus_per_worker: float | None,
    nodes: Sequence[Node],
    least: int | None = None,
    cpus_per_worker: float | None = None,
) -> Stage:
    """A trainer of so many workers, or of `least` to so many; by default each has a GPU where the cluster has one.

    A worker asks for the CPUs that its threads use: by default its share of the largest node, so that workers without
    GPUs spread over the nodes.  On a GPU it asks for one.
    """
    gpus = gpus_each(gpus_per_worker, nodes)
    own = [node for node in nodes if node.pool == ("gpu" if gpus else "cpu")] or nodes
    largest = max((node.cpus for node in own), default=1.0)
    spread = -(-workers // max(1, sum(node.cpus >= largest for node in own)))  # workers on one of the largest nodes
    cpus = cpus_per_worker or (1.0 if gpus else float(max(1, largest // spread)))
    return Stage(name=name, kind="train", workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus, least=least)


def gpus_each(asked: float | None, nodes: Sequence[Node]) -> float:
    """GPUs of one process: what was asked for, by default 1 where the cluster has GPUs."""
    return min(1.0, sum(node.gpus for node in nodes)) if asked is None else asked


def trials_at_once(cpus: float, gpus: float, nodes: Sequence[Node]) -> int:
    """How many trials of so many CPUs and GPUs the cluster holds at a time; a trial never spans two nodes."""
    one = _placed(Stage(name="trials", kind="trial", workers=1, cpus_per_worker=cpus, gpus_per_worker=gpus), nodes)
    return sum(_fit_on(node, one) for node in one.nodes(nodes))


def amount(nodes: Sequence[Node]) -> str:
    """CPUs and GPUs of some nodes, in words."""
    return _amount(sum(node.cpus for node in nodes), sum(node.gpus for node in nodes))


def describe(plan: Plan) -> str:
    """Say in one line per stage what `plan` will use."""
    lines = [f"the cluster has {amount(plan.nodes)}; this job uses"]
    width = max((len(stage.name) for stage in plan.stages), default=0)
    for stage in plan.stages:
        who = {"map": "actor", "train": "worker", "trial": "trial"}[stage.kind] + ("s" if stage.workers > 1 else "")
        each = _amount(stage.cpus_per_worker, stage.gpus_per_worker)
        threads = f"{plan.threads(stage.name)} thread" + ("s" if plan.threads(stage.name) > 1 else "")
        count = f"{stage.workers}" if stage.least is None else f"{stage.least} to {stage.workers}"
        line = f"  {stage.name:<{width}}  {count} {who} x ({each}, {threads})"
        if stage.data_cpus:
            line += f" + {_amount(stage.data_cpus, 0)} for data"
        where = f", on {POOL}: {stage.pool}" if stage.pool else ""
        lines.append(f"{line} = {_amount(stage.cpus, stage.gpus)}{where}")
    return "\n".join(lines)


def _placed(stage: Stage, nodes: Sequence[Node]) -> Stage:
    """The same stage in its pool, if there is one that it fits into."""
    in_pool = replace(stage, pool="gpu" if stage.gpus_per_worker else "cpu")
    return stage if _problem(in_pool, nodes) else in_pool


def _problem(stage: Stage, nodes: Sequence[Node]) -> str | None:
    """Why the fewest workers of `stage` do not fit on the nodes that it may use; None if they do."""
    stage, nodes = replace(stage, workers=stage.least or stage.workers), stage.nodes(nodes)
    c, g, w = stage.cpus_per_worker, stage.gpus_per_worker, stage.workers
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    if stage.gpus > gpus + EPSILON:
        return f"{stage.name}: {w} x {g:g} = {stage.gpus:g} GPUs, but the cluster has {gpus:g}; " + (
            f"use at most {_times(gpus, g)} workers" if gpus >= g else "run it on CPUs or on a cluster with GPUs"
        )
    if stage.cpus > cpus + EPSILON:
        return (
            f"{stage.name}: {w} x {c:g} CPUs + {stage.data_cpus:g} for data = {stage.cpus:g}, "
            f"but the cluster has {cpus:g}; {_advice(stage, cpus)}"
        )
    on_nodes = sum(_fit_on(node, stage) for node in nodes)
    if on_nodes < w and stage.memory_per_worker and _fit_on(max(nodes, key=lambda node: node.memory), stage) == 0:
        each, most = stage.memory_per_worker / 1e9, max(node.memory for node in nodes) / 1e9
        return f"{stage.name}: a process needs {each:.1f} GB of memory, and the largest node has {most:.1f} GB"
    if on_nodes < w and len(nodes) > 1:
        best = max(nodes, key=lambda node: (node.gpus, node.cpus))
        return (
            f"{stage.name}: {w} workers of {_amount(c, g)}, but only {on_nodes} fit, since a worker cannot span nodes "
            f"and the largest has {amount([best])}; ask for less per worker"
        )
    return None


def _advice(stage: Stage, cpus: float) -> str:
    workers = _times(cpus - stage.data_cpus, stage.cpus_per_worker)
    if workers >= 1:
        return f"use at most {workers} worker{'s' if workers > 1 else ''}, or fewer CPUs per worker"
    return "use fewer CPUs per worker (a fraction is allowed), or a cluster with more CPUs"


def _fit_on(node: Node, stage: Stage) -> int:
    fit = _times(node.cpus, stage.cpus_per_worker)
    if stage.gpus_per_worker:
        fit = min(fit, _times(node.gpus, stage.gpus_per_worker))
    if stage.memory_per_worker and math.isfinite(node.memory):
        fit = min(fit, _times(node.memory, stage.memory_per_worker))
    return fit


def _times(have: float, each: float) -> int:
    """How often `each` goes into `have`, forgiving float dust: 1.0 holds 0.1 ten times."""
    return max(0, math.floor((have + EPSILON) / each))


def _amount(cpus: float, gpus: float) -> str:
    text = f"{cpus:g} CPU" + ("" if cpus == 1 else "s")
    return text if not gpus else f"{text} and {gpus:g} GPU" + ("" if gpus == 1 else "s")
