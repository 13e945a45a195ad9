"""The planner's arithmetic, by hand."""

import pytest

from protray.cluster.runtime.capacity import Node
from protray.cluster.runtime.resources import Stage, actor_pool, describe, make_plan, trainer, trials_at_once
from protray.cluster.train.job import TrainingSettings
from protray.data.location import Location

LAPTOP = [Node({"CPU": 2.0, "memory": 4e9})]
CLUSTER = [Node({"CPU": 16.0, "GPU": 2.0})] * 4
MIXED = [Node({"CPU": 64.0}), Node({"CPU": 8.0, "GPU": 2.0}), Node({"CPU": 8.0, "GPU": 2.0})]
CPU_NODE, GPU_NODE = Node({"CPU": 16.0}, "cpu"), Node({"CPU": 8.0, "GPU": 1.0}, "gpu")
POOLS = [Node({}, "head"), CPU_NODE, CPU_NODE, GPU_NODE]


def a_map(workers: int, cpus: float, data_cpus: float = 1.0, gpus: float = 0.0) -> Stage:
    return Stage(
        name="maps", kind="map", workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus, data_cpus=data_cpus
    )


def a_trainer(workers: int, cpus: float, data_cpus: float = 0.0, gpus: float = 0.0) -> Stage:
    return Stage(
        name="train", kind="train", workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus, data_cpus=data_cpus
    )


def test_a_stage_adds_up() -> None:
    """3 workers x 2 CPUs + 1 for data = 7 CPUs; 3 x 0.5 GPU = 1.5 GPUs."""
    stage = a_map(3, 2, gpus=0.5)
    assert stage.cpus == 7
    assert stage.gpus == 1.5


@pytest.mark.parametrize(
    ("stage", "fits"),
    [  # the two-core table of what ran and what hung: workers x CPUs, CPUs left for Ray Data
        (a_trainer(2, 1, data_cpus=1), False),  # 3 > 2, hung
        (a_trainer(2, 1), True),  # data in memory, ran
        (a_trainer(1, 1, data_cpus=1), True),  # 2, ran
        (a_trainer(1, 1, data_cpus=2), False),  # an actor of 1 CPU and a free one: 3 > 2, hung
        (a_trainer(2, 0.5, data_cpus=1), True),  # 2, ran
        (a_trainer(2, 0.5, data_cpus=2), False),  # 3 > 2, hung
        (a_map(2, 0.5), True),  # 1 + 1
        (a_map(2, 1), False),  # 2 + 1
    ],
)
def test_two_cores(stage: Stage, fits: bool) -> None:
    if fits:
        assert make_plan([stage], LAPTOP).stages == (stage,)
    else:
        with pytest.raises(ValueError, match="but the cluster has 2"):
            make_plan([stage], LAPTOP)


def test_stages_run_one_after_another() -> None:
    """2 CPUs each, 4 together: fits on 2 because they do not overlap."""
    plan = make_plan([a_map(2, 0.5), a_trainer(2, 1)], LAPTOP)
    assert [stage.cpus for stage in plan.stages] == [2, 2]


def test_refusal_names_every_stage_its_numbers_and_the_way_out() -> None:
    with pytest.raises(ValueError) as error:
        make_plan([a_map(4, 1), a_trainer(3, 1)], LAPTOP)
    text = str(error.value)
    assert "maps: 4 x 1 CPUs + 1 for data = 5, but the cluster has 2; use at most 1 worker," in text
    assert "train: 3 x 1 CPUs + 0 for data = 3, but the cluster has 2; use at most 2 workers," in text


def test_gpus_are_counted() -> None:
    make_plan([a_trainer(8, 1, gpus=1)], CLUSTER)
    with pytest.raises(ValueError, match="9 x 1 = 9 GPUs, but the cluster has 8; use at most 8 workers"):
        make_plan([a_trainer(9, 1, gpus=1)], CLUSTER)
    with pytest.raises(ValueError, match="2 x 1 = 2 GPUs, but the cluster has 0; run it on CPUs"):
        make_plan([a_trainer(2, 1, gpus=1)], LAPTOP)


def test_a_worker_cannot_span_nodes() -> None:
    """64 CPUs in all, but 16 per node: one 10-CPU worker per node, so 4 of them fit and 5 do not."""
    make_plan([a_trainer(4, 10)], CLUSTER)
    with pytest.raises(ValueError, match="5 workers of 10 CPUs, but only 4 fit"):
        make_plan([a_trainer(5, 10)], CLUSTER)


