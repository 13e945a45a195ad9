"""Pre-train a masked protein language model on FASTA files.

    python jobs/pretrain_bert.py --fasta swissprot.fasta.xz --held-out chains.fasta --out runs/bert
    python jobs/pretrain_bert.py --fasta uniref50.fasta.gz --clusters uniref50_cluster.tsv --lm.size 8m --out runs/bert
    ray job submit --working-dir . -- python jobs/pretrain_bert.py --fasta DIR --clusters TABLE --workers 8 --out DIR

The model, `OUT/model`, is one of Hugging Face Transformers: any tool that takes ESM takes it, such as the `--lm` of
jobs/distil.py.  The same command again continues where it was stopped, and costs nothing once it has finished.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.language_model.pretrain import JOB, PretrainRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, PretrainRun, __doc__))
