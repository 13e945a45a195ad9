"""Which checkpoint a training goes on from, when files are damaged; without Ray processes."""

import json
import logging
from pathlib import Path

import pytest
import torch

from protray.cluster.train.checkpoints import LIST, Checkpoints, folder_name
from protray.data.location import Location
from protray.training.checkpoint import DamagedCheckpointError, save_state


@pytest.fixture
def three(tmp_path: Path) -> tuple[Checkpoints, Path]:
    """Checkpoints 1 to 3 and Ray's list of the last two."""
    for number in (1, 2, 3):
        save_state(tmp_path / "run" / folder_name(number), {"weights": torch.full((1000,), float(number))})
    listed = [{"checkpoint_dir_name": folder_name(number), "metrics": {}} for number in (2, 3)]
    (tmp_path / "run" / LIST).write_text(json.dumps({"checkpoint_results": listed}))
    return Checkpoints(Location(tmp_path), "run"), tmp_path / "run"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # of a weight, which torch.load would take as it is
    path.write_bytes(content)


def test_the_newest_is_taken(three) -> None:
    checkpoints, _ = three
    number, state = checkpoints.newest()
    assert checkpoints.numbers() == [3, 2, 1]
    assert number == 3
    assert state is not None and state["weights"].unique().tolist() == [3.0]


def test_damaged_ones_are_passed_over(three, caplog) -> None:
    checkpoints, folder = three
    flip_a_bit(folder / folder_name(3) / "state.pt")
    (folder / folder_name(2) / "state.pt").write_bytes(b"")  # its node lost power before the disk had it
    (folder / folder_name(4)).mkdir()  # its process was killed
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest()[0] == 1
    assert [Path(record.getMessage().split(": ")[1]).parent.name for record in caplog.records] == [
        folder_name(number) for number in (4, 3, 2)
    ]


def test_when_all_are_damaged_the_folder_is_named(three) -> None:
    checkpoints, folder = three
    for number in (1, 2, 3):
        flip_a_bit(folder / folder_name(number) / "state.pt")
    with pytest.raises(DamagedCheckpointError, match=f"all 3 checkpoints in {folder} are damaged"):
        checkpoints.newest()


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Location(tmp_path), "run")
    checkpoints.forget_broken_list()
    assert checkpoints.newest() == (0, None)


@pytest.mark.parametrize("break_it", ["cut", "empty", "gone"])
def test_a_broken_list_is_removed_and_a_sound_one_stays(three, break_it: str) -> None:
    checkpoints, folder = three
    checkpoints.forget_broken_list()
    assert (folder / LIST).exists()
    if break_it == "gone":
        (folder / folder_name(2)).rename(folder / "elsewhere")
    else:
        (folder / LIST).write_text((folder / LIST).read_text()[: 40 if break_it == "cut" else 0])
    checkpoints.forget_broken_list()
    assert not (folder / LIST).exists()
    assert checkpoints.newest()[0] == 3
