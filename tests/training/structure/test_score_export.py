"""A stored score network that is damaged is refused with the file's name."""

import json

import pytest
from score_nets import save_random_net

from protray.training.structure.score_export import SETTINGS, WEIGHTS, load_score_net


@pytest.mark.parametrize(
    ("size", "says"), [(0, "is empty"), (4, "is cut off in its header"), (100, "is cut off in"), (-1, "is cut off: ")]
)
def test_a_truncated_file_of_weights_is_named(tmp_path, size, says) -> None:
    folder = save_random_net(tmp_path / "model")
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ValueError, match=f"{WEIGHTS} {says}"):
        load_score_net(folder)


def test_a_folder_without_a_network_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="nothing is no folder; give the folder `model` in the --out"):
        load_score_net(tmp_path / "nothing")
    (tmp_path / "run" / "model").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"run holds no {SETTINGS}, nor ssdm.json; give {tmp_path}/run/model"):
        load_score_net(tmp_path / "run")
    with pytest.raises(ValueError, match=f"holds no {SETTINGS}"):
        load_score_net(tmp_path)
    save_random_net(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=f"{WEIGHTS} is not there"):
        load_score_net(tmp_path)


def test_settings_of_another_network_are_named(tmp_path) -> None:
    folder = save_random_net(tmp_path / "model")
    settings = json.loads((folder / SETTINGS).read_text())
    for change, says in (
        ({"channels": settings["channels"] + 4}, f"{WEIGHTS} has weights of another shape than its settings say: "),
        ({"colour": "blue"}, f"{SETTINGS} is damaged .TypeError: .*colour"),
        ({"noise": None}, f"{SETTINGS} is damaged .TypeError: "),
    ):
        (folder / SETTINGS).write_text(json.dumps(settings | change))
        with pytest.raises(ValueError, match=says) as found:
            load_score_net(folder)
        assert len(str(found.value)) - len(str(folder)) < 250
    (folder / SETTINGS).write_text(json.dumps(settings)[:-20])
    with pytest.raises(ValueError, match=f"{SETTINGS} is damaged"):
        load_score_net(folder)
