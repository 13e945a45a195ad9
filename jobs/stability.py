"""Train heads on frozen embeddings that predict stability, of proteins or of mutants; and compare them.

    python jobs/stability.py --task thermostability --data melting.csv --out runs/tm      # id,sequence,value
    python jobs/stability.py --task ddg --data mutations.csv --out runs/ddg               # id,sequence,mutation,value
    python jobs/stability.py --task msp --data complexes.csv --model runs/score_net/model --out runs/msp
    python jobs/stability.py --task thermostability --data melting.csv --model runs/ssdm/model --fine-tune --out runs/ft

Mutations are written A42G, position 42 of the sequence from 1; of complexes (msp), whose table names a file in its
column structure, L:A42G, residue 42 of chain L as the file numbers it.  The same command again continues where it was
stopped, and costs nothing once it has finished.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.tasks.properties.stability.training import JOB, StabilityRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, StabilityRun, __doc__))
