"""EnhanceNet F_e: how the paper's text may be read, and how much to regularise.

The paper gives 2 layers, kernels (3, 3, 5) and dropout 0.75, and predicts X_e itself; its figure leaves open whether
the convolutions stand beside or behind one another, and the released code has no ReLU between the linear layers.
"""

from protray.cluster.tuning.space import Range

JOB = "distil"
METRIC, MODE = "validation/q3", "max"

PAPER = {
    "enhance.dropout": 0.75,
    "enhance.residual": False,
    "enhance.branches": "parallel",
    "enhance.relu": True,
}

SPACE = {
    "enhance.dropout": Range(low=0.0, high=0.8, grid=(0.25, 0.5, 0.75)),  # 0.75 may be the share that is kept
    "enhance.residual": (False, True),  # True: predict X_e - X_l, protray's
    "enhance.branches": ("parallel", "sequential"),
    "enhance.relu": (True, False),  # False: the released code
}
