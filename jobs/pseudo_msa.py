"""Draw pseudo-alignments from probability maps and make their PSSMs.

    python jobs/pseudo_msa.py --maps runs/maps --out runs/pseudo
    python jobs/pseudo_msa.py --maps runs/maps --out runs/msas --write-msa
    ray job submit --working-dir . -- python jobs/pseudo_msa.py --maps /shared/maps --out /shared/pseudo

Writes OUT/pssms/*.parquet: id, sequence, pssm (L x 20, nats, order ARNDCQEGHILKMFPSTWYV).  A PSSM needs counts alone,
drawn from a multinomial; --write-msa draws the sequences (OUT/msas/<id>.a3m.gz, with %7C for | and so on) and counts
those.  Draws follow from --seed and the protein's id.  Maps that cannot be used are in OUT/rejected.parquet; more of
them than --max-rejected are an error.  The same command again goes on after a kill, and begins anew when the maps have
changed.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.language_model.pseudo_msa import JOB, PseudoMsa

if __name__ == "__main__":
    sys.exit(batch_command(JOB, PseudoMsa, __doc__))
