"""Embeddings of proteins: of structures by a score network or a joint encoder (SSDM), of sequences by a language model.

    python jobs/embed.py --structures 1abc.cif 2xyz.pdb.gz --out embeddings      # the encoder in the package
    python jobs/embed.py --model runs/score_net/model --structures DATASET --level residue --out embeddings
    python jobs/embed.py --lm facebook/esm2_t12_35M_UR50D --fasta my.fasta --out embeddings

Writes OUT/embeddings/*.parquet: id, sequence, embedding (a flat list, row after row: the C numbers of a protein, L x C
of its residues, or of a score network L x L x C of its pairs; a long chain has several rows, each from residue `start`
on), which `protray.data.embeddings.read_embeddings(OUT)` reads.  What has none is in OUT/rejected.parquet with file and
reason; more of it than --max-rejected is an error.  The same command again goes on after a kill.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.structure.embed import JOB, Embed

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Embed, __doc__))
