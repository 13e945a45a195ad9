"""A head on frozen embeddings: width, dropout, learning rate and weight decay, on the EC numbers in the package.

ESM-GearNet (Zhang et al., 2023) trains three layers with Adam at 1e-4, without dropout, on 15,000 chains; the package
has 900.  So the study asks how much regularisation that takes.
"""

from protray.cluster.tuning.space import Range

JOB = "function"
METRIC, MODE = "validation/label_ranking", "max"

PAPER = {"net.hidden": 512, "net.dropout": 0.0, "fit.learning_rate": 1e-4, "fit.weight_decay": 0.0}

SPACE = {
    "net.hidden": (128, 256, 512),  # our default is 256
    "net.dropout": (0.0, 0.5),
    "fit.learning_rate": Range(low=1e-4, high=3e-3, log=True, grid=(1e-4, 1e-3)),
    "fit.weight_decay": (0.0, 0.1),
}
