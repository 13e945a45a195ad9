"""A network as a folder and back; and the trainings of a table one after another."""

import pytest
import torch
from decoys_here import decoys, random_extras

from protray.data.decoys.graphs import Widths, no_extras
from protray.models.tasks.graphqa import GraphQa
from protray.models.tasks.graphqa_config import GraphQaConfig
from protray.training.tasks.folder import WEIGHTS
from protray.training.tasks.quality.export import load_graphqa, save_graphqa
from protray.training.tasks.quality.fit import predict, row_trainings
from protray.training.tasks.quality.steps import QualityFitConfig
from protray.training.tasks.turns import finished, in_turn
from protray.training.world import World

NET = GraphQaConfig(layers=2, edges=(8, 8), nodes=(8, 8), whole=(8, 8))
FIT = QualityFitConfig(epochs=2, batch=4, micro_batch=4, validate_every=1)
WIDTHS = Widths(3, 2)


def test_a_network_and_back(tmp_path) -> None:
    torch.manual_seed(0)
    net = GraphQa(NET, 3, 2)
    save_graphqa(tmp_path / "m", NET, WIDTHS, net.state_dict(), {"lm": "shipped"})
    again, some = load_graphqa(tmp_path / "m"), decoys(2, 1)
    assert again.config == NET
    for (local, whole), (local_too, whole_too) in zip(
        predict(net, some, random_extras), predict(again, some, random_extras), strict=True
    ):
        assert (local == local_too).all() and (whole == whole_too).all()


def test_what_is_no_network_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"holds no graphqa\.json"):
        load_graphqa(tmp_path)
    save_graphqa(tmp_path / "m", NET, Widths(), GraphQa(NET).state_dict(), {})
    (tmp_path / "m" / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"does not fit graphqa\.json"):
        load_graphqa(tmp_path / "m")


def test_rows_follow_each_other_and_are_not_trained_twice() -> None:
    """Stopped at each state in turn, the trainings go on there, and give the same in the end."""
    some, opened = decoys(4, 1), []

    def rows() -> dict:
        def open_(name: str):  # noqa: ANN202
            opened.append(name)
            return (WIDTHS, random_extras) if name == "with" else (Widths(), no_extras)

        return {name: lambda name=name: open_(name) for name in ("plain", "with")}

    class StopError(Exception):
        pass

    def run(resume: dict | None, stop_at: int | None) -> dict:
        states: list[dict] = []

        def report(metrics: dict, state: dict | None) -> None:
            if state:
                states.append(state)
                if len(states) == stop_at:
                    raise StopError

        try:
            in_turn(row_trainings(rows(), NET, some, some, FIT, World()), report, resume)
        except StopError:
            pass
        return states[-1] if states else resume

    whole = run(None, None)
    assert opened == ["plain", "with"] and whole["stage"] == "with" and list(whole["rows"]) == ["plain"]
    state = None
    for _ in range(4):
        state = run(state, 1)
    opened.clear()
    assert run(state, 1) is state and opened == []
    for name, one in finished(whole).items():
        other = finished(state)[name]
        assert one["position"]["history"] == other["position"]["history"]
        assert all((value == other["best"][key]).all() for key, value in one["best"].items())
