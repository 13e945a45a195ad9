"""GraphQA (Baldassarre et al., Bioinformatics 2021): width, depth, dropout and learning rate, on decoys.

The paper's network is 144 / 256 / 512 wide (edges, nodes, the whole), with six layers, dropout 0.2 and Adam at 5e-3; it
was trained on 85,000 decoys, the bundled sample's are 1,200.  So the study asks how much of that helps on few.
"""

from protray.cluster.tuning.space import Range

JOB = "quality"
METRIC, MODE = "validation/gdt_ts_accuracy", "max"

PAPER = {"net.layers": 6, "net.edges": (144, 16), "net.nodes": (256, 64), "net.dropout": 0.2, "fit.learning_rate": 5e-3}

SPACE = {
    "net.layers": (3, 6),  # half the paper's
    "net.edges": ((32, 16), (144, 16)),  # our default, and the paper's
    "net.nodes": ((64, 32), (256, 64)),
    "net.dropout": (0.0, 0.2),
    "fit.learning_rate": Range(low=5e-4, high=1e-2, log=True, grid=(1e-3, 2e-3, 5e-3)),
}
