"""Finished heads on new proteins and mutations: what they are shown, and which are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from decoys_here import decoys
from joint_encoders import save_random_joint
from tiny_model import save_tiny_lm

from protray.inference.tasks.heads import Annotator, MutationEffects
from protray.inference.tasks.mutants import MutantInput
from protray.models.tasks.head import Head
from protray.models.tasks.head_config import HeadConfig
from protray.training.tasks.folder import STRUCTURE_MODEL
from protray.training.tasks.properties.head_export import MUTANTS, HeadFacts, save_head

ONE = decoys(1, 1)[0]
PLACES_L = np.arange(len(ONE.sequence), dtype=np.int32)
WHOLE_LA3 = np.concatenate([ONE.backbone_L43, ONE.backbone_L43[:, [1] * 10] + np.float32(1.5)], axis=1)


def head(folder: Path, task: str, *, mutants: int = MUTANTS, side_chains: bool = True, lm: Path | None = None) -> Path:
    """With random weights, on the vectors of a random joint encoder."""
    encoder = save_random_joint(folder / STRUCTURE_MODEL, lm)
    width = 2 * 8
    facts = HeadFacts(
        task=task, kind="value", channels=width, labels=["x"], names={}, threshold=None, lm=None, noise=1.0,
        reads="mean", mutants=mutants, side_chains=side_chains,
    )  # fmt: skip
    assert encoder.path == folder / STRUCTURE_MODEL
    torch.manual_seed(0)
    config = HeadConfig(hidden=4)
    save_head(folder, config, facts, Head(config, "value", width, 1).state_dict())
    return folder


@pytest.mark.parametrize("side_chains", [True, False])
def test_a_head_of_mutations_is_shown_the_atoms_that_its_training_had(tmp_path, side_chains) -> None:
    effect_of = MutationEffects.open(head(tmp_path / "h", "ddg", side_chains=side_chains))
    to = "W" if ONE.sequence[4] != "W" else "A"
    found = [
        effect_of(MutantInput(ONE.sequence, (0,), (4,), to, PLACES_L, PLACES_L, atoms_LA3))
        for atoms_LA3 in (WHOLE_LA3, ONE.backbone_L43)
    ]
    assert (abs(found[0] - found[1]) > 1e-4) == side_chains


@pytest.mark.parametrize("side_chains", [True, False])
def test_a_head_of_proteins_is_shown_the_atoms_that_its_training_had(side_chains) -> None:
    seen: list[tuple] = []

    class Embedder:
        width = 1

        def __call__(self, sequence: str, atoms_LA3: np.ndarray, index_L: np.ndarray | None) -> np.ndarray:
            seen.append(atoms_LA3.shape)
            return np.zeros((len(sequence), 1), np.float32)

    facts = HeadFacts(
        task="ec", kind="labels", channels=1, labels=["1"], names={}, threshold=0.3, lm=None, noise=1.0,
        side_chains=side_chains,
    )  # fmt: skip
    Annotator(Head(HeadConfig(hidden=4), "labels", 1, 1), facts, [Embedder()])(ONE.sequence, WHOLE_LA3)  # type: ignore[list-item]
    assert seen == [(len(ONE.sequence), 14 if side_chains else 4, 3)]


def test_heads_on_vectors_that_were_made_in_another_way_are_refused(tmp_path) -> None:
    """Chains were not told apart, and fusions read the surroundings alone; other heads of mutations go on."""
    MutationEffects.open(head(tmp_path / "old", "ddg", mutants=1))
    MutationEffects.open(head(tmp_path / "new", "msp"))
    lm = save_tiny_lm(tmp_path / "lm")
    for name, task, beside in (("complexes", "msp", None), ("fused", "ddg", lm)):
        with pytest.raises(ValueError, match="is made in another way now; train it again"):
            MutationEffects.open(head(tmp_path / name, task, mutants=1, lm=beside))
