"""Embeddings of proteins: of structures by a score network or a joint encoder (SSDM), of sequences by a language model.

    python jobs/embed.py --model runs/ssdm/model --structures 1abc.cif 2xyz.pdb.gz --out embeddings
    python jobs/embed.py --model runs/score_net/model --structures DATASET --level residue --out embeddings
    python jobs/embed.py --lm facebook/esm2_t12_35M_UR50D --fasta my.fasta --out embeddings
    ray job submit --working-dir . -- python jobs/embed.py --model /nfs/model --structures /nfs/pdb --out /nfs/embedded

Writes OUT/embeddings/*.parquet: id, sequence, and embedding as a flat list, row after row: the C numbers of a protein,
L x C of its residues, or, of a score network, L x L x C of its pairs (float16; a long chain has several rows, each
beginning at residue `start`).  `protray.data.embeddings.read_embeddings(OUT)` gives arrays.  Chains of any length are
read whole.

Chains without an embedding are listed in OUT/rejected.parquet with file and reason; more of them than --max-rejected
are an error.  Of chains with one id the first is kept.  The same command again continues a run that was killed, tries
those again that a process died of, and costs nothing once all is done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.structure.embed import JOB, Embed

if __name__ == "__main__":
    sys.exit(batch_command(JOB, Embed, __doc__))
