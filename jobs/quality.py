"""Train networks that tell how good a protein model is, with and without embeddings, and compare them.

    python jobs/quality.py                                               # decoys derived from the bundled sample
    python jobs/quality.py --model runs/score_net/model --out runs/qa    # a score network's embeddings
    python jobs/quality.py --data targets/ --out runs/mine               # TARGET/native.pdb and TARGET/decoy*.pdb

The scores are GDT_TS, GDT_HA, TM-score and lDDT against the native, computed here.  The same command again continues
where it was stopped, and costs nothing once it has finished.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.tasks.quality.training import JOB, QualityRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, QualityRun, __doc__))
