"""Noise of SiamDiff's denoising: its levels, and how its two losses are weighed (Zhang et al., NeurIPS 2023).

Half of SiamDiff's 100 levels are above 0.98 Å, where a backbone frame means nothing; the geometric ones are 16 from
0.05 to 3 Å.  Its second stage has 5 levels of 0.010 to 0.022 Å and a gamma of 0.2.
"""

from protray.cluster.tuning.space import Range

JOB = "ssdm"
METRIC, MODE = "retrieval/same_topology", "max"

FIXED = {"objective": "siamdiff"}
PAPER = {"learn.levels": "siamdiff", "learn.gamma": 0.5, "learn.cross": True}

SPACE = {
    "learn.levels": ("siamdiff", "geometric"),
    "learn.gamma": Range(low=0.1, high=0.9, grid=(0.2, 0.5, 0.8)),  # share of the structure; stage 2 has 0.2
    "learn.cross": (True, False),  # False: each view from its own vectors, DiffPreT's
}
