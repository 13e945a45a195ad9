"""Width and depth of the score network (Guo et al., AAAI 2022).

The paper's network has 64 channels, which are also the width of its embeddings, and 32 blocks; other widths are in an
appendix that is not public.  What a width is worth on a task: train `jobs/score_net.py` with it, and give several
models to `jobs/quality.py --model`.
"""

JOB = "score_net"
METRIC, MODE = "validation/explained_common", "max"

PAPER = {"net.channels": 64, "net.bottleneck": 32, "net.blocks": 32}

SPACE = {
    "net.channels": (32, 64, 128),  # half, twice the paper's
    "net.bottleneck": (16, 32, 64),  # time and weights grow with its square
    "net.blocks": (8, 16, 32),  # a quarter (our default), half of the paper's
}
