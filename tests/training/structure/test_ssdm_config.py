"""Settings of SSDM's pre-training."""

import math

import pytest

from protray.training.structure.ssdm_config import ObjectiveConfig, ObjectiveWeights, SsdmFitConfig


def test_terms_and_weights() -> None:
    assert ObjectiveConfig().terms() == {"residue": 1 / 3, "distance": 1}
    both = ObjectiveConfig(objective=("siamdiff", "angle"), gamma=0.2, weights=ObjectiveWeights(siamdiff=10))
    assert both.terms() == {"angle": 0.5, "siamdiff_structure": 2, "siamdiff_sequence": 8}


def test_a_term_without_weight_has_no_head() -> None:
    assert ObjectiveConfig(objective=("siamdiff",), gamma=1).terms() == {"siamdiff_structure": 1}


@pytest.mark.parametrize("objective", ["residue", "contrast", "siamdiff"])
def test_stored_vectors_give_these_away(objective) -> None:
    with pytest.raises(ValueError, match="give away the answers of " + objective):
        ObjectiveConfig(objective=("distance", objective)).check_stored_vectors()


def test_stored_vectors_do_not_give_geometry_away() -> None:
    ObjectiveConfig(objective=("distance", "angle", "dihedral", "denoise", "siamdiff"), gamma=1).check_stored_vectors()


def test_chains_of_a_contrast_are_longer() -> None:
    assert ObjectiveConfig().shortest_chain() == 8
    assert ObjectiveConfig(objective=("contrast", "residue")).shortest_chain() == 70


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"objective": ()}, "one or more"),
        ({"objective": ("residue", "residue")}, "one or more"),
        ({"objective": ("colour",)}, "one or more"),
        ({"mask_share": 0.0}, "mask_share"),
        ({"path_share": 1.5}, "path_share"),
        ({"gamma": -0.1}, "gamma"),
        ({"angle_bins": 1}, "angle_bins"),
        ({"tau": 0.0}, "tau"),
        ({"view_noise": math.inf}, "view_noise must be a number of at least 0, got inf"),
        ({"view_turn": math.nan}, "view_turn must be a number of at least 0, got nan"),
        ({"view": "torsions"}, "view torsions is siamdiff's, which is not among the objectives"),
        ({"contrast_crop": 3}, "contrast_crop"),
        ({"weights": ObjectiveWeights(residue=-1)}, "weights"),
        ({"weights": ObjectiveWeights(residue=0, distance=0)}, "weights"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        ObjectiveConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"crop": 7}, "crop"),
        ({"batch": 14}, "multiple of micro_batch"),
        ({"ema": 1.0}, "ema"),
        ({"side_chain_drop": 0.6, "backbone_drop": 0.5}, "add up to 1"),
    ],
)
def test_fits_that_make_no_sense_are_refused(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        SsdmFitConfig(**wrong)


def test_steps_and_workers() -> None:
    """4 epochs of 7,000 chains, 16 a step: 1,750 steps."""
    assert SsdmFitConfig(epochs=4).steps(7000) == 1750
    assert SsdmFitConfig(epochs=0.01).steps(100) == 1
    for workers in (1, 2, 4):
        SsdmFitConfig().check_workers(workers)
    with pytest.raises(ValueError, match="8 workers cannot share 4 micro-batches"):
        SsdmFitConfig().check_workers(8)
