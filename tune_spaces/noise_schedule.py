"""Noise levels and crop of the score network (Guo et al., AAAI 2022).

The paper fixes sigma_1 = 10 Å, sigma_K = 0.01 Å, K = 32 and crops of 32 residues, and does not say how the levels are
spaced; levels that fall by a constant factor are those of Song and Ermon (NeurIPS 2020), which it builds on.  All
trials are scored on one and the same set of crops at the paper's levels: a loss at its own would favour easy ones.
"""

from protray.cluster.tuning.space import Range

JOB = "score_net"
METRIC, MODE = "validation/explained_common", "max"

PAPER = {
    "net.noise.first": 10.0,
    "net.noise.last": 0.01,
    "net.noise.levels": 32,
    "net.noise.spacing": "geometric",
    "fit.crop": 32,
}

SPACE = {
    "net.noise.first": Range(low=3.0, high=30.0, log=True, grid=(5.0, 10.0, 20.0)),  # Å; half, twice the paper's
    "net.noise.last": Range(low=0.005, high=0.2, log=True, grid=(0.01, 0.03, 0.1)),  # Å; up to a structure's precision
    "net.noise.levels": (16, 32, 64),  # half, twice the paper's
    "net.noise.spacing": ("geometric", "linear", "log-uniform"),  # log-uniform: any sigma between the ends
    "fit.crop": (16, 32, 48),  # residues; time grows with the square
}
