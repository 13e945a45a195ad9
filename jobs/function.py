"""Judge embeddings by what they say of proteins: EC numbers, GO terms, or folds, read out by heads and without.

    python jobs/function.py                                                   # EC numbers of chains in the package
    python jobs/function.py --model runs/score_net/model --out runs/ec        # a score network's embeddings
    python jobs/function.py --task cath --model runs/random/model runs/score_net/model --out runs/folds
    python jobs/function.py --data proteins.csv --lm facebook/esm2_t12_35M_UR50D --fine-tune --out runs/tuned
    python jobs/function.py --task go-mf --ontology go-basic.obo --data proteins.csv --out runs/mf

proteins.csv has the columns id, sequence, labels (GO:0005524 GO:0004672), and maybe structure, split, cluster.  The
same command again continues where it was stopped, and costs nothing once it has finished.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.tasks.properties.function.training import JOB, FunctionRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, FunctionRun, __doc__))
