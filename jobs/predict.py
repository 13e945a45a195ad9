"""Predict secondary structure with a finished model, for one protein or 100,000.

    python jobs/predict.py --model runs/distil/model --msas alignments/ --out predictions.parquet
    python jobs/predict.py --model runs/distil/model --fasta proteins.fasta.gz --out predictions.3line
    python jobs/predict.py --model runs/distil/model --fasta one.fasta --out one.ss2
    ray job submit --working-dir . -- python jobs/predict.py --model /nfs/model --msas /nfs/msas --out /nfs/p.parquet

The extension of --out decides the format: .parquet (id, sequence, ss3, prob as L x 3 in the order H, E, C, msa_count),
.3line (>id, sequence, states), or PSIPRED's .ss2 or .horiz.  A file of these two holds one protein: one input makes the
file --out, several make a folder of that name with one <id>.ss2 each (characters that are unsafe in file names become
_).  <name>.html beside it draws helices, strands and their probabilities along the first 300 sequences.

The language model reads proteins as it read those of the training; the model's folder says how.  --maps DIR takes its
maps from a run of jobs/prob_maps.py over the same proteins, in place of computing them.

Proteins that cannot be used are listed beside it in <name>.rejected.parquet with file, line and reason; more of them
than --max-rejected are an error.  Of FASTA records with one id the first is kept.  The same command again continues a
run that was killed, from <out>.parts, tries those again that a process died of or that did not fit into memory, and
costs nothing once it has finished.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.secondary.predict import JOB, Predict

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Predict, __doc__))
