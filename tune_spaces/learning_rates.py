"""How F_e and F_s are optimised: the paper's Adam at 0.01, halved every 50 epochs, and what protray does instead."""

from protray.cluster.tuning.space import Range

JOB = "distil"
METRIC, MODE = "validation/q3", "max"

PAPER = {"fit.learning_rate": 0.01, "fit.anneal": False, "fit.per_batch": 16}  # the paper gives no batch size

SPACE = {
    "fit.learning_rate": Range(low=2e-4, high=2e-2, log=True, grid=(0.0005, 0.001, 0.002, 0.005, 0.01)),  # 0.001: code
    "fit.anneal": (False, True),  # True: half a cosine down to 0, protray's
    "fit.per_batch": (8, 16, 32),  # proteins; 16 is protray's
}
