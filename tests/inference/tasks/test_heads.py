"""Finished heads on new proteins: what they are shown."""

import numpy as np

from protray.inference.tasks.heads import as_trained
from protray.training.tasks.properties.head_export import HeadFacts


def test_a_head_is_shown_the_atoms_that_its_training_had() -> None:
    atoms_LA3 = np.zeros((5, 14, 3), np.float32)
    for side_chains, atoms in ((True, 14), (False, 4)):
        facts = HeadFacts(
            task="ec", kind="labels", channels=5, labels=["1"], names={}, threshold=0.3, lm=None, noise=1.0,
            side_chains=side_chains,
        )  # fmt: skip
        found_LA3 = as_trained(facts, atoms_LA3)
        assert found_LA3 is not None and found_LA3.shape == (5, atoms, 3) and as_trained(facts, None) is None
