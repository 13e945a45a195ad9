"""Backbones as PDB text."""

import numpy as np

from protray.struct.files.io import read_chains
from protray.struct.files.pdb_text import atom_lines


def test_what_is_written_is_read_again(tmp_path) -> None:
    backbone_L43 = np.random.default_rng(0).uniform(-90, 90, (3, 4, 3)).astype(np.float32)
    backbone_L43[1, 3] = np.nan  # an atom that is not there
    (tmp_path / "one.pdb").write_text("\n".join([*atom_lines("GXW", backbone_L43), "END", ""]))
    [chain] = read_chains(tmp_path / "one.pdb")
    assert chain.sequence == "GXW"
    np.testing.assert_allclose(chain.backbone_L43, backbone_L43, atol=6e-4)


def test_numbers() -> None:
    lines = atom_lines("AG", np.zeros((2, 4, 3)), "Z", serial=99_999)
    assert [line[6:11] for line in lines[:2]] == ["99999", "    0"]
    assert {line[21:26] for line in lines} == {"Z   1", "Z   2"}
