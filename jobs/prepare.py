"""Turn alignments and labels into a prepared dataset.

    python jobs/prepare.py --msas alignments/ --labels labels.3line --out dataset
    python jobs/prepare.py --msas alignments/ --labels structures/ --split-by cluster.tsv --out dataset

Alignments: A3M, A2M, Stockholm, aligned FASTA or PSI-BLAST-like .aln, plain or packed, one a protein, named after
it.  Labels: a 3-line file (>id, sequence, H/E/C or DSSP letters), or a folder of mmCIF/PDB files (1ABC.cif labels 1ABC
and, with its chain A, 1ABC_A).  Proteins that cannot be used are listed in OUT/rejected.parquet with file, line and
reason; more of them than --max-rejected are an error.  The same command again continues a run that was killed.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.secondary.prepare import JOB, Prepare

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Prepare, __doc__))
