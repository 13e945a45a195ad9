"""Predict secondary structure, for one protein or 100,000, with the model in the package or with your own.

    python jobs/predict.py --fasta proteins.fasta.gz --out predictions.3line
    python jobs/predict.py --msas alignments/ --out predictions.parquet
    python jobs/predict.py --model runs/mine/model --msas alignments/ --out predictions.parquet
    ray job submit --working-dir . -- python jobs/predict.py --model /nfs/model --msas /nfs/msas --out /nfs/p.parquet

The extension of --out is the format: .parquet (id, sequence, ss3, prob as L x 3 of H, E, C, msa_count), .3line, or
PSIPRED's .ss2 or .horiz, of which several proteins become a folder.  <name>.html beside it draws the first 300.
--maps DIR takes the maps of a run of jobs/prob_maps.py.  What cannot be used is in <name>.rejected.parquet with file,
line and reason; more of it than --max-rejected is an error.  The same command again goes on after a kill.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.secondary.predict import JOB, Predict

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Predict, __doc__))
