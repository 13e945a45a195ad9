"""Pre-train the score network on tertiary structures, and show how well it denoises.

    python jobs/score_net.py                                    # the bundled sample, on this machine
    python jobs/score_net.py --data DATASET --out runs/mine     # your chains, from jobs/prepare_structures.py
    ray job submit --working-dir . -- python jobs/score_net.py --data DATASET --model paper --workers 4 --out DIR

The network, `OUT/model`, is the `--model` of jobs/embed.py.  The same command again continues where it was stopped, and
costs nothing once it has finished.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.structure.score_net import JOB, ScoreNetRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, ScoreNetRun, __doc__))
