"""DeepPPISP (Zeng et al., Bioinformatics 2020): window, filters, widths, dropout and learning rate.

The paper takes windows of 7, kernels of 13, 15 and 17, two global features for each local one, widths 1024 and 256, no
dropout, and Adam at 1e-3.  The study asks whether other sizes are better on the complexes in the package, without
embeddings.
"""

from protray.cluster.tuning.space import Range

JOB = "sites"
METRIC, MODE = "validation/likelihood", "max"

PAPER = {
    "net.window": 7, "net.ratio": 2.0, "net.hidden": (1024, 256), "net.dropout": 0.0, "fit.learning_rate": 1e-3
}  # fmt: skip

SPACE = {
    "net.window": (7, 15),  # the paper's, and one that sees as far as a kernel
    "net.ratio": (0.5, 2.0),
    "net.hidden": ((256, 64), (1024, 256)),  # our default, and the released network's
    "net.dropout": (0.0, 0.3),
    "fit.learning_rate": Range(low=1e-4, high=3e-3, log=True, grid=(3e-4, 1e-3)),
}
