"""Lines and metrics of what pre-training taught, by hand."""

from dataclasses import replace

import numpy as np

from protray.evaluation.ssdm import TRAINED, UNTRAINED, SsdmResults

LOSSES = {
    "loss": 1.5, "residue": 2.5, "residue/accuracy": 0.21, "distance": 0.3, "denoise": 1.2, "denoise/over_zero": 0.8,
    "denoise/over_zero/level_03": 0.7, "contrast": 1.0,
}  # fmt: skip
RETRIEVAL = [
    {"method": TRAINED, "chains": 40, "agreement": 0.4, "agreement_ci95": [0.3, 0.5], "gain": 0.1,
     "gain_ci95": [0.05, 0.15]},
    {"method": UNTRAINED, "chains": 40, "agreement": 0.3, "agreement_ci95": [0.2, 0.4]},
]  # fmt: skip


def results() -> SsdmResults:
    return SsdmResults(
        split="test", chains=40, losses=LOSSES, nothing={"residue": 2.9, "distance": 0.7}, levels=np.ones(4),
        retrieval=RETRIEVAL, partner={TRAINED: 0.9, UNTRAINED: 0.6},
    )  # fmt: skip


def test_lines_by_hand() -> None:
    assert [(row["what"], row["text"]) for row in results().rows()] == [
        ("residue, test", "loss 2.500; 2.900 for the best constant answer, right 0.210"),
        ("distance, test", "loss 0.300; 0.700 for the best constant answer"),
        ("denoise, test", "0.800 of the loss of no answer"),
        ("contrast, pre-trained", "0.900 of crops find their partner"),
        ("contrast, before training", "0.600 of crops find their partner"),
        ("nearest chain of the same topology, pre-trained",
         "0.400 [0.300, 0.500] of 40; gain +0.100 [+0.050, +0.150]"),
        ("nearest chain of the same topology, before training", "0.300 [0.200, 0.400] of 40"),
    ]  # fmt: skip


def test_intervals_stand_behind_their_numbers() -> None:
    """A set of one cluster has none."""
    ends = {"residue": (2.4, 2.6), "residue/accuracy": (0.15, 0.25), "distance": (np.nan, np.nan),
            "denoise/over_zero": (0.7, 0.9)}  # fmt: skip
    assert [row["text"] for row in replace(results(), ends=ends).rows()][:3] == [
        "loss 2.500 [2.400, 2.600]; 2.900 for the best constant answer, right 0.210 [0.150, 0.250]",
        "loss 0.300; 0.700 for the best constant answer",
        "0.800 [0.700, 0.900] of the loss of no answer",
    ]


def test_metrics_by_hand() -> None:
    found = results().metrics()
    assert found["test/residue"] == 2.5 and found["test/denoise/over_zero/level_03"] == 0.7
    assert found["test/same_topology/pre-trained"] == 0.4 and found["test/same_topology/before_training"] == 0.3
    assert len(found) == len(LOSSES) + 2
