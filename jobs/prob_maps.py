"""Probability maps of a masked protein language model: P over the 20 amino acids for each residue, masked.

    python jobs/prob_maps.py --data proteins.fasta.gz --out maps
    python jobs/prob_maps.py --data DATASET --lm facebook/esm2_t12_35M_UR50D --out maps --float16
    ray job submit --working-dir . -- python jobs/prob_maps.py --data /nfs/uniref50.fasta.gz --out /nfs/maps

Writes OUT/maps/*.parquet: id, sequence, prob_map (L x 20, one flat list, row after row; the schema's metadata has the
order, residue_order).  An exact map costs L forward passes (--passes 16: that many), shared by all CPUs or GPUs of the
cluster.  Proteins without a map are in OUT/rejected.parquet with file, line and reason; more of them than
--max-rejected are an error.  The same command again goes on after a kill, and costs nothing once all is done.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.language_model.prob_maps import JOB, ProbMaps

if __name__ == "__main__":
    sys.exit(batch_command(JOB, ProbMaps, __doc__))
