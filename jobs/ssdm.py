"""Pre-train the joint encoder of sequence and structure (SSDM), and show what it learnt.

    python jobs/ssdm.py                                                  # the bundled sample, on this machine
    python jobs/ssdm.py --data DATASET --objective residue distance siamdiff --out runs/mine
    python jobs/ssdm.py --fusion serial --lm shipped --lm-lr-ratio 0.1   # with a protein language model
    ray job submit --working-dir . -- python jobs/ssdm.py --data DATASET --model paper --workers 4 --out DIR

The encoder, `OUT/model`, is the `--model` of jobs/embed.py, function.py, stability.py and quality.py.  The same command
again continues where it was stopped, and costs nothing once it has finished.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.structure.ssdm import JOB, SsdmRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, SsdmRun, __doc__))
