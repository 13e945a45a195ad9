"""A stored score network that is damaged is refused with the file's name."""

import pytest
from score_nets import save_random_net

from protray.training.structure.score_export import SETTINGS, WEIGHTS, load_score_net


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_truncated_file_of_weights_is_named(tmp_path, size) -> None:
    folder = save_random_net(tmp_path / "model")
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ValueError, match=rf"{WEIGHTS} does not fit {SETTINGS}: "):
        load_score_net(folder)


def test_a_folder_without_a_network_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=f"holds no {SETTINGS}"):
        load_score_net(tmp_path)
    save_random_net(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=f"{WEIGHTS} does not fit"):
        load_score_net(tmp_path)
