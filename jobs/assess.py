"""Predict how good models of proteins are, without their natives: GDT_TS, GDT_HA, TM-score, lDDT, and lDDT per residue.

    python jobs/assess.py --model runs/quality/model/plain --structures models/ --out runs/scores
    ray job submit --working-dir . -- python jobs/assess.py --model /nfs/plain --structures /nfs/pdb --out /nfs/out

The network is one of jobs/quality.py.  Writes OUT/scores/*.parquet, a row for each chain; what cannot be read is listed
in OUT/rejected.parquet.  The same command again continues a run that was killed, and costs nothing once all is done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.tasks.quality.assess import JOB, Assess

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Assess, __doc__))
