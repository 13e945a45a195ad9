"""Predict functions or melting temperatures of proteins, or what mutations change, by a finished head.

    python jobs/annotate.py --model runs/function/model/language-model --fasta new.fasta --out runs/annotated
    python jobs/annotate.py --model runs/ec/model/both --structures pdb/ --out runs/annotated
    python jobs/annotate.py --model runs/ddg/model/language-model --mutations mutations.csv --out runs/predicted
    python jobs/annotate.py --model runs/ddg/model/language-model --fasta new.fasta --out runs/scan   # all mutants
    ray job submit --working-dir . -- python jobs/annotate.py --model /nfs/both --structures /nfs/pdb --out /nfs/out

Writes OUT/annotations/*.parquet, a row for each protein or mutant; what cannot be read is listed in
OUT/rejected.parquet.  The same command again continues a run that was killed, and costs nothing once all is done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.tasks.properties.annotate.annotate import job_of
from protray.pipelines.tasks.properties.annotate.inputs import Annotate

if __name__ == "__main__":
    sys.exit(batch_command(job_of, Annotate, __doc__))
