"""Probability maps of a masked protein language model: P over the 20 amino acids for each residue, masked.

    python jobs/prob_maps.py --data proteins.fasta.gz --out maps
    python jobs/prob_maps.py --data DATASET --lm facebook/esm2_t12_35M_UR50D --out maps --float16
    ray job submit --working-dir . -- python jobs/prob_maps.py --data /nfs/uniref50.fasta.gz --out /nfs/maps

Writes OUT/maps/*.parquet: id, sequence, and prob_map, the L x 20 probabilities of a protein as one flat list, row
after row; the order of the amino acids stands in the schema's metadata (residue_order).  An exact map costs L forward
passes (--passes 16: that many), shared by all CPUs, or all GPUs, of the cluster.  Proteins longer than the model reads
are read in overlapping windows.

Proteins without a map are listed in OUT/rejected.parquet with file, line and reason; more of them than --max-rejected
are an error.  The same command again continues a run that was killed, tries those again that a process died of or that
did not fit into memory, and costs nothing once all is done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.language_model.prob_maps import JOB, ProbMaps

if __name__ == "__main__":
    sys.exit(batch_command(JOB, ProbMaps, __doc__))
