"""Predict secondary structure with a finished model of jobs/distil.py.

    python jobs/predict.py --model runs/distil/model --fasta proteins.fasta --out predictions.parquet
    python jobs/predict.py --model runs/distil/model --msas alignments --out predictions.3line
    ray job submit --working-dir . -- python jobs/predict.py --model /nfs/model --msas /nfs/msas --out /nfs/p.parquet

The extension of --out is the format: .parquet (id, sequence, ss3, prob as a flat list of L x 3 for H, E, C, msa_count),
.3line, or .ss2 (PSIPRED's; a folder if there are several proteins).  The language model reads the proteins as it read
those of the training; --maps DIR takes its maps from jobs/prob_maps.py in place of computing them.

Proteins without a prediction are listed in OUT's stem + .rejected.parquet with file, line and reason; more of them than
--max-rejected are an error.  The same command again continues a run that was killed, and costs nothing once all is
done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.secondary.predict import JOB, Predict

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Predict, __doc__))
