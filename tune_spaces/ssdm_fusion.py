"""How structure and sequence are joined, for each objective (SSDM's deck; ESM-GearNet, Zhang et al., 2023).

ESM-GearNet's tables have serial fusion above cross and parallel (EC 0.890, 0.884, 0.792), and pre-training by contrast
above that by residue types or distances; all after fine-tuning, on a language model of 650 million weights.
"""

JOB = "ssdm"
METRIC, MODE = "retrieval/same_topology", "max"

PAPER = {"fusion": "serial", "objective": "contrast"}

SPACE = {
    "fusion": ("none", "serial", "parallel", "cross"),
    "objective": (
        "residue+distance",
        "residue",
        "distance",
        "contrast",
        "siamdiff",
    ),  # ours, three of GearNet, SiamDiff
}
