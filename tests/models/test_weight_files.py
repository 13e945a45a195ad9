"""Files of weights of ours; what is wrong with those of others is in `tests/plm/hub/test_folder.py`."""

import torch
from torch import nn

from protray.models.weight_files import load_weights, save_weights


def test_weights_come_back_and_others_may_read_them(tmp_path) -> None:
    """A transposed one, too; the file is as readable as any of this user."""
    one, two, file, plain = nn.Linear(2, 3), nn.Linear(2, 3), tmp_path / "model.safetensors", tmp_path / "plain"
    weights = one.state_dict() | {"weight": one.weight.detach().T.contiguous().T}
    save_weights(weights, file)
    plain.touch()
    assert file.stat().st_mode == plain.stat().st_mode
    load_weights(two, file)
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)
