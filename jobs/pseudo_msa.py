"""Draw pseudo-alignments from probability maps and make their PSSMs.

    python jobs/pseudo_msa.py --maps runs/maps --out runs/pseudo
    python jobs/pseudo_msa.py --maps runs/maps --out runs/msas --write-msa
    ray job submit --working-dir . -- python jobs/pseudo_msa.py --maps /shared/maps --out /shared/pseudo

A PSSM needs counts alone, which are drawn from a multinomial distribution; no sequence is made.  --write-msa draws the
sequences (probabilities are rounded to 2^-16), writes them as OUT/msas/<id>.a3m.gz, and counts them: the PSSM is then
exactly that of the file.  Both ways have one distribution, but are two draws.  A draw follows from --seed and the
protein's id: the same files for any number of processes.  An alignment of 300 residues is 380 kB, packed; characters
that are unsafe in file names become _.

The PSSMs are in OUT/pssms/*.parquet: id, sequence, pssm (L x 20, nats, order ARNDCQEGHILKMFPSTWYV), in the order of the
maps.  Maps that cannot be used are listed in OUT/rejected.parquet with file and reason; more of them than
--max-rejected are an error.  The same command again continues a run that was killed, costs nothing once all is done,
and begins anew when the maps have changed or there are more of them.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.language_model.pseudo_msa import JOB, PseudoMsa

if __name__ == "__main__":
    sys.exit(batch_command(JOB, PseudoMsa, __doc__))