@pytest.mark.parametrize(
    ("stage", "nodes", "threads"),
    [
        (a_trainer(1, 1), LAPTOP, 1),  # asked for one CPU, and is alone on 2 cores
        (a_trainer(2, 1), LAPTOP, 1),
        (a_map(1, 1), LAPTOP, 2),  # the CPU kept for data is idle while the actor computes
        (a_map(2, 0.5), LAPTOP, 1),
        (a_trainer(1, 2), LAPTOP, 2),
        (a_trainer(4, 4), CLUSTER, 4),  # chosen on purpose
        (a_trainer(4, 1), CLUSTER, 1),
        (a_trainer(40, 1), CLUSTER, 1),  # 16 per node: 16 / 16
        (a_trainer(4, 1, gpus=1), MIXED, 4),  # on the GPU node, whatever the other has: 8 / 2
    ],
)
def test_threads(stage, nodes, threads) -> None:
    assert make_plan([stage], nodes).threads(stage.name) == threads


@pytest.mark.parametrize(
    ("nodes", "at_most", "workers", "each"),
    [
        (LAPTOP, None, 2, 0.5),
        (LAPTOP, 1, 1, 0.5),
        (LAPTOP, 0, 1, 0.5),
        ([Node({"CPU": 1.0})] * 2, None, 1, 1.0),  # with a half taken on each, none would have a whole one left
        ([Node({"CPU": 1.5})] * 3, None, 2, 1.0),  # 3 whole ones - 1
        ([Node({}), Node({"CPU": 2.0})], None, 2, 0.5),  # a head without CPUs
        ([Node({"CPU": 8.0})], None, 7, 1.0),  # 8 - 1
        ([Node({"CPU": 8.0})], 3, 3, 1.0),
        ([Node({"CPU": 8.0}), CPU_NODE], None, 15, 1.0),  # on the node that is for it
        ([Node({"CPU": 16.0, "GPU": 4.0})], None, 4, 1.0),  # one per GPU
        ([Node({"CPU": 8.0, "GPU": 8.0})], None, 7, 1.0),  # one CPU for reading and writing
    ],
)
def test_actor_pool_by_hand(nodes, at_most, workers, each) -> None:
    stage = actor_pool("maps", nodes, at_most)
    assert (stage.workers, stage.cpus_per_worker) == (workers, each)
    assert stage.gpus == (workers if nodes[0].gpus else 0)
    make_plan([stage], nodes)  # fits


@pytest.mark.parametrize(
    ("nodes", "asked", "workers", "each"),
    [
        ([Node({"CPU": 8.0})], {"actors": 3}, 3, 1.0),
        ([Node({"CPU": 8.0})], {"actors": 30}, 7, 1.0),  # at most
        ([Node({"CPU": 8.0})], {"cpus": 2.0}, 3, 2.0),  # 3 x 2 + 1
        ([Node({"CPU": 8.0})], {"cpus": 0.5}, 14, 0.5),
        (LAPTOP, {"cpus": 1.0}, 1, 1.0),  # 1 + 1
        (LAPTOP, {"memory": int(1.5e9)}, 2, 0.5),
        (LAPTOP, {"memory": int(3e9)}, 1, 0.5),  # 4 GB hold one
        ([Node({"CPU": 8.0, "memory": 16e9}), Node({"CPU": 8.0, "memory": 7e9})], {"memory": int(4e9)}, 5, 1.0),
        ([Node({"CPU": 16.0, "GPU": 4.0})], {"cpus": 4.0}, 3, 4.0),  # 3 x 4 + 1
        ([Node({"CPU": 8.0})], {"memory": int(4e9)}, 7, 1.0),  # no limit is known
    ],
)
def test_actors_that_are_asked_for(nodes, asked, workers, each) -> None:
    stage = actor_pool("maps", nodes, **asked)
    assert (stage.workers, stage.cpus_per_worker) == (workers, each)
    make_plan([stage], nodes)


EIGHT = Node({"CPU": 8.0})


@pytest.mark.parametrize(
    ("nodes", "workers", "each"),
    [
        (LAPTOP, 1, 2),
        (LAPTOP, 2, 1),
        ([EIGHT], 1, 8),
        ([EIGHT], 2, 4),
        ([EIGHT], 3, 2),  # 8 / 3
        ([EIGHT] * 2, 1, 8),
        ([EIGHT] * 2, 2, 8),  # one on each
        ([EIGHT] * 2, 3, 4),  # two on one of them
        ([EIGHT] * 2, 4, 4),
        ([EIGHT] * 4, 2, 8),
        ([EIGHT] * 4, 4, 8),
        ([EIGHT] * 4, 5, 4),
        ([EIGHT] * 4, 8, 4),
        ([Node({"CPU": 1.0})] * 2, 2, 1),
        ([Node({}), EIGHT, EIGHT], 2, 8),  # a head without CPUs
        ([Node({"CPU": 16.0}), EIGHT], 2, 8),  # both on the larger one, or one on each
        ([CPU_NODE, CPU_NODE, Node({"CPU": 32.0, "GPU": 0.0}, "gpu")], 2, 16),  # in the pool that is for them
    ],
)
def test_workers_without_gpus_ask_for_the_cpus_of_their_threads(nodes, workers, each) -> None:
    plan = make_plan([trainer("train", workers, None, nodes)], nodes)
    assert (plan["train"].cpus_per_worker, plan.threads("train")) == (each, each)


