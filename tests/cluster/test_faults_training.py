"""What a training loses when workers and nodes are lost, and that its curve stays the same.  Run with `-m cluster`."""

import functools
import threading
import time
from pathlib import Path

import pytest
from faults import FIT, SETTINGS, Letters, faulty, kill, once, same_curve, unbroken

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def expected() -> list[dict]:
    return unbroken()


def run(out: Path, loop, letters: Letters, **workers: object) -> list[dict]:  # noqa: ANN001
    """Train and return the curve."""
    from protray.cluster.trainer import Workers, train

    state = train(loop, SETTINGS, name="run", storage=out, workers=Workers(**workers), on_report=letters)
    return state["position"]["history"]


def note_node(folder: Path):  # noqa: ANN201
    """A fault that is none: every rank writes down its node."""

    def fault(metrics, world):  # noqa: ANN001, ANN202
        import ray

        (folder / f"rank-{world.rank}").write_text(ray.get_runtime_context().get_node_id())

    return fault


def kill_node_of(nodes, folder: Path, rank: int, letters: Letters, step: int) -> threading.Thread:  # noqa: ANN001
    """Take a rank's node away once the training has come to `step`."""

    def kill() -> None:
        while letters.step < step:
            time.sleep(0.05)
        doomed = (folder / f"rank-{rank}").read_text()
        nodes.remove_node(next(node for node in nodes.worker_nodes if node.node_id == doomed), allow_graceful=False)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_a_killed_worker(nodes, tmp_path, expected) -> None:
    nodes.add_node(num_cpus=2)
    letters = Letters()
    curve = run(tmp_path, faulty(once(tmp_path / "died", 13, 1, kill())), letters, count=2)
    assert (tmp_path / "died").exists()
    same_curve(curve, expected)
    letters.tell("worker killed")
    assert 0 < letters.lost() <= FIT.validate_every


def test_a_killed_node_and_a_spare_one(nodes, tmp_path, expected) -> None:
    for _ in range(3):
        nodes.add_node(num_cpus=1)
    letters = Letters()
    killer = kill_node_of(nodes, tmp_path, 1, letters, 12)
    curve = run(tmp_path, faulty(note_node(tmp_path), pause=0.2), letters, count=2)
    killer.join(timeout=10)
    same_curve(curve, expected)
    assert {point["train/world_size"] for point in curve} == {2}
    letters.tell("node killed, 2 workers and a spare node")
    assert 0 < letters.lost() <= FIT.validate_every + 2  # the step that was seen, and those until the kill took effect


def test_an_elastic_training_goes_on_with_fewer_and_grows_again(nodes, tmp_path, expected, monkeypatch) -> None:
    import ray.train

    config = functools.partial(ray.train.ScalingConfig, elastic_resize_monitor_interval_s=3)  # 60 by default
    monkeypatch.setattr(ray.train, "ScalingConfig", config)
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    letters, curves = Letters(), []
    killer = kill_node_of(nodes, tmp_path, 1, letters, 7)
    loop = faulty(note_node(tmp_path), pause=0.8)
    training = threading.Thread(
        target=lambda: curves.append(run(tmp_path, loop, letters, count=2, least=1)), daemon=True
    )
    training.start()
    killer.join(timeout=120)
    while training.is_alive() and not any(metrics.get("train/world_size") == 1 for _, metrics in letters.seen):
        time.sleep(0.1)
    nodes.add_node(num_cpus=1)  # in the main thread
    training.join(timeout=240)
    same_curve(curves[0], expected)
    sizes = [point["train/world_size"] for point in curves[0]]
    assert (sizes[0], min(sizes), sizes[-1]) == (2, 1, 2)
    letters.tell("node killed, elastic 1 to 2")


def test_three_workers_share_four_micro_batches(nodes, tmp_path, expected) -> None:
    """What an elastic training of four has when one is lost."""
    nodes.add_node(num_cpus=3)
    same_curve(run(tmp_path, faulty(lambda *_: None), Letters(), count=3), expected)


def test_a_node_that_is_to_be_taken_away(nodes, tmp_path, expected) -> None:
    """Notice of a preemption: training goes on until the deadline, elsewhere after it, and that is no failure."""
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    for _ in range(3):
        nodes.add_node(num_cpus=1)
    letters = Letters()
    taken = []

    def notice() -> None:
        while letters.step < 7:
            time.sleep(0.05)
        node, deadline = (tmp_path / "rank-1").read_text(), int((time.time() + 6) * 1000)
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, why = GcsClient(address=nodes.address).drain_node(node, reason, "spot instance", deadline)
        assert accepted, why
        taken.append((node, letters.step))

    threading.Thread(target=notice, daemon=True).start()
    curve = run(tmp_path, faulty(note_node(tmp_path), pause=0.7), letters, count=2, max_failures=0)
    same_curve(curve, expected)
    node, step = taken[0]
    letters.tell(f"preemption notice in step {step}, 6 s before")
    assert node not in {(tmp_path / f"rank-{rank}").read_text() for rank in range(2)}
    assert letters.lost() <= FIT.validate_every
