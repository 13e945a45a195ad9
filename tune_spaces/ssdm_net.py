"""Neighbours that a residue looks at, hidden share and temperature, with residue types and the contrast as objectives.

GearNet (Zhang et al., ICLR 2023) hides 15 % of the residues and contrasts at a temperature of 0.07; its graphs have
about 16 edges for each residue of a crop.  ProteinMPNN looks at 48 neighbours, ESM-IF at 30.
"""

from protray.cluster.tuning.space import Range

JOB = "ssdm"
METRIC, MODE = "retrieval/same_topology", "max"

FIXED = {"objective": "residue+contrast"}
PAPER = {"net.neighbours": 16, "learn.mask_share": 0.15, "learn.tau": 0.07}

SPACE = {
    "net.neighbours": (16, 24, 32, 48),  # time grows with them; our default is 20
    "learn.mask_share": Range(low=0.1, high=0.6, grid=(0.15, 0.3, 0.5)),  # BERT's and GearNet's; up to SiamDiff's mean
    "learn.tau": Range(low=0.03, high=0.3, log=True, grid=(0.05, 0.07, 0.1, 0.2)),
}