def test_workers_with_a_gpu_or_with_cpus_that_are_the_user_s() -> None:
    nodes = [Node({"CPU": 16.0, "GPU": 4.0})] * 2
    plan = make_plan([trainer("train", 8, None, nodes)], nodes)
    assert (plan["train"].cpus_per_worker, plan["train"].gpus_per_worker, plan.threads("train")) == (1, 1, 4)
    assert trainer("train", 8, None, nodes, cpus_per_worker=3).cpus_per_worker == 3
    assert trainer("train", 2, 0, nodes).cpus_per_worker == 16  # without the GPUs
    with pytest.raises(ValueError, match="3 x 1 CPUs . 0 for data = 3, but the cluster has 2; use at most 2 workers"):
        make_plan([trainer("train", 3, None, LAPTOP)], LAPTOP)


def test_memory_is_not_asked_of_nodes_to_come_that_do_not_tell_it() -> None:
    assert actor_pool("maps", [LAPTOP[0], Node({"CPU": 2.0})], memory=10**9).memory_per_worker == 0
    assert actor_pool("maps", LAPTOP, memory=10**9).memory_per_worker == 10**9


def test_actors_that_can_never_start() -> None:
    with pytest.raises(ValueError, match="a process needs 5.0 GB of memory, and the largest node has 4.0 GB"):
        make_plan([actor_pool("maps", LAPTOP, memory=int(5e9))], LAPTOP)
    with pytest.raises(ValueError, match="1 x 4 CPUs . 1 for data = 5, but the cluster has 2; use fewer CPUs per work"):
        make_plan([actor_pool("maps", LAPTOP, cpus=4)], LAPTOP)
    with pytest.raises(ValueError, match="cpus_per_worker=1.5; above 1, Ray takes whole numbers only"):
        actor_pool("maps", LAPTOP, cpus=1.5)


@pytest.mark.parametrize(
    ("stage", "pool"),
    [
        (a_trainer(4, 1), "cpu"),
        (a_trainer(32, 1), "cpu"),
        (a_trainer(33, 1), ""),  # of 40 CPUs the pool has 32
        (a_map(31, 1), "cpu"),  # 31 + 1
        (a_map(32, 1), ""),
        (a_trainer(1, 1, gpus=1), "gpu"),
        (a_trainer(8, 1, gpus=0.1), "gpu"),
    ],
)
def test_work_stays_in_its_pool_if_it_fits_there(stage, pool) -> None:
    plan = make_plan([stage], POOLS)
    assert plan[stage.name].pool == pool
    assert plan[stage.name].labels == ({"protray-pool": pool} if pool else {})
    assert (f"on protray-pool: {pool}" in describe(plan)) == bool(pool)


@pytest.mark.parametrize(("workers", "least"), [(0, None), (-1, None), (2, 0), (1, 3)])
def test_numbers_of_workers_that_cannot_be(workers, least) -> None:
    with pytest.raises(ValueError, match="workers must"):
        TrainingSettings(out=Location("out"), workers=workers, min_workers=least).check()


def test_trials_are_counted_in_their_pool() -> None:
    """8 CPUs each: 2 on each of the two CPU nodes; the GPU node, which had room for one more, is left alone."""
    assert trials_at_once(8, 0, POOLS) == 4
    assert trials_at_once(8, 0, POOLS[-1:]) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: a_trainer(0, 1), "has 0 workers"),
        (lambda: a_trainer(1, 0), "cpus_per_worker must be above 0"),
        (lambda: a_trainer(1, 1.5), "whole numbers only"),
        (lambda: a_map(1, 1, data_cpus=0.5), "with none free the map never starts"),
    ],
)
def test_impossible_stages(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_describe_reads() -> None:
    text = describe(make_plan([a_map(2, 0.5), a_trainer(1, 1)], LAPTOP))
    assert text.splitlines() == [
        "the cluster has 2 CPUs; this job uses",
        "  maps   2 actors x (0.5 CPUs, 1 thread) + 1 CPU for data = 2 CPUs",
        "  train  1 worker x (1 CPU, 1 thread) = 1 CPU",
    ]


def test_an_unknown_stage_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no stage 'x' in this plan; it has \\['train'\\]"):
        make_plan([a_trainer(1, 1)], LAPTOP)["x"]
