"""Predict with which residues proteins touch other proteins, from their structures or sequences alone.

    python jobs/find_sites.py --model runs/sites/model/language-model --fasta new.fasta --out runs/found
    python jobs/find_sites.py --model runs/both/model/score-net --structures pdb/ --out runs/found
    ray job submit --working-dir . -- python jobs/find_sites.py --model /nfs/plain --structures /nfs/pdb --out /nfs/out

The network is one of jobs/sites.py.  Writes OUT/sites/*.parquet, a row for each protein; what cannot be used is listed
in OUT/rejected.parquet.  The same command again continues a run that was killed, and costs nothing once all is done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.tasks.sites.find_sites import JOB, FindSites

if __name__ == "__main__":
    sys.exit(batch_command(JOB, FindSites, __doc__))
