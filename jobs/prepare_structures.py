"""Turn structure files into a prepared dataset of protein chains.

    python jobs/prepare_structures.py --structures pdb/ --out dataset
    python jobs/prepare_structures.py --structures list.txt --split-by clusters-by-entity-30.txt --out dataset
    python jobs/prepare_structures.py --structures pdb.tar.gz --exclude test.fasta --keep cluster --out dataset
    python jobs/prepare_structures.py --structures pdb/ --side-chains --complexes --out dataset

Structures: mmCIF or PDB files, plain or .gz, in a folder with its subfolders, in a tar archive (.tar, .tar.gz, .tar.xz,
.tar.bz2), or in a text list of paths.  Files and chains that are left out are listed in OUT/rejected.parquet with the
reason; more files without a usable chain than --max-rejected are an error, but what settings leave out does not count.
The same command again continues a run that was killed.
"""

import sys

from protray.cluster.batch.command import batch_command
from protray.pipelines.structure.prepare_structures import JOB, PrepareStructures

if __name__ == "__main__":
    sys.exit(batch_command(JOB, PrepareStructures, __doc__))
